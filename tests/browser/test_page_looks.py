"""The page's looks, accessibility and keyboard use, in each window size and colour scheme."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.chromium import look
from tests.browser.tab import Tab


@pytest.fixture(params=[(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")], ids=str)
def looked_at(request, context_of, decant):
    tab = Tab(context_of(look(*request.param)), decant.url)
    yield tab
    tab.page.close()
    assert tab.troubles == []


def every_view(tab, decant):
    """Shows each view of the page in turn, once it is fully loaded; yields its name."""
    run = next(run for run in decant.server.get_json("/runs")["items"] if run["rejected"])
    person = decant.server.get_json("/users?limit=1&country=Denmark")["items"][0]
    tab.page.goto(decant.url)
    expect(tab.page.get_by_label("API key")).to_be_visible()
    yield "sign in"
    tab.sign_in()
    expect(tab.bars()).to_have_count(50)
    yield "pipeline"
    tab.page.get_by_text("Show as table").click()
    yield "pipeline as a table"
    tab.go(f"#/runs/{run['run_id']}")
    tab.page.get_by_text("Positions of").click()
    yield "run"
    tab.go("#/people?country=Denmark")
    expect(tab.page.get_by_role("row").nth(1)).to_be_visible()
    yield "people"
    tab.go("#/people?country=Atlantis")
    expect(tab.page.get_by_role("heading", name="No matches")).to_be_visible()
    yield "nobody"
    tab.go(f"#/people/{person['uid']}")
    expect(tab.page.get_by_text(person["email"])).to_be_visible()
    yield "person"
    tab.button("Erase this person …").click()
    yield "erasure"
    tab.page.keyboard.press("Escape")
    tab.go("#/privacy")
    expect(tab.page.get_by_text("k = ")).to_be_visible()
    yield "privacy"
    tab.refusals_expected = True
    tab.go("#/runs/00000000-0000-4000-8000-000000000404")
    expect(tab.page.get_by_role("alert")).to_be_visible()
    yield "failure"


def test_axe_finds_nothing_and_nothing_overflows(looked_at, decant):
    axe, found = Axe(), []
    for view in every_view(looked_at, decant):
        found += [
            (view, violation["id"], [node["target"] for node in violation["nodes"]])
            for violation in axe.run(looked_at.page).response["violations"]
        ]
        beyond = looked_at.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if beyond > 0:
            found.append((view, "wider than the window by", beyond))

    assert found == []


def test_people_and_contract_fit_on_a_phone(context_of, decant):
    tab = Tab(context_of(look(360, "light")), decant.url).sign_in()
    for address in ("#/people", "#/people?country=United+Kingdom", "#/people?country=Ukraine", "#/privacy"):
        tab.go(address)
        expect(tab(".scroll tbody tr").nth(1)).to_be_visible()
        beyond = tab(".scroll").first.evaluate("node => node.scrollWidth - node.clientWidth")
        assert beyond <= 0, address
    tab.page.close()


@pytest.mark.parametrize("width", [660, 770, 910, 1024])
def test_no_figure_is_broken_or_cut(context_of, decant, width):
    tab = Tab(context_of(look(width, "light")), decant.url).sign_in()
    figures = tab(".figures strong")
    expect(figures.nth(1)).to_have_text(re.compile("second|minute"))
    figures.nth(1).evaluate("figure => { figure.textContent = '59 minutes'; }")

    assert all(figures.evaluate_all("all => all.map(one => one.scrollWidth <= one.clientWidth)"))
    assert all(figures.evaluate_all("all => all.map(one => one.clientHeight < 50)"))
    tab.page.close()


# The height of the chart's scales, and how far a label reaches beyond them.
_SCALES = """() => {
  const scales = document.querySelector(".chart-frame > svg");
  const lefts = [...scales.querySelectorAll("text")].map((text) => text.getBoundingClientRect().left);
  return [scales.clientHeight, scales.getBoundingClientRect().left - Math.min(...lefts)];
}"""


def test_the_chart_grows_with_the_font_size(tab):
    expect(tab.bars()).to_have_count(50)
    height, _ = tab.page.evaluate(_SCALES)
    tab.page.evaluate("document.documentElement.style.fontSize = '32px'")

    grown, beyond = tab.page.evaluate(_SCALES)
    assert grown == 2 * height
    assert beyond < 1
    tab.page.evaluate("document.documentElement.style.fontSize = ''")


def test_on_paper_the_chart_is_whole_and_colours_keep_their_meaning(context_of, decant):
    tab = Tab(context_of(look(1280, "light")), decant.url).sign_in()
    expect(tab.bars()).to_have_count(50)
    width = tab(".chart-frame").bounding_box()["width"]
    tab.page.emulate_media(media="print")

    zoom = tab(".chart-frame").evaluate("frame => getComputedStyle(frame).zoom")
    assert width * float(zoom) < 680  # A4 is 794 wide, with its margins; nothing is drawn anew for it
    adjust = tab(".swatch").first.evaluate("swatch => getComputedStyle(swatch).printColorAdjust")
    assert adjust == "exact"
    for control in ("#nav", "#leave", "form.start", ".choice"):
        expect(tab(control)).to_be_hidden()
    tab.page.close()


def test_a_long_source_address_wraps(context_of, decant):
    tab = Tab(context_of(look(360, "light")), decant.url).sign_in()
    run = decant.server.get_json("/runs?limit=1")["items"][0] | {"source": f"api https://{'a' * 200}.example"}
    tab.page.route("**/runs/*", lambda route: route.fulfill(json=run))
    tab.go(f"#/runs/{run['run_id']}")

    expect(tab(".facts")).to_contain_text(run["source"])
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.page.close()


def test_a_table_takes_the_focus_only_if_it_scrolls(context_of, decant):
    for width, count in [(360, 1), (1280, 0)]:
        tab = Tab(context_of(look(width, "light")), decant.url).sign_in()
        tab.go("#/runs")
        expect(tab(".scroll tbody tr").first).to_be_visible()
        expect(tab(".scroll[tabindex='0']")).to_have_count(count)
        heights = tab(".scroll tbody th").evaluate_all("all => all.map(one => one.clientHeight)")
        assert max(heights) < 50  # dates do not wrap
        tab.page.close()


def test_on_the_narrowest_screen_what_matters_is_not_cut(context_of, decant):
    tab = Tab(context_of(look(320, "light")), decant.url).sign_in()
    expect(tab.bars()).to_have_count(50)
    assert tab("form.start input").evaluate("input => input.clientWidth") >= 100  # for "default"

    run = next(run for run in decant.server.get_json("/runs")["items"] if run["rejected"] > 1)
    tab.go(f"#/runs/{run['run_id']}")
    records = tab("section.card .scroll").first.get_by_role("columnheader", name="Records")
    expect(records).to_be_visible()
    table = tab("section.card .scroll").first.bounding_box()
    box = records.bounding_box()
    assert box["x"] + box["width"] <= table["x"] + table["width"]
    tab.page.close()


def test_the_state_of_the_servers_is_read_out_with_its_name(tab):
    expect(tab("#health")).to_have_text("OK")

    expect(tab(".aside")).to_match_aria_snapshot('- text: "Servers: OK"')


def test_each_view_focuses_its_only_first_level_heading(tab, decant):
    for address, title in [("#/people", "People"), ("#/privacy", "Privacy"), ("#/", "Everything works.")]:
        tab.go(address)
        expect(tab.title()).to_have_text(title)
        expect(tab.title()).to_be_focused()
        expect(tab("#nav [aria-current=page]")).to_have_count(1)
        expect(tab.page).to_have_title(re.compile("· Decant$"))


# A short description of the focused element, and whether the focus is visible on it or on its stand-in.
_FOCUSED = """(() => {
  const at = document.activeElement;
  const seen = at.querySelector(".reach") ?? (at.matches(".choice input") ? at.nextSibling : at);
  const { outlineStyle, stroke } = getComputedStyle(seen);
  const isSeen = outlineStyle !== "none" || stroke !== "none";
  return [(at.textContent || at.type || "").trim().slice(0, 20), isSeen];
})()"""


def test_the_tab_key_follows_the_order_of_the_page_with_a_visible_focus(tab):
    tab.page.reload()
    expect(tab.bars()).to_have_count(50)
    reached = []
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        reached.append(tab.page.evaluate(_FOCUSED))

    names = [name for name, _ in reached]
    order = [
        "Skip to the content",
        "Decant",
        "Pipeline",
        "People",
        "Privacy",
        "Start a run",
        "Show as table",
    ]
    assert [name for name in names if name in order] == order
    assert all(seen for _, seen in reached), reached


def test_the_skip_link_leads_to_the_content(tab):
    tab("#skip").focus()
    tab.page.keyboard.press("Enter")

    expect(tab("main")).to_be_focused()


def test_nothing_is_animated_if_reduced_motion_is_preferred(tab):
    tab.page.emulate_media(reduced_motion="reduce")

    moving = tab.page.evaluate(
        "[...document.querySelectorAll('*')].filter("
        "node => getComputedStyle(node).animationName !== 'none').length"
    )

    tab.page.emulate_media(reduced_motion="no-preference")
    assert moving == 0

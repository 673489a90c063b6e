"""The people: filters, pages, look-ups and exports; one person from Postgres and Redis, and erasure."""

import csv
import io
import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.decant import page_of_source
from tests.fakes import KEY, person, token
from tests.integration.api_support import READ, load

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
ALL = "All people, by id"
MATCHING = "Matching people, by id"


@pytest.fixture
def people_tab(tab):
    tab.link("People").click()
    expect(tab.title()).to_be_focused()
    return tab


def opened(tab, summary):
    """A tool, opened if it is collapsed, as on small screens."""
    tool = tab(f"details.tool:has(h2:text-is('{summary}'))")
    if tool.get_attribute("open") is None:
        tool.locator("summary").click()
    return tool


def uids(tab, caption):
    expect(tab.rows(caption).first).to_be_visible()
    return [
        link.rpartition("/")[2]
        for link in tab.rows(caption).locator("a").evaluate_all("all => all.map(a => a.hash)")
    ]


def somebody():
    """The source's record of a person who is stored."""
    return json.loads(page_of_source(1))[20]


# The list


def test_paging_works_in_both_directions_and_from_the_address(people_tab, decant):
    tab = people_tab
    first = uids(tab, ALL)
    assert first == [one["uid"] for one in decant.server.get_json("/users?limit=50")["items"]]

    tab.link("Next page").click()
    expect(tab.rows(ALL).first).not_to_contain_text(first[0][:8])
    second = uids(tab, ALL)
    assert min(second) > max(first)
    tab.page.reload()
    assert uids(tab, ALL) == second

    tab.page.go_back()
    expect(tab.rows(ALL).first).to_contain_text(first[0][:8])
    tab.page.go_forward()
    expect(tab.rows(ALL).first).to_contain_text(second[0][:8])
    tab.link("First page").click()
    expect(tab.rows(ALL).first).to_contain_text(first[0][:8])


def test_filters_show_matching_people_and_are_part_of_the_address(people_tab, decant):
    tab = people_tab
    tool = opened(tab, "Filter")
    country = decant.server.get_json("/stats")["country"][0]["value"]
    expect(tool.locator("datalist").first.locator("option").first).to_have_attribute("value", country)

    tool.get_by_label("Country").fill(country)
    tool.get_by_label("Changed since").fill("2026-01-01T00:00")
    tab.button("Apply").click()

    rows = tab.rows(MATCHING)
    expect(rows.first).to_be_visible()
    assert set(rows.locator("td", has_text=country).all_inner_texts()) == {country}
    assert "country=" in tab.page.url
    assert "updated_since=2026-01-01T00%3A00%3A00.000Z" in tab.page.url
    tab.link("Clear filters").click()
    expect(tab.rows(ALL).first).to_be_visible()


@pytest.mark.parametrize(("filters", "summary"), [("", "Filter"), ("?country=Denmark", "Filter (1)")])
def test_applying_the_same_filters_asks_again(tab, filters, summary):
    tab.go(f"#/people{filters}")
    opened(tab, summary)
    expect(tab(".card .scroll tbody tr").first).to_be_visible()

    with tab.page.expect_response("**/users?*"):
        tab.button("Apply").click()

    expect(tab.title()).to_be_focused()


def test_no_matching_people_is_a_state_of_its_own(tab):
    tab.go("#/people?country=Atlantis")

    expect(tab.page.get_by_role("heading", name="No matches")).to_be_visible()


def test_values_from_the_source_are_shown_as_text(tab, decant):
    load(decant.store, person(666, city=HOSTILE, country=HOSTILE, gender=HOSTILE, employment_title=HOSTILE))
    uid = person(666)["uid"]

    tab.go("#/people?country=" + HOSTILE.replace("<", "%3C").replace(">", "%3E"))
    expect(tab.rows(MATCHING)).to_contain_text([HOSTILE])
    tab.go(f"#/people/{uid}")
    expect(tab.page.get_by_text(HOSTILE)).to_have_count(4)
    expect(tab("main img, main script")).to_have_count(0)

    decant.store.erase(uid, ["v1_" + "h" * 24], KEY)


# One person


def test_a_person_comes_from_postgres_and_the_second_time_from_redis(tab, decant):
    uid = decant.server.get_json("/users?limit=1&country=Japan")["items"][0]["uid"]
    decant.forget_cached()

    tab.go(f"#/people/{uid}")

    asks = tab(".asks li")
    expect(asks).to_have_text([re.compile(r"Postgres.*\d m?s")])
    tab.button("Load again").click()
    expect(asks).to_have_text([re.compile("Postgres"), re.compile(r"Redis.*\d m?s")])


def test_a_person_is_shown_as_stored(tab, decant):
    person = decant.server.get_json("/users?limit=1&country=Japan")["items"][0]

    tab.go(f"#/people/{person['uid']}")

    expect(tab.page.get_by_text(person["email"])).to_be_visible()
    shown = tab("main").inner_text()
    for value in (
        person["first_name"],
        person["address"]["street"],
        str(person["birth_year"]),
        person["address"]["city"],
    ):
        assert value in shown


def test_custom_fields_are_shown_if_there_are_any(tab, decant):
    uid = decant.server.get_json("/users?limit=1&country=Japan")["items"][0]["uid"]
    tab.go(f"#/people/{uid}")
    expect(tab.page.get_by_role("heading", name="Kept")).to_be_visible()
    expect(tab.page.get_by_role("heading", name="Custom")).to_have_count(0)

    custom = {
        "boss": token("b"), "language": HOSTILE, "level": 3, "active": False, "team": None,
        "roles": ["dev", HOSTILE], "aliases": [token("c"), token("d")],
    }  # fmt: skip
    load(decant.store, person(667, custom=custom))
    tab.go(f"#/people/{person(667)['uid']}")

    card = tab.page.locator(".card", has=tab.page.get_by_role("heading", name="Custom"))
    expect(card.locator("dt")).to_have_text(
        ["boss", "team", "level", "roles", "active", "aliases", "language"]
    )
    expect(card.locator("dd")).to_have_text(
        [
            token("b"), "not stored", "3", f"dev, {HOSTILE}", "false", f"{token('c')}, {token('d')}", HOSTILE
        ]
    )  # fmt: skip
    expect(card.locator("code.token")).to_have_text([token("b"), token("c"), token("d")])
    decant.store.erase(person(667)["uid"], ["v1_" + "i" * 24], KEY)


def test_an_unknown_id_is_reported(tab):
    tab.refusals_expected = True

    tab.go("#/people/00000000-0000-4000-8000-000000000404")

    expect(tab.page.get_by_role("alert")).to_contain_text("Not found")


def test_kept_custom_fields_are_filters_and_tokens_are_looked_up(tab, decant):
    fields = [
        {"path": f"custom.{name}", "treatment": kind}
        for name, kind in [("language", "keep"), ("boss", "token")]
    ]
    everybody, bodies = decant.server.get_json("/users?limit=2"), []
    filtered = re.compile(r"/users\?.*custom")

    def found(route):
        bodies.append(route.request.post_data_json)
        route.fulfill(json=everybody)

    tab.page.route("**/contract", lambda route: route.fulfill(json={"fields": fields}))
    tab.page.route(filtered, lambda route: route.fulfill(json=everybody))
    tab.page.route("**/users/lookup*", found)
    tab.go("#/people?custom%5Blanguage%5D=de&country=Japan")
    tool = opened(tab, "Filter (2)")
    expect(tool.get_by_label("boss")).to_have_count(0)
    expect(tool.get_by_label("language")).to_have_value("de")

    tool.get_by_label("Country").fill("")
    tool.get_by_label("language").fill("pt")
    with tab.page.expect_request(filtered) as asked:
        tab.button("Apply").click()

    assert "custom%5Blanguage%5D=pt&limit=50" in asked.value.url
    assert tab.page.url.endswith("#/people?custom%5Blanguage%5D=pt")
    expect(tab.rows(MATCHING)).to_have_count(2)
    tool = opened(tab, "Look up")
    tool.get_by_label("Field").select_option("boss")
    tool.get_by_label("Raw value").fill("ann@example.com")
    tool.get_by_role("button").click()
    expect(tab(".answer")).to_contain_text("2 people with this boss.")
    assert bodies == [{"custom": {"boss": "ann@example.com"}}]
    tab.page.unroute_all()


# Look-ups


@pytest.mark.parametrize("field", ["email", "phone_number", "last_name"])
def test_a_look_up_finds_the_person_and_leaves_the_value_nowhere(people_tab, decant, field):
    tab, record = people_tab, somebody()
    tool = opened(tab, "Look up")
    tool.get_by_label("Field").select_option(field)
    tool.get_by_label("Raw value").fill(record[field])

    tool.get_by_role("button").click()

    assert record["uid"] in uids(tab, "People found")
    assert tab(".answer .scroll").evaluate("place => place.scrollWidth <= place.clientWidth")
    expect(tool.get_by_label("Raw value")).to_have_value("")
    assert record[field] not in tab("body").inner_text()
    assert all(record[field] not in request.url for request in tab.asked)
    assert record[field] not in tab.page.url


def test_a_look_up_of_nobody_says_so(people_tab):
    tool = opened(people_tab, "Look up")
    tool.get_by_label("Raw value").fill("nobody@example.com")
    tool.get_by_label("Raw value").press("Enter")

    expect(people_tab(".answer")).to_have_text("No stored person has exactly this e-mail address.")
    expect(people_tab("#announcer")).to_contain_text("No stored person has exactly this e-mail address.")


@pytest.mark.parametrize(("field", "typo"), [("email", "ann at example.com"), ("phone_number", "ten")])
def test_a_typo_is_reported_before_anything_is_looked_up(people_tab, field, typo):
    tool = opened(people_tab, "Look up")
    tool.get_by_label("Field").select_option(field)
    tool.get_by_label("Raw value").fill(typo)
    tool.get_by_label("Raw value").press("Enter")

    assert "contains" in tool.get_by_label("Raw value").evaluate("field => field.validationMessage")
    expect(tool.get_by_label("Raw value")).to_have_value(typo)
    assert not [request for request in people_tab.asked if "lookup" in request.url]
    tool.get_by_label("Field").select_option("last_name")
    tool.get_by_role("button").click()
    expect(people_tab(".answer")).to_have_text("No stored person has exactly this last name.")
    expect(people_tab(".answer .said")).to_be_in_viewport()


def test_a_late_answer_to_an_earlier_look_up_is_not_shown(people_tab, decant):
    tab, record = people_tab, somebody()
    tool = opened(tab, "Look up")
    held = []
    tab.page.route("**/users/lookup*", lambda route: held.append(route))
    for value in (record["email"], "nobody@example.com"):
        tool.get_by_label("Raw value").fill(value)
        tool.get_by_role("button").click()
        expect(tab(".answer")).to_have_text("Loading …")
    expect(tab(".answer")).to_have_text("Loading …")

    first, second = held
    second.continue_()
    expect(tab(".answer")).to_have_text("No stored person has exactly this e-mail address.")
    with tab.page.expect_response("**/users/lookup*"):
        first.continue_()

    tab.page.unroute_all()
    expect(tab(".answer")).to_have_text("No stored person has exactly this e-mail address.")


def test_going_back_from_a_person_returns_to_that_row_of_the_list(people_tab):
    row = people_tab.rows(ALL).nth(40).locator("a")
    address = row.get_attribute("href")
    row.click()
    expect(people_tab(".asks li")).to_have_count(1)

    people_tab.page.go_back()

    expect(people_tab(f"a[href='{address}']")).to_be_focused()
    expect(people_tab(f"a[href='{address}']")).to_be_in_viewport()


def test_the_link_up_leads_back_to_the_same_page_of_the_same_matches(tab):
    tab.go("#/people?gender=Female")
    first = uids(tab, MATCHING)
    tab.link("Next page").click()
    expect(tab.rows(MATCHING).first).not_to_contain_text(first[0][:8])
    page, row = tab.page.url, tab.rows(MATCHING).nth(9).locator("a")
    address = row.get_attribute("href")
    row.click()

    tab.link("Back to the list").click()

    expect(tab(f"a[href='{address}']")).to_be_focused()
    assert tab.page.url == page
    tab.go(f"#/people/{first[0]}")
    expect(tab.link("All people")).to_have_attribute("href", "#/people")


def test_changed_since_shows_its_time(people_tab):
    field = opened(people_tab, "Filter").get_by_label("Changed since")

    assert field.bounding_box()["width"] >= 200


# Exports


def exported(tab, name):
    with tab.page.expect_download() as download:
        tab.button(name).click()
    expect(tab(".exports .said")).to_contain_text(f"in {download.value.suggested_filename}.")
    return download.value.suggested_filename, Path(download.value.path()).read_text(encoding="utf-8")


def test_an_export_holds_everybody_once_over_any_number_of_pages(people_tab, decant):
    total = decant.sql("SELECT count(*) FROM users")[0][0]
    assert total > 2_000

    name, text = exported(people_tab, "CSV")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == total
    assert re.fullmatch(r"people-\d{4}-\d\d-\d\d\.csv", name)
    assert datetime.now(UTC).date() - date.fromisoformat(name[7:17]) <= timedelta(days=1)
    assert len({row["uid"] for row in rows}) == total

    name, text = exported(people_tab, "NDJSON")
    assert name.endswith(".ndjson")
    assert [json.loads(line)["uid"] for line in text.splitlines()] == [row["uid"] for row in rows]
    expect(people_tab(".exports .said")).to_contain_text(f"{total:,} people")


def test_an_export_counts_people_correctly_if_a_page_ends_early(people_tab):
    """A page ends early if texts are long. A field may hold line breaks, and a quote is doubled."""
    pages = {"": 'uid,city\r\n1,"a\nb"\r\n2,"""c"\r\n', "more": "uid,city\r\n3,d\r\n"}

    def answer(route):
        cursor = "more" if "cursor=" in route.request.url else ""
        link = {} if cursor else {"Link": '</users?cursor=more>; rel="next"'}
        route.fulfill(body=pages[cursor], headers={"Content-Type": "text/csv", **link})

    people_tab.page.route("**/users?*limit=1000*", answer)
    _, text = exported(people_tab, "CSV")
    people_tab.page.unroute_all()

    expect(people_tab(".exports .said")).to_contain_text("3 people in people-")
    assert [row["uid"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["1", "2", "3"]


def test_an_export_survives_a_failure_that_passes(people_tab):
    people_tab.refusals_expected = True
    people_tab.page.route("**/users?*limit=1000*", lambda route: route.fulfill(status=503), times=1)

    _, text = exported(people_tab, "CSV")

    assert text.startswith("uid,")


def test_an_export_that_fails_says_that_nothing_was_saved(people_tab):
    people_tab.refusals_expected = True
    people_tab.page.route("**/users?*limit=1000*", lambda route: route.fulfill(status=500))

    people_tab.button("CSV").click()

    expect(people_tab(".exports .said")).to_contain_text("Nothing was saved.")
    people_tab.page.unroute_all()


def test_trying_again_after_a_failure_keeps_the_focus_in_the_view(tab, decant):
    tab.refusals_expected = True
    uid = decant.server.get_json("/users?limit=1")["items"][0]["uid"]
    tab.page.route(f"**/users/{uid}", lambda route: route.fulfill(status=500), times=2)
    tab.go(f"#/people/{uid}")

    tab.button("Try again").press("Enter")
    expect(tab.button("Try again")).to_be_focused()
    tab.button("Try again").press("Enter")

    expect(tab.button("Load again")).to_be_focused()


def test_an_export_respects_the_filters(tab, decant):
    tab.go("#/people?gender=Female")
    expect(tab.rows(MATCHING).first).to_be_visible()
    expect(tab.page.get_by_role("heading", name="Export all matches")).to_be_visible()

    _, text = exported(tab, "CSV")

    rows = list(csv.DictReader(text.splitlines()))
    assert {row["gender"] for row in rows} == {"Female"}
    assert len(rows) == decant.sql("SELECT count(*) FROM users WHERE gender = 'Female'")[0][0]


def test_an_export_can_be_stopped_by_keyboard_and_returns_the_focus(people_tab):
    people_tab.page.route("**/users?*limit=1000*", lambda route: (time.sleep(0.3), route.continue_()))
    people_tab.button("CSV").press("Enter")

    expect(people_tab.button("Stop")).to_be_focused()
    expect(people_tab(".exports .said")).to_contain_text("people so far")
    expect(people_tab.button("Stop")).to_be_focused()
    people_tab.page.keyboard.press("Enter")

    people_tab.page.unroute_all()
    expect(people_tab(".exports .said")).to_have_text("Stopped; nothing was saved.")
    expect(people_tab("#announcer")).to_contain_text("Stopped; nothing was saved.")
    expect(people_tab.button("CSV")).to_be_focused()


def test_an_export_whose_view_is_left_says_that_nothing_was_saved(people_tab):
    held = []
    people_tab.page.route("**/users?*limit=1000*", lambda route: held.append(route))
    people_tab.button("CSV").click()
    people_tab.first(held)

    people_tab.link("Privacy").click()

    expect(people_tab(".remark")).to_contain_text("The export to people-")
    people_tab.button("Close").click()
    people_tab.page.unroute_all()


# Erasure


def holding(tab, uid, method):
    """The requests of this method for a person, as they come; each waits until the test lets it go on."""
    held = []
    tab.page.route(
        f"**/users/{uid}",
        lambda route: held.append(route) if route.request.method == method else route.continue_(),
    )
    return held


def test_an_erasure_asks_first_and_answers_with_a_receipt(tab, decant):
    uid = decant.server.get_json("/users?limit=1&country=Brazil")["items"][0]["uid"]
    tab.go(f"#/people/{uid}")
    said = []
    tab.page.on("console", lambda message: said.append(message.text))
    tab.button("Erase this person …").click()
    expect(tab.page.get_by_role("dialog")).to_contain_text(uid)
    expect(tab.button("Cancel")).to_be_focused()
    assert said == []
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("dialog")).to_be_hidden()
    assert decant.sql("SELECT count(*) FROM users WHERE uid = %s", uid) == [(1,)]

    tab.button("Erase this person …").click()
    tab.button("Erase permanently").click()

    receipt = tab(".receipt")
    expect(receipt).to_contain_text("Erasure token")
    expect(receipt.get_by_role("heading")).to_be_focused()
    expect(receipt.locator("code.token")).to_have_text(
        decant.sql("SELECT uid_token FROM erasures ORDER BY erased_at DESC LIMIT 1")[0][0]
    )
    assert decant.sql("SELECT count(*) FROM users WHERE uid = %s", uid) == [(0,)]
    with tab.page.expect_download() as download:
        tab.button("Save the receipt").click()
    assert json.loads(Path(download.value.path()).read_text())["users"] == 1
    tab.refusals_expected = True
    tab.page.reload()
    expect(tab.page.get_by_role("alert")).to_contain_text("Not found")


def test_an_erasure_cannot_be_cancelled_once_sent_and_its_receipt_is_shown_in_any_view(tab, decant):
    uid = decant.server.get_json("/users?limit=1&country=France")["items"][0]["uid"]
    tab.go(f"#/people/{uid}")
    held = holding(tab, uid, "DELETE")
    tab.button("Erase this person …").click()
    tab.button("Erase permanently").click()

    expect(tab.button("Cancel")).to_be_disabled()
    expect(tab.page.get_by_role("dialog").get_by_text("Erasing …")).to_be_visible()
    tab.go("#/people")
    expect(tab.title()).to_have_text("People")
    tab.first(held).continue_()

    receipt = tab(".remark")
    expect(receipt).to_contain_text("Erasure token")
    tab.go("#/privacy")
    expect(tab.title()).to_have_text("Privacy")
    tab.button("Close").click()
    expect(receipt).to_have_count(0)
    tab.page.unroute_all()


@pytest.mark.parametrize("begins", ["before the confirmation", "after it"])
def test_a_late_answer_does_not_replace_an_erasure(tab, decant, begins):
    uid = decant.server.get_json("/users?limit=1&country=Germany")["items"][0]["uid"]
    tab.go(f"#/people/{uid}")
    expect(tab.button("Load again")).to_be_enabled()
    held = holding(tab, uid, "GET")
    tab.button("Load again").click()
    tab.button("Erase this person …").click()
    if begins == "before the confirmation":
        with tab.page.expect_response(f"**/users/{uid}"):
            tab.first(held).continue_()
        expect(tab.button("Erase permanently")).to_be_visible()

    tab.button("Erase permanently").click()
    expect(tab(".receipt")).to_be_visible()
    if begins == "after it":
        tab.refusals_expected = True
        with tab.page.expect_response(f"**/users/{uid}"):
            tab.first(held).continue_()
        tab.page.wait_for_load_state("networkidle")

    expect(tab(".receipt")).to_contain_text("Erasure token")
    tab.page.unroute_all()


@pytest.mark.parametrize("closed", [False, True])
def test_an_erasure_whose_postgres_was_lost_is_reported_as_possibly_done(tab, decant, closed):
    """Also if the dialog was closed and the person was loaded again meanwhile."""
    uid = decant.server.get_json("/users?limit=9")["items"][-1]["uid"]
    tab.refusals_expected = True
    tab.go(f"#/people/{uid}")
    held = holding(tab, uid, "DELETE")
    tab.button("Erase this person …").click()
    tab.button("Erase permanently").click()
    if closed:
        tab.page.keyboard.press("Escape")
        tab.button("Load again").click()
        expect(tab(".asks li")).to_have_count(2)
    tab.first(held).fulfill(
        status=503, content_type="application/problem+json", body='{"title": "Unavailable", "status": 503}'
    )

    expect(tab(".remark" if closed else "dialog .said")).to_contain_text("may already be erased")
    if closed:
        tab.button("Close").click()
    tab.page.unroute_all()


def test_an_erasure_without_an_answer_is_reported_as_possibly_done(tab, decant):
    uid = decant.server.get_json("/users?limit=7")["items"][-1]["uid"]
    tab.refusals_expected = True
    tab.go(f"#/people/{uid}")
    tab.page.route(
        f"**/users/{uid}",
        lambda route: route.abort() if route.request.method == "DELETE" else route.continue_(),
    )
    tab.button("Erase this person …").click()
    tab.button("Erase permanently").click()

    expect(tab.page.get_by_role("alert")).to_contain_text("may already be erased")
    expect(tab.button("Cancel")).to_be_focused()
    tab.page.unroute_all()
    tab.button("Erase permanently").click()
    expect(tab(".receipt")).to_contain_text("Erasure token")


def test_a_key_without_the_erase_scope_gets_a_message_and_erases_nobody(open_tab, decant):
    tab = open_tab(decant.url).sign_in(READ)
    tab.refusals_expected = True
    uid = decant.server.get_json("/users?limit=1")["items"][0]["uid"]
    tab.go(f"#/people/{uid}")
    tab.button("Erase this person …").click()

    tab.button("Erase permanently").click()

    expect(tab.page.get_by_role("dialog")).to_contain_text("scope “erase”")
    assert decant.sql("SELECT count(*) FROM users WHERE uid = %s", uid) == [(1,)]

"""The first view, its chart, and a run: they show what the ledger says, and work by pointer and keyboard."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.integration.api_support import READ

KINDS = ("inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed", "filtered")
REPLAY = "Replay the sealed records"


def newest(decant, count=50):
    return decant.server.get_json(f"/runs?limit={count}")["items"]


def run_with(decant, holds):
    return next(run for run in newest(decant) if holds(run))


def number(text):
    return int(re.sub(r"[^0-9]", "", text))


# Now


def test_the_figures_match_the_ledger(tab, decant):
    runs = newest(decant)
    figures = tab(".figures strong")

    expect(figures).to_have_count(4)
    expect(figures.nth(0)).to_have_text(f"{decant.server.get_json('/stats')['total']:,}")
    expect(figures.nth(1)).to_have_text(re.compile(r"^\d+ (second|minute)s?$"))
    expect(figures.nth(2)).to_have_text(f"{sum(run['rejected'] for run in runs):,}")
    expect(figures.nth(3)).to_have_text(re.compile(r"^(–|[\d.]+%)$"))
    expect(tab("#health")).to_have_text("OK")


# The chart


def heights(bar):
    """The heights of its segments, by kind."""
    return bar.evaluate(
        "bar => Object.fromEntries([...bar.querySelectorAll('.kind')]"
        ".map(part => [part.classList[1], part.height.baseVal.value]))"
    )


def test_each_of_the_last_fifty_runs_is_a_bar_and_the_newest_is_the_last(tab, decant):
    expect(tab.bars()).to_have_count(50)
    shown = tab.bars().evaluate_all("bars => bars.map(bar => bar.dataset.run)")

    assert shown == [run["run_id"] for run in reversed(newest(decant))]


def test_a_bar_is_stacked_from_the_counts_and_labelled_with_them(tab, decant):
    run = run_with(decant, lambda run: sum(1 for kind in KINDS if run[kind]) >= 3)
    bar = tab(f"[data-run='{run['run_id']}']")

    drawn = heights(bar)
    assert set(drawn) == {kind for kind in KINDS if run[kind]}
    most, second = sorted(drawn, key=lambda kind: run[kind], reverse=True)[:2]
    assert drawn[most] / drawn[second] == pytest.approx(run[most] / run[second], rel=0.3)
    said = bar.get_attribute("aria-label")
    assert run["status"] in said
    assert all(f"{run[kind]} {kind}" in said for kind in drawn)


_DRAWN = """async (counts) => {
    const module = document.querySelector('link[rel="modulepreload"][href$="/chart.js"]');
    const { draw } = await import(module.href);
    const run = { run_id: "a", status: "succeeded", started_at: new Date().toISOString(), ...counts };
    const parts = draw([run], false, 300).picture.querySelectorAll(".kind");
    return [...parts].map((part) => [part.classList[1], part.height.baseVal.value]);
}"""


def test_the_smallest_count_is_visible_beside_the_largest(tab):
    counts = dict.fromkeys(KINDS, 0) | {"inserted": 1, "unchanged": 9_992, "rejected": 7, "fetched": 10_000}
    drawn = dict(tab.page.evaluate(_DRAWN, counts))

    assert drawn == {"inserted": 2, "rejected": 2, "unchanged": 186}


def test_in_the_shares_mode_which_is_kept_all_bars_have_the_same_height(tab, decant):
    tab.page.get_by_text("Shares", exact=True).click()
    tab.bars().last.press("Enter")
    expect(tab.title()).to_have_text(re.compile("^Run of "))
    tab.page.go_back()

    expect(tab.page.get_by_label("Shares")).to_be_checked()
    full = [run["run_id"] for run in newest(decant) if run["fetched"]]
    tops = {round(sum(heights(tab(f"[data-run='{run_id}']")).values())) for run_id in full[:8]}
    assert tops == {190}
    tab.page.get_by_text("Records", exact=True).click()


def test_a_failed_run_has_its_mark_instead_of_a_bar(tab, decant):
    run = run_with(decant, lambda run: run["status"] == "failed")
    bar = tab(f"[data-run='{run['run_id']}']")

    assert heights(bar) == {}
    expect(bar.locator(".status")).to_have_count(1)
    assert "failed" in bar.get_attribute("aria-label")


def test_the_time_axis_shows_the_day_where_it_changes(tab, decant):
    noon = datetime.now(UTC).replace(hour=12, minute=0)
    days = {run["run_id"]: noon - timedelta(days=at // 20) for at, run in enumerate(newest(decant))}

    def at_noon(route):
        answer = route.fetch()
        items = [run | {"started_at": days[run["run_id"]].isoformat()} for run in answer.json()["items"]]
        route.fulfill(response=answer, json=answer.json() | {"items": items})

    tab.page.route(re.compile(r"/runs\?"), at_noon)
    tab.page.reload()
    expect(tab.bars()).to_have_count(50)
    labels = tab("svg[role=group] text").all_text_contents()
    tab.page.unroute_all()

    assert "12:00" in labels
    days_shown = [label.split()[0] for label in labels if label != "12:00"]
    assert days_shown == [str((noon - timedelta(days=back)).day) for back in (2, 1, 0)]


def test_the_keyboard_moves_between_bars_and_opens_a_run(tab, decant):
    runs = newest(decant)
    expect(tab.bars()).to_have_count(50)
    assert tab.bars().evaluate_all("bars => bars.filter(bar => bar.tabIndex === 0).length") == 1
    tab.bars().last.focus()
    keyboard = tab.page.keyboard

    def focused():
        return tab.page.evaluate("document.activeElement.dataset.run")

    keyboard.press("ArrowLeft")
    keyboard.press("ArrowLeft")
    assert focused() == runs[2]["run_id"]
    expect(tab(".readout")).to_contain_text(runs[2]["status"])
    keyboard.press("Home")
    assert focused() == runs[-1]["run_id"]
    keyboard.press("End")
    assert focused() == runs[0]["run_id"]
    keyboard.press("Enter")

    expect(tab.title()).to_have_text(re.compile("^Run of "))
    assert tab.page.url.endswith(f"#/runs/{runs[0]['run_id']}")
    expect(tab.title()).to_be_focused()


@pytest.mark.parametrize("kind", ["a.bar", ".as-table tbody a"])
def test_going_back_from_a_run_returns_to_its_bar_or_row(tab, decant, kind):
    tab.page.reload()
    expect(tab.bars()).to_have_count(50)
    if kind != "a.bar":
        tab.page.get_by_text("Show as table").click()
    address = f"#/runs/{newest(decant)[20]['run_id']}"
    tab(f"{kind}[href='{address}']").press("Enter")
    expect(tab.title()).to_have_text(re.compile("^Run of "))
    expect(tab.link("All runs")).to_be_visible()

    tab.page.go_back()

    expect(tab(f"{kind}[href='{address}']")).to_be_focused()
    assert tab.page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    tab.page.reload()


def test_the_pointed_at_run_is_described_until_the_pointer_leaves(tab, decant):
    run = newest(decant)[0]
    readout = tab(".readout")
    expect(readout).to_contain_text("failed or lost")

    bar = tab(f"[data-run='{run['run_id']}'] .reach")
    bar.hover()
    expect(readout).to_contain_text(f"{run['fetched']} fetched")
    for measure in ("Shares", "Records"):
        tab.page.get_by_label(measure).evaluate("choice => choice.click()")  # draws the chart again
        expect(readout).to_contain_text(f"{run['fetched']} fetched")
    tab.title().hover()

    expect(readout).to_contain_text("failed or lost")


_MARKS = "paths => paths.map(path => [path.parentNode.classList[0], path.getAttribute('d') ?? path.tagName])"


def test_each_status_has_a_mark_of_its_own(tab):
    expect(tab(".readout .status")).to_have_count(5)
    marks = dict(tab(".readout .status").evaluate_all(_MARKS))

    assert set(marks) == {"succeeded", "partial", "failed", "running", "skipped"}
    assert marks["partial"].count("a") == 3  # a ring, and the half that fills it
    expect(tab(".readout .running .open")).to_have_count(1)


def test_a_time_is_in_utc_when_it_is_pointed_at(tab, decant):
    run = newest(decant)[0]
    tab.go(f"#/runs/{run['run_id']}")

    title = tab("h1 time").get_attribute("title")
    assert title == f"{run['started_at'][:19].replace('T', ' ')} UTC"
    expect(tab(".foot")).to_contain_text("Times are in UTC.")


_WORDS = """async () => {
    const words = await import(document.querySelector('link[href$="/words.js"]').href);
    const { age, duration, rounded, share } = words;
    return [
        [9.94, 9.96, 999.6, 59_000, 59_970, 3_599_000, 18_180_000].map(duration),
        [99_999_999, 400_000_000].map(rounded),
        [0, 1, 250, 4_999, 5_000].map((part) => share(part, 5_000)),
        [1.5, 3_599, 3_600, 47.9 * 3_600, 48 * 3_600].map(age),
    ];
}"""


def test_durations_and_numbers_are_short_and_no_part_is_shown_as_nothing_or_everything(tab):
    assert tab.page.evaluate(_WORDS) == [
        ["9.9 ms", "10 ms", "1.0 s", "59.0 s", "1 min 0 s", "59 min 59 s", "5 h 3 min"],
        ["99,999,999", "400M"],
        ["0%", "<0.1%", "5%", ">99.9%", "100%"],
        ["1 second", "59 minutes", "1 hour", "47 hours", "2 days"],
    ]


def test_the_chart_is_available_as_a_table_too(tab, decant):
    tab.page.get_by_text("Show as table").click()

    rows = tab.rows("The last runs, newest first")
    expect(rows).to_have_count(50)
    run = newest(decant)[4]
    cells = rows.nth(4).locator("td.numeric").all_inner_texts()
    assert [number(cell) for cell in cells[1:]] == [run[name] for name in ("fetched", *KINDS)]


# One run


def test_the_counts_of_a_run_visibly_add_up(tab, decant):
    run = run_with(decant, lambda run: run["rejected"] and run["duplicate"])
    tab.go(f"#/runs/{run['run_id']}")

    sums = tab(".sum").first
    expect(sums.locator("tbody tr")).to_have_count(len(KINDS))
    counts = [number(text) for text in sums.locator("tbody td:last-child").all_inner_texts()]
    assert counts == [run[kind] for kind in KINDS]
    assert number(sums.locator("tfoot td").inner_text()) == sum(counts) == run["fetched"]
    expect(tab(".proof")).to_contain_text("It adds up")


def test_the_timings_of_a_run_are_listed_by_step_in_order(tab, decant):
    run = run_with(decant, lambda run: len(run["timings"]) == 6)
    tab.go(f"#/runs/{run['run_id']}")

    steps = tab(".sum").nth(1).locator("tbody th")
    expect(steps).to_have_text(["fetch", "validate", "clean", "protect", "load", "cache"])


def test_the_rejects_of_a_run_are_listed_by_rule_and_path_and_by_position(tab, decant):
    run = run_with(decant, lambda run: run["rejected"] > 1 and run["trigger"] == "schedule")
    rejects = decant.server.get_json(f"/runs/{run['run_id']}/rejects")["items"]
    expected = {}
    for issue in (issue for reject in rejects for issue in reject["issues"]):
        expected[issue["rule"], issue["path"]] = expected.get((issue["rule"], issue["path"]), 0) + 1
    tab.go(f"#/runs/{run['run_id']}")

    rows = tab.rows("Rejects by rule and path")
    expect(rows).to_have_count(len(expected))
    shown = [row.locator("th, td").all_inner_texts() for row in rows.all()]
    assert {(rule, path): int(count) for rule, count, path in shown} == expected
    tab.page.get_by_text("Positions of").click()
    positions = tab.rows("Rejects in source order")
    expect(positions).to_have_count(len(rejects))
    expect(tab.page.get_by_role("columnheader", name="Position, from 0")).to_be_visible()  # a page from 1
    fingerprint = positions.first.locator("code")
    assert fingerprint.evaluate("code => code.scrollWidth > code.clientWidth")  # it looks cut, …
    fingerprint.dblclick()
    assert tab.page.evaluate("String(getSelection())") == rejects[0]["fingerprint"]  # … but is copied whole
    expect(tab.button(REPLAY)).to_have_count(0)  # there was no quarantine


def test_rejects_that_the_sum_does_not_count_are_named_as_such(tab, decant):
    run = run_with(decant, lambda run: run["rejected"] > 1)
    loaded_fewer = run | {"status": "failed", "rejected": 1, "error": "page 2: 50 of 100 records are invalid"}
    tab.page.route(f"**/runs/{run['run_id']}", lambda route: route.fulfill(json=loaded_fewer))

    tab.go(f"#/runs/{run['run_id']}")

    title = "Rejected records, also of pages that were not loaded"
    expect(tab.page.get_by_role("heading", name=title)).to_be_visible()
    expect(tab(".facts")).to_contain_text(run["run_id"])
    tab.page.unroute_all()


def test_a_failed_run_says_why(tab, decant):
    run = run_with(decant, lambda run: run["status"] == "failed" and "invalid" in run["error"])

    tab.go(f"#/runs/{run['run_id']}")

    expect(tab(".error")).to_have_text(run["error"])
    expect(tab(".lead .badge")).to_have_text("failed")
    expect(tab("main")).to_contain_text("Nothing was loaded, so there is nothing to count.")
    expect(tab(".proof")).to_have_count(0)
    title = "Rejected records of pages that were not loaded"
    expect(tab.page.get_by_role("heading", name=title)).to_be_visible()
    expect(tab.page).to_have_title(re.compile(r"^Run \d+ \w+ \d\d:\d\d \(failed\) · Decant$"))
    expect(tab.rows("Rejects by rule and path").first).to_be_visible()


def test_an_unknown_run_is_reported(tab):
    tab.refusals_expected = True

    tab.go("#/runs/00000000-0000-4000-8000-000000000404")

    expect(tab.page.get_by_role("alert")).to_contain_text("Not found")
    expect(tab.button("Try again")).to_have_count(0)


# Starting one


def test_a_started_run_updates_by_itself_until_it_adds_up(tab, decant):
    tab.page.get_by_label("Pages").fill("3")
    tab.button("Start a run").click()

    expect(tab.title()).to_have_text(re.compile("^Run of "))
    expect(tab(".lead .badge")).to_have_text("running")
    expect(tab("progress")).to_have_attribute("max", "3")
    expect(tab(".proof")).to_have_count(0)
    expect(tab(".lead .badge")).to_have_text("succeeded")
    expect(tab(".proof")).to_contain_text("It adds up")
    expect(tab("#announcer")).to_contain_text("The run has ended: succeeded. 300 records.")
    run_id = tab.page.url.rpartition("/")[2]
    assert decant.server.get_json(f"/runs/{run_id}")["pages_done"] == 3
    tab.link("All runs").click()
    expect(tab.title()).to_have_text("Runs")
    expect(tab(f'tbody a[href="#/runs/{run_id}"]')).to_be_visible()


def test_a_run_without_a_number_of_pages_has_those_of_the_settings(tab, decant):
    tab.button("Start a run").click()

    expect(tab(".lead .badge")).to_have_text("succeeded")
    run = decant.server.get_json(f"/runs/{tab.page.url.rpartition('/')[2]}")
    assert (run["trigger"], run["pages_planned"]) == ("manual", 1)


def test_the_chart_shows_a_run_in_progress_and_its_end(tab, decant):
    decant.server.ask("POST", "/runs", {"pages": 8})
    tab.page.reload()

    expect(tab.title()).to_have_text("A run is in progress.")
    expect(tab("a.bar.running")).to_have_count(1)
    tab.bars().last.focus()
    expect(tab.title()).to_have_text("Everything works.")
    expect(tab("a.bar.running")).to_have_count(0)
    expect(tab.bars().last).to_be_focused()
    expect(tab("#announcer")).to_contain_text("A run ended: succeeded")


def test_a_run_in_progress_can_be_stopped(tab, decant):
    _, _, answer = decant.server.ask("POST", "/runs", {"pages": 1_000})
    run_id = json.loads(answer)["run_id"]
    tab.page.goto(f"{decant.url}#/runs/{run_id}")

    tab.button("Stop this run").click()

    expect(tab(".lead .badge")).to_have_text("failed")
    expect(tab(".error")).to_have_text("stopped by an operator; loaded pages stay")
    expect(tab.button("Stop this run")).to_have_count(0)
    expect(tab.title()).to_be_focused()
    assert decant.server.get_json(f"/runs/{run_id}")["error"] == "stopped on request"
    tab.go("#/")
    expect(tab.title()).to_have_text("The last run was stopped.")
    decant.sql("DELETE FROM runs WHERE run_id = %s", run_id)  # it would stay the headline of the next tests


def test_a_run_is_stopped_once_and_a_failure_is_an_alert(tab, decant):
    tab.refusals_expected = True
    run = newest(decant, 1)[0]
    running = run | {"status": "running", "finished_at": None}
    tab.page.route(f"**/runs/{run['run_id']}", lambda route: route.fulfill(json=running))
    held = []
    tab.page.route("**/stop", lambda route: held.append(route))
    tab.go(f"#/runs/{run['run_id']}")
    button = tab.button("Stop this run")

    button.press("Enter")
    expect(tab(".part-head").get_by_text("Stopping …")).to_be_visible()
    expect(tab("#announcer")).to_contain_text("Stopping …")
    expect(button).to_be_disabled()
    button.press("Enter")
    expect(button).to_be_focused()
    stopping = tab.first(held)
    assert len(held) == 1
    stopping.fulfill(status=403, json={"title": "Forbidden"}, content_type="application/problem+json")

    expect(tab.page.get_by_role("alert")).to_contain_text("scope “operate”")
    expect(button).to_be_enabled()
    tab.page.unroute_all()


# Replaying one


def sealed(decant, run):
    """How many rejects of a run are sealed."""
    rejects = decant.server.get_json(f"/runs/{run['run_id']}/rejects")["items"]
    return sum(1 for reject in rejects if reject["sealed_until"])


def test_the_sealed_records_of_a_run_can_be_replayed(tab, decant):
    run = decant.server.run(pages=1)
    count = sealed(decant, run)
    assert count
    tab.go(f"#/runs/{run['run_id']}")

    tab.button(REPLAY).click()

    expect(tab(".facts")).to_contain_text("an earlier run")
    expect(tab(".lead .badge")).to_have_text("succeeded")
    expect(tab("#announcer")).to_contain_text("The run has started.")
    replay = decant.server.get_json(f"/runs/{tab.page.url.rpartition('/')[2]}")
    assert (replay["replay_of"], replay["fetched"]) == (run["run_id"], count)
    tab.link("an earlier run").click()
    expect(tab.page.get_by_text("Positions of")).to_be_visible()
    expect(tab.button(REPLAY)).to_have_count(0)


def test_a_replay_with_another_key_says_so(tab, decant):
    run = decant.server.run(pages=1)
    decant.sql("UPDATE rejects SET sealed = 'with another key' WHERE sealed IS NOT NULL")
    tab.go(f"#/runs/{run['run_id']}")

    tab.button(REPLAY).click()

    expect(tab(".error")).to_contain_text("QUARANTINE_KEY does not open all sealed records")


def test_records_whose_seal_has_expired_cannot_be_replayed(tab, decant):
    run = decant.server.run(pages=1)
    decant.sql("UPDATE rejects SET sealed_until = now() - interval '1 second' WHERE sealed IS NOT NULL")
    assert sealed(decant, run)

    tab.go(f"#/runs/{run['run_id']}")

    expect(tab.page.get_by_text("Positions of")).to_be_visible()
    expect(tab.button(REPLAY)).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "problem", "said"),
    [
        (403, {"title": "Forbidden"}, "scope “operate”"),
        (409, {"title": "Another dialect", "detail": "it has another"}, "Another dialect: it has another."),
        (503, {"title": "Postgres does not answer"}, "the replay may have started"),
    ],
)
def test_a_replay_is_requested_once_and_a_refusal_is_an_alert(tab, decant, status, problem, said):
    tab.refusals_expected = True
    run = run_with(decant, lambda run: run["rejected"])
    address = f"#/runs/{run['run_id']}"
    rejects = decant.server.get_json(f"/runs/{run['run_id']}/rejects")
    rejects["items"][0]["sealed_until"] = "2100-01-01T00:00:00Z"
    tab.page.route("**/rejects?*", lambda route: route.fulfill(json=rejects))
    held = []
    tab.page.route("**/runs", lambda route: held.append(route))
    tab.go(address)
    button = tab.button(REPLAY)

    button.press("Enter")
    expect(tab.page.get_by_text("Starting the replay …").first).to_be_visible()
    button.press("Enter")
    request = tab.first(held)
    assert len(held) == 1
    assert request.request.post_data_json == {"replay": run["run_id"]}
    request.fulfill(status=status, json=problem, content_type="application/problem+json")

    expect(tab.page.get_by_role("alert")).to_contain_text(said)
    expect(button).to_be_focused()
    expect(button).to_be_enabled()
    assert tab.page.url.endswith(address)
    tab.page.unroute_all()


def test_a_run_whose_answer_is_lost_is_reported_as_possibly_started(tab):
    tab.refusals_expected = True
    tab.page.route(
        "**/runs", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )

    before = tab.button("Start a run").bounding_box()["x"]
    tab.button("Start a run").click()

    expect(tab("form.start [role=alert]")).to_contain_text("the run may have started")
    assert tab.button("Start a run").bounding_box()["x"] == before
    tab.page.unroute_all()


def test_a_key_with_only_the_read_scope_gets_a_message_and_starts_nothing(open_tab, decant):
    tab = open_tab(decant.url).sign_in(READ)
    tab.refusals_expected = True
    before = json.dumps(newest(decant))

    tab.button("Start a run").click()

    expect(tab("form.start [role=alert]")).to_contain_text("scope “operate”")
    assert json.dumps(newest(decant)) == before

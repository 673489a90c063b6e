"""The page with no data, little data or a lot of it, and when a server is down."""

import json
import re
import time
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from chalicelib.ledger import Ending, RunRequest
from tests.browser.decant import start_decant
from tests.fakes import page_load, person
from tests.integration.api_support import load
from tests.keys import API_KEY

MANY = 100_000
_MANY_PEOPLE = """
INSERT INTO users SELECT made.* FROM users AS one, generate_series(1, %s) AS n, LATERAL jsonb_populate_record(
    one, jsonb_build_object('uid', gen_random_uuid(), 'birth_year', 1940 + n %% 70)) AS made;
INSERT INTO users_address SELECT made.* FROM users_address AS one, users, LATERAL jsonb_populate_record(
    one, jsonb_build_object('uid', users.uid, 'city', 'City ' || birth_year)) AS made
    WHERE users.uid <> one.uid;
ANALYZE;
"""


@pytest.fixture(scope="module")
def bare(browser, tmp_path_factory):
    """A Decant in which nothing has happened yet."""
    with start_decant(tmp_path_factory.mktemp("bare")) as decant:
        yield decant


@pytest.fixture
def bare_tab(bare, open_tab):
    """A tab on a Decant without people and runs."""
    bare.empty()
    return open_tab(bare.url).sign_in()


def test_an_empty_decant_says_what_to_do(bare_tab):
    expect(bare_tab.title()).to_have_text("Ready.")
    expect(bare_tab(".figures")).to_contain_text("no run has succeeded yet")
    expect(bare_tab.page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(bare_tab.link("All runs")).to_have_count(0)

    bare_tab.go("#/people")
    expect(bare_tab.page.get_by_role("heading", name="No people stored yet")).to_be_visible()
    bare_tab.go("#/privacy")
    expect(bare_tab("main")).to_contain_text("there is no risk to show")


def test_a_page_of_which_a_part_did_not_load_says_so(bare, open_tab):
    """A module may be refused: many are requested at once, and an AWS account may allow few functions."""
    tab = open_tab(bare.url)
    tab.refusals_expected = True
    tab.page.route("**/router.js", lambda route: route.fulfill(status=429))

    tab.page.goto(tab.url)

    expect(tab(".state.late")).to_have_css("opacity", "1")
    expect(tab("main")).to_have_text("The page has not loaded completely. If this stays, load it again.")
    tab.page.unroute_all()
    tab.page.reload()
    expect(tab.page.get_by_label("API key")).to_be_visible()
    expect(tab(".state.late")).to_have_count(0)


def test_one_run_and_one_person_are_in_the_singular(bare_tab, bare):
    load(bare.store, person(1))
    bare.forget_cached()
    bare_tab.page.reload()

    expect(bare_tab.bars()).to_have_count(1)
    expect(bare_tab(".figures strong").first).to_have_text("1")
    expect(bare_tab(".figures")).to_contain_text("of 1 record in 1 run")
    bare_tab.go("#/people")
    expect(bare_tab.rows("All people, by id")).to_have_count(1)
    expect(bare_tab.link("Next page")).to_have_count(0)


@pytest.mark.parametrize(
    ("status", "headline"),
    [
        ("failed", "The last run failed."),
        ("partial", "The last run is partial."),
        ("lost", "The last run was lost."),
    ],
)
def test_a_run_that_ended_badly_is_the_headline_whatever_was_skipped_or_replayed_since(
    bare_tab, bare, status, headline
):
    run_id = bare.store.open_run(RunRequest("here", "schedule", 1), "", 1).run_id
    bare.store.load_page(page_load(run_id, person(1)))
    bare.store.open_run(RunRequest("here", "schedule", 1), "", 1)  # skipped
    bare.store.finish_run(run_id, Ending(status, "page 1: status 503"))
    replay = bare.store.open_run(RunRequest("here", "replay", 1, replay_of=run_id), "", 1).run_id
    bare.store.finish_run(replay, Ending("succeeded"))
    bare_tab.page.reload()

    expect(bare_tab.title()).to_have_text(headline)
    expect(bare_tab(".now .lead")).to_contain_text("page 1: status 503.")
    bare_tab.link("View the run").click()
    expect(bare_tab(".error")).to_have_text("page 1: status 503")


def test_with_postgres_down_the_page_says_so_and_recovers_by_itself(patient_tab, bare):
    tab = patient_tab
    tab.go(f"#/people/{person(1)['uid']}")
    expect(tab(".asks li")).to_have_count(1)

    with bare.without(bare.postgres):
        tab.button("Load again").click()
        expect(tab(".asks li").last).to_contain_text("Redis")
        tab.go("#/people")
        expect(tab.page.get_by_role("alert")).to_contain_text("Postgres does not answer")
        expect(tab.page.get_by_role("alert")).not_to_contain_text("This view updates")
        tab.go("#/")
        expect(tab.title()).to_have_text("Postgres is unavailable.")
        failed = tab.page.get_by_role("alert").filter(has_text="Postgres does not answer")
        expect(failed).to_contain_text("This view updates when it is back.")
        expect(tab("#health")).to_have_text("Postgres down")
        expect(tab("#announcer")).to_contain_text("Decant: Postgres down.")

    tab.page.clock.fast_forward(11_000)
    expect(tab.title()).to_have_text("Everything works.")
    expect(tab.bars()).to_have_count(1)


def test_a_busy_postgres_is_not_reported_as_down(bare_tab, bare):
    load(bare.store, person(1))
    bare_tab.refusals_expected = True
    busy = {"title": "Postgres is busy", "status": 503, "detail": "nothing was changed; try again"}
    bare_tab.page.route("**/users?*", lambda route: answer_with(route, 503, busy))

    bare_tab.go("#/people")

    expect(bare_tab.page.get_by_role("alert")).to_contain_text(
        "Postgres is busynothing was changed; try again"
    )
    bare_tab.page.unroute_all()
    bare_tab.button("Try again").press("Enter")
    expect(bare_tab.rows("All people, by id")).to_have_count(1)
    expect(bare_tab("main :focus")).to_have_count(1)  # the button that had the focus is gone


def test_a_run_is_requested_again_after_a_transient_failure(patient_tab, bare):
    tab = patient_tab
    run_id = bare.store.open_run(RunRequest("here", "manual", 1), "", 1).run_id
    tab.go(f"#/runs/{run_id}")
    expect(tab(".badge.running")).to_be_visible()

    tab.page.route(f"**/runs/{run_id}", lambda route: answer_with(route, 429, {"title": "Too many requests"}))
    tab.page.clock.fast_forward(2_000)
    as_of = re.compile(r"^As of \d\d:\d\d\. Too many requests\.$")
    expect(tab(".said[role=status]")).to_have_text(as_of)
    expect(tab(".badge.running")).to_be_visible()
    bare.store.finish_run(run_id, Ending("failed", "page 1: status 503"))
    tab.page.unroute_all()
    tab.page.clock.fast_forward(4_000)

    expect(tab(".badge.failed")).to_be_visible()
    expect(tab(".said[role=status]")).to_be_empty()


_SKIPPED = """
INSERT INTO runs (source, trigger, status, contract_hash, key_version, pages_planned, started_at, finished_at)
SELECT 'here', 'schedule', 'skipped', '', 1, 1, now() - n * interval '5 minutes', now()
FROM generate_series(1, %s) AS n
"""


def test_older_runs_can_be_paged(bare_tab, bare):
    bare.sql(_SKIPPED, 70)
    bare_tab.page.reload()
    bare_tab.link("All runs").click()
    expect(bare_tab.title()).to_have_text("Runs")
    rows = bare_tab.rows("Runs, newest first")
    expect(rows).to_have_count(50)
    shown = rows.locator("a").evaluate_all("all => all.map(a => a.hash)")

    bare_tab.link("Older runs").click()
    expect(rows).to_have_count(20)
    shown += rows.locator("a").evaluate_all("all => all.map(a => a.hash)")

    every = bare.server.get_json("/runs?limit=1000")["items"]
    assert shown == [f"#/runs/{run['run_id']}" for run in every]
    expect(bare_tab("main")).to_contain_text("No older runs")
    expect(bare_tab.link("Newest runs")).to_be_visible()

    page = bare_tab.page.url
    rows.nth(7).locator("a").click()
    bare_tab.link("Back to the list").click()
    expect(rows.nth(7).locator("a")).to_be_focused()
    assert bare_tab.page.url == page


def test_runs_of_one_status_can_be_listed(bare_tab, bare):
    bare.sql(_SKIPPED, 60)
    for number, error in enumerate(("page 1: status 503", "page 2: status 500")):
        run_id = bare.store.open_run(RunRequest(f"source {number}", "manual", 1), "", 1).run_id
        bare.store.finish_run(run_id, Ending("failed", error))
    bare_tab.go("#/runs")

    bare_tab.link("failed").click()
    expect(bare_tab.rows("Runs that are failed, newest first")).to_have_count(2)
    expect(bare_tab("nav a[aria-current]").get_by_text("failed")).to_be_visible()
    bare_tab.link("skipped").click()
    bare_tab.link("Older runs").click()
    expect(bare_tab.rows("Runs that are skipped, newest first")).to_have_count(10)
    bare_tab.link("lost").click()
    expect(bare_tab("main")).to_contain_text("No run is lost.")


def test_the_list_of_runs_follows_a_run_to_its_end(patient_tab, bare):
    run_id = bare.store.open_run(RunRequest("elsewhere", "manual", 1), "", 1).run_id
    patient_tab.go("#/runs")
    newest = patient_tab.rows("Runs, newest first").first
    expect(newest).to_contain_text("running")
    selected = select(newest)
    bare.store.finish_run(run_id, Ending("failed", "page 1: status 503"))

    with patient_tab.page.expect_response("**/runs?*"):
        patient_tab.page.clock.fast_forward(3_000)
    assert patient_tab.page.evaluate("String(getSelection())") == selected
    patient_tab.page.evaluate("getSelection().empty()")
    patient_tab.page.clock.fast_forward(3_000)
    expect(newest).to_contain_text("failed")

    patient_tab.asked.clear()
    patient_tab.page.clock.fast_forward(9_000)
    patient_tab.page.wait_for_timeout(200)
    assert not [request for request in patient_tab.asked if "/runs" in request.url]


def test_during_a_run_the_table_keeps_the_focus(bare_tab, bare):
    bare.sql(_SKIPPED, 5)
    bare.store.open_run(RunRequest("here", "manual", 1), "", 1)
    bare_tab.page.reload()
    bare_tab.page.get_by_text("Show as table").click()
    link = bare_tab.rows("The last runs, newest first").nth(3).locator("a")
    link.focus()

    for _ in range(2):
        with bare_tab.page.expect_response("**/runs?*"):
            pass

    expect(link).to_be_focused()


def select(locator):
    """Selects its text, as a user does who wants to copy it; returns what is selected."""
    locator.evaluate("node => getSelection().selectAllChildren(node)")
    return locator.page.evaluate("String(getSelection())")


def test_the_headline_keeps_the_focus_and_the_selection(patient_tab, bare):
    run_id = bare.store.open_run(RunRequest("here", "manual", 1), "", 1).run_id
    bare.store.finish_run(run_id, Ending("failed", "page 1: status 503"))
    patient_tab.page.reload()
    patient_tab.link("View the run").focus()
    selected = select(patient_tab(".now .lead"))

    bare.sql(_SKIPPED, 1)  # changes the runs, but not the headline
    with patient_tab.page.expect_response("**/health"):
        patient_tab.page.clock.fast_forward(11_000)
    expect(patient_tab.bars()).to_have_count(3)

    expect(patient_tab.link("View the run")).to_be_focused()
    assert patient_tab.page.evaluate("String(getSelection())") == selected


def test_during_a_run_the_table_keeps_the_selection_and_catches_up_afterwards(patient_tab, bare):
    tab = patient_tab
    run_id = bare.store.open_run(RunRequest("elsewhere", "manual", 1), "", 1).run_id
    tab.page.reload()
    tab.page.get_by_text("Show as table").click()
    newest = tab.rows("The last runs, newest first").first
    expect(newest).to_contain_text("running")
    tab.page.evaluate("document.activeElement.blur()")
    selected = select(newest)
    bare.store.finish_run(run_id, Ending("failed", "page 1: status 503"))
    tab.page.clock.fast_forward(2_000)

    expect(tab.title()).to_have_text("The last run failed.")
    assert tab.page.evaluate("String(getSelection())") == selected
    tab.page.evaluate("getSelection().empty()")
    tab.page.clock.fast_forward(11_000)
    expect(newest).to_contain_text("failed")


def test_the_runs_are_shown_although_the_statistics_fail(bare_tab, bare):
    bare_tab.refusals_expected = True
    bare.sql(_SKIPPED, 5)
    bare_tab.page.route("**/stats", lambda route: route.fulfill(status=503))

    bare_tab.page.reload()

    expect(bare_tab.bars()).to_have_count(5)
    expect(bare_tab(".figures")).to_contain_text("not available")


@pytest.fixture
def patient_tab(bare, open_tab):
    """A tab whose clock a test may advance, on a Decant with one run."""
    bare.empty()
    load(bare.store, person(1))
    tab = open_tab(bare.url)
    tab.page.clock.install()
    tab.sign_in()
    expect(tab.bars()).to_have_count(1)
    expect(tab(".figures strong").first).to_have_text("1")
    expect(tab.title()).to_have_text("Everything works.")
    tab.refusals_expected = True
    yield tab
    tab.page.clock.set_system_time(datetime.now(UTC))  # the clock is the context's, which other tests share


def test_a_key_that_becomes_invalid_is_the_headline_and_ends_the_polls(patient_tab):
    tab = patient_tab
    tab.page.evaluate("sessionStorage.setItem('decant-key', 'withdrawn')")

    with tab.page.expect_response("**/stats"):
        tab.page.clock.fast_forward(11_000)

    expect(tab.title()).to_have_text("Sign in again.")
    expect(tab.button("Sign in with another key")).to_be_visible()
    tab.asked.clear()
    with tab.page.expect_response("**/health"):
        tab.page.clock.fast_forward(11_000)
    assert not [request for request in tab.asked if "/health" not in request.url]


@pytest.mark.parametrize("status", [200, 503])
def test_statistics_that_take_long_are_asked_for_less_often(patient_tab, bare, status):
    """Each computation reads all people, and Postgres ends one whose client has given up as late as any."""
    tab, held = patient_tab, []
    body = json.dumps(bare.server.get_json("/stats"))
    tab.page.route("**/stats", lambda route: held.append(route))
    tab.page.clock.fast_forward(11_000)
    tab.first(held)
    tab.page.clock.fast_forward(5_000)
    with tab.page.expect_response("**/stats"):
        held.pop().fulfill(status=status, content_type="application/json", body=body)

    with tab.page.expect_response("**/health"):
        tab.page.clock.fast_forward(90_000)
    assert not held
    tab.page.clock.fast_forward(20_000)
    tab.first(held).abort()


def test_without_an_answer_the_last_one_stays_and_says_how_old_it_is(patient_tab):
    tab = patient_tab
    tab.page.route("**/*", lambda route: route.abort())
    tab.page.clock.fast_forward(11_000)

    expect(tab.title()).to_have_text("Decant does not answer.")
    as_of = re.compile(r"^As of \d\d:\d\d\. Decant does not answer\.$")
    expect(tab(".said[role=status]")).to_have_text(as_of)
    expect(tab(".stale .chart-frame")).to_be_visible()
    expect(tab(".figures.stale strong")).to_have_text(["1", re.compile("second"), "0", re.compile("%|–")])
    expect(tab(".state")).to_have_count(0)
    tab.page.clock.fast_forward(2 * 86_400_000)
    expect(tab(".figures strong").nth(1)).to_have_text("2 days")
    expect(tab(".figures dd").nth(0)).to_have_text(re.compile(r"as of \d+ \w+ \d{4}, \d\d:\d\d:\d\d$"))
    tab.page.unroute_all()
    tab.page.clock.fast_forward(4_000)

    expect(tab(".stale")).to_have_count(0)
    expect(tab.title()).to_have_text("Everything works.")
    expect(tab(".said[role=status]")).to_be_empty()


def test_runs_that_cannot_be_read_are_the_headline(bare_tab, bare):
    bare_tab.refusals_expected = True
    bare_tab.page.route(
        "**/runs?*", lambda route: route.fulfill(status=500, json={"title": "Internal error", "status": 500})
    )
    bare_tab.page.reload()

    expect(bare_tab.title()).to_have_text("The runs cannot be read.")


_DATED = """
INSERT INTO runs (source, trigger, status, contract_hash, key_version, pages_planned, started_at, finished_at)
SELECT 'here', 'schedule', 'succeeded', '', 1, 1, at, at
FROM generate_series(0, 4) AS n, LATERAL (SELECT now() - (%s + 24 * n) * interval '1 hour') AS made (at)
"""


_EVERY_FIVE_MINUTES = """
INSERT INTO runs (source, trigger, status, contract_hash, key_version, pages_planned, started_at, finished_at)
SELECT 'here', 'schedule', 'succeeded', '', 1, 1, at, at
FROM generate_series(1, 30) AS n,
    LATERAL (SELECT now() - interval '10 days' - n * interval '5 minutes') AS made (at)
"""


@pytest.mark.parametrize(
    ("hours", "headline"), [(70, "Everything works."), (80, "No run has succeeded for 3 days.")]
)
def test_a_schedule_that_has_stopped_is_the_headline(bare_tab, bare, hours, headline):
    bare.sql(_DATED, hours)
    bare_tab.page.reload()

    expect(bare_tab.bars()).to_have_count(5)
    expect(bare_tab.title()).to_have_text(headline)
    expect(bare_tab(".figures .late")).to_have_count(0 if hours == 70 else 1)


def test_after_a_change_to_a_rarer_schedule_nothing_is_overdue(bare_tab, bare):
    bare.sql(_EVERY_FIVE_MINUTES)
    bare.sql(_DATED, 20)
    bare_tab.page.reload()

    expect(bare_tab.bars()).to_have_count(35)
    expect(bare_tab.title()).to_have_text("Everything works.")


def test_people_counted_before_a_run_ended_are_shown_with_their_time(bare_tab, bare):
    bare_tab.page.reload()  # the statistics are now cached
    expect(bare_tab(".figures")).to_contain_text("without names")
    run_id = bare.store.open_run(RunRequest("here", "manual", 1), "", 1).run_id
    bare_tab.page.reload()
    expect(bare_tab.title()).to_have_text("A run is in progress.")

    bare.store.load_page(page_load(run_id, person(1)))
    bare.store.finish_run(run_id, Ending("succeeded"))

    expect(bare_tab(".figures span").first).to_have_text(re.compile(r"^as of \d\d:\d\d$"))
    expect(bare_tab(".figures strong").nth(1)).to_have_text(re.compile("second"), timeout=5_000)
    bare.forget_cached()
    bare_tab.page.reload()
    expect(bare_tab(".figures strong").first).to_have_text("1")
    expect(bare_tab(".figures")).to_contain_text("without names")


def test_a_refused_key_is_reported_once(bare_tab):
    bare_tab.refusals_expected = True
    bare_tab.page.evaluate("sessionStorage.setItem('decant-key', 'withdrawn')")

    bare_tab.go("#/privacy")

    expect(bare_tab.page.get_by_role("alert")).to_have_count(1)


def test_an_address_of_nothing_says_so_and_small_slips_are_forgiven(bare_tab, bare):
    load(bare.store, person(1))
    bare_tab.go("#/foo")
    expect(bare_tab.title()).to_have_text("No such page")
    expect(bare_tab("#nav [aria-current]")).to_have_count(0)
    bare_tab.link("Go to the runs").click()
    expect(bare_tab.title()).to_have_text("Everything works.")

    bare_tab.go("#/People/")
    expect(bare_tab.title()).to_have_text("People")
    bare_tab.go(f"#/people/{person(1)['uid'].upper()}/")
    expect(bare_tab(".asks li")).to_have_count(1)
    expect(bare_tab.page).to_have_title(f"Person {person(1)['uid'][:8]} · Decant")


def test_before_the_first_answer_nothing_is_claimed_about_the_servers(bare_tab, bare):
    load(bare.store, person(1))
    held = []
    bare_tab.page.route("**/health", lambda route: held.append(route), times=1)
    bare_tab.page.reload()

    expect(bare_tab.bars()).to_have_count(1)
    expect(bare_tab.title()).to_have_text("Loading …")
    bare_tab.first(held).continue_()
    expect(bare_tab.title()).to_have_text("Everything works.")


def test_an_address_with_an_invalid_time_shows_the_apis_refusal(bare_tab):
    bare_tab.refusals_expected = True

    bare_tab.go("#/people?updated_since=yesterday")

    expect(bare_tab.page.get_by_role("alert")).to_contain_text("updated_since")


def answer_with(route, status, problem):
    route.fulfill(status=status, json=problem, content_type="application/problem+json")


def test_with_redis_down_everything_comes_from_postgres(bare_tab, bare):
    load(bare.store, person(1))
    with bare.without(bare.valkey):
        bare_tab.page.reload()
        expect(bare_tab.title()).to_have_text("Redis is unavailable.", timeout=20_000)
        bare_tab.go(f"#/people/{person(1)['uid']}")
        bare_tab.button("Load again").click()
        expect(bare_tab(".asks li .badge")).to_have_text(["Postgres", "Postgres"])


def test_loading_is_announced(bare_tab):
    bare_tab.page.route("**/users?*", lambda route: (time.sleep(0.5), route.continue_()))

    bare_tab.go("#/people")

    expect(bare_tab.page.get_by_text("Loading people …")).to_be_visible()
    expect(bare_tab.page.get_by_role("heading", name="No people stored yet")).to_be_visible()


def test_an_unreachable_server_is_reported(bare_tab):
    bare_tab.refusals_expected = True
    bare_tab.page.context.set_offline(True)

    bare_tab.go("#/people")
    expect(bare_tab.page.get_by_role("alert")).to_contain_text("Decant does not answer")
    bare_tab.page.context.set_offline(False)
    bare_tab.button("Try again").click()

    expect(bare_tab.page.get_by_role("heading", name="No people stored yet")).to_be_visible()


_TEN_TIMES_AS_FAST = """
const timeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 10);
"""


def test_a_server_that_hangs_is_noticed_before_any_other_request_is_given_up(bare, open_tab):
    tab = open_tab(bare.url)
    tab.page.add_init_script(_TEN_TIMES_AS_FAST)
    tab.page.route("**/health", lambda route: None)  # no answer

    tab.sign_in()

    expect(tab.title()).to_have_text("Decant does not answer.", timeout=1_500)
    expect(tab("#health")).to_have_text("no answer")


def sign_in_page(route):
    """What a proxy sends in place of any answer."""
    route.fulfill(status=200, body="<!doctype html><p>Sign in</p>", content_type="text/html")


SOMETHING_ELSE = "Something other than Decant answered"


def test_a_proxys_page_in_place_of_an_answer_is_called_that(patient_tab):
    patient_tab.page.route("**/users?*", sign_in_page)
    patient_tab.go("#/people")
    expect(patient_tab.page.get_by_role("alert")).to_contain_text(SOMETHING_ELSE)

    patient_tab.page.route(re.compile(r"/(health|stats|runs\?.*)$"), sign_in_page)
    patient_tab.go("#/")
    expect(patient_tab.title()).to_have_text(f"{SOMETHING_ELSE}.")

    patient_tab.page.unroute_all()
    patient_tab.page.clock.fast_forward(11_000)
    expect(patient_tab.title()).to_have_text("Everything works.")


_EXPORTED = """async () => {
    const { askText } = await import(document.querySelector('link[href$="/api.js"]').href);
    return askText("users", { accept: "text/csv" }).catch(({ message }) => message);
}"""


def test_a_proxys_page_is_not_exported_as_people(bare_tab):
    bare_tab.page.route("**/users", sign_in_page)

    assert bare_tab.page.evaluate(_EXPORTED) == SOMETHING_ELSE
    bare_tab.page.unroute_all()


def test_missing_values_are_shown_as_such(bare, open_tab):
    bare.empty()
    load(bare.store, person(1, birth_year=None, lat=None, lng=None, email=None))
    bare.forget_cached()
    tab = open_tab(bare.url).sign_in(API_KEY)

    tab.go("#/people")
    expect(tab.rows("All people, by id")).to_have_count(1)
    expect(tab.page.locator("tbody")).not_to_contain_text("null")
    tab.go(f"#/people/{person(1)['uid']}")
    for name in ("Born", "Approximate location", "E-mail"):
        fact = tab.page.locator("dl.facts div").filter(has=tab.page.locator("dt", has_text=name))
        expect(fact.locator("dd")).to_have_text("not stored")


def test_a_value_that_is_false_is_shown(bare, open_tab):
    """Decant's own columns hold texts and numbers; a column of an adapter may not."""
    load(bare.store, person(1))
    tab = open_tab(bare.url).sign_in(API_KEY)
    stored = bare.server.get_json(f"/users/{person(1)['uid']}")
    tab.page.route("**/users/*", lambda route: route.fulfill(json=stored | {"gender": False}))

    tab.go(f"#/people/{person(1)['uid']}")

    fact = tab.page.locator("dl.facts div").filter(has=tab.page.locator("dt", has_text="Gender"))
    expect(fact.locator("dd")).to_have_text("false")
    tab.page.unroute_all()


def test_a_run_says_since_when_it_asked_and_who_departed(bare, open_tab):
    load(bare.store, person(1))
    tab = open_tab(bare.url).sign_in(API_KEY)
    run = bare.server.get_json("/runs?limit=1")["items"][0]
    tab.go(f"#/runs/{run['run_id']}")
    expect(tab(".facts")).to_contain_text(run["source"])
    expect(tab(".facts")).not_to_contain_text("who has changed")

    changes = run | {"since": "2026-02-28T23:59:58.123456Z", "departed": 1234}
    tab.page.route("**/runs/*", lambda route: route.fulfill(json=changes))
    tab.page.reload()

    expect(tab(".facts")).to_contain_text("who has changed since")
    expect(tab(".facts")).to_contain_text("1,234 people removed")
    expect(tab(".facts time")).to_have_attribute("title", "2026-02-28 23:59:58 UTC")
    tab.page.unroute_all()


@pytest.fixture(scope="module")
def crowded(bare):
    """The same Decant with very many people; for the last test of this file."""
    bare.empty()
    load(bare.store, person(1))
    bare.sql(_MANY_PEOPLE, MANY)
    return bare


def test_a_hundred_thousand_people_can_be_paged_like_fifty(crowded, open_tab):
    crowded.forget_cached()
    tab = open_tab(crowded.url)
    began = time.monotonic()

    tab.page.goto(f"{crowded.url}/#key={API_KEY}")
    expect(tab(".figures strong").first).to_have_text(f"{MANY + 1:,}", timeout=20_000)
    tab.go("#/people")
    rows = tab.rows("All people, by id")
    for _ in range(5):
        expect(rows).to_have_count(50)
        last = rows.last.inner_text()
        tab.link("Next page").click()
        expect(rows.last).not_to_have_text(last)

    assert time.monotonic() - began < 20

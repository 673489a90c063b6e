"""The ledger over HTTP, and `POST /runs`, which starts a run: here in a thread, on AWS in a Lambda."""

import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urljoin, urlsplit

import boto3
import pytest
from botocore.stub import Stubber
from chalice.local import LambdaContext

import app
from chalicelib import background, prepare, privacy, runs, wiring
from chalicelib.errors import Stopped, Unforeseen
from chalicelib.ledger import OUTCOMES, Ending, RunRequest
from chalicelib.privacy import Tokeniser
from chalicelib.sources.client import Source
from tests.builders import RANDOM_DATA_API
from tests.fakes import page_load, person, reject, token, uid
from tests.integration.api_support import OPERATE, READ, load
from tests.keys import pii_keys
from tests.waiting import until

CONTEXT = LambdaContext("ingest", 128, max_runtime_ms=900_000)  # what Lambda passes to a handler
SOURCE_PAGE_SIZE = 20  # the setting of the tests' app


def ended(api, run_id):
    """Waits until the run has ended; returns it."""
    deadline = time.monotonic() + 20
    while (run := api.get(f"/runs/{run_id}").json)["status"] == "running":
        assert time.monotonic() < deadline, "it runs for ever"
        time.sleep(0.01)
    return run


def start(api, body, **how):
    answer = api.post("/runs", body, **how)
    assert answer.status == 202, answer.body
    return answer


# Starting a run


def test_a_run_starts_immediately_and_the_answer_has_its_location(api):
    answer = start(api, {"pages": 2})

    started = answer.json
    assert started["status"] == "running"
    assert urljoin("/runs", answer.headers["location"]) == f"/runs/{started['run_id']}"
    assert ended(api, started["run_id"])["run_id"] == started["run_id"]


def test_the_ledger_shows_how_the_run_ended(api, sql):
    run = ended(api, start(api, {"pages": 2}).json["run_id"])

    assert (run["status"], run["trigger"], run["pages_planned"], run["pages_done"]) == (
        "succeeded",
        "backfill",
        2,
        2,
    )
    assert run["fetched"] == 2 * SOURCE_PAGE_SIZE
    assert run["fetched"] == sum(run[count] for count in OUTCOMES)
    assert sql("SELECT count(*) FROM users") == [(run["inserted"],)]
    assert run["contract_hash"] == privacy.contract_hash({})
    assert run["finished_at"] > run["started_at"]


def test_the_answer_does_not_wait_for_the_source(api, app_environment, user_api):
    app_environment(SOURCE_URL=user_api.url("random-data-api", fault="delay-2"))

    run_id = start(api, {}).json["run_id"]

    assert api.get(f"/runs/{run_id}").json["status"] == "running"
    assert ended(api, run_id)["status"] == "succeeded"


def test_a_run_without_pages_uses_the_settings(api, app_environment):
    app_environment(SOURCE_PAGES="3", SOURCE_PAGE_SIZE="5")

    run = ended(api, start(api, {}).json["run_id"])

    assert (run["trigger"], run["pages_planned"], run["fetched"]) == ("manual", 3, 15)


def test_exactly_the_requested_pages_are_fetched(api, user_api):
    ended(api, start(api, {"pages": 3, "page_size": 7}).json["run_id"])

    queries = [parse_qs(urlsplit(target).query) for _, target in user_api.requests]
    assert queries == [{"page": [str(page)], "size": ["7"]} for page in (1, 2, 3)]


@pytest.fixture
def slow_source(app_environment, user_api):
    """A source slow enough for its run to last a while."""
    app_environment(SOURCE_URL=user_api.url("random-data-api", fault="delay-0.5"))


@pytest.mark.usefixtures("slow_source")
def test_a_second_run_during_another_is_skipped_and_has_an_id_too(api):
    first = start(api, {}).json["run_id"]
    second = start(api, {})

    assert second.json["status"] == "skipped"
    assert second.json["run_id"] != first
    assert api.get(f"/{second.headers['location']}").json["status"] == "skipped"
    assert ended(api, first)["status"] == "succeeded"


@pytest.mark.usefixtures("slow_source")
def test_another_run_may_start_after_the_first_has_ended(api):
    ended(api, start(api, {}).json["run_id"])

    second = start(api, {}).json

    assert second["status"] == "running"
    ended(api, second["run_id"])


def test_a_run_over_a_broken_source_fails_with_an_error_that_holds_no_url(api, app_environment, user_api):
    app_environment(SOURCE_URL=user_api.url("random-data-api", fault="html", hush="hush"))

    run = ended(api, start(api, {}).json["run_id"])

    assert run["status"] == "failed"
    assert run["error"].startswith("page 1: ")
    assert "hush" not in str(run)


def without_timings(run):
    return run | {"timings": None}


@pytest.mark.usefixtures("slow_source")
def test_a_stopped_run_ends_at_once_and_keeps_what_it_has_loaded(api, sql):
    run_id = start(api, {"pages": 50}).json["run_id"]
    until(lambda: api.get(f"/runs/{run_id}").json["pages_done"] > 0)

    stopped = api.post(f"/runs/{run_id}/stop", None).json

    assert (stopped["status"], stopped["error"]) == ("failed", "stopped on request")
    assert stopped["finished_at"]
    assert sql("SELECT count(*) FROM users") == [(stopped["inserted"],)]
    until(lambda: "run" not in {thread.name for thread in threading.enumerate()})
    assert without_timings(api.get(f"/runs/{run_id}").json) == without_timings(stopped)
    assert sql("SELECT count(*) FROM users") == [(stopped["inserted"],)]


@pytest.mark.usefixtures("slow_source")
def test_the_source_of_a_stopped_run_is_free(api):
    stopped = start(api, {"pages": 50}).json["run_id"]
    api.post(f"/runs/{stopped}/stop", None)

    run_id = start(api, {}).json["run_id"]

    assert ended(api, run_id)["status"] == "succeeded"


def test_stopping_a_run_that_has_ended_changes_nothing(api):
    run = ended(api, start(api, {}).json["run_id"])

    answer = api.post(f"/runs/{run['run_id']}/stop", None)

    assert (answer.status, answer.json) == (200, run)


def test_a_run_whose_lease_has_expired_has_ended(api, sql, store):
    run_id = store.open_run(RunRequest("here", "manual", 1), "contract", 1).run_id
    sql("UPDATE runs SET lease_expires_at = now() - interval '1 s'")

    assert api.post(f"/runs/{run_id}/stop", None).json["status"] == "lost"


def test_an_unknown_run_cannot_be_stopped(api):
    assert api.post(f"/runs/{uid(1)}/stop", None).status == 404


def test_the_read_scope_does_not_stop_a_run(api):
    run_id = start(api, {}).json["run_id"]

    assert api.post(f"/runs/{run_id}/stop", None, key=READ).status == 403
    assert ended(api, run_id)["status"] == "succeeded"


def test_the_operate_scope_is_enough_and_the_read_scope_is_not(api):
    assert api.post("/runs", {}, key=READ).status == 403
    ended(api, start(api, {}, key=OPERATE).json["run_id"])


def test_whole_numbers_are_accepted_in_any_json_notation(api):
    run = ended(
        api, start(api, b'{"pages": 1.0, "page_size": 5e0}', Content_Type="application/json").json["run_id"]
    )

    assert (run["pages_planned"], run["fetched"]) == (1, 5)


def test_a_run_out_of_bounds_is_refused_and_not_recorded(api):
    for body in (
        b'{"pages": 0}',
        b'{"pages": -1}',
        b'{"pages": 100001}',
        b'{"pages": 1.5}',
        b'{"pages": 1e400}',
        b'{"pages": NaN}',
        b'{"pages": "1"}',
        b'{"pages": null}',
        b'{"pages": true}',
        b'{"pages": [1]}',
        b'{"page_size": 0}',
        b'{"page_size": 5001}',
        b'{"pages": 99999999999999999999999999}',
        b'{"page": 1}',
        b'{"replay": "%s\\n"}' % uid(1).encode(),
        b"[]",
        b"null",
        b"",
        b"{",
    ):
        answer = api.post("/runs", body, Content_Type="application/json")
        assert (answer.status, answer.json["status"]) == (400, 400), body

    assert api.get("/runs").json["items"] == []


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"pages": 2.5}, "pages: Expected a whole number"),
        ({"pages": 0}, "pages: Expected a number >= 1"),
        ({"page_size": 5001}, "page_size: Expected a number <= 5000"),
        ({"pages": "2"}, "pages: Expected a number"),
        ({"pages": True}, "pages: Expected a number, got true or false"),
        ({"replay": [5]}, "replay: Expected text, got a list"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_rule(api, body, rule):
    assert api.post("/runs", body).json["detail"] == rule


def test_the_bounds_themselves_are_accepted(api, monkeypatch):
    monkeypatch.setattr(runs, "_hand_over", lambda order: None)

    for body in ({"pages": 1, "page_size": 1}, {"pages": 100_000, "page_size": 5_000}):
        run_id = start(api, body).json["run_id"]
        wiring.store().finish_run(run_id, Ending("failed", "never begun"))

        run = api.get(f"/runs/{run_id}").json
        assert {"pages": run["pages_planned"], "page_size": run["page_size"]} == body


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_run_ends_with_the_process_after_a_page_or_without_it(api, user_api, sql, monkeypatch, is_slow):
    monkeypatch.setattr(background, "_leaving", threading.Event())
    monkeypatch.setattr(background, "_LEAVE_SECONDS", 0.2 if is_slow else 20.0)
    fetched, may_answer = threading.Event(), threading.Event()

    def outcome():
        run = api.get(f"/runs/{run_id}").json
        return run["status"], run["error"], run["pages_done"]

    fetch = Source.fetch

    def fetch_late(source, page, size):
        if page == 2:
            fetched.set()
            assert may_answer.wait(20)
        return fetch(source, page, size)

    monkeypatch.setattr(Source, "fetch", fetch_late)
    run_id = start(api, {"pages": 5}).json["run_id"]
    assert fetched.wait(20)
    if not is_slow:
        threading.Timer(0.1, may_answer.set).start()

    background.leave()

    assert outcome() == ("partial", "stopped by SIGTERM", 1)
    may_answer.set()
    until(lambda: not background._threads)
    assert outcome() == ("partial", "stopped by SIGTERM", 1)


def test_all_runs_together_have_one_time_to_leave(api, monkeypatch, store):
    monkeypatch.setattr(background, "_leaving", threading.Event())
    monkeypatch.setattr(background, "_LEAVE_SECONDS", 2.0)
    may_end = threading.Event()
    for source in ("one", "another", "a third"):
        run_id = store.open_run(RunRequest(source, "manual", 1), "contract", 1).run_id
        background.start(run_id, lambda: may_end.wait(20))

    began = time.monotonic()
    background.leave()
    took = time.monotonic() - began

    may_end.set()
    assert [run.status for run in store.list_runs(9)] == ["failed"] * 3
    assert took < 5.0  # not 2 s each
    until(lambda: not background._threads)


@pytest.mark.parametrize("error", [KeyError("raw-value"), Stopped("SIGTERM")])
def test_a_run_that_ends_with_a_defect_or_a_stop_has_its_line_too(api, monkeypatch, capsys, error):
    def fail(users):
        raise error

    monkeypatch.setattr(prepare, "clean", fail)
    with pytest.raises((Unforeseen, Stopped)):
        runs.ingest({})

    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "Failed" in line]
    assert (line["status"], line["Failed"], line["Fetched"]) == ("failed", 1, 0)
    assert line["run_id"] == api.get("/runs").json["items"][0]["run_id"]


def test_a_run_works_with_the_keys_that_were_compared_with_the_stored_data(
    api, app_environment, monkeypatch, sql
):
    """The secret may be read again, with other keys, between any two uses of the settings."""
    orders, first, later = [], wiring.tokeniser(), Tokeniser({2: bytes(32)})
    with monkeypatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        start(api, {"pages": 1})
    given = iter([first])
    with monkeypatch.context() as patched:
        patched.setattr(wiring, "tokeniser", lambda: next(given, later))
        runs.ingest(orders[0])

    assert sql("SELECT DISTINCT key_version FROM users") == [(first.version,)]


def test_a_run_that_fails_on_its_keys_is_counted_as_failed(api, app_environment, capsys):
    runs.run_ingest("manual")
    app_environment(PII_KEYS=pii_keys({1: b"another key, 32 bytes long ....."}))

    assert start(api, {}).json["status"] == "failed"
    assert '"Failed":1' in capsys.readouterr().out.replace(" ", "")


def test_a_run_cannot_start_without_postgres(api, postgres_down):
    with postgres_down():
        assert api.post("/runs", {}).status == 503


# In AWS


@pytest.fixture
def lambda_service(api, app_environment, monkeypatch) -> Iterator[Stubber]:
    """The app as a Lambda; a stub answers its calls to the Lambda service."""
    client = boto3.client(
        "lambda", region_name="eu-central-1", aws_access_key_id="id", aws_secret_access_key="none"
    )
    monkeypatch.setattr(boto3, "client", lambda service, **_: {"lambda": client}[service])
    app_environment(AWS_LAMBDA_FUNCTION_NAME="decant-prod")
    with Stubber(client) as stub:
        yield stub


class Kept:
    """Compares equal to any payload, and keeps it."""

    def __init__(self):
        self.payload = b""

    def __eq__(self, payload):
        self.payload = payload
        return True

    def __hash__(self):
        return 0


def invoked(stub):
    """Expects one asynchronous invocation of the ingest function and nothing else; returns its payload."""
    expected = {"FunctionName": "decant-prod-ingest", "InvocationType": "Event", "Payload": (kept := Kept())}
    stub.add_response("invoke", {"StatusCode": 202}, expected)
    return kept


def test_in_aws_the_ingest_function_does_the_run(api, lambda_service, sql):
    sent = invoked(lambda_service)

    run_id = start(api, {"pages": 2, "page_size": 5}).json["run_id"]
    lambda_service.assert_no_pending_responses()
    assert api.get(f"/runs/{run_id}").json["status"] == "running"

    summary = app.ingest(json.loads(sent.payload), CONTEXT)

    assert summary["run_id"] == run_id
    assert (summary["status"], summary["pages"], summary["fetched"]) == ("succeeded", 2, 10)
    run = api.get(f"/runs/{run_id}").json
    assert (run["status"], run["trigger"], run["fetched"]) == ("succeeded", "backfill", 10)
    json.dumps(summary)  # as Lambda does


def test_in_aws_an_event_delivered_twice_does_the_work_once(api, lambda_service, sql):
    """Lambda guarantees at-least-once delivery."""
    sent = invoked(lambda_service)
    run_id = start(api, {"pages": 1, "page_size": 5}).json["run_id"]
    app.ingest(json.loads(sent.payload), CONTEXT)
    before = api.get(f"/runs/{run_id}").json

    app.ingest(json.loads(sent.payload), CONTEXT)

    assert api.get(f"/runs/{run_id}").json == before
    assert len(api.get("/runs").json["items"]) == 1


def test_in_aws_the_api_function_does_no_work_itself(api, lambda_service, user_api):
    invoked(lambda_service)

    start(api, {})

    assert [thread.name for thread in threading.enumerate() if thread.name == "run"] == []
    assert user_api.requests == []


@pytest.mark.usefixtures("slow_source")
def test_in_aws_a_skipped_run_is_not_handed_over(api, lambda_service):
    invoked(lambda_service)
    start(api, {})

    assert start(api, {}).json["status"] == "skipped"
    lambda_service.assert_no_pending_responses()


@pytest.mark.parametrize(
    "code", ["TooManyRequestsException", "AccessDeniedException", "ResourceNotFoundException"]
)
def test_in_aws_a_run_that_cannot_be_handed_over_is_refused_without_detail(api, lambda_service, caplog, code):
    lambda_service.add_client_error("invoke", code, "hush")

    answer = api.post("/runs", {})

    assert (answer.status, answer.json["title"]) == (503, "The run cannot be started now")
    assert code not in answer.body.decode()
    assert code in caplog.text
    assert "hush" not in f"{answer.body} {caplog.text}"


def test_in_aws_a_run_that_cannot_be_handed_over_does_not_stay_open(api, lambda_service):
    """Otherwise it would block the next runs until its lease expires."""
    lambda_service.add_client_error("invoke", "TooManyRequestsException")
    api.post("/runs", {})

    (run,) = api.get("/runs").json["items"]
    assert run["status"] == "failed"


def test_an_order_without_a_run_is_a_scheduled_run(api):
    event = {
        "detail": {},
        "version": "0",
        "id": "",
        "account": "",
        "region": "",
        "time": "",
        "source": "aws.events",
    }

    summary = app.ingest({**event, "detail-type": "Scheduled Event", "resources": []}, CONTEXT)

    assert (summary["status"], summary["fetched"]) == ("succeeded", SOURCE_PAGE_SIZE)
    assert api.get(f"/runs/{summary['run_id']}").json["trigger"] == "schedule"


# Reading the ledger


def test_the_newest_runs_come_first_up_to_the_limit(api, store):
    run_ids = [load(store, person(number))[0] for number in range(5)]

    assert [run["run_id"] for run in api.get("/runs").json["items"]] == run_ids[::-1]
    assert [run["run_id"] for run in api.get("/runs?limit=2").json["items"]] == run_ids[:2:-1]


def by_link(api, path):
    """The items of every page, following the links."""
    while path:
        answer = api.get(path)
        yield answer.json["items"]
        link = answer.headers.get("link", "")
        assert (link != "") == (answer.json["next"] is not None)
        path = urljoin(path, link[1 : link.index(">")]) if link else None


@pytest.mark.parametrize(("limit", "sizes"), [(2, [2, 2, 1]), (5, [5]), (4, [4, 1])])
def test_the_pages_of_the_ledger_hold_each_run_once(api, store, sql, limit, sizes):
    run_ids = [load(store, person(number))[0] for number in range(5)]
    sql("UPDATE runs SET started_at = now()")  # the same start time for all

    pages = list(by_link(api, f"/runs?limit={limit}"))

    assert [len(page) for page in pages] == sizes
    assert [run["run_id"] for page in pages for run in page] == sorted(run_ids, reverse=True)


def test_runs_of_one_status_are_listed_page_by_page(api, store, sql):
    run_ids = [load(store, person(number))[0] for number in range(5)]
    for run_id, status in zip(run_ids, ("failed", "partial", "failed", "failed"), strict=False):
        sql("UPDATE runs SET status = %s WHERE run_id = %s", status, run_id)
    lost = "status = 'running', finished_at = NULL, lease_expires_at = now() - interval '1 s'"
    sql(f"UPDATE runs SET {lost} WHERE run_id = %s", run_ids[4])

    pages = list(by_link(api, "/runs?limit=2&status=failed"))

    assert [[run["run_id"] for run in page] for page in pages] == [[run_ids[3], run_ids[2]], [run_ids[0]]]
    assert [run["run_id"] for run in api.get("/runs?status=lost").json["items"]] == [run_ids[4]]
    assert api.get("/runs?status=skipped").json == {"items": [], "next": None}


@pytest.mark.parametrize("status", ["", "ended", "FAILED", "failed,lost"])
def test_a_status_that_no_run_can_have_is_refused_by_name(api, status):
    answer = api.get("/runs", query={"status": status})

    assert (answer.status, answer.json["detail"]) == (400, "status: unknown value")


def test_a_cursor_of_an_unknown_run_is_a_problem(api, store):
    load(store, person(1))
    answer = api.get("/runs", query={"cursor": uid(404)})

    assert (answer.status, answer.json["title"]) == (404, "No such page")
    assert answer.json["detail"] == "the cursor is not valid"


@pytest.mark.parametrize("path", ["/runs", f"/runs/{uid(1)}/rejects"])
@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "1-2-3", "-1-2", "9999999999-1", "hush", uid(1)[:-1]])
def test_a_malformed_cursor_is_refused_by_name(api, path, cursor):
    answer = api.get(path, query={"cursor": cursor})

    assert (answer.status, answer.json["detail"].partition(":")[0]) == (400, "cursor")
    assert b"hush" not in answer.body


def test_without_runs_the_ledger_is_empty(api):
    assert api.get("/runs").json == {"items": [], "next": None}


def test_a_run_is_shown_as_in_the_list(api, store):
    run_id, _ = load(store, person(1))

    assert api.get(f"/runs/{run_id}").json == api.get("/runs").json["items"][0]


def test_an_unknown_run_is_a_problem(api):
    for path in (f"/runs/{uid(404)}", f"/runs/{uid(404)}/rejects"):
        answer = api.get(path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json["title"] == "Not found"


def test_a_run_whose_lease_expired_is_lost(api, store, sql):
    run = store.open_run(RunRequest("lost", "manual", 1), "0" * 16, 1)
    sql.expire_leases()

    assert api.get(f"/runs/{run.run_id}").json["status"] == "lost"
    assert api.get("/runs").json["items"][0]["status"] == "lost"


@pytest.fixture
def refused(store):
    """A run that rejected five records on two pages."""
    run = store.open_run(RunRequest("refusing", "manual", 2), "0" * 16, 1)
    for page in (1, 2):
        rejects = [reject(position) for position in ((7, 2, 5) if page == 1 else (1, 0))]
        store.load_page(page_load(run.run_id, person(page), page=page, rejects=rejects))
    store.finish_run(run.run_id, Ending("succeeded"))
    return run.run_id


def test_rejects_come_in_the_order_of_the_source(api, refused):
    items = api.get(f"/runs/{refused}/rejects").json["items"]

    assert [(item["page"], item["position"]) for item in items] == [(1, 2), (1, 5), (1, 7), (2, 0), (2, 1)]
    assert items[0] == {
        "page": 1,
        "position": 2,
        "issues": [{"path": "email", "rule": "format"}],
        "fingerprint": token("r"),
        "sealed_until": None,
        "replayed_by": None,
    }


def test_the_limit_of_rejects_is_respected(api, refused):
    assert len(api.get(f"/runs/{refused}/rejects?limit=3").json["items"]) == 3


@pytest.mark.parametrize(("limit", "sizes"), [(2, [2, 2, 1]), (5, [5]), (1, [1] * 5)])
def test_the_pages_of_rejects_hold_each_once(api, refused, limit, sizes):
    pages = list(by_link(api, f"/runs/{refused}/rejects?limit={limit}"))

    assert [len(page) for page in pages] == sizes
    places = [(item["page"], item["position"]) for page in pages for item in page]
    assert places == [(1, 2), (1, 5), (1, 7), (2, 0), (2, 1)]


def test_a_run_without_bad_records_has_no_rejects(api, store):
    run_id, _ = load(store, person(1))

    assert api.get(f"/runs/{run_id}/rejects").json == {"items": [], "next": None}


def test_a_bad_record_is_shown_only_by_its_position_and_rule(api, user_api):
    records = RANDOM_DATA_API.samples()
    bad = {**records[0], "email": "hush-at-example.com", "date_of_birth": "hush"}
    user_api.script(
        RANDOM_DATA_API.page(bad, *records[1:], *[{**one, "uid": uid(n)} for n, one in enumerate(records)])
    )

    run = ended(api, start(api, {}).json["run_id"])
    answer = api.get(f"/runs/{run['run_id']}/rejects")

    (item,) = answer.json["items"]
    assert (run["rejected"], item["position"]) == (1, 0)
    assert {(issue["path"], issue["rule"]) for issue in item["issues"]} == {
        ("email", "format"),
        ("date_of_birth", "date"),
    }
    assert "hush" not in answer.body.decode()


def test_a_cursor_with_a_newline_after_it_is_refused(api):
    assert api.get("/runs", query={"cursor": f"{uid(1)}\n"}).status == 400

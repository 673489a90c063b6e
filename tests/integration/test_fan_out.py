"""Queued runs: one message per page, each taking effect exactly once, and a run that ends by itself.

The queue is moto's. ``Lambda`` below connects it to the function, with guarantees as weak as the real one's.
"""

import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace

import boto3
import moto
import psycopg2
import pytest
from chalice.test import Client

import app
from chalicelib import aws, queries, runs, wiring
from chalicelib.errors import (
    AwsError,
    ConfigError,
    DecantError,
    SourceInvalid,
    SourceUnavailable,
    StoreError,
    StoreUnavailable,
)
from chalicelib.ledger import OUTCOMES, Ending, RunRequest
from tests.builders import RANDOM_DATA_API, paged
from tests.fakes import page_load, person, uid
from tests.integration.api_support import ROOT
from tests.keys import PII_KEY, pii_keys
from tests.waiting import until

PAGES, SIZE, MOST_RECEIVES = 12, 5, 3


class Lambda:
    """Passes the queue's messages to ``ingest_page``, one at a time, and deletes those that succeed."""

    def __init__(self, sqs, queue_url):
        self._sqs, self._queue_url = sqs, queue_url
        self._client = Client(app.app, "local", str(ROOT))

    def receive(self):
        held = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=1,
            VisibilityTimeout=0,
            AttributeNames=["ApproximateReceiveCount"],
        )
        return next(iter(held.get("Messages", [])), None)

    def invoke(self, message):
        event = self._client.events.generate_sqs_event([message["Body"]], "decant-local-pages")
        event["Records"][0]["attributes"] = message["Attributes"]
        self._client.lambda_.invoke("ingest_page", event)

    def delete(self, message):
        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])

    def work_off(self):
        """Works until the queue is empty; failed messages return to it."""
        while message := self.receive():
            with suppress(DecantError):
                self.invoke(message)
                self.delete(message)


@pytest.fixture
def sqs(app_environment, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with moto.mock_aws():
        yield boto3.client("sqs")


@pytest.fixture
def dead(sqs):
    return sqs.create_queue(QueueName="decant-local-pages-dead")["QueueUrl"]


@pytest.fixture
def queue(sqs, dead, app_environment, user_api):
    """A queue with a dead-letter queue, and a source whose pages are the same each time."""
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MOST_RECEIVES})
    url = sqs.create_queue(QueueName="decant-local-pages", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    app_environment(QUEUE_URL=url, SOURCE_URL=user_api.url("random-data-api", seed=3))
    return url


@pytest.fixture
def worker(sqs, queue):
    return Lambda(sqs, queue)


@pytest.fixture
def start(queue):
    """Starts a backfill as the ingest Lambda does, without a thread; returns its id."""

    def run(pages=PAGES):
        orders = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(runs, "_hand_over", orders.append)
            report = runs.start_run(pages, SIZE, None)
        for order in orders:
            runs.ingest(order)
        return report.run_id

    return run


def message_of(run_id, page):
    return {"run_id": run_id, "page": page}


def waiting(sqs, url):
    held = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(held["Attributes"]["ApproximateNumberOfMessages"])


def ledger(sql, run_id):
    (row,) = sql("SELECT to_jsonb(runs) FROM runs WHERE run_id = %s", run_id)
    assert row[0]["fetched"] == sum(row[0][count] for count in OUTCOMES)
    return row[0]


def people(sql):
    """The stored people, without the times and run ids."""
    return sql("SELECT uid, email, content_hash, city FROM users JOIN users_address USING (uid) ORDER BY uid")


def test_a_long_run_becomes_one_message_per_page(start, sqs, queue, sql):
    run_id = start(25)

    assert waiting(sqs, queue) == 25
    run = ledger(sql, run_id)
    assert (run["status"], run["queued"], run["pages_planned"], run["pages_done"]) == ("running", True, 25, 0)


def test_a_short_run_is_done_inline_although_there_is_a_queue(start, sqs, queue, sql):
    run_id = start(10)

    assert (waiting(sqs, queue), ledger(sql, run_id)["status"]) == (0, "succeeded")


@pytest.fixture
def by_cursor(queue, monkeypatch):
    """The source, now as if it paged by cursor; it has eleven pages."""
    source, cursors = wiring.source(), iter([*range(2, 12), None])

    def next_cursor(body):
        page = next(cursors)
        return page and {"page": page}

    monkeypatch.setattr(source, "dialect", paged(source.dialect, next_cursor=next_cursor))
    return source


def test_a_long_run_with_cursors_is_done_inline_too(by_cursor, start, sqs, queue, sql, user_api):
    run_id = start(25)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", 11, 11 * SIZE)
    assert waiting(sqs, queue) == 0
    assert [re.findall(r"[?&]page=(\d+)", target) for _, target in user_api.requests] == [
        [str(page)] for page in range(1, 12)
    ]


def test_a_page_that_was_queued_before_its_source_had_cursors_is_not_taken_for_another(start, sql, request):
    run_id = start()
    request.getfixturevalue("by_cursor")

    with pytest.raises(SourceInvalid, match="page 2: only the page before it can say where it is"):
        runs.ingest_page(message_of(run_id, 2), 1)

    assert ledger(sql, run_id)["pages_done"] == 0


def test_the_run_ends_by_itself_with_its_last_page(start, worker, sql):
    run_id = start()
    for _ in range(PAGES):
        assert ledger(sql, run_id)["status"] == "running"
        message = worker.receive()
        worker.invoke(message)
        worker.delete(message)

    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["pages_done"]) == ("succeeded", None, PAGES)
    assert run["fetched"] == PAGES * SIZE
    assert run["finished_at"] is not None
    assert set(run["timings"]) == {"fetch", "validate", "clean", "protect", "load", "cache"}


def test_queued_and_inline_runs_store_the_same(start, worker, sql, app_environment):
    start()
    worker.work_off()
    by_queue = people(sql)
    sql("DELETE FROM users")

    assert runs.run_ingest("manual", PAGES, SIZE).status == "succeeded"
    assert people(sql) == by_queue


def test_a_scheduled_run_of_many_pages_is_queued_too(app_environment, worker, sqs, queue, sql):
    app_environment(SOURCE_PAGES="11", SOURCE_PAGE_SIZE="2")

    report = runs.ingest({})

    assert (report.status, waiting(sqs, queue)) == ("running", 11)
    assert runs.ingest({}).status == "skipped"
    app_environment(SOURCE_PAGE_SIZE="3")
    worker.work_off()
    run = ledger(sql, report.run_id)
    assert (run["status"], run["page_size"], run["fetched"]) == ("succeeded", 2, 22)


def test_all_pages_of_a_run_have_the_size_that_it_started_with(app_environment, worker, sql, user_api):
    """Pages of different sizes would leave people out."""
    app_environment(SOURCE_PAGES="11", SOURCE_PAGE_SIZE="2")
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        runs.start_run(11, None, None)
    app_environment(SOURCE_PAGE_SIZE="3")
    runs.ingest(orders[0])
    app_environment(SOURCE_PAGE_SIZE="4")

    worker.work_off()

    assert {target.partition("size=")[2].partition("&")[0] for _, target in user_api.requests} == {"2"}
    assert sql("SELECT page_size, fetched, status FROM runs") == [(2, 22, "succeeded")]


def test_a_message_delivered_twice_takes_effect_once(start, worker, sql):
    run_id = start()
    while message := worker.receive():
        worker.invoke(message)
        worker.invoke(message)
        worker.delete(message)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", PAGES, PAGES * SIZE)


def test_concurrent_workers_on_the_same_page_take_effect_once(start, queue, sql):
    run_id = start()
    messages = [message_of(run_id, 1 + n // 4) for n in range(48)]
    with ThreadPoolExecutor(4) as threads:
        for report in threads.map(lambda message: runs.ingest_page(message, 1), messages):
            assert report.status in {"running", "succeeded", "ended"}

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", PAGES, PAGES * SIZE)


def test_a_worker_that_dies_between_the_load_and_the_end_of_its_page_loses_nothing(
    start, worker, sql, capsys
):
    run_id = start()
    store, ends = wiring.store(), 0
    with pytest.MonkeyPatch.context() as patched:
        ended = store.finish_page

        def die_first(*what):
            nonlocal ends
            ends += 1
            if ends % 2:
                raise StoreError("finish_page")
            return ended(*what)

        patched.setattr(store, "finish_page", die_first)
        worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", PAGES, PAGES * SIZE)
    written = re.findall(r'"Fetched":(\d+)', capsys.readouterr().out)
    assert sum(map(int, written)) == run["fetched"]


@pytest.fixture
def broken_page(monkeypatch):
    """Makes the source fail for page 4, or for the pages in the returned list."""
    pages = [4]
    source = wiring.source()
    fetch = source.fetch

    def fetch_others(page, size):
        if page in pages:
            raise SourceUnavailable(page, "status 500")
        return fetch(page, size)

    monkeypatch.setattr(source, "fetch", fetch_others)
    return pages


def test_a_page_that_keeps_failing_leaves_the_run_partial_and_becomes_a_dead_letter(
    start, worker, sqs, queue, dead, sql, broken_page
):
    run_id = start()
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"]) == ("partial", PAGES - 1)
    assert run["error"] == f"1 of {PAGES} pages were given up; page 4: status 500"
    assert (waiting(sqs, queue), waiting(sqs, dead)) == (0, 1)


def test_after_a_redrive_the_run_is_complete(start, worker, sqs, queue, dead, sql, broken_page):
    run_id = start()
    worker.work_off()
    broken_page.clear()

    (letter,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    sqs.send_message(QueueUrl=queue, MessageBody=letter["Body"])
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["pages_done"]) == ("succeeded", None, PAGES)
    assert run["fetched"] == PAGES * SIZE


def test_a_run_is_not_reopened_while_another_is_running(start, worker, sqs, queue, sql, broken_page):
    run_id = start()
    worker.work_off()
    other = wiring.store().open_run(RunRequest(wiring.source().name, "manual", 1), "0" * 16, 1)

    with pytest.raises(StoreError, match="one_run_per_source"):
        runs.ingest_page(message_of(run_id, 4), 1)

    assert ledger(sql, other.run_id)["status"] == "running"
    assert ledger(sql, run_id)["status"] == "partial"


def test_a_run_fails_if_all_its_pages_were_given_up(start, worker, sql, broken_page):
    broken_page.extend(range(PAGES + 1))
    run_id = start()

    worker.work_off()

    assert ledger(sql, run_id)["status"] == "failed"


def test_rejects_of_a_page_over_the_budget_are_recorded_once_over_all_tries(
    start, worker, sql, app_environment, user_api, queue
):
    app_environment(SOURCE_URL=user_api.url("random-data-api", seed=3, bad=1))
    run_id = start()

    worker.work_off()

    assert ledger(sql, run_id)["status"] == "failed"
    assert sql("SELECT count(*), count(DISTINCT (page, position)) FROM rejects") == [
        (PAGES * SIZE, PAGES * SIZE)
    ]


def test_a_run_whose_workers_all_died_is_partial_after_the_next_run_and_resumes_with_its_next_message(
    start, worker, sql
):
    run_id = start()
    message = worker.receive()
    worker.invoke(message)
    worker.delete(message)
    sql.expire_leases()
    assert wiring.store().get_run(run_id).status == "partial"

    assert runs.run_ingest("manual", 1, 1).status == "succeeded"
    run = ledger(sql, run_id)
    assert (run["status"], run["error"]) == (
        "partial",
        f"the lease ran out; {PAGES - 1} of {PAGES} pages are missing",
    )

    worker.work_off()
    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["pages_done"]) == ("succeeded", None, PAGES)


def test_an_order_delivered_twice_sends_its_pages_again_without_harm(queue, worker, sqs, sql):
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        run_id = runs.start_run(PAGES, SIZE, None).run_id

    assert [runs.ingest(orders[0]).status for _ in range(2)] == ["running"] * 2
    assert waiting(sqs, queue) == 2 * PAGES
    worker.work_off()
    assert runs.ingest(orders[0]).status == "succeeded"
    assert (waiting(sqs, queue), ledger(sql, run_id)["fetched"]) == (0, PAGES * SIZE)


def test_an_inline_order_delivered_twice_is_done_once(sqs, app_environment, user_api, sql):
    app_environment(SOURCE_URL=user_api.url("random-data-api", seed=3))
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        run_id = runs.start_run(PAGES, SIZE, None).run_id
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(runs.ingest, orders * 2))

    assert runs.ingest(orders[0]).status == "succeeded"
    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", PAGES, PAGES * SIZE)


def test_if_the_queue_accepts_nothing_the_run_fails_and_says_why(queue, app_environment, sql):
    app_environment(QUEUE_URL=queue + "-of-nobody", SOURCE_PAGES="11")

    with pytest.raises(AwsError, match="the queue did not accept all messages"):
        runs.ingest({})

    ((status, error),) = sql("SELECT status, error FROM runs")
    assert status == "failed"
    assert error.startswith("the queue did not accept all messages: ")


class Picky:
    """Refuses every second message of the first ``times`` batches, as SQS may within a successful answer."""

    def __init__(self, sqs, times):
        self._sqs, self._times = sqs, times

    def send_message_batch(self, **batch):
        entries, self._times = batch["Entries"], self._times - 1
        refused = entries[::2] if self._times >= 0 else []
        taken = [entry for entry in entries if entry not in refused]
        if taken:
            self._sqs.send_message_batch(**{**batch, "Entries": taken})
        return {"Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in refused]}


@pytest.mark.parametrize("times", [1, 2])
def test_messages_that_a_queue_refuses_individually_are_sent_again(sqs, queue, monkeypatch, times):
    monkeypatch.setattr(aws.boto3, "client", lambda *_, **__: Picky(sqs, times))

    aws.send(queue, [message_of(uid(1), page) for page in range(1, 26)])

    bodies = [sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] for _ in range(waiting(sqs, queue))]
    assert sorted(json.loads(body)["page"] for body in bodies) == [*range(1, 26)]


def test_messages_that_a_queue_keeps_refusing_are_an_error(sqs, queue, monkeypatch):
    monkeypatch.setattr(aws.boto3, "client", lambda *_, **__: Picky(sqs, 10))

    with pytest.raises(AwsError, match="the queue did not accept all messages: InternalError"):
        aws.send(queue, [message_of(uid(1), page) for page in range(1, 26)])


def test_a_queue_without_dead_letters_never_gives_a_message_up(sqs, dead):
    assert aws.max_receive_count(dead) == float("inf")
    with pytest.raises(AwsError, match="the queue cannot be read"):
        aws.max_receive_count(dead + "-of-nobody")


def test_a_message_of_an_unknown_run_does_nothing(queue, sql):
    report = runs.ingest_page(message_of(uid(404), 1), 1)

    assert report.status == "ended"
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_pages_are_not_loaded_with_other_keys_than_the_run_was_opened_with(
    start, worker, app_environment, queue, sql
):
    run_id = start()
    app_environment(PII_KEYS=pii_keys({1: b"!" * 32}))

    worker.work_off()

    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert ledger(sql, run_id)["error"].startswith(f"{PAGES} of {PAGES} pages were given up; PII_KEYS: ")


def test_a_page_processed_under_a_new_key_makes_the_key_known(
    start, queue, worker, app_environment, api, user_api, sql
):
    """Otherwise later pages, under the old key, would bring back erased people."""
    somebody = RANDOM_DATA_API.record({"uid": uid(1)})
    api.delete(f"/users/{uid(1)}")
    run_id = start()
    old, both = {1: PII_KEY}, {1: PII_KEY, 2: b"2" * 32}
    user_api.script(RANDOM_DATA_API.page(somebody))

    app_environment(PII_KEYS=pii_keys(both))
    runs.ingest_page(message_of(run_id, 1), 1)
    app_environment(PII_KEYS=pii_keys(old))
    with pytest.raises(ConfigError, match="version 2 is missing"):
        runs.ingest_page(message_of(run_id, 2), 1)

    assert sql("SELECT suppressed FROM runs WHERE run_id = %s", run_id) == [(1,)]
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_an_order_under_other_keys_than_it_was_given_is_refused(app_environment, sql, sqs):
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        run_id = runs.start_run(1, SIZE, None).run_id
    app_environment(PII_KEYS=pii_keys({1: b"!" * 32}))

    with pytest.raises(ConfigError, match="version 1 is not the key"):
        runs.ingest(orders[0])

    assert (ledger(sql, run_id)["status"], sql("SELECT count(*) FROM users")) == ("failed", [(0,)])


def test_an_order_whose_keys_cannot_be_compared_fails(sqs, sql, monkeypatch):
    orders = []
    monkeypatch.setattr(runs, "_hand_over", orders.append)
    run_id = runs.start_run(1, SIZE, None).run_id
    monkeypatch.setattr(
        wiring.store(), "reconcile_keys", shaken(wiring.store().reconcile_keys, AlwaysFailing())
    )

    with pytest.raises(StoreError):
        runs.ingest(orders[0])

    assert (ledger(sql, run_id)["status"], ledger(sql, run_id)["error"]) == ("failed", "query before failed")


def test_an_order_that_fails_because_of_a_setting_says_why_in_the_ledger(app_environment, sql, sqs):
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        run_id = runs.start_run(1, SIZE, None).run_id
    app_environment(REDIS_URL="redis://127.0.0.1/0?timeout=1")

    with pytest.raises(ConfigError, match="REDIS_URL"):
        runs.ingest(orders[0])

    run = ledger(sql, run_id)
    assert (run["status"], run["error"].partition(":")[0]) == ("failed", "REDIS_URL")


def test_a_run_with_redriven_pages_does_not_end_while_one_is_in_progress(app_environment, sql):
    store = wiring.store()
    run_id = store.open_run(RunRequest("here", "backfill", 3, queued=True), "0" * 16, 1).run_id
    for page in (1, 2, 3):
        store.fail_page(run_id, page, "it failed")
    assert store.finish_page(run_id, {}).status == "failed"

    assert store.claim_page(run_id, 2, "0" * 16, 1)  # by a slow worker
    assert store.claim_page(run_id, 3, "0" * 16, 1)
    store.load_page(page_load(run_id, person(1), page=3))
    assert store.finish_page(run_id, {}).status == "running"
    store.load_page(page_load(run_id, person(2), page=2))

    assert store.finish_page(run_id, {}).status == "partial"  # page 1 was given up
    assert ledger(sql, run_id)["error"].startswith("1 of 3 pages were given up")


@pytest.mark.parametrize(
    ("change", "is_base"),
    [("contract_hash = 'another'", False), ("key_version = 0", False), ("key_version = key_version", True)],
)
def test_a_run_whose_pages_were_processed_under_two_contracts_is_no_base(start, worker, sql, change, is_base):
    """As when a deployment is taken back meanwhile: it has stored some people in another way."""
    run_id = start()
    ((contract, key),) = sql("SELECT contract_hash, key_version FROM runs")
    sql(f"UPDATE runs SET {change}")
    worker.invoke(worker.receive())
    sql("UPDATE runs SET contract_hash = %s, key_version = %s", contract, key)
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["as_of"] is not None) == ("succeeded", is_base)


def test_giving_up_a_page_does_not_reopen_a_run_whose_pages_were_not_all_sent(start, queue, sql):
    run_id, store = start(), wiring.store()
    store.finish_run(run_id, Ending("failed", "the queue did not accept all messages"))

    store.fail_page(run_id, 1, "it failed")

    assert not store.claim_page(run_id, 2, "0" * 16, 1)
    assert ledger(sql, run_id)["status"] == "failed"


@pytest.mark.parametrize(("dialect", "host"), [("randomuser", "127.0.0.1"), ("random-data-api", "localhost")])
def test_a_page_waits_for_a_function_with_its_runs_source(
    start, worker, sqs, queue, sql, app_environment, user_api, dialect, host
):
    run_id, own = start(), user_api.url("random-data-api", seed=3)
    (message,) = sqs.receive_message(QueueUrl=queue, AttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    app_environment(SOURCE_DIALECT=dialect, SOURCE_URL=user_api.url(dialect).replace("127.0.0.1", host))

    with pytest.raises(ConfigError, match="the run belongs to another source or dialect"):
        worker.invoke(message)
    assert sql("SELECT count(*) FROM users") == [(0,)]

    app_environment(SOURCE_DIALECT="random-data-api", SOURCE_URL=own)
    worker.work_off()
    assert ledger(sql, run_id)["status"] == "succeeded"


def test_an_order_for_another_source_is_refused_and_the_ledger_says_why(app_environment, sql, user_api):
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        run_id = runs.start_run(1, SIZE, None).run_id
    app_environment(SOURCE_DIALECT="randomuser", SOURCE_URL=user_api.url("randomuser"))

    with pytest.raises(ConfigError):
        runs.ingest(orders[0])

    assert ledger(sql, run_id)["status"] == "failed"
    assert "another source" in ledger(sql, run_id)["error"]


def test_pages_sent_before_the_sending_failed_do_not_reopen_the_run(
    queue, worker, app_environment, sql, monkeypatch
):
    app_environment(SOURCE_PAGES="12", SOURCE_PAGE_SIZE="2")
    send = aws.send

    def send_some(url, messages):
        send(url, list(messages)[:5])
        raise AwsError("the queue did not accept all messages: Throttled")

    monkeypatch.setattr(aws, "send", send_some)
    with pytest.raises(AwsError):
        runs.ingest({})
    worker.work_off()

    assert sql("SELECT status FROM runs") == [("failed",)]
    assert runs.run_ingest("manual", 1, 1).status == "succeeded"


def test_messages_of_a_stopped_run_do_nothing(start, worker, sqs, queue, sql):
    run_id = start()
    worker.invoke(worker.receive())
    wiring.store().stop_run(run_id)
    stopped = ledger(sql, run_id)

    worker.work_off()

    assert (stopped["status"], stopped["pages_done"]) == ("failed", 1)
    assert ledger(sql, run_id) == stopped
    assert waiting(sqs, queue) == 0
    assert len(people(sql)) == stopped["inserted"]
    assert sql("SELECT count(*) FROM pages") == [(1,)]


def test_a_page_whose_run_is_stopped_meanwhile_is_not_tried_again(start, sql, monkeypatch):
    run_id, load_page = start(), wiring.store().load_page

    def after_a_stop(load):
        wiring.store().stop_run(run_id)
        return load_page(load)

    monkeypatch.setattr(wiring.store(), "load_page", after_a_stop)

    assert runs.ingest_page(message_of(run_id, 1), 1).status == "ended"
    assert ledger(sql, run_id)["error"] == "stopped on request"
    assert people(sql) == []


def test_an_order_that_arrives_after_its_runs_lease_is_reported_as_lost(app_environment, sql, capsys):
    app_environment(SOURCE_PAGES="1")
    orders = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "_hand_over", orders.append)
        runs.start_run(None, None, None)
    sql.expire_leases()

    assert runs.ingest(*orders).status == "lost"
    assert '"Failed":1' in capsys.readouterr().out


def test_a_page_that_was_given_up_does_not_reopen_a_stopped_run(start, sql):
    run_id = start()
    wiring.store().fail_page(run_id, 4, "status 500")
    wiring.store().stop_run(run_id)

    assert not wiring.store().claim_page(run_id, 4, "0" * 16, 1)
    assert ledger(sql, run_id)["status"] == "failed"


def test_a_page_that_is_being_given_up_does_not_reopen_a_run_that_is_stopped_meanwhile(start, sql, postgres):
    run_id = start()
    with closing(psycopg2.connect(postgres.url)) as giving_up, ThreadPoolExecutor() as pool:
        failed = {"run_id": run_id, "page": 4, "error": "status 500"}
        giving_up.cursor().execute(queries.sql("fail_page"), failed)
        stop = pool.submit(wiring.store().stop_run, run_id)
        until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        giving_up.commit()

    assert stop.result().status == "failed"
    assert not wiring.store().claim_page(run_id, 4, "0" * 16, 1)
    assert ledger(sql, run_id)["status"] == "failed"


def test_a_queued_run_can_be_stopped_although_its_lease_has_expired(start, worker, sql):
    run_id = start()
    worker.invoke(worker.receive())
    sql("UPDATE runs SET lease_expires_at = now() - interval '1 s'")

    assert wiring.store().stop_run(run_id).status == "failed"
    worker.work_off()

    assert ledger(sql, run_id)["pages_done"] == 1


def test_a_queued_run_that_has_loaded_all_its_pages_is_not_stopped(store, sql):
    run_id = store.open_run(RunRequest("here", "manual", 1, queued=True), "0" * 16, 1).run_id
    store.load_page(page_load(run_id, person(1)))
    sql.expire_leases()

    assert store.stop_run(run_id).status == "succeeded"


def test_a_page_that_is_claimed_while_its_run_is_being_stopped_does_not_reopen_it(start, sql, postgres):
    run_id = start()
    wiring.store().fail_page(run_id, 4, "status 500")
    with closing(psycopg2.connect(postgres.url)) as stopping, ThreadPoolExecutor() as pool:
        stopping.cursor().execute(queries.sql("stop_run"), {"run_id": run_id})
        claim = pool.submit(wiring.store().claim_page, run_id, 4, "0" * 16, 1)
        until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        stopping.commit()

    assert claim.result() is False
    assert ledger(sql, run_id)["status"] == "failed"


def test_a_run_whose_final_write_was_lost_still_succeeds(start, sql, monkeypatch):
    run_id = start()
    with monkeypatch.context() as patched:
        patched.setattr(wiring.store(), "finish_page", lambda *what: None)
        for page in range(1, PAGES + 1):
            runs.ingest_page(message_of(run_id, page), 1)
    sql.expire_leases()

    assert wiring.store().get_run(run_id).status == "succeeded"
    runs.run_ingest("manual", 1, 1)
    assert (ledger(sql, run_id)["status"], ledger(sql, run_id)["error"]) == ("succeeded", None)


@pytest.fixture
def ending(app_environment, monkeypatch):
    """A source with ``last`` pages, and scheduled runs of ``pages`` messages. Returns the fetched pages.

    It gives at most ``most`` records at once, and says that it has ``total``.
    """

    def end(last, pages, most=SIZE, total=None, **paging):
        asked = []

        def fetch_until_the_end(page, size):
            asked.append(page)
            body = fetch(page, min(size, most)) if page <= last else b"[]"
            return b'{"total": %d, "data": %s}' % (total, body) if total else body

        app_environment(SOURCE_PAGES=str(pages), SOURCE_PAGE_SIZE=str(SIZE), INLINE_PAGES="1")
        source = wiring.source()
        fetch = source.fetch
        dialect = paged(source.dialect, ends=True, total="total" if total else None, **paging)
        monkeypatch.setattr(source, "dialect", replace(dialect, envelope="data" if total else None))
        monkeypatch.setattr(source, "fetch", fetch_until_the_end)
        return asked

    return end


def test_pages_after_the_sources_last_are_processed_and_are_empty(ending, queue, worker, sql):
    asked = ending(last=3, pages=5)

    run_id = runs.ingest({}).run_id
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", 5, 3 * SIZE)
    assert asked == [1, 2, 3, 4, 5]  # an empty page does not stop the others


@pytest.mark.parametrize(
    ("order", "counts"), [((1, 2, 3), [0, 2, 0, SIZE]), ((2, 3, 1), [0, 0, 0, 2 + SIZE])]
)
def test_whom_a_queued_run_removes_is_counted_once(
    ending, queue, sql, app_environment, monkeypatch, capsys, order, counts
):
    app_environment(RETENTION_DAYS="1")
    ending(last=3, pages=4)
    first = runs.ingest({}).run_id
    for page in (1, 2, 3, 4):
        runs.ingest_page(message_of(first, page), 1)
    sql("UPDATE users SET last_seen_at = last_seen_at - interval '3 days'")
    ending(last=2, pages=3)
    source = wiring.source()
    unwanted = {user["uid"] for user in json.loads(source.fetch(1, SIZE))[:2]}
    wanted = {"to_user": lambda user: None if str(user.uid) in unwanted else user, "removes_filtered": True}
    monkeypatch.setattr(source, "dialect", replace(source.dialect, **wanted))
    capsys.readouterr()

    second = runs.ingest({}).run_id
    for page in order:
        runs.ingest_page(message_of(second, page), 1)

    lines = map(json.loads, capsys.readouterr().out.splitlines())
    counted = [line["Departed"] for line in lines if line.get("run_id") == second]
    assert ledger(sql, second)["departed"] == 2 + SIZE
    assert counted == counts  # the first is the run's own, which only sent the messages


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 4, 1, 3)])
@pytest.mark.parametrize("pages_vary", [False, True])
def test_a_queued_run_with_short_pages_that_others_follow_is_partial(ending, queue, sql, order, pages_vary):
    ending(last=3, pages=4, most=SIZE - 1, pages_vary=pages_vary)

    run_id = runs.ingest({}).run_id
    for page in order:
        runs.ingest_page(message_of(run_id, page), 1)

    run = ledger(sql, run_id)
    why = None if pages_vary else "2 pages had fewer records than requested, although others followed"
    assert (run["status"], run["error"]) == ("succeeded" if pages_vary else "partial", why)
    assert (run["pages_done"], run["fetched"]) == (4, 3 * (SIZE - 1))


@pytest.mark.parametrize(("missing", "status"), [(0, "succeeded"), (1, "partial")])
def test_a_queued_run_that_gets_fewer_records_than_the_source_has_is_partial(
    ending, worker, sql, missing, status
):
    total = 2 * SIZE + missing
    ending(last=2, pages=3, total=total)

    run_id = runs.ingest({}).run_id
    worker.work_off()

    run = ledger(sql, run_id)
    why = f"the source says that it has {total} records, and gave {2 * SIZE}" if missing else None
    assert (run["status"], run["error"]) == (status, why)


@pytest.mark.parametrize("place", ["total", "where.it.is.not"])
def test_a_queued_backfill_of_some_of_the_pages_is_complete_whatever_the_source_has(
    ending, start, worker, sql, monkeypatch, place
):
    ending(last=4, pages=4, total=4 * SIZE)
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, total=place))

    run_id = start(pages=2)
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["fetched"]) == ("succeeded", None, 2 * SIZE)


def test_a_queued_run_of_which_no_page_has_the_total_is_partial(ending, worker, sql, monkeypatch):
    ending(last=2, pages=3, total=2 * SIZE)
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, total="meta.total"))

    run_id = runs.ingest({}).run_id
    worker.work_off()

    run = ledger(sql, run_id)
    why = "no page says how many records there are (expected at meta.total)"
    assert (run["status"], run["error"]) == ("partial", why)


def test_a_queued_run_over_exactly_the_pages_that_there_are_is_complete_if_the_total_says_so(
    ending, worker, sql
):
    ending(last=3, pages=3, total=3 * SIZE)

    run_id = runs.ingest({}).run_id
    worker.work_off()

    assert (ledger(sql, run_id)["status"], ledger(sql, run_id)["error"]) == ("succeeded", None)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (3, 3, 2, 1)])
def test_a_queued_run_that_does_not_reach_the_sources_end_is_partial_and_says_so(ending, queue, sql, order):
    ending(last=4, pages=3)

    run_id = runs.ingest({}).run_id
    for page in order:
        runs.ingest_page(message_of(run_id, page), 1)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("partial", 3, 3 * SIZE)
    assert run["error"] == "page 3: the source may have more pages than SOURCE_PAGES"


def test_a_queued_run_that_is_not_complete_logs_why_and_logs_it_once(ending, queue, caplog):
    ending(last=4, pages=3)

    run_id = runs.ingest({}).run_id
    for page in (1, 2, 3, 3):
        runs.ingest_page(message_of(run_id, page), 1)

    why = f"run {run_id}: page 3: the source may have more pages than SOURCE_PAGES"
    assert [line.getMessage() for line in caplog.records if "SOURCE_PAGES" in line.getMessage()] == [why]


def test_after_a_redrive_a_run_has_still_not_reached_the_sources_end(ending, queue, sql):
    ending(last=4, pages=3)
    store, run_id = wiring.store(), runs.ingest({}).run_id
    pages = [message_of(run_id, page) for page in (3, 1, 2)]

    for message in pages[:2]:
        runs.ingest_page(message, 1)
    store.fail_page(run_id, 2, "it failed")
    counts = store.finish_page(run_id, {})
    assert (counts.status, counts.error[:4]) == ("partial", "1 of")
    runs.ingest_page(pages[2], 1)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"]) == ("partial", 3)
    assert run["error"] == "page 3: the source may have more pages than SOURCE_PAGES"


def test_a_run_that_ends_while_its_last_page_is_in_progress_has_still_not_reached_the_sources_end(
    ending, queue, sql, monkeypatch
):
    """Another page ends the run between the load and the end of the last page."""
    ending(last=4, pages=3)
    run_id, finish_page = runs.ingest({}).run_id, wiring.store().finish_page
    pages = [message_of(run_id, page) for page in (1, 2, 3)]
    runs.ingest_page(pages[0], 1)

    def after_another(*what):
        monkeypatch.setattr(wiring.store(), "finish_page", finish_page)
        runs.ingest_page(pages[1], 1)
        return finish_page(*what)

    monkeypatch.setattr(wiring.store(), "finish_page", after_another)
    runs.ingest_page(pages[2], 1)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"]) == ("partial", 3)
    assert run["error"] == "page 3: the source may have more pages than SOURCE_PAGES"


def test_a_source_that_ends_between_two_tries_of_a_page_has_ended(ending, queue, sql, monkeypatch):
    ending(last=3, pages=2)
    run_id = runs.ingest({}).run_id
    pages = [message_of(run_id, page) for page in (1, 2)]
    with monkeypatch.context() as patched:
        patched.setattr(wiring.store(), "load_page", shaken(wiring.store().load_page, AlwaysFailing()))
        with pytest.raises(StoreError):
            runs.ingest_page(pages[1], 1)

    ending(last=1, pages=2)
    for message in pages:
        runs.ingest_page(message, 1)

    assert (ledger(sql, run_id)["status"], ledger(sql, run_id)["error"]) == ("succeeded", None)


class AlwaysFailing:
    """A random generator that makes every step fail."""

    def random(self):
        return 0.0


def test_a_run_whose_final_write_was_lost_has_still_not_reached_the_sources_end(
    ending, queue, sql, monkeypatch
):
    ending(last=4, pages=3)
    run_id = runs.ingest({}).run_id
    for page in (3, 1):
        runs.ingest_page(message_of(run_id, page), 1)
    with monkeypatch.context() as patched:
        patched.setattr(wiring.store(), "finish_page", lambda *what: None)
        runs.ingest_page(message_of(run_id, 2), 1)
    sql.expire_leases()

    assert wiring.store().get_run(run_id).status == "partial"
    runs.run_ingest("manual", 1, 1)
    assert ledger(sql, run_id)["error"] == "page 3: the source may have more pages than SOURCE_PAGES"


SHORT = {"last": 3, "pages": 4, "most": SIZE - 1}  # and others follow
FEWER = {"last": 2, "pages": 3, "total": 2 * SIZE + 7}


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (SHORT, "2 pages had fewer records than requested, although others followed"),
        (FEWER, f"the source says that it has {2 * SIZE + 7} records, and gave {2 * SIZE}"),
    ],
    ids=["short", "fewer"],
)
def test_a_run_whose_final_write_was_lost_has_still_missed_records(
    ending, queue, sql, monkeypatch, source, why
):
    ending(**source)
    run_id = runs.ingest({}).run_id
    with monkeypatch.context() as patched:
        patched.setattr(wiring.store(), "finish_page", lambda *what: None)
        for page in range(1, source["pages"] + 1):
            runs.ingest_page(message_of(run_id, page), 1)
    sql.expire_leases()

    assert wiring.store().get_run(run_id).status == "partial"
    runs.run_ingest("manual", 1, 1)
    run = ledger(sql, run_id)
    assert (run["status"], run["error"]) == ("partial", why)


def test_a_run_whose_last_page_ends_it_only_when_given_up_has_still_missed_records(
    ending, queue, sql, monkeypatch
):
    ending(**SHORT)
    run_id, finish_page = runs.ingest({}).run_id, wiring.store().finish_page
    for page in (1, 2, 3):
        runs.ingest_page(message_of(run_id, page), 1)

    def unavailable_once(*what):
        monkeypatch.setattr(wiring.store(), "finish_page", finish_page)
        raise StoreUnavailable("finish_page")

    monkeypatch.setattr(wiring.store(), "finish_page", unavailable_once)
    with pytest.raises(StoreUnavailable):
        runs.ingest_page(message_of(run_id, 4), 3)

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"]) == ("partial", 4)
    assert run["error"] == "2 pages had fewer records than requested, although others followed"


def test_a_run_whose_last_page_is_given_up_counts_as_failed_and_says_why(
    start, sql, broken_page, capsys, caplog
):
    run_id = start()
    for page in range(1, PAGES + 1):
        if page != 4:
            runs.ingest_page(message_of(run_id, page), 1)
    capsys.readouterr()

    with pytest.raises(SourceUnavailable):
        runs.ingest_page(message_of(run_id, 4), MOST_RECEIVES)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"Failed"' in line]
    assert [(line["run_id"], line["status"], line["Failed"]) for line in lines] == [(run_id, "partial", 1)]
    assert f"run {run_id}: 1 of {PAGES} pages were given up; page 4: status 500" in caplog.messages


def test_a_page_that_is_loaded_is_not_given_up(start, worker, sql, monkeypatch):
    """Its last try loads it and then fails."""
    run_id = start()
    store, finish_page = wiring.store(), wiring.store().finish_page
    tries = iter([True])

    def fail_first(*what):
        if next(tries, False):
            raise StoreError("finish_page")
        return finish_page(*what)

    monkeypatch.setattr(store, "finish_page", fail_first)
    with pytest.raises(StoreError):
        runs.ingest_page(message_of(run_id, 4), MOST_RECEIVES)
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["pages_done"]) == ("succeeded", None, PAGES)


def test_a_page_is_not_given_up_while_its_run_is_being_stopped(start, sql, postgres):
    """It would reopen the run."""
    run_id = start()
    with closing(psycopg2.connect(postgres.url)) as stopping, ThreadPoolExecutor() as pool:
        stopping.cursor().execute(queries.sql("stop_run"), {"run_id": run_id})
        given_up = pool.submit(wiring.store().fail_page, run_id, 4, "status 500")
        until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        stopping.commit()
        given_up.result()

    assert not wiring.store().claim_page(run_id, 4, "0" * 16, 1)
    assert ledger(sql, run_id)["status"] == "failed"


def test_a_run_whose_workers_died_before_they_loaded_a_page_resumes_with_its_next_message(start, worker, sql):
    run_id = start()
    sql.expire_leases()
    assert runs.run_ingest("manual", 1, 1).status == "succeeded"
    assert ledger(sql, run_id)["status"] == "lost"

    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["error"], run["pages_done"]) == ("succeeded", None, PAGES)


def test_a_page_beyond_the_runs_last_is_ignored(start, sql):
    run_id = start()

    assert runs.ingest_page(message_of(run_id, PAGES + 1), 1).fetched == 0
    assert sql("SELECT count(*) FROM pages") == [(0,)]


def test_only_a_page_that_is_missing_in_a_queued_run_is_claimed(store):
    queued = store.open_run(RunRequest("here", "manual", 2, queued=True), "0" * 16, 1).run_id
    store.load_page(page_load(queued, person(1)))
    in_turn = store.open_run(RunRequest("there", "manual", 2), "0" * 16, 1).run_id

    assert [store.claim_page(queued, page, "0" * 16, 1) for page in (1, 2)] == [False, True]
    assert not store.claim_page(in_turn, 1, "0" * 16, 1)
    assert store.finish_page(in_turn, {}) is None


@pytest.mark.parametrize("seed", range(3))
def test_counts_add_up_and_nothing_is_lost_whatever_the_deliveries_and_failures(start, worker, sql, seed):
    """Messages arrive in any order, several times, with a failure before or after any step."""
    chance = random.Random(seed)  # noqa: S311  the same each time
    run_id = start()
    edges = (wiring.source(), "fetch"), (wiring.store(), "load_page"), (wiring.store(), "finish_page")
    with pytest.MonkeyPatch.context() as patched:
        for edge, name in edges:
            patched.setattr(edge, name, shaken(getattr(edge, name), chance))
        messages = [message_of(run_id, page) for page in [*range(1, PAGES + 1)] * 6]
        chance.shuffle(messages)
        for message in messages:
            with suppress(StoreError):
                runs.ingest_page(message, 1)
    worker.work_off()

    run = ledger(sql, run_id)
    assert (run["status"], run["pages_done"], run["fetched"]) == ("succeeded", PAGES, PAGES * SIZE)
    assert sql("SELECT count(*) FROM users") == [(run["inserted"],)]


def shaken(work, chance):
    def shaken_work(*what):
        if chance.random() < 0.2:
            raise StoreError("before")
        done = work(*what)
        if chance.random() < 0.2:
            raise StoreError("after")
        return done

    return shaken_work

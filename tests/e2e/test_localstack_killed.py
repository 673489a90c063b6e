"""Lambdas that are killed in the middle of their work: a backfill over SQS, and a run of one function."""

import json

import pytest

from chalicelib.aws import scheduled_event
from tests.e2e.cloud import STACK, until
from tests.keys import API_KEY

pytestmark = pytest.mark.timeout(500)

WORKER = f"{STACK}-ingest_page"
OUTCOMES = ("inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed")
PAGES, SIZE = 50, 20


@pytest.fixture
def queue_url(cloud):
    return cloud.client("sqs").get_queue_url(QueueName=f"{STACK}-pages")["QueueUrl"]


def send(cloud, queue_url, run_id, page):
    message = {"run_id": run_id, "trigger": "backfill", "page_size": SIZE, "page": page}
    cloud.client("sqs").send_message(QueueUrl=queue_url, MessageBody=json.dumps(message))


def kill(cloud, function):
    """Every process of the function; how many."""
    processes = cloud.processes(function)
    for process in processes:
        process.kill()
    return len(processes)


def test_a_backfill_survives_killed_workers_and_messages_that_come_twice(cloud, queue_url):
    run_id = cloud.start_run(API_KEY, pages=PAGES, page_size=SIZE)

    for page in (1, 7, PAGES):
        send(cloud, queue_url, run_id, page)
    assert until(lambda: kill(cloud, WORKER)) > 0
    run = cloud.finished(run_id, API_KEY)

    assert run["status"] == "succeeded"
    assert run["fetched"] == PAGES * SIZE == sum(run[outcome] for outcome in OUTCOMES)


def test_an_ingest_that_is_killed_is_reported_and_the_next_invocation_works(cloud):
    """The last test of all: what was killed keeps its lease for a while, and no other run may begin."""
    function = f"{STACK}-ingest"
    run_id = cloud.start_run(API_KEY, pages=10, page_size=5_000)
    until(lambda: cloud.get_json(f"/runs/{run_id}", API_KEY)["inserted"])

    assert kill(cloud, function)

    until(lambda: "Runtime exited with error: signal: killed" in "".join(cloud.logged(function)))
    said, error = cloud.invoke(function, scheduled_event({}))
    assert error is None
    assert said["status"] in ("skipped", "succeeded")

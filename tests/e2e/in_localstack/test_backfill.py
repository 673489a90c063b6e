"""A backfill over SQS whose workers are killed at random, and whose messages arrive twice."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.ledger import OUTCOMES
from tests.e2e.in_localstack.cloud import STACK
from tests.keys import API_KEY

pytestmark = pytest.mark.timeout(500)

WORKER = f"{STACK}-ingest_page"
PAGES, SIZE, DOUBLES = 200, 5, 20

# A killed worker's page is redelivered after 15 s. Killing stops before that: three kills would be too many.
KILLING_SECONDS = 14


@pytest.fixture
def queue_url(cloud):
    return lambda end="": cloud.client("sqs").get_queue_url(QueueName=f"{STACK}-pages{end}")["QueueUrl"]


def message(run_id, page):
    return json.dumps({"run_id": run_id, "page": page})


def event(body):
    """A queue message as Lambda passes it to the function."""
    return {"Records": [{"body": body, "receiptHandle": "", "attributes": {"ApproximateReceiveCount": "1"}}]}


def kill_at_random(cloud, ended):
    killed, last = 0, time.monotonic() + KILLING_SECONDS
    while time.monotonic() < last and not ended.wait(random.uniform(0.2, 1.5)):  # noqa: S311
        killed += cloud.kill(WORKER)
    return killed


def test_a_backfill_survives_randomly_killed_workers_and_duplicate_messages(cloud, queue_url):
    """Half of the duplicates are put into the queue, the others are invoked while the queue is processed."""
    ended = threading.Event()
    run_id = cloud.start_run(API_KEY, pages=PAGES, page_size=SIZE)
    doubles = [message(run_id, page) for page in random.sample(range(1, PAGES + 1), DOUBLES)]
    for body in doubles[::2]:
        cloud.client("sqs").send_message(QueueUrl=queue_url(), MessageBody=body)

    with ThreadPoolExecutor(3) as threads:
        killed = threads.submit(kill_at_random, cloud, ended)
        for body in doubles[1::2]:
            threads.submit(cloud.invoke, WORKER, event(body))
        run = cloud.finished(run_id, API_KEY)
        ended.set()

    assert killed.result() > 5
    assert (run["status"], run["pages_done"]) == ("succeeded", PAGES)
    assert run["fetched"] == PAGES * SIZE == sum(run[outcome] for outcome in OUTCOMES)
    dead = cloud.client("sqs").receive_message(QueueUrl=queue_url("-dead"))
    assert "Messages" not in dead

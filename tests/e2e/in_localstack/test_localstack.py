"""The app in LocalStack, deployed by `chalice deploy`: through API Gateway and EventBridge's schedule."""

import json
import time
from urllib.parse import urljoin

import pytest

from chalicelib.aws import ingest_event
from chalicelib.ledger import OUTCOMES
from tests.e2e.in_localstack.cloud import STACK, command
from tests.e2e.in_localstack.conftest import READER
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES
from tests.waiting import until

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def loaded(cloud):
    """A run that was started over the API and has ended."""
    return cloud.finished(cloud.start_run(API_KEY, pages=2, page_size=50), API_KEY)


def test_health_is_open(cloud):
    status, _, body = cloud.ask("GET", "/health")

    assert status == 200
    assert json.loads(body)["status"] == "ok"


def test_the_page_and_the_description_are_open(cloud):
    assert "<title>" in cloud.ask("GET", "/")[2]
    assert json.loads(cloud.ask("GET", "/openapi.json")[2])["openapi"].startswith("3.1")


def test_no_log_holds_the_path_of_a_request(cloud):
    cloud.ask("GET", "/users/canary@leak.example", API_KEY)
    cloud.ask("DELETE", "/users/canary@leak.example", API_KEY)
    cloud.ask("GET", "/nowhere/canary@leak.example", API_KEY)

    logs = list((cloud.folder / "localstack/logs").glob("*.log"))
    assert "localstack.log" in [log.name for log in logs]
    assert not [log.name for log in logs if "canary" in log.read_text(encoding="utf-8", errors="replace")]


def test_a_run_started_over_the_api_is_done_by_another_lambda_and_adds_up(loaded):
    assert loaded["status"] == "succeeded"
    assert loaded["fetched"] == 100 == sum(loaded[outcome] for outcome in OUTCOMES)


def test_people_are_served_to_the_key(cloud, loaded):
    """Retries for as long as an entry in Redis lives: a worker that another test has killed, between its
    commit and Redis, leaves an older one."""
    listed, alone = None, {}
    deadline = time.monotonic() + 140
    while alone != listed and time.monotonic() < deadline:
        time.sleep(0.2)
        listed, *others = cloud.get_json("/users?limit=3", API_KEY)["items"]
        alone = cloud.get_json(f"/users/{listed['uid']}", API_KEY)

    assert alone == listed
    assert len(others) == 2


def test_the_links_in_an_answer_work(cloud, loaded):
    """Also below the path prefix that LocalStack gives every API."""
    first = f"{cloud.url}/users?limit=1"
    link = cloud.ask("GET", "/users?limit=1", API_KEY)[1]["Link"].partition(">")[0].removeprefix("<")
    _, headers, run = cloud.ask("POST", "/runs", API_KEY, {"pages": 1, "page_size": 1})
    (server,) = cloud.get_json("/openapi.json", None)["servers"]

    further = urljoin(first, link).removeprefix(cloud.url)
    assert cloud.get_json(further, API_KEY)["items"] != cloud.get_json("/users?limit=1", API_KEY)["items"]
    place = urljoin(f"{cloud.url}/runs", headers["Location"]).removeprefix(cloud.url)
    assert cloud.get_json(place, API_KEY)["run_id"] == json.loads(run)["run_id"]
    assert urljoin(f"{cloud.url}/openapi.json", server["url"]) == f"{cloud.url}/"


def test_without_a_key_the_gateway_says_401(cloud):
    assert cloud.ask("GET", "/users")[0] == 401


@pytest.mark.parametrize("key", ["guessed", KEY_WITHOUT_SCOPES])
def test_a_key_without_access_gets_403(cloud, key):
    assert cloud.ask("GET", "/users", key)[0] == 403


def test_a_key_may_do_what_its_scopes_allow(cloud, loaded):
    assert cloud.ask("GET", "/users?limit=1", READER)[0] == 200
    assert cloud.ask("POST", "/runs", READER, {})[0] == 403
    assert cloud.ask("DELETE", f"/users/{loaded['run_id']}", READER)[0] == 403


def test_the_apps_own_refusals_are_problem_documents(cloud, loaded):
    for path, wanted in (
        ("/users/nobody", 400),
        (f"/users/{loaded['run_id']}", 404),
        ("/users?limit=0", 400),
    ):
        status, headers, body = cloud.ask("GET", path, API_KEY)
        assert (status, headers["Content-Type"]) == (wanted, "application/problem+json")
        assert json.loads(body)["status"] == wanted
        assert headers["X-Request-Id"]


@pytest.mark.parametrize("name", ["custom[language]", "custom%5Blanguage%5D"])
def test_a_filter_by_a_custom_field_passes_the_gateway(cloud, loaded, name):
    status, _, body = cloud.ask("GET", f"/users?{name}=pt&limit=1", API_KEY)

    assert (status, json.loads(body)["detail"]) == (400, "custom: unknown field; allowed: none")


def test_an_unknown_path_never_reaches_the_app(cloud):
    assert cloud.ask("GET", "/nowhere", API_KEY)[0] in (403, 404)


def test_a_person_can_be_erased(cloud, loaded):
    uid = cloud.get_json("/users?limit=1", API_KEY)["items"][0]["uid"]

    assert cloud.ask("DELETE", f"/users/{uid}", API_KEY)[0] == 200

    assert cloud.ask("GET", f"/users/{uid}", API_KEY)[0] == 404


def test_migrate_is_a_lambda_and_has_nothing_left_to_do(cloud):
    said, error = cloud.invoke(f"{STACK}-migrate")

    assert error is None
    assert not said["applied"]


def test_the_resources_exist(cloud):
    sqs = cloud.client("sqs")
    queue, dead = (sqs.get_queue_url(QueueName=f"{STACK}-pages{end}")["QueueUrl"] for end in ("", "-dead"))

    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"].endswith(
        ":decant-localstack-pages-dead"
    )
    assert sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    secret = cloud.client("secretsmanager").get_secret_value(SecretId="decant/localstack")["SecretString"]
    assert json.loads(secret)["QUEUE_URL"] == queue


def test_cloudwatch_holds_the_structured_lines_and_nothing_that_was_sent(cloud, loaded):
    cloud.ask("POST", "/users/lookup", API_KEY, {"email": "somebody@example.com"})

    def counted():
        lines = [json.loads(line) for line in cloud.logged(f"{STACK}-ingest") if line.startswith("{")]
        return [line for line in lines if line.get("run_id") == loaded["run_id"] and "Fetched" in line]

    assert until(counted)[0]["Fetched"] == 100
    asked = until(lambda: [line for line in cloud.logged(STACK) if "POST /users/lookup" in line])
    assert json.loads(asked[0])["status"] == 200
    everything = "".join(
        cloud.logged(STACK) + cloud.logged(f"{STACK}-authorize") + cloud.logged(f"{STACK}-ingest")
    )
    for secret in ("somebody@example.com", API_KEY, READER):
        assert secret not in everything


def test_the_schedule_fires_by_itself(cloud):
    rules = cloud.client("events").list_rules()["Rules"]
    assert [rule["ScheduleExpression"] for rule in rules] == ["rate(1 minute)"]

    def scheduled():
        runs = cloud.get_json("/runs", API_KEY)["items"]
        return [run for run in runs if (run["trigger"], run["status"]) == ("schedule", "succeeded")]

    run = until(scheduled)[0]
    assert run["fetched"] == 100
    assert run["inserted"] + run["unchanged"] + run["updated"] > 0


def test_a_second_make_localstack_deploys_again_and_keeps_the_data(cloud, loaded):
    again = command(cloud.folder, "local.localstack", "up")

    assert again.returncode == 0, again.stderr
    assert again.stdout.strip().splitlines()[-1] == f"Decant is running at {cloud.url}/"
    assert "Starting" not in again.stdout
    assert cloud.get_json(f"/runs/{loaded['run_id']}", API_KEY) == loaded


def test_an_ingest_that_is_killed_is_reported_and_the_next_invocation_works(cloud):
    """Must be the last test: the killed run keeps its lease for a while, so no other run can start."""
    function = f"{STACK}-ingest"
    run_id = cloud.start_run(API_KEY, pages=10, page_size=5_000)
    until(lambda: cloud.get_json(f"/runs/{run_id}", API_KEY)["inserted"])

    assert cloud.kill(function)

    until(lambda: "Runtime exited with error: signal: killed" in "".join(cloud.logged(function)))
    said, error = cloud.invoke(function, ingest_event({}))
    assert error is None
    assert said["status"] in ("skipped", "succeeded")

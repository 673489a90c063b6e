"""`make deploy` into LocalStack: the package and the templates for AWS, as two stacks that serve."""

import dataclasses
import sys
from zipfile import ZipFile

import boto3
import psycopg2
import pytest

from chalicelib.ledger import OUTCOMES
from infra import deploy, package, secret, stacks
from local import settings
from local.deployment import DUMMY_CREDENTIALS
from tests.keys import API_KEY

if sys.version_info[:2] != package.RUNTIME:
    pytest.skip("the package is for Python 3.13, and made by it", allow_module_level=True)

pytestmark = pytest.mark.timeout(300)

STACKS = ("decant-prod-base", "decant-prod")

# Resources that LocalStack's free edition accepts without creating them, and its answers when asked for them.
NOT_MADE = {
    "AWS::CloudWatch::Dashboard": "there is one in its CloudWatch, but not for CloudFormation",
    "AWS::EC2::SecurityGroupIngress": "it knows only those that stand within their group",
    "AWS::ElastiCache::ReplicationGroup": "it has no ElastiCache",
    "AWS::ElastiCache::SubnetGroup": "it has no ElastiCache",
    "AWS::RDS::DBInstance": "it has no RDS",
    "AWS::RDS::DBParameterGroup": "it has no RDS",
    "AWS::RDS::DBProxy": "it has no RDS",
    "AWS::RDS::DBProxyTargetGroup": "it has no RDS",
    "AWS::RDS::DBSubnetGroup": "it has no RDS",
}
NOTHING = "unknown"


def yes(_question):
    return True


@pytest.fixture(scope="module")
def session(cloud, tmp_path_factory):
    """A session for deploying from a folder with its own package; its credentials lead only to LocalStack."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "infra").symlink_to(deploy.ROOT / "infra")
    package.build("prod", root / "build" / "prod")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**DUMMY_CREDENTIALS, "AWS_ENDPOINT_URL": cloud.endpoint}.items():
            patch.setenv(name, value)
        patch.setattr(deploy, "ROOT", root)
        patch.setattr(stacks, "_PATIENCE", {"Delay": 0.2, "MaxAttempts": 600})
        yield boto3.Session()


@pytest.fixture(scope="module")
def servers(cloud):
    """Servers in place of those that LocalStack does not create; with a separate database for the stack."""
    published = settings.published(cloud.folder / "localstack")
    connection = psycopg2.connect(published["DATABASE_URL"])
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE prod")
    connection.close()
    database = published["DATABASE_URL"].rpartition("/")[0] + "/prod"
    return published | {"DATABASE_URL": database}


@pytest.fixture(scope="module")
def make_deploy(session, servers):
    given = {name: servers[name] for name in ("SOURCE_URL", "API_KEYS")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret, "_stores", lambda *_: {n: servers[n] for n in ("DATABASE_URL", "REDIS_URL")})
        yield lambda: deploy.deploy("prod", session, {"AlarmEmail": "me@example.com"}, given, yes)


@pytest.fixture(scope="module")
def deployed(session, make_deploy):
    """Both stacks; they are destroyed after the tests."""
    make_deploy()
    yield session.client("cloudformation")
    deploy.destroy("prod", session, True, yes)


@pytest.fixture(scope="module")
def api(cloud, deployed):
    address = f"{cloud.endpoint}/_aws/execute-api/{outputs(deployed, STACKS[1])['RestAPIId']}/api"
    return dataclasses.replace(cloud, url=address)


def outputs(cloudformation, stack):
    (description,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in description["Outputs"]}


def test_every_resource_that_localstack_supports_is_created(deployed):
    made = [
        resource
        for stack in STACKS
        for resource in deployed.describe_stack_resources(StackName=stack)["StackResources"]
    ]

    assert {resource["ResourceStatus"] for resource in made} == {"CREATE_COMPLETE"}
    not_made = {one["ResourceType"] for one in made if one["PhysicalResourceId"] == NOTHING}
    assert not_made == set(NOT_MADE)


def test_the_outputs_lead_to_the_created_resources(deployed):
    base, app = (outputs(deployed, stack) for stack in STACKS)

    assert {name for name, value in base.items() if NOTHING in value} == {"DatabaseHost", "CacheHost"}
    assert base["SubnetIds"].count("subnet-") == 2
    assert app["EndpointURL"].endswith("/api/")
    assert app["RestAPIId"] in app["EndpointURL"]
    assert NOTHING not in "".join(app.values())


def test_the_database_was_migrated_before_the_functions_were_created(deployed):
    events = deployed.describe_stack_events(StackName=STACKS[1])["StackEvents"]
    when = {(one["LogicalResourceId"], one["ResourceStatus"]): one["Timestamp"] for one in events}

    migrated = when["Migration", "CREATE_COMPLETE"]
    for function in ("APIHandler", "Ingest", "IngestPage"):
        assert when[function, "CREATE_IN_PROGRESS"] >= migrated


def test_the_stack_serves_and_accepts_only_known_keys(api):
    assert api.ask("GET", "/health")[0] == 200
    assert api.ask("GET", "/users")[0] == 401
    assert api.ask("GET", "/users", "guessed")[0] == 403
    assert api.get_json("/users", API_KEY)["items"] == []


def test_a_backfill_goes_through_the_stacks_own_queue_and_functions(api):
    run = api.finished(api.start_run(API_KEY, pages=25, page_size=4), API_KEY)

    assert run["queued"]
    assert run["status"] == "succeeded"
    assert run["fetched"] == 100 == sum(run[outcome] for outcome in OUTCOMES)


def test_changed_code_is_deployed_as_an_update_and_migrates_again(deployed, api, make_deploy):
    before = api.client("lambda").get_function(FunctionName="decant-prod")["Configuration"]["CodeSha256"]
    with ZipFile(deploy.ROOT / "build/prod/deployment.zip", "a") as packed:
        packed.writestr("other.py", "")

    make_deploy()

    after = api.client("lambda").get_function(FunctionName="decant-prod")["Configuration"]["CodeSha256"]
    assert after != before
    asked = [line for line in api.logged("decant-prod-migrate") if line.startswith("START")]
    assert len(asked) == 2
    (migration,) = deployed.describe_stack_resources(StackName=STACKS[1], LogicalResourceId="Migration")[
        "StackResources"
    ]
    assert migration["ResourceStatus"] == "UPDATE_COMPLETE"
    assert api.ask("GET", "/health")[0] == 200

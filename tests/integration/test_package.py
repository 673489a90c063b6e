"""The result of `make package`: complete, small, compiled, reproducible; and it runs as in Lambda."""

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from shutil import copytree, ignore_patterns
from zipfile import ZipFile

import pytest

from chalicelib.sources.exchange import Limits
from infra import package, secret
from infra.contents import IN_LAMBDA, UNUSED
from local.folders import ROOT
from tests.integration.lambda_runtime import Lambda, link_runtime
from tests.keys import API_KEY
from tests.secret_forms import secrets_in

UNCHECKED_HASH = (1).to_bytes(4, "little")

if sys.version_info[:2] != package.RUNTIME:
    pytest.skip("the package is for Python 3.13, and made by it", allow_module_level=True)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    target = tmp_path_factory.mktemp("build")
    package.build("prod", target)
    return target


@pytest.fixture(scope="module")
def resources(built):
    return json.loads((built / "sam.json").read_text())["Resources"]


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    """The package as a Lambda sees it: read-only."""
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(built / "deployment.zip") as packed:
        packed.extractall(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    link_runtime(folder)
    return folder


@pytest.fixture
def environment(app_environment):
    """The settings of the tests' servers, and nothing else."""
    names = ("DATABASE_URL", "REDIS_URL", "SOURCE_URL", "SOURCE_PAGE_SIZE", "PII_KEYS", "API_KEYS")
    return {name: os.environ[name] for name in names}


@pytest.fixture
def function(unpacked, runtime, environment):
    return lambda handler, **changed: Lambda(unpacked, runtime, f"app.{handler}", environment | changed)


def request(path, method="GET"):
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"Accept": "application/json"},
        "multiValueHeaders": {"Accept": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": method,
            "path": f"/api{path}",
            "stage": "api",
            "requestId": str(uuid.uuid4()),
            "extendedRequestId": "Xxx-xXxXxXxXxXw=",
            "identity": {"sourceIp": "127.0.0.1"},
            "authorizer": {"scopes": "read"},
        },
        "body": None,
        "isBase64Encoded": False,
    }


def test_the_package_answers_api_gateway(function):
    with function("app") as api:
        described = api(request("/openapi.json"))
        health = api(request("/health"))

    assert described["statusCode"] == 200
    assert json.loads(described["body"])["openapi"].startswith("3.1")
    assert (health["statusCode"], json.loads(health["body"])["status"]) == (200, "ok")


def test_the_package_reports_that_postgres_is_down(function):
    with function("app", DATABASE_URL="postgresql://nobody@127.0.0.1:9/nothing") as api:
        assert api(request("/health"))["statusCode"] == 503


def test_the_packages_authorizer_knows_its_keys(function):
    with function("authorize") as authorizer:
        policies = [
            authorizer({"type": "TOKEN", "authorizationToken": f"Bearer {key}", "methodArn": method_arn()})
            for key in (API_KEY, "another")
        ]

    allowed, refused = (answer["policyDocument"]["Statement"][0]["Resource"] for answer in policies)
    assert any(resource.endswith("/GET/users") for resource in allowed)
    assert refused == ["arn:aws:execute-api:us-east-1:000000000000:abcdefghij/api/GET/nowhere"]


def method_arn():
    return "arn:aws:execute-api:us-east-1:000000000000:abcdefghij/api/GET/users"


def test_the_package_migrates_and_ingests(function, environment, empty_database_url, sql):
    environment["DATABASE_URL"] = empty_database_url
    with function("migrate") as migrate:
        assert migrate({})["applied"]
    with function("ingest") as ingest:
        report = ingest(schedule())

    assert report["status"] == "succeeded"
    assert report["inserted"] > 0


def schedule():
    names = ("version", "id", "account", "region", "time", "source", "detail-type")
    return dict.fromkeys(names, "") | {"resources": [], "detail": {}}


def test_a_lambda_writes_nothing_into_the_package(function, unpacked):
    before = {path: path.stat().st_mtime_ns for path in unpacked.rglob("*")}
    with function("app") as api:
        api(request("/health"))

    assert {path: path.stat().st_mtime_ns for path in unpacked.rglob("*")} == before


def test_every_source_has_its_bytecode(unpacked):
    for source in unpacked.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[4:8] == UNCHECKED_HASH, source


def test_files_that_no_lambda_opens_are_not_packed(unpacked):
    unused = [pattern for pattern in UNUSED if pattern != "**/__pycache__"]

    assert [path for pattern in unused for path in unpacked.glob(pattern)] == []
    assert not {"boto3", "botocore"} & {path.name for path in unpacked.iterdir()}


def test_the_package_holds_the_ca_certificates_that_verify_the_stores(unpacked):
    """infra/secret.py points libpq and redis to them; the chains of proxy and cache end in Amazon's roots."""
    authorities = (unpacked / secret.AUTHORITIES.relative_to(IN_LAMBDA)).read_text(encoding="utf-8")

    assert all(f"Amazon Root CA {number}\n" in authorities.replace('"', "") for number in (1, 2, 3, 4))


def test_neither_the_package_nor_the_template_holds_a_secret(built, unpacked, resources):
    ours = [
        unpacked / "app.py",
        *(unpacked / "chalicelib").rglob("*"),
        built / "sam.json",
        built / "packages.txt",
    ]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in ours if path.is_file()}
    variables = {
        name
        for one in resources.values()
        if one["Type"] == "AWS::Serverless::Function"
        for name in one["Properties"]["Environment"]["Variables"]
    }

    assert {str(path): found for path, text in texts.items() if (found := secrets_in(text))} == {}
    assert variables == {"SECRET_ID", "QUEUE_URL", "LOG_LEVEL"}


def test_the_package_is_well_within_lambdas_limits(built):
    with ZipFile(built / "deployment.zip") as packed:
        unzipped = sum(entry.file_size for entry in packed.infolist())

    assert (built / "deployment.zip").stat().st_size <= package.ZIPPED_MB * 1e6
    assert unzipped <= package.UNZIPPED_MB * 1e6 < 250 * 1024 * 1024


def test_another_build_with_the_same_versions_has_the_same_bytes(built, tmp_path):
    project = tmp_path / "elsewhere"
    copytree(ROOT / "chalicelib", project / "chalicelib", ignore=ignore_patterns("__pycache__"))
    copytree(ROOT / ".chalice", project / ".chalice", ignore=ignore_patterns("deploy*"))
    for name in ("app.py", "requirements.txt"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    pinned = {"PIP_CONSTRAINT": str(built / "packages.txt"), "AWS_DEFAULT_REGION": "eu-west-1"}
    command = ("-m", "infra.chalice_cli", "--project-dir", str(project), "package", "--stage", "prod")

    subprocess.run([sys.executable, *command, str(tmp_path)], cwd=ROOT, env=os.environ | pinned, check=True)

    first, second = (hash_of(folder / "deployment.zip") for folder in (built, tmp_path))
    assert first == second


def hash_of(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_cloudformation_accepts_the_template(built):
    lint = [Path(sys.executable).with_name("cfn-lint"), built / "sam.json"]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_functions_with_new_code_wait_for_its_migration(resources):
    migration, migrate = resources["Migration"]["Properties"], resources["Migrate"]

    assert migration["ServiceToken"] == {"Fn::GetAtt": ["Migrate", "Arn"]}
    assert migration["Code"] == migrate["Properties"]["CodeUri"]["Key"]
    assert int(migration["ServiceTimeout"]) > migrate["Properties"]["Timeout"]
    assert {name: resources[name]["DependsOn"] for name in ("APIHandler", "Ingest", "IngestPage")} == {
        "APIHandler": ["Migration", "MayStartRuns"],
        "Ingest": ["Migration", "MaySendPages"],
        "IngestPage": ["Migration", "MayTakePages"],
    }
    assert resources["Migration"]["DependsOn"] == ["MigrateLogGroup"]  # it may not create one itself
    assert "DependsOn" not in migrate


def test_the_functions_that_use_the_stores_are_in_their_network(resources):
    group = {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": [{"Ref": "SecurityGroupId"}]}
    network = {"Fn::If": ["InVpc", group, {"Ref": "AWS::NoValue"}]}

    for name in ("APIHandler", "Ingest", "IngestPage", "Migrate"):
        assert resources[name]["Properties"]["VpcConfig"] == network


def test_messages_wait_as_long_as_aws_allows(resources):
    """A page that waits longer would be lost without a trace."""
    for name in ("Pages", "DeadPages"):
        queue = resources[name]["Properties"]
        assert (queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]) == (14 * 24 * 60 * 60, True)


def test_a_pages_function_outlives_a_source_that_hangs(resources):
    assert resources["IngestPage"]["Properties"]["Timeout"] >= 2 * Limits().page


def test_the_visibility_timeout_is_six_times_the_function_timeout(resources):
    hidden = resources["Pages"]["Properties"]["VisibilityTimeout"]

    assert hidden >= 6 * resources["IngestPage"]["Properties"]["Timeout"]


def test_functions_have_the_names_by_which_they_call_each_other(resources):
    api, ingest = (
        resources[name]["Properties"]["FunctionName"]["Fn::Sub"] for name in ("APIHandler", "Ingest")
    )

    assert ingest == f"{api}-ingest"  # the name that wiring uses


def test_every_function_gets_its_settings_and_its_queue(resources):
    functions = [
        one["Properties"] for one in resources.values() if one["Type"] == "AWS::Serverless::Function"
    ]

    assert len(functions) == 5
    for function in functions:
        variables = function["Environment"]["Variables"]
        assert variables["SECRET_ID"] == "decant-prod"
        assert variables["QUEUE_URL"] == {"Ref": "Pages"}
        assert function["Runtime"] == "python3.13"


def test_concurrency_is_bounded(resources):
    """This also bounds the connections to Postgres, and the costs that a stranger can cause."""
    pages = resources["IngestPage"]["Properties"]["Events"]["IngestPageSqsEventSource"]["Properties"]
    (throttle,) = resources["RestAPI"]["Properties"]["MethodSettings"]

    assert pages["ScalingConfig"] == {"MaximumConcurrency": 5}
    ingest = resources["Ingest"]["Properties"]
    assert ingest["ReservedConcurrentExecutions"] == 1
    assert ingest["EventInvokeConfig"] == {
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": ingest["Timeout"],
    }
    assert (throttle["ThrottlingRateLimit"], throttle["ThrottlingBurstLimit"]) == (50, 100)
    assert resources["Pages"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == 3
    assert resources["APIHandler"]["Properties"]["Timeout"] <= 29  # API Gateway's own limit


def test_api_gateways_own_answers_are_part_of_the_api_definition(resources):
    """As separate resources they would be created after the API's deployment, and apply from the next one."""
    responses = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]

    assert responses["UNAUTHORIZED"]["statusCode"] == "401"
    assert not [one for one in resources.values() if one["Type"] == "AWS::ApiGateway::GatewayResponse"]


def test_the_function_is_subscribed_to_the_queue(resources):
    subscription = resources["IngestPage"]["Properties"]["Events"]["IngestPageSqsEventSource"]["Properties"]

    assert subscription["Queue"] == {"Fn::Sub": "${Pages.Arn}"}
    assert subscription["BatchSize"] == 1


def test_the_alarms_watch_the_dead_letters_the_api_and_silence(resources):
    silent, dead, api = (
        resources[name]["Properties"] for name in ("NoRunSucceeded", "PagesAreDead", "ApiFails")
    )
    letters = resources["Pages"]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    gateway = resources["RestAPI"]["Properties"]

    assert silent["TreatMissingData"] == "breaching"  # a run that never starts writes no line
    assert silent["Metrics"][0]["Expression"] == f"FILL({silent['Metrics'][1]['Id']}, 0)"
    assert dead["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [letters, "QueueName"]}}]
    assert dead["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert {one["Name"]: one["Value"] for one in api["Dimensions"]} == {
        "ApiName": gateway["Name"],
        "Stage": gateway["StageName"],
    }
    assert api["MetricName"] == "5XXError"


def test_the_alarm_about_functions_watches_those_whose_errors_nothing_else_tells(resources):
    watched = [
        one["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]
        for one in resources["FunctionsFail"]["Properties"]["Metrics"][1:]
    ]

    assert watched == ["APIHandler", "Authorize", "Ingest"]


def test_every_alarm_is_raised_at_its_threshold_and_sent(resources):
    alarms = {
        name: one["Properties"] for name, one in resources.items() if one["Type"] == "AWS::CloudWatch::Alarm"
    }

    assert {name: (one["ComparisonOperator"], one["Threshold"]) for name, one in alarms.items()} == {
        "NoRunSucceeded": ("LessThanThreshold", 1),
        "RunFailed": ("GreaterThanThreshold", 0),
        "PagesAreDead": ("GreaterThanThreshold", 0),
        "FunctionsFail": ("GreaterThanThreshold", 0),
        "ApiFails": ("GreaterThanThreshold", 5),
    }
    assert all(one["AlarmActions"] == [{"Ref": "AlarmTopic"}] for one in alarms.values())


def test_the_dashboard_shows_every_function(resources):
    """In a search expression, a quoted name finds that name alone, and not those that begin with it."""
    functions = {
        resource["Properties"]["FunctionName"]["Fn::Sub"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    board = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    searches = [
        one[0]["expression"]
        for widget in board["widgets"]
        for one in widget["properties"]["metrics"]
        if "AWS/Lambda" in str(one[0])
    ]

    assert len(searches) == 3
    for search in searches:
        assert set(re.findall(r'"(decant-[^"]*)"', search)) == functions
        assert len(search) <= 1024

"""`make deploy` and `make destroy`: what they do, in which order, and that they announce it and ask first."""

import json
import sys
from io import BytesIO
from types import SimpleNamespace
from zipfile import ZipFile

import boto3
import moto
import pytest
from botocore.exceptions import ClientError

from infra import deploy
from infra.errors import DeployError
from infra.stacks import Change, Plan
from tests.unit.test_infra_base import TEMPLATE

BASE = {
    "ArtifactBucket": "packages",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupId": "sg-1",
    "SettingsSecretArn": "decant-prod",
    "DatabaseSecretArn": "decant-prod-database",
    "CacheSecretArn": "decant-prod-cache",
    "DatabaseHost": "database.example",
    "DatabaseAuthorities": "certifi/cacert.pem",
    "CacheHost": "cache.example",
}
SETTINGS = {"SOURCE_URL": "https://example.com/users?key=of-the-source"}


class FakeStack:
    """Records all calls on all instances in ``done``."""

    done: list[tuple[object, ...]]
    there: set[str]

    def __init__(self, cloudformation, name, removal):
        self.name = name

    def plan(self, template, given):
        self.done.append(("plan", self.name, template, given))
        return Plan(self.name, (Change("Add", "AWS::SQS::Queue", "Pages", False),), True)

    def planned_parameters(self, template, given):
        return {"Proxy": given.get("Proxy", "true")}

    def execute(self, plan):
        self.done.append(("execute", plan.change_set))

    def discard(self, plan):
        self.done.append(("discard", plan.change_set))

    def protect(self):
        self.done.append(("protect", self.name))

    def exists(self):
        return self.name in self.there

    def delete(self):
        self.done.append(("delete", self.name))

    def resources(self):
        return ["AWS::SQS::Queue Pages"]

    def outputs(self):
        return BASE if self.name.endswith("-base") else {"EndpointURL": "https://decant.example/api/"}


@pytest.fixture
def session(monkeypatch, tmp_path):
    """An account with an empty secret and a bucket, a package in build/prod, and fake stacks."""
    monkeypatch.setattr(FakeStack, "done", [], raising=False)
    monkeypatch.setattr(FakeStack, "there", {"decant-prod", "decant-prod-base"}, raising=False)
    monkeypatch.setattr(deploy, "Stack", FakeStack)
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    for name in ("build/prod/sam.json", "infra/base.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"Parameters": {"AlarmEmail": {"Type": "String"}}}))
    with ZipFile(tmp_path / "build/prod/deployment.zip", "w") as package:
        package.writestr("certifi/cacert.pem", "authorities")
    (tmp_path / "build/prod/packages.txt").write_text("pandas==3.1.1\n")
    with moto.mock_aws():
        session = boto3.Session(region_name="us-east-1")
        session.client("s3").create_bucket(Bucket="packages")
        manager = session.client("secretsmanager")
        manager.create_secret(Name="decant-prod", SecretString="{}")
        login = json.dumps({"username": "decant", "password": "a-password"})
        manager.create_secret(Name="decant-prod-database", SecretString=login)
        manager.create_secret(Name="decant-prod-cache", SecretString=json.dumps({"token": "a-token"}))
        yield session


def yes(question):
    return True


def no(question):
    return False


def steps():
    return [step[:2] for step in FakeStack.done]


def test_the_base_stack_comes_first(session):
    deploy.deploy("prod", session, {}, SETTINGS, yes)

    assert steps() == [
        ("plan", "decant-prod-base"),
        ("execute", "decant-prod-base"),
        ("protect", "decant-prod-base"),
        ("plan", "decant-prod"),
        ("execute", "decant-prod"),
    ]


def test_a_package_without_the_needed_ca_certificates_is_refused_before_anything_changes(session):
    with pytest.raises(DeployError, match=r"the package does not contain chalicelib/rds\.pem"):
        deploy.deploy("prod", session, {"Proxy": "false"}, SETTINGS, yes)
    assert (steps(), secret_of(session)) == ([], {})


def test_a_proxy_value_other_than_true_or_false_is_refused(session):
    with pytest.raises(DeployError, match="Proxy must be true or false"):
        deploy.deploy("prod", session, {"Proxy": "False"}, SETTINGS, yes)
    assert steps() == []


def test_the_ca_certificates_checked_for_are_those_in_the_base_stacks_outputs():
    output = TEMPLATE["Outputs"]["DatabaseAuthorities"]["Value"]

    assert output == {"Fn::If": ["WithProxy", deploy._AUTHORITIES["true"], deploy._AUTHORITIES["false"]]}


@pytest.mark.parametrize("name", ["Stage", "ArtifactKey", "SubnetIds", "SecurityGroupId"])
def test_a_parameter_that_is_not_the_users_to_set_is_refused(session, name):
    with pytest.raises(DeployError, match=f"PARAMETERS: {name} cannot be set"):
        deploy.deploy("prod", session, {name: "test"}, SETTINGS, yes)
    assert steps() == []


def test_an_unknown_parameter_is_refused_before_anything_is_planned(session):
    with pytest.raises(DeployError, match="PARAMETERS: unknown name AlarmEMail, Proxi"):
        deploy.deploy("prod", session, {"AlarmEMail": "me", "Proxi": "false", "Proxy": "false"}, {}, yes)
    assert steps() == []


@pytest.mark.parametrize("answer", [EOFError(), KeyboardInterrupt(), "", "yes?"], ids=repr)
def test_only_a_clear_yes_changes_anything(session, monkeypatch, answer):
    def say(question):
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr("builtins.input", say)

    with pytest.raises(DeployError, match="was not changed"):
        deploy.deploy("prod", session, {}, SETTINGS, deploy._ask)
    assert steps() == [("plan", "decant-prod-base"), ("discard", "decant-prod-base")]


def secret_of(session):
    held = session.client("secretsmanager").get_secret_value(SecretId="decant-prod")
    return json.loads(held["SecretString"])


def test_the_app_stack_gets_its_package_network_and_secret(session):
    deploy.deploy("prod", session, {"AlarmEmail": "me@example.com"}, SETTINGS, yes)

    (_, _, template, given) = FakeStack.done[3]
    bucket, key = given["ArtifactBucket"], given["ArtifactKey"]
    package = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert ZipFile(BytesIO(package)).namelist() == ["certifi/cacert.pem"]
    assert template["TemplateURL"].startswith("https://packages.s3.us-east-1.amazonaws.com/")
    assert {name: given[name] for name in ("SubnetIds", "SecurityGroupId", "SettingsSecretArn")} == {
        name: BASE[name] for name in ("SubnetIds", "SecurityGroupId", "SettingsSecretArn")
    }
    assert given["AlarmEmail"] == "me@example.com"


def test_the_versions_in_the_package_are_uploaded_beside_it(session):
    deploy.deploy("prod", session, {}, SETTINGS, yes)

    key = FakeStack.done[3][3]["ArtifactKey"].replace("deployment.zip", "packages.txt")
    assert session.client("s3").get_object(Bucket="packages", Key=key)["Body"].read() == b"pandas==3.1.1\n"


@pytest.fixture
def new_account(session, monkeypatch):
    """The same without stacks; returns a function that sets the quota of concurrent executions."""
    monkeypatch.setattr(FakeStack, "there", set())
    reserving = {"Ingest": {"Properties": {"ReservedConcurrentExecutions": 1}}}
    (deploy.ROOT / "build/prod/sam.json").write_text(json.dumps({"Parameters": {}, "Resources": reserving}))
    client, limit = session.client, {}
    functions = SimpleNamespace(get_account_settings=lambda: {"AccountLimit": limit})
    monkeypatch.setattr(session, "client", lambda name: functions if name == "lambda" else client(name))

    def set_quota(quota, unreserved):
        limit.update(ConcurrentExecutions=quota, UnreservedConcurrentExecutions=unreserved)

    return set_quota


@pytest.mark.parametrize(("quota", "unreserved"), [(10, 10), (1_000, 100), (100, 100)])
def test_a_quota_that_leaves_nothing_to_reserve_is_refused_before_anything_is_planned(
    new_account, session, quota, unreserved
):
    new_account(quota, unreserved)

    with pytest.raises(DeployError, match=f"quota of {quota} concurrent executions is too small"):
        deploy.deploy("prod", session, {}, SETTINGS, yes)
    assert steps() == []


def test_a_small_quota_is_enough_if_nothing_is_reserved(new_account, session):
    new_account(10, 10)
    (deploy.ROOT / "build/prod/sam.json").write_text(json.dumps({"Parameters": {}, "Resources": {"A": {}}}))

    deploy.deploy("prod", session, {}, SETTINGS, yes)


def test_an_app_that_has_its_reservation_needs_no_other(new_account, session, monkeypatch):
    monkeypatch.setattr(FakeStack, "there", {"decant-prod", "decant-prod-base"})
    new_account(101, 100)

    deploy.deploy("prod", session, {}, SETTINGS, yes)


def test_a_sufficient_quota_is_accepted(new_account, session):
    new_account(1_000, 101)

    deploy.deploy("prod", session, {}, SETTINGS, yes)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "SOURCE_URL: is not set"),
        ({**SETTINGS, "SOURCE_PAGES": "many"}, "SOURCE_PAGES: must be"),
        ({**SETTINGS, "SOURCE_DIALECT": "unheard-of"}, "SOURCE_DIALECT: "),
        ({**SETTINGS, "SORCE": "x"}, "unknown setting SORCE"),
        ({**SETTINGS, "LOG_LEVEL": "INFO"}, "LOG_LEVEL: not read from the secret"),
    ],
)
def test_settings_are_checked_before_the_base_is_created(new_account, session, settings, problem):
    new_account(1_000, 1_000)

    with pytest.raises(DeployError, match=problem):
        deploy.deploy("prod", session, {}, settings, yes)
    assert steps() == []


def test_a_base_that_would_lose_something_is_not_changed_without_an_answer(session, monkeypatch):
    changes = [
        Change("Modify", "AWS::RDS::DBInstance", name, name == "Database") for name in ("A", "Database")
    ]
    loss = Plan("the-change-set", tuple(changes), False)
    monkeypatch.setattr(FakeStack, "plan", lambda *_: loss)
    monkeypatch.setattr("builtins.input", lambda question: "n")

    with pytest.raises(DeployError, match="decant-prod-base was not changed"):
        deploy.deploy("prod", session, {}, SETTINGS, yes)


def test_another_package_gets_another_s3_key(session, tmp_path):
    deploy.deploy("prod", session, {}, SETTINGS, yes)
    with ZipFile(tmp_path / "build/prod/deployment.zip", "a") as package:
        package.writestr("app.py", "other")
    deploy.deploy("prod", session, {}, {}, yes)

    first, second = (FakeStack.done[place][3]["ArtifactKey"] for place in (3, 8))
    assert first != second


def test_it_announces_its_changes_before_it_asks_and_shows_no_value(session, capsys):
    seen = []

    def ask(question):
        seen.append(capsys.readouterr().out)
        return True

    deploy.deploy("prod", session, {}, SETTINGS, ask)
    said = "".join(seen) + capsys.readouterr().out

    base, wanted, app = seen
    assert "Add      AWS::SQS::Queue" in base
    assert wanted.endswith("Settings: DATABASE_URL, PII_KEYS, REDIS_URL, SOURCE_URL would be set.\n")
    assert "Add      AWS::SQS::Queue" in app
    assert said.endswith("Decant is running at https://decant.example/api/\n")
    assert not any(value in said for value in ("a-password", "a-token", "of-the-source"))


def test_a_stack_without_changes_is_left_as_it_is(session, monkeypatch, capsys):
    monkeypatch.setattr(FakeStack, "plan", lambda *_: None)

    deploy.deploy("prod", session, {}, SETTINGS, yes)

    assert steps() == [("protect", "decant-prod-base")]
    assert "decant-prod: nothing to change.\n" in capsys.readouterr().out


def test_answering_no_changes_nothing(session):
    with pytest.raises(DeployError, match="decant-prod-base was not changed"):
        deploy.deploy("prod", session, {}, SETTINGS, no)

    assert steps() == [("plan", "decant-prod-base"), ("discard", "decant-prod-base")]


def test_no_setting_is_changed_without_an_answer(session):
    with pytest.raises(DeployError, match="the settings were not changed"):
        deploy.deploy("prod", session, {}, SETTINGS, lambda question: question != "Set them?")

    assert secret_of(session) == {}
    assert ("plan", "decant-prod") not in steps()


def test_an_app_without_its_settings_is_not_deployed(session):
    with pytest.raises(DeployError, match="SOURCE_URL: is not set"):
        deploy.deploy("prod", session, {}, {}, yes)

    assert ("plan", "decant-prod") not in steps()


@pytest.mark.parametrize(
    ("everything", "deleted"), [(False, ["decant-prod"]), (True, ["decant-prod", "decant-prod-base"])]
)
def test_it_announces_what_it_destroys(session, capsys, everything, deleted):
    deploy.destroy("prod", session, everything, yes)

    assert steps() == [("delete", name) for name in deleted]
    said = capsys.readouterr().out
    assert all(f"{name} would be deleted:\n! AWS::SQS::Queue Pages" in said for name in deleted)
    assert ("snapshot" in said) == everything


def test_answering_no_destroys_nothing(session):
    with pytest.raises(DeployError, match="nothing was deleted"):
        deploy.destroy("prod", session, True, no)

    assert steps() == []


def test_a_missing_stack_cannot_be_destroyed(session, monkeypatch):
    monkeypatch.setattr(FakeStack, "there", set())

    with pytest.raises(DeployError, match="there is no stack decant-prod"):
        deploy.destroy("prod", session, True, yes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy", "--parameters", "AlarmEmail"], "make deploy: PARAMETERS must be words like"),
        (["deploy", "--settings", "absent.json"], "make deploy: SETTINGS must name a file"),
        (["destroy"], "make destroy: You must specify a region."),
    ],
)
def test_an_error_is_reported_in_one_sentence(monkeypatch, capsys, tmp_path, arguments, message):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "argv", ["deploy", *arguments])

    assert deploy.main() == 1
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize(("options", "answer"), [([], False), (["--yes"], True)])
def test_without_yes_it_asks(monkeypatch, options, answer):
    called = []
    monkeypatch.setattr(deploy, "deploy", lambda *arguments: called.append(arguments))
    monkeypatch.setattr("builtins.input", lambda question: "n")
    monkeypatch.setattr(sys, "argv", ["deploy", "deploy", *options])

    assert deploy.main() == 0
    ((_, _, parameters, settings, ask),) = called
    assert (parameters, settings, ask("Change it?")) == ({}, {}, answer)


def test_a_refusal_of_aws_is_reported_in_one_sentence(monkeypatch, capsys):
    def refused(*_):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no."}}, "DescribeStacks")

    monkeypatch.setattr(deploy, "destroy", refused)
    monkeypatch.setattr(sys, "argv", ["deploy", "destroy"])

    assert deploy.main() == 1
    assert capsys.readouterr().err.startswith("make destroy: An error occurred (AccessDenied)")


def test_ctrl_c_says_that_cloudformation_goes_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy, "destroy", interrupted)
    monkeypatch.setattr(sys, "argv", ["deploy", "destroy"])

    assert deploy.main() == 130
    assert "What CloudFormation has begun continues." in capsys.readouterr().err

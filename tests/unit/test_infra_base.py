"""The base stack: a template that CloudFormation accepts, and that keeps every resource with data."""

import subprocess
import sys
from pathlib import Path

import pytest
from chalice.package import YAMLTemplateSerializer

BASE = Path(__file__).parents[2] / "infra/base.yaml"
TEMPLATE = YAMLTemplateSerializer().load_template(BASE.read_text())
RESOURCES = TEMPLATE["Resources"]


def test_cloudformation_accepts_the_template():
    lint = [Path(sys.executable).with_name("cfn-lint"), BASE]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "deletion", "replacement"),
    [
        ("Database", "Snapshot", "Snapshot"),
        ("SettingsSecret", "RetainExceptOnCreate", "Retain"),
        ("DatabaseSecret", "RetainExceptOnCreate", "Retain"),
        ("Artifacts", "RetainExceptOnCreate", "Retain"),
    ],
)
def test_resources_with_data_survive_the_stack(name, deletion, replacement):
    assert RESOURCES[name]["DeletionPolicy"] == deletion
    assert RESOURCES[name]["UpdateReplacePolicy"] == replacement


def test_the_template_contains_no_setting_and_so_overwrites_none():
    assert RESOURCES["SettingsSecret"]["Properties"]["SecretString"] == "{}"


def test_everything_is_encrypted_in_transit_and_at_rest():
    cache, database = RESOURCES["Cache"]["Properties"], RESOURCES["Database"]["Properties"]

    assert cache["TransitEncryptionEnabled"]
    assert cache["AtRestEncryptionEnabled"]
    assert database["StorageEncrypted"]
    assert database["PubliclyAccessible"] is False
    assert RESOURCES["DatabaseProxy"]["Properties"]["RequireTLS"]


def test_postgres_logs_no_statement_and_no_row():
    group = RESOURCES["Database"]["Properties"]["DBParameterGroupName"]["Ref"]
    parameters = RESOURCES[group]["Properties"]["Parameters"]

    assert parameters == {"log_min_error_statement": "panic", "log_error_verbosity": "terse"}


def test_only_the_functions_reach_the_stores():
    inside = RESOURCES["StoresGroup"]["Properties"]["SecurityGroupIngress"]
    outside = [
        resource["Properties"]
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress"
    ]

    assert all(rule["GroupId"] == {"Ref": "StoresGroup"} for rule in outside)
    assert {rule["SourceSecurityGroupId"]["Ref"] for rule in inside} == {"FunctionsGroup"}
    assert {rule["SourceSecurityGroupId"]["Ref"] for rule in outside} == {"StoresGroup"}  # the proxy's


def test_postgres_is_backed_up_for_a_week():
    assert RESOURCES["Database"]["Properties"]["BackupRetentionPeriod"] >= 7

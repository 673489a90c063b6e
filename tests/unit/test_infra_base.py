"""The base stack: a template that CloudFormation accepts, and that keeps every resource with data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from chalice.package import YAMLTemplateSerializer

from local.folders import ROOT

BASE = ROOT / "infra/base.yaml"
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
    assert {(rule["SourceSecurityGroupId"]["Ref"], rule["ToPort"]) for rule in inside} == {
        ("FunctionsGroup", 5432),
        ("FunctionsGroup", 6379),
    }
    assert {rule["SourceSecurityGroupId"]["Ref"] for rule in outside} == {"StoresGroup"}  # the proxy's
    stores = (
        ("Database", "VPCSecurityGroups"),
        ("DatabaseProxy", "VpcSecurityGroupIds"),
        ("Cache", "SecurityGroupIds"),
    )
    for name, groups in stores:
        assert RESOURCES[name]["Properties"][groups] == [{"Ref": "StoresGroup"}]
    assert TEMPLATE["Outputs"]["SecurityGroupId"]["Value"] == {"Ref": "FunctionsGroup"}


def test_stores_and_functions_are_in_subnets_that_nobody_outside_reaches():
    private = [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
    tables = {
        one["Properties"]["SubnetId"]["Ref"]: one["Properties"]["RouteTableId"]["Ref"]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::EC2::SubnetRouteTableAssociation"
    }
    (route,) = [
        one["Properties"]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::EC2::Route" and one["Properties"]["RouteTableId"] == {"Ref": "PrivateRoutes"}
    ]

    for name, subnets in (
        ("DatabaseSubnets", "SubnetIds"),
        ("DatabaseProxy", "VpcSubnetIds"),
        ("CacheSubnets", "SubnetIds"),
    ):
        assert RESOURCES[name]["Properties"][subnets] == private
    assert TEMPLATE["Outputs"]["SubnetIds"]["Value"] == {"Fn::Join": [",", private]}
    assert {tables[subnet["Ref"]] for subnet in private} == {"PrivateRoutes"}
    assert (route["NatGatewayId"], "GatewayId" in route) == ({"Ref": "Nat"}, False)


def test_nobody_else_reads_the_packages():
    bucket = RESOURCES["Artifacts"]["Properties"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]


def test_each_store_wants_a_password_that_can_be_part_of_a_url():
    database, cache = RESOURCES["Database"]["Properties"], RESOURCES["Cache"]["Properties"]

    assert "${DatabaseSecret}:SecretString:password" in database["MasterUserPassword"]["Fn::Sub"]
    assert "${CacheSecret}:SecretString:token" in cache["AuthToken"]["Fn::Sub"]
    for name in ("DatabaseSecret", "CacheSecret"):
        assert RESOURCES[name]["Properties"]["GenerateSecretString"]["ExcludePunctuation"] is True


def test_the_proxy_may_read_the_password_of_postgres_and_nothing_else():
    (policy,) = RESOURCES["ProxyRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert statement == {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": {"Ref": "DatabaseSecret"},
    }


def test_the_proxy_leads_to_postgres_and_the_functions_to_the_proxy():
    proxy, database = (
        {"Fn::GetAtt": path} for path in (["DatabaseProxy", "Endpoint"], ["Database", "Endpoint.Address"])
    )

    targets = RESOURCES["DatabaseProxyTargets"]["Properties"]
    assert (targets["DBProxyName"], targets["DBInstanceIdentifiers"]) == (
        {"Ref": "DatabaseProxy"},
        [{"Ref": "Database"}],
    )
    assert TEMPLATE["Outputs"]["DatabaseHost"]["Value"] == {"Fn::If": ["WithProxy", proxy, database]}


def test_the_proxys_log_is_kept_as_long_as_those_of_the_functions():
    stages = json.loads((BASE.parents[1] / ".chalice/config.json").read_text(encoding="utf-8"))["stages"]

    kept = RESOURCES["DatabaseProxyLogGroup"]["Properties"]["RetentionInDays"]
    assert kept == stages["prod"]["log_retention_in_days"]


def test_postgres_is_backed_up_for_a_week():
    assert RESOURCES["Database"]["Properties"]["BackupRetentionPeriod"] >= 7

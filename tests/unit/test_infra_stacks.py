"""Stacks: their changes are planned, shown, carried out or taken back."""

import json
from datetime import UTC, datetime

import boto3
import moto
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from infra import stacks
from infra.errors import DeployError
from infra.stacks import Change, Plan, Stack

NOW = datetime.now(UTC)
STACK = "arn:aws:cloudformation:us-east-1:000000000000:stack/decant-prod/1"
CHANGE_SET = "arn:aws:cloudformation:us-east-1:000000000000:changeSet/decant/1"


def template(*queues, **parameters):
    resources = {name: {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}} for name in queues}
    declared = {name: {"Type": "String", "Default": value} for name, value in parameters.items()}
    outputs = {name: {"Value": {"Ref": name}} for name in parameters}
    return {"TemplateBody": json.dumps({"Resources": resources, "Parameters": declared, "Outputs": outputs})}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(stacks, "_PATIENCE", {"Delay": 0, "MaxAttempts": 3})


@pytest.fixture
def cloudformation():
    with moto.mock_aws():
        yield boto3.client("cloudformation", region_name="us-east-1")


@pytest.fixture
def stack(cloudformation):
    return Stack(cloudformation, "decant-prod", "make destroy STAGE=prod")


@pytest.fixture
def standing(stack):
    """The stack with one queue and two parameters, one of them given."""
    stack.execute(stack.plan(template("one", Kept="default", Free="default"), {"Kept": "given"}))
    return stack


def test_a_plan_lists_what_would_be_created_and_creates_nothing(stack):
    plan = stack.plan(template("one", "two"), {})

    assert plan.first
    assert {(change.action, change.name, change.is_destructive) for change in plan.changes} == {
        ("Add", "one", False),
        ("Add", "two", False),
    }
    assert boto3.client("sqs", region_name="us-east-1").list_queues().get("QueueUrls", []) == []


def parameters(cloudformation):
    (stack,) = cloudformation.describe_stacks(StackName="decant-prod")["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def test_a_plan_is_carried_out(standing, cloudformation):
    assert standing.exists()
    assert [resource.split() for resource in standing.resources()] == [["AWS::SQS::Queue", "one"]]
    assert parameters(cloudformation)["Kept"] == "given"


def test_parameters_are_planned_as_given_else_as_deployed_else_as_default(standing):
    wanted = template("one", Kept="default", Free="default", New="default")

    assert standing.planned_parameters(wanted, {"Free": "now given"}) == {
        "Kept": "given",
        "Free": "now given",
        "New": "default",
    }


def test_parameters_of_a_missing_stack_are_planned_too(stack):
    assert stack.planned_parameters(template("one", Free="default"), {}) == {"Free": "default"}


def test_a_plan_that_is_taken_back_leaves_nothing(stack):
    stack.discard(stack.plan(template("one"), {}))

    assert not stack.exists()


def test_a_leftover_plan_does_not_block_the_next_one(stack):
    """CloudFormation refuses a second change set of the same name."""
    first, second = (stack.plan(template("one"), {}).change_set for _ in range(2))

    assert first != second


def test_a_removed_resource_is_listed(standing):
    plan = standing.plan(template("two", Kept="default", Free="default"), {})

    assert not plan.first
    assert {(change.action, change.name, change.is_destructive) for change in plan.changes} == {
        ("Add", "two", False),
        ("Remove", "one", True),
    }


def test_a_parameter_that_is_not_given_again_keeps_its_value(standing, cloudformation):
    changed = template("one", "two", Kept="default", Free="default")
    standing.execute(standing.plan(changed, {"Free": "given", "Unknown": "to this template"}))

    assert parameters(cloudformation) == {"Kept": "given", "Free": "given"}


@pytest.mark.parametrize(
    ("change", "beginning"),
    [
        (Change("Add", "AWS::SQS::Queue", "Pages", False), "  Add      AWS::SQS::Queue"),
        (Change("Modify", "AWS::RDS::DBInstance", "Database", True), "! Replace  AWS::RDS::DBInstance"),
        (Change("Remove", "AWS::RDS::DBInstance", "Database", True), "! Remove   AWS::RDS::DBInstance"),
    ],
)
def test_a_loss_stands_out(change, beginning):
    assert str(change).startswith(beginning)


# What moto does not support: scripted answers in the service's own format, in this order.


@pytest.fixture
def scripted():
    client = boto3.client(
        "cloudformation", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    with Stubber(client) as script:
        yield Stack(client, "decant-prod", "make destroy STAGE=prod"), script
        script.assert_no_pending_responses()


def described(status, **more):
    stack = {"StackName": "decant-prod", "StackId": STACK, "CreationTime": NOW, "StackStatus": status}
    return {"Stacks": [stack | more]}


def event(status, name, reason):
    event = {"EventId": name, "StackName": "decant-prod", "Timestamp": NOW, "LogicalResourceId": name}
    return event | {"StackId": STACK, "ResourceStatus": status, "ResourceStatusReason": reason}


def planned(script, status, reason=""):
    for _ in range(2):
        script.add_response("describe_stacks", described("UPDATE_COMPLETE"))
    script.add_response("get_template_summary", {"Parameters": []})
    script.add_response("create_change_set", {"Id": CHANGE_SET})
    script.add_response("describe_change_set", {"Status": status, "StatusReason": reason})


NOTHING = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)


def test_without_changes_there_is_no_plan(scripted):
    stack, script = scripted
    planned(script, "FAILED", NOTHING)
    script.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})

    assert stack.plan(template("one"), {}) is None


def test_a_plan_that_cannot_be_made_says_why(scripted):
    stack, script = scripted
    planned(script, "FAILED", "Transform failed")
    script.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})

    with pytest.raises(DeployError, match="cannot be planned: Transform failed"):
        stack.plan(template("one"), {})


def test_a_first_plan_that_cannot_be_made_leaves_no_stack(scripted):
    stack, script = scripted
    script.add_client_error("describe_stacks", "ValidationError", "Stack decant-prod does not exist")
    script.add_response("get_template_summary", {"Parameters": []})
    script.add_response("create_change_set", {"Id": CHANGE_SET})
    script.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": "Transform failed"})
    script.add_response("delete_change_set", {}, {"ChangeSetName": CHANGE_SET})
    script.add_response("delete_stack", {}, {"StackName": "decant-prod"})

    with pytest.raises(DeployError, match="cannot be planned: Transform failed"):
        stack.plan(template("one"), {})


def test_a_failure_is_reported_with_the_resource_that_failed_first(scripted):
    stack, script = scripted
    events = [
        event("UPDATE_ROLLBACK_COMPLETE", "decant-prod", "The following resources failed"),
        event("UPDATE_FAILED", "APIHandler", "Resource update cancelled"),
        event("UPDATE_FAILED", "Migration", "query migrate failed: SQLSTATE 42703"),
        event("UPDATE_IN_PROGRESS", "decant-prod", "User Initiated"),
        event("CREATE_FAILED", "Older", "of another time"),
    ]
    script.add_response("execute_change_set", {})
    script.add_response("describe_stacks", described("UPDATE_ROLLBACK_COMPLETE"))
    script.add_response("describe_stack_events", {"StackEvents": events[:2], "NextToken": "older"})
    script.add_response("describe_stack_events", {"StackEvents": events[2:]})

    with pytest.raises(DeployError, match=r"Migration: query migrate failed: SQLSTATE 42703$"):
        stack.execute(Plan(CHANGE_SET, (), False))


def test_a_protected_stack_can_be_deleted(scripted):
    stack, script = scripted
    script.add_response("describe_stacks", described("UPDATE_COMPLETE"))
    unprotected = {"StackName": "decant-prod", "EnableTerminationProtection": False}
    script.add_response("update_termination_protection", {}, unprotected)
    script.add_response("delete_stack", {}, {"StackName": "decant-prod"})
    script.add_response("describe_stacks", described("DELETE_COMPLETE"), {"StackName": STACK})

    stack.delete()


def test_a_stack_can_be_protected_from_deletion(scripted):
    stack, script = scripted
    protected = {"StackName": "decant-prod", "EnableTerminationProtection": True}
    script.add_response("update_termination_protection", {}, protected)

    stack.protect()


def test_a_stack_that_may_not_be_looked_at_does_not_count_as_absent(scripted):
    stack, script = scripted
    script.add_client_error("describe_stacks", "AccessDenied", "not authorized")

    with pytest.raises(ClientError):
        stack.exists()


def test_the_outputs_of_a_stack_are_read_by_name(scripted):
    stack, script = scripted
    outputs = [{"OutputKey": "EndpointURL", "OutputValue": "https://decant.example"}]
    script.add_response("describe_stacks", described("UPDATE_COMPLETE", Outputs=outputs))

    assert stack.outputs() == {"EndpointURL": "https://decant.example"}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("ROLLBACK_COMPLETE", "`make destroy STAGE=prod` removes"),
        ("ROLLBACK_FAILED", "`make destroy STAGE=prod` removes"),
        ("DELETE_FAILED", "`make destroy STAGE=prod` removes"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name decant-prod`"),
        ("UPDATE_IN_PROGRESS", "already being changed"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "already being changed"),
    ],
)
def test_a_stack_that_cannot_be_changed_now_is_an_error(scripted, status, message):
    stack, script = scripted
    script.add_response("describe_stacks", described(status))

    with pytest.raises(DeployError, match=message):
        stack.plan(template("one"), {})


@pytest.mark.parametrize(
    ("replacement", "is_lost"), [("True", True), ("Conditional", True), ("False", False)]
)
def test_a_resource_that_is_or_may_be_replaced_counts_as_lost(scripted, replacement, is_lost):
    stack, script = scripted
    planned(script, "CREATE_COMPLETE")
    change = {
        "Action": "Modify",
        "ResourceType": "AWS::RDS::DBInstance",
        "LogicalResourceId": "Database",
        "Replacement": replacement,
    }
    script.add_response("describe_change_set", {"Changes": [{"ResourceChange": change}]})

    assert [change.is_destructive for change in stack.plan(template("one"), {}).changes] == [is_lost]

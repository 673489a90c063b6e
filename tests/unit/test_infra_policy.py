"""The functions may do on AWS exactly what their code does, or what Lambda does for them."""

import ast
import json

import boto3
import pytest

from infra import package
from local.folders import ROOT

POLICY = json.loads((ROOT / ".chalice/policy-prod.json").read_text())
APART = [
    resource["Properties"]
    for resource in package.additions("prod")["Resources"].values()
    if resource.get("Type") == "AWS::IAM::Policy"
]

# What Lambda does on behalf of the function.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
NETWORK = {
    *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
}
# Operations whose IAM action has another name.
ALLOWED_AS = {"lambda:Invoke": "lambda:InvokeFunction", "sqs:SendMessageBatch": "sqs:SendMessage"}


def calls():
    """The operations that chalicelib/aws.py calls on boto3's clients, as IAM names them."""
    found = set()
    for function in ast.walk(ast.parse((ROOT / "chalicelib/aws.py").read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        services = [node.args[0].value for node in ast.walk(function) if called(node, "boto3", "client")]
        methods = {
            node.func.attr
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and client(node.func.value)
        }
        assert bool(methods) == bool(services), f"{function.name} uses a client that this test does not see"
        for service in services:
            names = boto3.client(service, region_name="us-east-1").meta.method_to_api_mapping
            found |= {f"{service}:{names[method]}" for method in methods}
    return {ALLOWED_AS.get(call, call) for call in found}


def called(node, owner, name):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (getattr(node.func.value, "id", ""), node.func.attr) == (owner, name)
    )


def client(node):
    return getattr(node, "id", "") == "client"


def actions(statement):
    action = statement["Action"]
    return {action} if isinstance(action, str) else set(action)


def allowed(policy):
    return [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]


OF_ALL = allowed(POLICY)
ALLOWED = OF_ALL + [statement for one in APART for statement in allowed(one["PolicyDocument"])]


def test_every_call_is_allowed_and_nothing_else_is():
    assert set().union(*map(actions, ALLOWED)) == calls() | LOGS | QUEUE | NETWORK


def test_the_permissions_shared_by_all_functions_only_read_settings():
    assert set().union(*map(actions, OF_ALL)) == {"secretsmanager:GetSecretValue"} | LOGS | NETWORK


def test_only_a_functions_own_role_may_do_what_it_alone_does():
    roles = {
        role["Ref"]: set().union(*map(actions, allowed(one["PolicyDocument"])))
        for one in APART
        for role in one["Roles"]
    }

    assert roles == {
        "ApiHandlerRole": {"lambda:InvokeFunction"},
        "IngestRole": {"sqs:SendMessage"},
        "IngestPageRole": QUEUE,
    }


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda statement: statement["Sid"])
def test_every_action_exists_in_aws(statement):
    for action in actions(statement):
        service, name = action.split(":")
        known = boto3.client(service, region_name="us-east-1").meta.service_model.operation_names
        assert name in known or action in ALLOWED_AS.values(), action


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda statement: statement["Sid"])
def test_every_resource_that_has_a_name_is_named(statement):
    resource = statement["Resource"]
    if actions(statement) <= NETWORK:  # network interfaces have no name until they are created
        assert resource == "*"
        return
    for one in resource if isinstance(resource, list) else [resource]:
        named = one.get("Ref") or ".".join(one.get("Fn::GetAtt", [])) or one["Fn::Sub"]
        assert "*" not in named.removesuffix(":*").replace("/decant-${Stage}-*", ""), named


def test_only_lambda_and_not_the_code_may_use_the_network_actions():
    (denied,) = [statement for statement in POLICY["Statement"] if statement["Effect"] == "Deny"]

    assert (denied["Action"], denied["Resource"]) == ("ec2:*", "*")
    (functions,) = denied["Condition"]["ArnLike"]["lambda:SourceFunctionArn"].values()
    assert functions.endswith(":function:decant-${Stage}*")


def test_no_policy_is_generated_automatically():
    stages = json.loads((ROOT / ".chalice/config.json").read_text())["stages"]

    assert stages["prod"]["autogen_policy"] is False
    assert stages["prod"]["iam_policy_file"] == "policy-prod.json"

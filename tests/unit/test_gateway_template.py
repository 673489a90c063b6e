"""What API Gateway answers by itself when deployed: infra/gateway.json, for `--merge-template`."""

import json
from pathlib import Path

import chalice.local
import pytest

from chalicelib import emulator

TEMPLATE = json.loads((Path(__file__).parents[2] / "infra/gateway.json").read_text())
RESPONSES = TEMPLATE["Resources"]["RestAPI"]["Properties"]["DefinitionBody"][
    "x-amazon-apigateway-gateway-responses"
]
SAID_BY_BOTH = {
    "UNAUTHORIZED": 401,
    "ACCESS_DENIED": 403,
    "MISSING_AUTHENTICATION_TOKEN": 404,
    "REQUEST_TOO_LARGE": 413,
}


@pytest.mark.parametrize(("kind", "status"), SAID_BY_BOTH.items())
def test_the_deployed_gateway_refuses_in_the_words_of_the_corrected_emulator(kind, status):
    emulated = json.loads(emulator._refusal(status, "an-id")["body"])
    deployed = json.loads(RESPONSES[kind]["responseTemplates"]["application/json"])

    assert RESPONSES[kind]["statusCode"] == str(status)
    assert deployed == {**emulated, "request_id": "$context.requestId"}


@pytest.mark.parametrize("kind", RESPONSES)
def test_every_answer_of_the_gateway_is_a_problem_with_the_requests_id(kind):
    headers = RESPONSES[kind]["responseParameters"]

    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert headers["gatewayresponse.header.X-Request-Id"] == "context.requestId"
    assert json.loads(RESPONSES[kind]["responseTemplates"]["application/json"])["title"]


def test_no_answer_of_the_gateway_is_left_to_itself():
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(RESPONSES)


def test_the_emulator_is_one_that_can_be_corrected():
    """What ``emulator.correct`` replaces is Chalice's own, which another version may name otherwise."""
    handler = chalice.local.ChaliceRequestHandler
    for part in ("_generic_handle", "_send_http_response_with_body", "_send_http_response", "_send_headers"):
        assert callable(getattr(handler, part))
    assert callable(chalice.local.LocalGateway.handle_request)

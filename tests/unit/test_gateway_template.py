"""The deployed API Gateway's own answers: infra/gateway.py, merged into Chalice's template."""

import json

import chalice.local
import pytest

import app
from chalicelib import answers, openapi
from chalicelib.sources import random_data_api
from infra import package
from infra.gateway import STATUSES, template

ORIGIN = "https://pages.example"
SAID_BY_BOTH = {
    "UNAUTHORIZED": (401, "An API key is required"),
    "ACCESS_DENIED": (403, "The key is not valid, or lacks the scope"),
    "MISSING_AUTHENTICATION_TOKEN": (404, "No such path"),
    "REQUEST_TOO_LARGE": (413, "Body too large"),
}


def responses_of(merged):
    definition = merged["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    return definition["x-amazon-apigateway-gateway-responses"]


def headers_of(response):
    prefix = "gatewayresponse.header."
    return {name.removeprefix(prefix): value for name, value in response["responseParameters"].items()}


RESPONSES = responses_of(template(None))


@pytest.mark.parametrize(("kind", "said"), SAID_BY_BOTH.items())
def test_the_deployed_gateway_and_the_corrected_emulator_refuse_alike(kind, said):
    status, title = said
    deployed = json.loads(RESPONSES[kind]["responseTemplates"]["application/json"])

    assert RESPONSES[kind]["statusCode"] == str(status)
    assert deployed == {"title": title, "status": status, "request_id": "$context.extendedRequestId"}
    assert json.loads(answers.refusal(status, "an-id")["body"]) == {**deployed, "request_id": "an-id"}


@pytest.mark.parametrize("kind", RESPONSES)
def test_every_answer_of_the_gateway_is_a_problem_with_the_requests_id(kind):
    headers, body = (
        headers_of(RESPONSES[kind]),
        json.loads(RESPONSES[kind]["responseTemplates"]["application/json"]),
    )

    assert headers["Content-Type"] == "'application/problem+json'"
    assert headers["X-Request-Id"] == "context.extendedRequestId"
    assert headers["Cache-Control"] == "'no-store'"
    assert (str(body["status"]), bool(body["title"])) == (RESPONSES[kind]["statusCode"], True)


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_fixed_header_is_quoted_and_contains_no_quote(kind):
    """API Gateway has no way to escape one."""
    for name, value in headers_of(RESPONSES[kind]).items():
        assert name == "X-Request-Id" or (value[0], value[-1], value.count("'")) == ("'", "'", 2)


def test_only_the_answer_to_a_missing_key_says_how_to_authenticate():
    asked = [kind for kind, response in RESPONSES.items() if "WWW-Authenticate" in headers_of(response)]

    assert asked == ["UNAUTHORIZED"]


def test_every_answer_of_the_gateway_is_covered():
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(RESPONSES)


def test_the_gateways_answers_are_in_the_openapi_document():
    started = openapi.document(app.route.all, random_data_api.DIALECT)["paths"]["/runs"]["post"]["responses"]

    assert {str(status) for status in STATUSES.values()} <= set(started)


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_page_of_the_allowed_origin_can_read_the_gateways_answers(monkeypatch, kind):
    """Otherwise a script could not tell a wrong key from a server that is down."""
    monkeypatch.setenv("ALLOWED_ORIGIN", ORIGIN)

    headers = headers_of(responses_of(package.additions("prod"))[kind])

    assert headers["Access-Control-Allow-Origin"] == f"'{ORIGIN}'"
    assert "X-Request-Id" in headers["Access-Control-Expose-Headers"]


def test_the_stages_own_origin_is_the_one_that_the_app_allows(monkeypatch):
    monkeypatch.setenv("ALLOWED_ORIGIN", "https://another.example")
    stage = {"environment_variables": {"ALLOWED_ORIGIN": ORIGIN}}
    monkeypatch.setattr(package, "_config", lambda: {"stages": {"prod": stage}})

    headers = headers_of(responses_of(package.additions("prod"))["DEFAULT_4XX"])

    assert headers["Access-Control-Allow-Origin"] == f"'{ORIGIN}'"


def test_without_an_allowed_origin_no_page_can_read_them(monkeypatch):
    monkeypatch.delenv("ALLOWED_ORIGIN", raising=False)

    for response in responses_of(package.additions("prod")).values():
        assert not [name for name in headers_of(response) if name.startswith("Access-Control")]


def test_the_emulator_has_the_methods_that_we_replace():
    """``emulator.correct`` replaces internals of Chalice, which another version may rename."""
    handler = chalice.local.ChaliceRequestHandler
    for part in (
        "_generic_handle",
        "_parse_payload",
        "_send_http_response_with_body",
        "_send_http_response",
        "_send_headers",
    ):
        assert callable(getattr(handler, part))
    assert callable(chalice.local.LocalGateway.handle_request)

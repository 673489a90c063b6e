"""Which key may use which route: every route with every key, and how the others are refused."""

import json
import logging
import re
import secrets

import chalice.local
import pytest

import app
from chalicelib.access import key_hash
from tests.integration.api_support import (
    API_KEY,
    BODIES,
    ERASE,
    KEY_WITHOUT_SCOPES,
    KEYS,
    OPERATE,
    READ,
    ROUTES,
    SCOPED,
    sample_path,
)

OPEN = [route for route in ROUTES if route[2] is None]
KEY_OF = {"read": READ, "operate": OPERATE, "erase": ERASE}


def call(api, method, path, **how):
    return api(method, sample_path(path), body=BODIES.get(path) if method == "POST" else None, **how)


def test_the_routes_are_those_of_the_design():
    declared = {(route.method, route.path, route.scope) for route in app.route.all}

    assert declared == set(ROUTES)


def test_chalice_knows_every_route_with_its_authorizer():
    registered = {
        (method, path, entry.authorizer is not None)
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
    }
    heads = {("HEAD", path, scope is not None) for method, path, scope in ROUTES if method == "GET"}

    assert registered == {(method, path, scope is not None) for method, path, scope in ROUTES} | heads


@pytest.mark.parametrize(("method", "path", "_"), OPEN)
def test_an_open_route_needs_no_key(api, method, path, _):
    assert call(api, method, path, key=None).status == 200


@pytest.mark.parametrize(("method", "path", "_"), OPEN)
def test_an_open_route_ignores_a_wrong_key(api, method, path, _):
    assert call(api, method, path, key="guessed").status == 200


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_without_an_authorization_header_the_answer_is_401(api, method, path, scope):
    answer = call(api, method, path, key=None)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 401


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_a_wrong_key_and_a_key_without_the_scope_get_the_same_answer(api, method, path, scope):
    others = [key for key, scopes in KEYS.items() if scope not in scopes]

    refusals = [call(api, method, path, key=key) for key in ("guessed", "", *others)]

    assert len(refusals) == 5
    assert {refusal.status for refusal in refusals} == {403}
    assert all(refusal.without_id() == refusals[0].without_id() for refusal in refusals)


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_a_key_with_the_scope_is_let_in(api, method, path, scope):
    for key in (KEY_OF[scope], API_KEY):
        assert call(api, method, path, key=key).status in {200, 202, 400, 404}


@pytest.mark.parametrize(("method", "path", "scope"), [route for route in SCOPED if route[0] == "GET"])
def test_head_needs_the_same_key_as_get(api, method, path, scope):
    assert call(api, "HEAD", path, key=None).status == 401
    assert call(api, "HEAD", path, key=ERASE).status == 403
    assert call(api, "HEAD", path, key=READ).status == call(api, "GET", path, key=READ).status


NO_KEYS = [
    API_KEY,
    f"Basic {API_KEY}",
    f"Bearer{API_KEY}",
    f"Bearer {API_KEY}x",
    f"Bearer {API_KEY[:-1]}",
    f"Bearer {API_KEY.upper()}",
    f"Bearer {key_hash(API_KEY)}",
    f"Bearer {API_KEY} {API_KEY}",
    "Bearer",
    "",
    "Bearer kéy",
    "Bearer \x00",
    "Bearer " + "k" * 8_000,
]


def test_only_a_known_key_as_a_bearer_token_is_accepted(api):
    for header in NO_KEYS:
        assert api("GET", "/users", key=None, Authorization=header).status == 403, header


def test_the_name_of_the_header_may_be_written_in_any_case(api):
    assert api("GET", "/users", key=None, AUTHORIZATION=f"Bearer {API_KEY}").status == 200


@pytest.mark.parametrize("setting", ["", "{}"])
def test_a_stage_without_keys_serves_only_the_open_routes(api, app_environment, setting):
    app_environment(API_KEYS=setting)

    assert {call(api, method, path).status for method, path, _ in OPEN} == {200}
    assert {call(api, method, path).status for method, path, _ in SCOPED} == {403}


def test_malformed_keys_grant_no_access_and_the_log_says_why(api, app_environment, caplog):
    app_environment(API_KEYS='{"hush": 1}')

    answer = api.get("/users")

    assert answer.status == 403
    assert "API_KEYS" in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize("presented", [*KEYS, "guessed"])
def test_every_configured_hash_is_compared_whichever_key_is_sent(api, monkeypatch, presented):
    compared = []
    original = secrets.compare_digest
    monkeypatch.setattr(secrets, "compare_digest", lambda a, b: compared.append({a, b}) or original(a, b))

    api.get("/users", key=presented)

    assert compared == [{key_hash(key), key_hash(presented)} for key in KEYS]


def test_neither_a_refusal_nor_the_log_repeats_the_key(api, caplog, capsys):
    caplog.set_level(logging.DEBUG)

    answer = api.get("/users", key="guessed-and-wrong")

    output = f"{answer.body} {answer.headers} {caplog.text} {capsys.readouterr()}"
    assert "guessed-and-wrong" not in output
    assert key_hash("guessed-and-wrong") not in output


# API Gateway caches an authorizer's answer for a minute and uses it for all further requests with that key.
# So it must be right for every route and not only for the requested one.


def opened_by(key):
    """The routes that the policy for a key allows; the same whichever route was requested."""
    arn = "arn:aws:execute-api:mars-west-1:1:api/stage/{}{}"
    knocked = {
        "type": "TOKEN",
        "authorizationToken": f"Bearer {key}",
        "methodArn": arn.format("GET", "/health"),
    }
    policy = app.authorize(knocked, None)["policyDocument"]
    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Allow"
    matcher = [re.escape(resource).replace(r"\*", ".*") for resource in statement["Resource"]]
    return {
        (method, path)
        for path, methods in app.app.routes.items()
        for method in methods
        if any(re.fullmatch(one, arn.format(method, sample_path(path))) for one in matcher)
    }


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("key", [*KEYS, "guessed"])
def test_the_policy_for_a_key_allows_exactly_the_routes_of_its_scopes(key):
    scopes = KEYS.get(key, [])
    doors = {(method, path) for method, path, scope in SCOPED if scope in scopes}
    doors |= {("HEAD", path) for method, path in doors if method == "GET"}

    assert opened_by(key) == doors


@pytest.mark.usefixtures("api")
def test_the_policy_does_not_contain_the_key():
    knocked = {
        "type": "TOKEN",
        "authorizationToken": f"Bearer {KEY_WITHOUT_SCOPES}",
        "methodArn": "arn:aws:execute-api:mars-west-1:1:api/stage/GET/users",
    }

    assert KEY_WITHOUT_SCOPES not in json.dumps(app.authorize(knocked, None))


def test_correcting_the_emulator_twice_changes_nothing():
    before = chalice.local.LocalGateway.handle_request

    app.emulator.correct()

    assert chalice.local.LocalGateway.handle_request is before


def test_each_request_with_a_key_is_logged_with_the_keys_name_and_not_with_the_key(api, capsys):
    api.get("/runs", key=READ)
    api.get("/health", key=None)

    with_key, without = map(json.loads, capsys.readouterr().out.splitlines())
    assert with_key["caller"] == key_hash(READ)[:8]
    assert "caller" not in without
    assert READ not in str(with_key)

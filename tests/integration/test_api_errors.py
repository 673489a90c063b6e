"""Refusals and failures: problem documents on every path, no sensitive details, headers on all answers."""

import json
import logging
import re

import pytest

import app
from chalicelib import forms, runs, upkeep, wiring
from chalicelib.errors import AwsError, ConfigError, KeysOvertaken, StoreError, StoreUnavailable
from chalicelib.views import UserView
from tests.fakes import person, uid
from tests.integration.api_support import ROUTES, load, sample_path

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY", "NONSENSE", "get")
PATHS = sorted({path for _, path, _ in ROUTES})

SECURITY = {
    "content-security-policy": re.compile(r"default-src 'none'; .*frame-ancestors 'none'.*"),
    "referrer-policy": re.compile("no-referrer"),
    "strict-transport-security": re.compile(r"max-age=\d{7,}.*"),
    "x-content-type-options": re.compile("nosniff"),
}


def allowed(path):
    methods = {method for method, at, _ in ROUTES if at == path}
    return methods | ({"HEAD"} if "GET" in methods else set())


def is_problem(answer):
    """Whether it is a problem document (RFC 9457) with the request's id."""
    document = answer.json
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == answer.status
    assert document["title"]
    assert document.get("type", "about:blank") == "about:blank"
    assert document["request_id"] == answer.headers["x-request-id"]
    assert set(document) <= {"type", "title", "status", "detail", "request_id"}
    return True


# Everything that can be refused: what is wrong, mapped to status, method, path and further arguments.
REFUSALS = {
    "no such path": (404, "GET", "/nowhere", {}),
    "no such path, with a wrong key": (404, "GET", "/nowhere", {"key": "guessed"}),
    "no such path, without a key": (404, "GET", "/nowhere", {"key": None}),
    "a path below one that is": (404, "GET", "/users/a/b/c", {}),
    "an empty part of a path": (404, "GET", "//users", {}),
    "no path": (404, "GET", "*", {}),
    "no such method": (405, "PUT", "/users", {}),
    "no such method, without a key": (405, "PUT", "/users", {"key": None}),
    "no key": (401, "GET", "/users", {"key": None}),
    "a wrong key": (403, "GET", "/users", {"key": "guessed"}),
    "a malformed id": (400, "GET", "/users/me", {}),
    "nobody": (404, "GET", f"/users/{uid(404)}", {}),
    "no such run": (404, "GET", f"/runs/{uid(404)}", {}),
    "an unknown parameter": (400, "GET", "/users", {"query": {"hush": "hush"}}),
    "a cursor of nobody": (404, "GET", "/users", {"query": {"cursor": "AAAA"}}),
    "a form that is not to be had": (406, "GET", "/users", {"Accept": "image/png"}),
    "no JSON": (400, "POST", "/runs", {"body": b"{", "Content_Type": "application/json"}),
    "not called JSON": (415, "POST", "/runs", {"body": b"{}", "Content_Type": "text/plain"}),
    "too much": (413, "POST", "/runs", {"body": b" " * 65_537, "Content_Type": "application/json"}),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_a_problem_document(api, what):
    status, method, path, how = REFUSALS[what]

    answer = api(method, path, **how)

    assert answer.status == status
    assert is_problem(answer)


def test_every_request_has_a_unique_id(api):
    answers = [api(method, path, **how) for _, method, path, how in REFUSALS.values()]
    answers += [api.get("/users") for _ in range(3)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_an_unknown_path_is_not_repeated(api, caplog, capsys):
    caplog.set_level(logging.DEBUG)

    answer = api.get("/hush@example.com/hush", Authorization="hush")

    assert "hush" not in f"{answer.body} {answer.headers} {caplog.text} {capsys.readouterr()}"


@pytest.mark.parametrize("path", PATHS)
def test_an_unsupported_method_is_refused_with_the_supported_ones(api, path):
    for method in METHODS:
        if method not in allowed(path) and method.upper() not in allowed(path):
            answer = api(method, sample_path(path))
            assert answer.status == 405, method
            assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == allowed(path)
            assert is_problem(answer)


@pytest.mark.parametrize("path", PATHS)
def test_options_lists_the_methods_and_needs_no_key(api, path):
    answer = api("OPTIONS", sample_path(path), key=None)

    assert (answer.status, answer.body) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == {*allowed(path), "OPTIONS"}


def test_options_of_an_unknown_path_is_a_problem(api):
    answer = api("OPTIONS", "/nowhere", key=None)

    assert answer.status == 404
    assert is_problem(answer)


# Errors of our own


@pytest.fixture
def breaking(api, monkeypatch):
    """Makes everything behind the routes raise an error; returns how a route then answers."""

    def answer(method, path, error):
        def broken():
            raise error

        with monkeypatch.context() as patched:
            for name in ("store", "cache", "tokeniser"):
                patched.setattr(wiring, name, lambda *_: broken())
            patched.setattr(upkeep, "health", lambda *_: broken())
            patched.setattr(runs, "start_run", lambda *_: broken())
            return api(method, sample_path(path), body={"email": "a@b.cd"} if "lookup" in path else {})

    return answer


UNGUARDED = {"/", "/web/{version}/{asset}", "/docs", "/openapi.json"}  # they call nothing behind the routes
BEHIND = [route for route in ROUTES if route[1] not in UNGUARDED]


@pytest.mark.parametrize(("method", "path", "_"), BEHIND)
def test_an_unexpected_error_shows_only_the_request_id(breaking, method, path, _):
    answer = breaking(method, path, ZeroDivisionError("hush@example.com, +45 555 4711"))

    assert answer.status == 500
    assert is_problem(answer)
    assert set(answer.json) <= {"type", "title", "status", "request_id"}
    assert answer.json["title"] == "Internal error"


@pytest.mark.parametrize(
    ("path", "form"),
    [("/users", forms.Users), ("/runs", forms.Runs), (f"/runs/{uid(1)}/rejects", forms.Rejects)],
)
def test_no_parameter_is_repeated_when_it_is_refused(api, caplog, capsys, path, form):
    for name in form.__struct_fields__:
        for sent in ("hush@example.com", "hush - at `$.limit`", "hush\n"):
            answer = api.get(path, query={name: sent})

            assert answer.status in (200, 400, 404), (name, sent)
            everything = f"{answer.body} {answer.headers} {caplog.text} {capsys.readouterr()}"
            assert "hush" not in everything, (name, sent)


def test_the_log_has_the_type_and_place_of_an_unexpected_error_and_no_value(breaking, caplog, capsys):
    caplog.set_level(logging.DEBUG)

    answer = breaking("GET", "/users/{uid}", ZeroDivisionError("hush, +45 555 4711"))

    (line,) = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert re.search(r"ZeroDivisionError at test_api_errors\.py:\d+", line.getMessage())
    assert line.request_id == answer.json["request_id"]
    everything = f"{answer.body} {answer.headers} {caplog.text} {capsys.readouterr()}"
    assert "hush" not in everything
    assert "555 4711" not in everything


@pytest.mark.parametrize(
    "error",
    [
        StoreError("users", "23505", "users_pkey"),
        ValueError("hush"),
        KeyError("hush"),
        RecursionError(),
        UnicodeDecodeError("utf-8", b"hush", 0, 1, "hush"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_our_own_errors_are_shown_only_in_the_log(breaking, caplog, error):
    answer = breaking("GET", "/users/{uid}", error)

    assert answer.status == 500
    assert set(answer.json) <= {"type", "title", "status", "request_id"}
    assert type(error).__name__ in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize("error", [ConfigError("DATABASE_URL", "is not set"), KeysOvertaken("erase")])
def test_settings_that_do_not_fit_are_said_to_have_changed_nothing(breaking, caplog, error):
    answer = breaking("DELETE", "/users/{uid}", error)

    assert (answer.status, answer.json["title"]) == (500, "Misconfigured")
    assert answer.json["detail"] == "nothing was changed; the log says what is wrong"
    assert str(error) in caplog.text


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (StoreUnavailable("connect", "53300"), "Postgres lacks disk, memory or connections"),
        (StoreUnavailable("connect", "08001"), "Postgres does not answer, or not in time"),
        (StoreUnavailable("connect"), "Postgres does not answer, or not in time"),
        (StoreError("erase", "55P03"), "Postgres is busy"),
        (AwsError("the queue did not accept all messages"), "The run cannot be started now"),
    ],
)
def test_what_may_pass_is_a_503_that_says_what_it_is(breaking, error, title):
    answer = breaking("DELETE", "/users/{uid}", error)

    assert (answer.status, answer.json["title"]) == (503, title)


def test_an_answer_that_cannot_be_encoded_is_an_error_like_any_other(api, store, monkeypatch):
    load(store, person(1))
    with monkeypatch.context() as patched:
        patched.setattr(wiring.store(), "list_users", lambda *_: [object()])
        answer = api.get("/users")

    assert answer.status == 500
    assert is_problem(answer)


@pytest.mark.parametrize(("method", "path", "_"), [route for route in BEHIND if route[1] != "/contract"])
def test_without_postgres_every_route_answers_503(api, postgres_down, method, path, _):
    with postgres_down():
        answer = api(method, sample_path(path), body={"email": "a@b.cd"} if "lookup" in path else {})

    assert answer.status == 503
    assert answer.headers["content-type"] in {"application/problem+json", "application/json"}


# One line for each request


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_each_request_is_one_line_with_id_route_status_source_and_duration(api, store, capsys):
    load(store, person(1))
    capsys.readouterr()

    answer = api.get(f"/users/{uid(1)}")

    (line,) = lines(capsys)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["route"] == "GET /users/{uid}"
    assert line["status"] == 200
    assert line["data_source"] == "postgres"
    assert line["CacheHits"] == 0
    assert 0 < line["Latency"] < 5_000
    assert line["Errors"] == 0


def test_the_line_of_a_cache_hit_says_so(api, store, capsys):
    load(store, person(1))
    api.get(f"/users/{uid(1)}")
    capsys.readouterr()

    api.get(f"/users/{uid(1)}")

    (line,) = lines(capsys)
    assert (line["data_source"], line["CacheHits"]) == ("redis", 1)


def test_the_line_of_a_failure_counts_an_error_and_that_of_a_refusal_does_not(api, breaking, capsys):
    capsys.readouterr()
    breaking("GET", "/users/{uid}", ZeroDivisionError())
    api.get("/users/me")

    failure, refusal = [line for line in lines(capsys) if "Errors" in line]
    assert (failure["status"], failure["Errors"]) == (500, 1)
    assert (refusal["status"], refusal["Errors"]) == (400, 0)


def test_no_line_holds_the_uid_of_a_person(api, store, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    load(store, person(1))
    for method in ("GET", "HEAD", "DELETE", "GET"):
        api(method, f"/users/{uid(1)}")

    assert uid(1) not in f"{caplog.text} {capsys.readouterr()}"


# Headers


def every_kind_of_answer(api, store):
    load(store, person(1))
    etag = api.get(f"/users/{uid(1)}").headers["etag"]
    yield from (api(method, path, **how) for _, method, path, how in REFUSALS.values())
    yield from (
        api.get(path) for path in ("/", "/docs", "/openapi.json", "/health", "/users", "/stats", "/runs")
    )
    yield api.get(f"/users/{uid(1)}", If_None_Match=etag)
    yield api.get("/users", Accept="text/csv")
    yield api("HEAD", "/users")
    yield api("OPTIONS", "/users", key=None)
    yield api.delete(f"/users/{uid(1)}")


def test_the_security_headers_are_on_every_answer(api, store):
    for answer in every_kind_of_answer(api, store):
        for name, value in SECURITY.items():
            assert value.fullmatch(answer.headers.get(name, "")), (answer.status, name)


def test_every_answer_has_a_request_id(api, store):
    for answer in every_kind_of_answer(api, store):
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


def test_no_answer_may_be_cached_by_shared_caches(api, store):
    for answer in every_kind_of_answer(api, store):
        assert re.match("no-store|private", answer.headers["cache-control"]), answer.status


# Chalice's own answers in a Lambda, without the emulator in front


def event(method, path, body=None, **changes):
    """A request as API Gateway passes it to the function."""
    return {
        "requestContext": {
            "httpMethod": method,
            "resourcePath": path,
            "path": f"/api{sample_path(path)}",
            "extendedRequestId": "id-of-the-gateway",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "headers": {"content-type": "application/json"},
        "multiValueQueryStringParameters": None,
        "pathParameters": {"uid": uid(1), "run_id": uid(1)} if "{" in path else {},
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
        **changes,
    }


@pytest.mark.usefixtures("api")
def test_the_request_id_is_the_gateways_and_not_one_that_a_caller_may_choose(capsys):
    """A header of the request sets the gateway's ``requestId``."""
    chosen = event("GET", "/users/{uid}")
    chosen["requestContext"]["requestId"] = "ann@secret.example"

    answer = app.app(chosen, None)

    assert answer["headers"]["X-Request-Id"] == "id-of-the-gateway"
    assert json.loads(answer["body"])["request_id"] == "id-of-the-gateway"
    assert "secret" not in f"{answer} {capsys.readouterr()}"


@pytest.mark.usefixtures("api")
def test_a_link_works_under_any_prefix(store):
    load(store, person(1), person(2))
    listed = event("GET", "/users", multiValueQueryStringParameters={"limit": ["1"]})

    answer = app.app(listed, None)

    assert answer["headers"]["Link"].startswith("<?limit=1&cursor=")


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(("path", "status"), [("/users/lookup", 400), ("/runs", 202)])
def test_a_body_that_the_gateway_sends_in_base64_is_understood(path, status, monkeypatch):
    monkeypatch.setattr(runs, "_hand_over", lambda order: None)

    answer = app.app(event("POST", path, body="e30=", isBase64Encoded=True), None)

    assert answer["statusCode"] == status


@pytest.mark.usefixtures("api")
def test_a_text_answer_is_not_encoded_in_base64(store):
    load(store, person(1))
    for accept in ("application/json", "application/x-ndjson", "text/csv"):
        answer = app.app(event("GET", "/users", headers={"accept": accept}), None)
        assert (answer["statusCode"], answer.get("isBase64Encoded", False)) == (200, False), accept
        assert isinstance(answer["body"], str)


def test_a_view_has_no_dropped_field():
    assert not {"id", "password", "avatar", "credit_card", "date_of_birth"} & set(UserView.__struct_fields__)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_decorated_link_to_a_page_works(api, path):
    assert api.get(path, query={"utm_source": "mail"}).status == 200

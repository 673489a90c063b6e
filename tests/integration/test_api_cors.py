"""CORS: off unless an origin is configured, then exact. It is read at import, so tests use a new process."""

import json
import subprocess
import sys

import pytest

from tests.checkout import ROOT, environment
from tests.fakes import uid
from tests.integration.api_support import ROUTES, sample_path
from tests.keys import PII_KEY, pii_keys

ORIGIN = "https://dashboard.example.com"

# Reads requests from standard input, and writes the status and headers of each answer to standard output.
PROGRAM = """
import json, sys
from chalice.config import Config
from chalice.local import LocalGateway
import app
gateway = LocalGateway(app.app, Config.create())
for method, path, headers in json.load(sys.stdin):
    answer = gateway.handle_request(method, path, headers, b"")
    answered = {**answer["headers"], **answer["multiValueHeaders"]}
    lower = {name.lower(): value for name, value in answered.items()}
    print("answer", json.dumps([answer["statusCode"], lower]))
"""

# Enough to refuse a wrong key; none of the servers is contacted.
SETTINGS = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SOURCE_URL": "http://127.0.0.1:1/",
    "PII_KEYS": pii_keys({1: PII_KEY}),
}

REFUSALS = [
    ("GET", "/users", {}),
    ("GET", "/users", {"authorization": "Bearer guessed"}),
    ("GET", "/nowhere", {}),
    ("PUT", "/users", {}),
]


def run(requests, **changes):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT, env=environment(**SETTINGS | changes), input=json.dumps(requests), capture_output=True,
        text=True, check=False, timeout=30,
    )  # fmt: skip


def answers(requests, **changes):
    done = run(requests, **changes)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("answer ")]
    return [json.loads(line) for line in lines]


def cors_of(headers):
    return {name: value for name, value in headers.items() if name.startswith("access-control")}


PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
}
PATHS = sorted({path for _, path, _ in ROUTES})
EVERY = [("OPTIONS", sample_path(path), PREFLIGHT) for path in PATHS]
EVERY += [("GET", "/openapi.json", {"origin": ORIGIN}), ("GET", f"/users/{uid(1)}", {}), *REFUSALS]


@pytest.mark.parametrize("setting", [{}, {"ALLOWED_ORIGIN": ""}])
def test_without_a_configured_origin_there_are_no_cors_headers(setting):
    answered = answers(EVERY, **setting)

    assert len(answered) == len(EVERY)
    assert [cors_of(headers) for _, headers in answered] == [{}] * len(EVERY)


@pytest.fixture(scope="module")
def configured():
    return answers(EVERY, ALLOWED_ORIGIN=ORIGIN)


def test_a_preflight_gets_the_origin_the_methods_and_the_headers(configured):
    for path, (status, headers) in zip(PATHS, configured, strict=False):
        methods = {method for method, at, _ in ROUTES if at == path}
        assert status in {200, 204}
        assert headers["access-control-allow-origin"] == ORIGIN
        allowed = set(headers["access-control-allow-methods"].replace(" ", "").split(","))
        assert methods <= allowed <= methods | {"HEAD", "OPTIONS"}
        names = headers["access-control-allow-headers"].lower().split(",")
        assert {"authorization", "content-type"} <= set(names)


def test_a_preflight_allows_what_a_conditional_read_sends(configured):
    for _, headers in configured[: len(PATHS)]:
        assert "if-none-match" in headers["access-control-allow-headers"].lower().split(",")


def test_an_answer_is_only_for_the_configured_origin(configured):
    _, headers = configured[len(PATHS)]

    assert headers["access-control-allow-origin"] == ORIGIN


def test_a_page_may_read_the_headers_that_it_needs(configured):
    """Otherwise a browser hides the Link header and the request id from the script."""
    _, headers = configured[len(PATHS)]

    exposed = {name.strip().lower() for name in headers.get("access-control-expose-headers", "").split(",")}
    assert {"link", "etag", "location", "x-request-id", "x-data-source"} <= exposed


def test_a_page_may_read_a_refusal(configured):
    """Otherwise a script could not tell a wrong key from a server that is down."""
    refusals = configured[-len(REFUSALS) :]

    assert [status for status, _ in refusals] == [401, 403, 404, 405]
    assert [headers.get("access-control-allow-origin") for _, headers in refusals] == [ORIGIN] * len(REFUSALS)


def test_credentials_are_not_allowed(configured):
    """The key is sent in a header; a cookie would be another way in."""
    assert not [headers for _, headers in configured if "access-control-allow-credentials" in headers]


def test_a_preflight_has_the_security_headers_too(configured):
    for _, headers in configured[: len(PATHS)]:
        assert headers.get("x-content-type-options") == "nosniff"


def test_anything_but_a_single_origin_is_refused_at_the_start():
    done = run([], ALLOWED_ORIGIN="*")

    assert done.returncode != 0
    assert "ALLOWED_ORIGIN: must be one origin" in done.stderr

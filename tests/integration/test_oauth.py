"""Access tokens over real HTTP: a token endpoint, and a user API that wants its tokens."""

import contextlib
import json
import logging
import re
import threading
import time
from base64 import b64decode, b64encode, urlsafe_b64decode
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from chalicelib import runs
from chalicelib.errors import ConfigError, SourceBusy, SourceError, SourceInvalid, SourceUnavailable
from chalicelib.sources import oauth, random_data_api
from chalicelib.sources.assertions import Signer
from chalicelib.sources.client import Source
from chalicelib.sources.exchange import Limits
from local import people
from tests.waiting import seconds_of, until

LIMITS = Limits(connect=0.5, read=0.4, page=1.2, attempts=3, pause=0.02, longest_pause=0.1)
PAGE = people.random_data_api(people.Page("s", 1, 3, bad=0))
BASIC = "Basic " + b64encode(b"an-id:a-secret").decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        server.asked.append((self.path, dict(self.headers), parse_qsl(body.decode())))
        if server.hangs.wait(server.seconds):
            return
        answer = server.script.pop(0) if server.script else server.grants()
        self.send(*answer)

    def do_GET(self):
        self.server.shown.append(shown := self.headers.get(self.server.header))
        is_known = shown in {f"{self.server.scheme}{token}" for token in self.server.valid}
        self.send(200, PAGE) if is_known else self.send(401, b"{}")

    def send(self, status, body, kind="application/json", location=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Provider(ThreadingHTTPServer):
    """Grants ``hush-token-1``, ``hush-token-2`` and so on; ``script`` holds other answers to come first."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked, self.shown, self.script, self.hung_up = [], [], [], []
        self.valid, self.granted = set(), 0
        self.life, self.seconds = {"expires_in": 3600}, 0.0
        self.header, self.scheme = "Authorization", "Bearer "
        self.hangs = threading.Event()
        self.api = f"http://127.0.0.1:{self.server_port}/users"

    def url(self, user="an-id:a-secret", query=""):
        return f"http://{user}@127.0.0.1:{self.server_port}/oauth/token{query}".replace("//@", "//")

    def close_request(self, request):
        super().close_request(request)
        self.hung_up.append(request)

    def grants(self):
        self.granted += 1
        self.valid.add(token := f"hush-token-{self.granted}")
        return 200, json.dumps({"access_token": token, "token_type": "Bearer", **self.life}).encode()


@pytest.fixture
def provider():
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.hangs.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def source_of(provider):
    """A source that gets its tokens from the provider."""
    with contextlib.ExitStack() as opened:

        def make(limits=LIMITS, header="Authorization", key=None, **url):
            provider.header = header
            dialect = replace(random_data_api.DIALECT, authorization_header=header)
            source = Source(provider.api, dialect, limits, token_url=provider.url(**url), token_key=key)
            opened.callback(source.close)
            return source

        yield make


def error_of_fetch(source):
    with pytest.raises(SourceError) as failed:
        source.fetch(7, 3)
    return failed.value


# A token


def test_a_page_is_requested_with_a_token_that_id_and_secret_were_exchanged_for(provider, source_of):
    assert source_of(query="?scope=users.read+users.list&audience=https%3A//api").fetch(1, 3) == PAGE

    ((path, headers, form),) = provider.asked
    assert path == "/oauth/token"
    assert headers["Authorization"] == BASIC
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept"] == "application/json"
    assert form == [
        ("grant_type", "client_credentials"),
        ("scope", "users.read users.list"),
        ("audience", "https://api"),
    ]
    assert provider.shown == ["Bearer hush-token-1"]


def test_id_and_secret_may_be_sent_in_the_body_and_the_grant_be_another(provider, source_of):
    query = "?client_id=an-id&client_secret=a-secret&grant_type=account_credentials&resource=a&resource=b"
    source_of(user="", query=query).fetch(1, 3)

    ((_, headers, form),) = provider.asked
    assert "Authorization" not in headers
    assert form == [
        ("grant_type", "account_credentials"),
        ("client_id", "an-id"),
        ("client_secret", "a-secret"),
        ("resource", "a"),
        ("resource", "b"),
    ]


def test_signs_in_id_and_secret_are_sent_encoded_as_the_standard_wants_it(provider, source_of):
    source_of(user="an%20id%40home:a%2Fsecret%3A%C3%A9%25").fetch(1, 3)

    ((_, headers, _),) = provider.asked
    assert headers["Authorization"] == "Basic " + b64encode(b"an+id%40home:a%2Fsecret%3A%C3%A9%25").decode()


@pytest.mark.parametrize(("header", "scheme"), [("X-Access", ""), ("authorization", "Bearer ")])
def test_the_token_is_sent_in_the_header_that_the_dialect_names(provider, source_of, header, scheme):
    provider.scheme = scheme

    assert source_of(header=header).fetch(1, 3) == PAGE
    assert provider.shown == [f"{scheme}hush-token-1"]


def test_a_token_in_place_of_a_user_in_the_url(provider):
    url = provider.api.replace("//", "//user:password@")
    with contextlib.closing(Source(url, random_data_api.DIALECT, LIMITS, token_url=provider.url())) as source:
        assert source.fetch(1, 3) == PAGE


def test_a_closed_source_has_hung_up_on_both_servers(provider, source_of):
    source = source_of()
    source.fetch(1, 3)
    assert provider.hung_up == []

    source.close()

    until(lambda: len(provider.hung_up) == 2, seconds=2)


# How long it is kept


@pytest.mark.parametrize(
    "life",
    [
        {"expires_in": 3600},
        {"expires_in": "3600"},
        {"expires_in": None},
        {},
        {"token_type": "bearer"},
        {"token_type": "BearerToken"},
        {"token_type": None},
    ],
)
def test_a_token_is_kept_while_it_is_valid(provider, source_of, life):
    provider.life = life
    source = source_of()

    assert [source.fetch(page, 3) for page in (1, 2, 3)] == [PAGE] * 3
    assert len(provider.asked) == 1


def test_a_token_is_renewed_before_it_expires(provider, source_of):
    provider.life = {"expires_in": 1}
    source = source_of()
    source.fetch(1, 3)
    until = time.monotonic() + 0.95
    source.fetch(2, 3)
    time.sleep(until - time.monotonic())

    source.fetch(3, 3)

    assert provider.shown == [f"Bearer hush-token-{number}" for number in (1, 1, 2)]


def test_a_token_that_was_revoked_is_replaced(provider, source_of):
    source = source_of()
    source.fetch(1, 3)
    provider.valid.clear()

    assert source.fetch(2, 3) == PAGE
    assert provider.shown == [f"Bearer hush-token-{number}" for number in (1, 1, 2)]


def test_a_new_token_that_the_api_does_not_accept_is_not_tried_again(provider, source_of):
    provider.script = [(200, b'{"access_token": "of-another-api"}')]

    source = source_of()
    error = error_of_fetch(source)

    assert (type(error), str(error)) == (SourceUnavailable, "page 7: status 401")
    assert (len(provider.asked), len(provider.shown)) == (1, 1)
    assert source.fetch(8, 3) == PAGE
    assert provider.shown[1:] == ["Bearer hush-token-1"]


# A token endpoint that gives none


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (400, b'{"message": "hush"}', "status 400"),
        (400, b'{"error": "invalid_scope", "error_description": "hush"}', "status 400 (invalid_scope)"),
        (401, b'{"error": "invalid_client"}', "status 401 (invalid_client)"),
        (401, b'{"error": "hush"}', "status 401"),
        (400, b'{"error": ["hush"]}', "status 400"),
        (400, b'["hush"]', "status 400"),
        (400, b"hush", "status 400"),
        (400, b'{"error": "hu\xe9sh"}', "status 400"),
        (400, b"[" * 60_000, "status 400"),
        (403, b'{"error": "unauthorized_client"}', "status 403 (unauthorized_client)"),
        (403, b'{"error": "access_denied"}', "status 403 (access_denied)"),
        (403, b"hush", "status 403"),
        (404, b'{"error": "access_denied"}', "status 404"),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_refusal_is_named_and_not_tried_again(provider, source_of, status, body, problem, kind):
    provider.script = [(status, body, kind)]

    error = error_of_fetch(source_of())

    assert (type(error), error.problem) == (SourceUnavailable, f"the token endpoint: {problem}")
    assert (len(provider.asked), provider.shown) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        b"hush",
        b"{}",
        b"[" * 60_000,
        b'{"access_token": "hush", "more": ' + b"[" * 60_000,
        b'{"access_token": ""}',
        b'{"access_token": 5}',
        b'{"access_token": "hush\\r\\nX-Hush: 1"}',
        b'{"access_token": "hush\\n"}',
        b'{"access_token": "hu\xc3\xa9sh"}',
        b'{"access_token": "hu\xe9sh"}',
        b'{"access_token": "hush", "token_type": "mac"}',
        b'{"access_token": "hush", "token_type": "a bearer"}',
        b'{"access_token": "hush", "token_type": "bearers"}',
        b'{"access_token": "hush", "expires_in": "soon"}',
        b'{"access_token": "hush", "expires_in": -5}',
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_an_answer_without_a_bearer_token_is_not_used(provider, source_of, body):
    provider.script = [(200, body)]

    error = error_of_fetch(source_of())

    problem = "the token endpoint: its answer holds no Bearer token"
    assert (type(error), error.problem) == (SourceInvalid, problem)
    assert (len(provider.asked), provider.shown) == (1, [])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((200, b"<p>hush", "text/html"), "the Content-Type of the answer is not JSON"),
        ((200, b" " * 70_000), "the body is larger than 65536 bytes"),
    ],
    ids=["a page", "too large"],
)
def test_an_answer_that_is_no_json_of_a_sensible_size_is_not_read(provider, source_of, answer, problem):
    provider.script = [answer]

    error = error_of_fetch(source_of())

    assert (type(error), error.problem) == (SourceInvalid, f"the token endpoint: {problem}")


def test_a_redirect_of_the_token_endpoint_is_not_followed(provider, source_of):
    provider.script = [(307, b"", "text/html", "/elsewhere")]

    problem = "the token endpoint: status 307: redirects are not followed; use the final URL"
    assert error_of_fetch(source_of()).problem == problem
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(503, SourceUnavailable), (429, SourceBusy), (408, SourceUnavailable)]
)
def test_a_transient_failure_of_the_token_endpoint_is_retried(provider, source_of, status, kind):
    source = source_of()
    provider.script = [(status, b"{}")] * 2
    assert source.fetch(1, 3) == PAGE

    provider.valid.clear()
    provider.script = [(status, b"{}")] * 9
    error = error_of_fetch(source_of())
    assert (type(error), error.problem) == (kind, f"the token endpoint: status {status} (attempt 3)")
    assert len(provider.asked) == 6


def test_a_token_endpoint_that_hangs_ends_with_the_pages_time(provider, source_of):
    provider.seconds = 30
    errors = []

    assert seconds_of(lambda: errors.append(error_of_fetch(source_of(replace(LIMITS, read=9))))) < 3
    assert errors[0].problem == f"the token endpoint: it took longer than {LIMITS.page} s"


# Assertions


@pytest.fixture(scope="module")
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key, encryption=serialization.NoEncryption(), kind=serialization.PrivateFormat.PKCS8):  # noqa: B008
    return key.private_bytes(serialization.Encoding.PEM, kind, encryption).decode()


def pem_of_an_unknown_kind():
    first, encoded, last = pem_of(ed25519.Ed25519PrivateKey.generate()).splitlines()
    key = b64decode(encoded).replace(b"\x2b\x65\x70", b"\x2b\x65\x63")  # an algorithm that is none
    return "\n".join([first, b64encode(key).decode(), last])


def decoded(part):
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize(
    "kind", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
@pytest.mark.parametrize("in_one_line", [False, True])
def test_an_assertion_is_exchanged_for_a_token(provider, source_of, private_key, kind, in_one_line):
    pem = pem_of(private_key, kind=kind)
    pem = pem.replace("\n", "\\n") if in_one_line else pem
    query = "?scope=users.read+users.list&sub=admin@example.com"

    assert source_of(key=pem, user="robot%40project.example", query=query).fetch(1, 3) == PAGE

    ((path, headers, form),) = provider.asked
    assert path == "/oauth/token"
    assert "Authorization" not in headers
    assert [name for name, _ in form] == ["grant_type", "assertion"]
    assert form[0][1] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", form[1][1], re.ASCII)  # unlike Python, a server is strict
    head, claims, signature = form[1][1].split(".")
    signed = f"{head}.{claims}".encode()
    private_key.public_key().verify(
        urlsafe_b64decode(signature + "=="), signed, padding.PKCS1v15(), hashes.SHA256()
    )
    assert decoded(head) == {"alg": "RS256", "typ": "JWT"}
    said = decoded(claims)
    issued, expires = said.pop("iat"), said.pop("exp")
    assert isinstance(issued, int)
    assert abs(issued - time.time()) < 60
    assert expires == issued + 180
    assert len(said.pop("jti")) == 36
    assert said == {
        "iss": "robot@project.example",
        "aud": provider.url(user=""),
        "scope": "users.read users.list",
        "sub": "admin@example.com",
    }
    assert provider.shown == ["Bearer hush-token-1"]


def test_each_assertion_is_new(provider, source_of, private_key):
    source = source_of(key=pem_of(private_key), user="robot")
    source.fetch(1, 3)
    provider.valid.clear()
    source.fetch(2, 3)

    claims = [decoded(form[1][1].split(".")[1]) for _, _, form in provider.asked]
    assert len({one["jti"] for one in claims}) == 2


def test_a_client_may_identify_itself_by_an_assertion(provider, source_of, private_key):
    query = "?grant_type=client_credentials&scope=okta.users.read&kid=key-7"

    assert source_of(key=pem_of(private_key), user="0oa7", query=query).fetch(1, 3) == PAGE

    ((_, headers, form),) = provider.asked
    assert "Authorization" not in headers
    sent = dict(form)
    head, claims, _ = sent.pop("client_assertion").split(".")
    assert sent == {
        "grant_type": "client_credentials",
        "scope": "okta.users.read",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert decoded(head) == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    said = decoded(claims)
    assert said.keys() == {"iss", "sub", "aud", "iat", "exp", "jti"}
    assert (said["iss"], said["sub"], said["aud"]) == ("0oa7", "0oa7", provider.url(user=""))


@pytest.mark.parametrize("grant", ["", "&grant_type=client_credentials"])
def test_an_assertion_may_name_its_key_and_another_audience(provider, source_of, private_key, grant):
    query = f"?aud=https://auth.example&kid=key-7{grant}"

    source_of(key=pem_of(private_key), user="robot", query=query).fetch(1, 3)

    ((_, _, form),) = provider.asked
    head, claims, _ = dict(form)["client_assertion" if grant else "assertion"].split(".")
    assert decoded(head)["kid"] == "key-7"
    assert decoded(claims)["aud"] == "https://auth.example"
    assert {"kid", "grant_type"}.isdisjoint(decoded(claims))
    assert {"kid", "aud"}.isdisjoint(dict(form))


def test_a_refused_assertion_is_named(provider, source_of, private_key):
    provider.script = [(400, b'{"error": "invalid_grant", "error_description": "hush"}')]

    error = error_of_fetch(source_of(key=pem_of(private_key), user="robot"))

    assert error.problem == "the token endpoint: status 400 (invalid_grant)"


@pytest.mark.parametrize("make", [
    lambda key: "hush",
    lambda key: "",
    lambda key: pem_of(key)[:-90] + "hush",
    lambda key: pem_of(key, serialization.BestAvailableEncryption(b"hush")),
    lambda key: pem_of(ec.generate_private_key(ec.SECP256R1())),
    lambda key: pem_of_an_unknown_kind(),
    lambda key: key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode(),
])  # fmt: skip
def test_a_key_that_cannot_sign_is_refused_and_not_shown(private_key, make):
    with pytest.raises(ConfigError) as refused:
        Signer(make(private_key))

    assert str(refused.value) == "SOURCE_TOKEN_KEY: must be an RSA private key in PEM, not encrypted"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_key_belongs_to_a_token_endpoint_and_excludes_a_secret(source_of, private_key):
    with pytest.raises(ConfigError, match="SOURCE_TOKEN_KEY: needs a SOURCE_TOKEN_URL"):
        Source("https://users.example", random_data_api.DIALECT, token_key=pem_of(private_key))
    with pytest.raises(ConfigError, match="SOURCE_TOKEN_URL: must hold no secret if SOURCE_TOKEN_KEY is set"):
        source_of(key=pem_of(private_key), user="robot:hush")


# Secrets


@pytest.mark.parametrize(
    "answer", [(400, b'{"error": "hush"}'), (200, b'{"access_token": "hush", "expires_in": "x"}')]
)
def test_no_error_and_no_log_line_shows_id_secret_or_token(provider, source_of, caplog, answer):
    caplog.set_level(logging.DEBUG)
    source = source_of(user="hush-id:hush-secret", query="?scope=hush")
    source.fetch(1, 3)
    provider.valid.clear()
    provider.script = [answer]

    error = error_of_fetch(source)

    assert "hush" not in f"{error!s} {error!r} {error.args} {vars(error)} {caplog.text}"
    assert error.__cause__ is None
    assert error.__context__ is None


def test_no_repr_shows_a_token(provider, source_of):
    source = source_of()
    source.fetch(1, 3)

    assert "hush" not in f"{vars(source._tokens)} {oauth._Granted('hush')}"


def test_no_error_log_line_or_repr_shows_a_private_key(provider, source_of, private_key, caplog):
    caplog.set_level(logging.DEBUG)
    source = source_of(key=pem_of(private_key), user="robot")
    source.fetch(1, 3)
    provider.valid.clear()
    provider.script = [(500, b"")] * 9

    error = error_of_fetch(source)

    secrets = [line for line in pem_of(private_key).splitlines() if len(line) == 64]
    secrets += [form[1][1] for _, _, form in provider.asked]
    shown = f"{error!s} {error!r} {vars(error)} {caplog.text} {vars(source)} {vars(source._tokens)}"
    assert [secret for secret in secrets if secret in shown] == []


# In the app


def test_a_run_of_the_app_gets_its_token_from_the_endpoint_of_the_settings(provider, app_environment):
    app_environment(SOURCE_URL=provider.api, SOURCE_TOKEN_URL=provider.url(), SOURCE_PAGE_SIZE="3")

    report = runs.ingest({})

    assert (report.status, report.fetched) == ("succeeded", 3)
    assert provider.shown == ["Bearer hush-token-1"]


def test_a_run_of_the_app_signs_with_the_key_of_the_settings(provider, app_environment, private_key, sql):
    chosen = {
        "SOURCE_URL": provider.api,
        "SOURCE_TOKEN_URL": provider.url(user="robot"),
        "SOURCE_PAGE_SIZE": "3",
    }
    app_environment(**chosen, SOURCE_TOKEN_KEY=pem_of(private_key))
    assert runs.ingest({}).status == "succeeded"
    assert provider.asked[0][2][0][1].endswith(":jwt-bearer")

"""The API as its clients see it: Chalice's test client over real servers, keys of every scope, people."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin

import chalice.test  # before app: Chalice's emulator is corrected only if it is loaded

import app
from chalicelib import assets
from chalicelib.access import SCOPES
from chalicelib.ledger import Ending, RunRequest
from local.folders import ROOT
from tests.fakes import page_load, person, token, uid
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES

READ, OPERATE, ERASE = "key-that-reads", "key-that-operates", "key-that-erases"
KEYS = {
    API_KEY: sorted(SCOPES),
    READ: ["read"],
    OPERATE: ["operate"],
    ERASE: ["erase"],
    KEY_WITHOUT_SCOPES: [],
}

# Every route of the design and the scope it needs, repeated here independently of the app under test.
ROUTES = [
    ("GET", "/", None),
    ("GET", "/web/{version}/{asset}", None),
    ("GET", "/health", None),
    ("GET", "/openapi.json", None),
    ("GET", "/docs", None),
    ("GET", "/contract", "read"),
    ("GET", "/users", "read"),
    ("POST", "/users/lookup", "read"),
    ("GET", "/users/{uid}", "read"),
    ("DELETE", "/users/{uid}", "erase"),
    ("GET", "/stats", "read"),
    ("GET", "/runs", "read"),
    ("POST", "/runs", "operate"),
    ("GET", "/runs/{run_id}", "read"),
    ("POST", "/runs/{run_id}/stop", "operate"),
    ("GET", "/runs/{run_id}/rejects", "read"),
]
SCOPED = [route for route in ROUTES if route[2]]
BODIES = {
    "/users/lookup": {"email": "someone@example.com"},
    "/runs": {"pages": 0},
}  # neither request changes anything


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    path: str

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def next_path(self):
        """The target of the Link header, or None."""
        link = self.headers.get("link")
        if link is None:
            return None
        leads_to, relation = link.split("; ")
        assert (leads_to[0], leads_to[-1], relation) == ("<", ">", 'rel="next"')
        return urljoin(self.path, leads_to[1:-1])

    def without_id(self):
        """Everything that could distinguish one refusal from another."""
        known = {"x-request-id", "content-length"}
        return (
            self.status,
            {name: value for name, value in self.headers.items() if name not in known},
            {name: value for name, value in self.json.items() if name != "request_id"},
        )


class Api:
    """A client; its default key has all scopes. Not for concurrent use: there is no server behind it."""

    def __init__(self):
        self._http = chalice.test.Client(app.app, "local", str(ROOT)).http

    def __call__(self, method, path, key=API_KEY, body=None, query=(), **headers):
        """A body that is not bytes is sent as JSON; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent.setdefault("Authorization", f"Bearer {key}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        answer = self._http.request(method, target, headers=sent, body=body or b"")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status_code, headers, answer.body, path)

    def get(self, path, **how):
        return self("GET", path, **how)

    def post(self, path, body, **how):
        return self("POST", path, body=body, **how)

    def delete(self, path, **how):
        return self("DELETE", path, **how)

    def walk(self, path, **how):
        """Every page from here on, following the Link headers."""
        pages = [self.get(path, **how)]
        while pages[-1].status == 200 and (following := pages[-1].next_path):
            pages.append(self.get(following, **{name: how[name] for name in how if name != "query"}))
        return pages


def sample_path(path):
    """A route's path, with an id that does not exist or the current version of a file of the page."""
    sample = {"uid": uid(404), "run_id": uid(404), "version": assets.version(), "asset": "page.js"}
    return path.format(**sample)


def load(store, *people, source="test", **how):
    """Loads rows as a run does; returns the run's id and the result of the load."""
    run = store.open_run(RunRequest(source, "manual", 1), "0" * 16, 1)
    loaded = store.load_page(page_load(run.run_id, *people, **how))
    store.finish_run(run.run_id, Ending("succeeded"))
    return run.run_id, loaded


COUNTRIES = {"Denmark": ("Syddanmark", "Hovedstaden"), "日本": ("東京都",), "Côte d'Ivoire": ("Abidjan",)}
GENDERS = ("Female", "Male", "Agender", None)
PLANS = ("Basic", "Premium 100%", "Free_Trial", None)


def crowd(size, seed=1):
    """Rows of people who differ in every filterable column; the same rows each time."""
    chance = random.Random(seed)  # noqa: S311  the same each time
    return [_one_of(chance, number) for number in range(1, size + 1)]


def _one_of(chance, number):
    country = chance.choice(list(COUNTRIES))
    state = chance.choice(COUNTRIES[country])
    return person(
        number,
        uid=f"{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}",
        country=country,
        state=state,
        city=chance.choice((f"{state}-by", "Springfield", 'Quoted, "City"')),
        gender=chance.choice(GENDERS),
        subscription_plan=chance.choice(PLANS),
        birth_year=chance.randrange(1940, 2010),
        first_name=token(chance.choice("abc")),
        last_name=token(chance.choice("abc")),
    )

"""Requests to the HTTP API with values in every possible place, of stored people and of nobody."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tests.keys import API_KEY

_JSON = {"Content-Type": "application/json"}
_LOOKUP = "/users/lookup"


class Request(NamedTuple):
    """A request, and the expected status."""

    status: int
    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = {}

    @property
    def all_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_KEY}", **(_JSON if self.body else {}), **self.headers}


def look_ups(person: Mapping[str, Any]) -> list[Request]:
    """Look-ups of a stored person of the Random Data API by every possible field, and malformed ones."""
    address = person["address"]
    known = {
        "first_name": person["first_name"],
        "last_name": person["last_name"],
        "username": person["username"],
        "email": f" {person['email'].upper()} ",
        "phone_number": person["phone_number"],
        "social_insurance_number": person["social_insurance_number"],
        "street": f"{address['street_address']}, {address['street_name']}",
    }
    bodies = [
        *({name: value} for name, value in known.items()),
        {name: f"{value}x" for name, value in known.items()},
    ]
    return [
        *(Request(200, "POST", _LOOKUP, json.dumps(body).encode()) for body in bodies),
        *(Request(400, "POST", _LOOKUP, body) for body in _malformed(person["email"])),
    ]


def _malformed(text: str) -> list[bytes]:
    wrong = [
        {text: text},
        {f"{text} - at `$.email`": text},
        {"email": {text: text}},
        {"email": [text]},
        {"email": text * 20},
        {"email": None, "name": text},
        {"email": text, "password": text},
        {"custom": {"email": text}},
        {"custom": {text: text}},
        {"custom": text},
        [text],
        text,
    ]
    return [
        *(json.dumps(body).encode() for body in wrong),
        json.dumps({"email": text}).encode()[:-2],
        json.dumps({"email": text}).encode("utf-16"),
        b'{"email": "%s\\ud800"}' % text.encode(),
        b'{"email": "\xff%s"}' % text.encode(),
        text.encode(),
    ]


def out_of_place(text: str) -> list[Request]:
    """Requests with the text in paths, query strings, headers and bodies where it does not belong."""
    quoted, query = quote(text), urlencode({"email": text})
    uid = "5ca1ab1e-0000-4000-8000-000000000000"
    return [
        *(Request(400, "GET", f"{path}/{quoted}") for path in ("/users", "/runs")),
        Request(400, "DELETE", f"/users/{quoted}"),
        Request(400, "GET", f"/runs/{quoted}/rejects"),
        Request(400, "POST", f"/runs/{quoted}/stop"),
        *(Request(404, "GET", path) for path in (f"/{quoted}", f"/users/{uid}/{quoted}", f"//{quoted}")),
        *(
            Request(400, "GET", f"{path}?{query}")
            for path in ("/users", "/stats", "/runs", "/contract", "/health")
        ),
        *(
            Request(400, "GET", f"/users?{name}={quoted}")
            for name in (
                "cursor",
                "limit",
                "updated_since",
                "custom",
                "custom[city]",
                f"custom[{quoted}]",
                quoted,
            )
        ),
        *(
            Request(200, "GET", f"/users?{name}={quoted}")
            for name in ("country", "state", "city", "gender", "plan")
        ),
        Request(400, "GET", f"/users?city={quoted}&city={quoted}"),
        Request(400, "GET", f"/runs?limit={quoted}"),
        Request(400, "POST", f"{_LOOKUP}?{query}", json.dumps({"email": text}).encode()),
        *(
            Request(400, "POST", "/runs", json.dumps(body).encode())
            for body in (
                {"pages": text},
                {text: 1},
                {"pages": 1, "page_size": [text]},
                {"replay": text},
                text,
            )
        ),
        Request(415, "POST", _LOOKUP, text.encode(), {"Content-Type": text}),
        Request(406, "GET", "/users", headers={"Accept": text}),
        Request(403, "GET", "/users", headers={"Authorization": f"Bearer {text}"}),
        Request(403, "GET", "/users", headers={"Authorization": text}),
        *(
            Request(200, "GET", "/users", headers={name: text})
            for name in (
                "If-None-Match",
                "X-Request-Id",
                "X-Amzn-Trace-Id",
                "Cookie",
                "Origin",
                "Referer",
                "User-Agent",
            )
        ),
        *(Request(405, method, f"/users?{query}") for method in ("PUT", "PATCH")),
        Request(413, "POST", _LOOKUP, json.dumps({"email": text * 4_000}).encode()),
    ]


def no_http(text: str) -> list[bytes]:
    """Raw requests that the server's own parser refuses."""
    return [
        f"{text}\r\n\r\n".encode(),
        f"GET /{text} HTTP/9.{text}\r\n\r\n".encode(),
        f"GET / {text} HTTP/1.1\r\n\r\n".encode(),
        f"{text} / HTTP/1.1\r\nHost: {text}\r\n\r\n".encode(),
        f"GET /health HTTP/1.1\r\n{text} is none\r\n{text}: {text}\r\nConnection: close\r\n\r\n".encode(),
        f"GET /?{text * 3_000} HTTP/1.1\r\n\r\n".encode(),
        f"GET /health HTTP/1.1\r\nX-User: {text * 3_000}\r\n\r\n".encode(),
        b"GET /health HTTP/1.1\r\n" + b"".join(f"X-{n}: {text}\r\n".encode() for n in range(120)) + b"\r\n",
        f"POST {_LOOKUP} HTTP/1.1\r\nContent-Length: {text}\r\n\r\n{text}".encode(),
        f"POST {_LOOKUP} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{text}\r\n".encode(),
        f"POST {_LOOKUP} HTTP/1.1\r\nContent-Length: 100\r\nContent-Type: {text}\r\n\r\n{text}".encode(),
    ]


def reads(person: Mapping[str, Any], run_id: str) -> list[Request]:
    """Every read of a stored person, and of the run that loaded the person."""
    uid = person["uid"]
    return [
        *(
            Request(200, "GET", "/users", headers={"Accept": kind})
            for kind in ("*/*", "text/csv", "application/x-ndjson")
        ),
        *(
            Request(200, "GET", path)
            for path in ("/users?limit=1", "/stats", "/runs", "/contract", "/health")
        ),
        *(Request(200, "GET", path) for path in ("/openapi.json", "/docs", "/")),
        *(
            Request(200, "GET", path)
            for path in (f"/users/{uid}", f"/users/{uid}", f"/runs/{run_id}", f"/runs/{run_id}/rejects")
        ),
        Request(200, "HEAD", f"/users/{uid}"),
    ]

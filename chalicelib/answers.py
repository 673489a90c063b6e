"""Turns what the rooms return or raise into HTTP: JSON, problem documents (RFC 9457), NDJSON and CSV."""

import logging
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from chalice.app import Request, Response

from chalicelib import assets, table
from chalicelib.errors import (
    AwsError,
    ConfigError,
    DecantError,
    KeysOvertaken,
    RequestError,
    StoreError,
    StoreUnavailable,
)
from chalicelib.views import Problem, RejectList, RunList, RunStarted, UserList, as_json, encode

T = TypeVar("T")

JSON, NDJSON, CSV, HTML = "application/json", "application/x-ndjson", "text/csv", "text/html"
PROBLEM = "application/problem+json"

# Of a list of people, by media type; the first is the usual one.
CONTENT_TYPES = {JSON: JSON, NDJSON: NDJSON, CSV: f"{CSV}; charset=utf-8"}
SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}

# Scripts and styles load from files only, and no script may turn text into HTML (trusted types).
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_GATEWAY_TITLES = {
    401: "An API key is required",
    403: "The key is not valid, or lacks the scope",
    404: "No such path",
    413: "Body too large",
}

# Status, title and detail, by the SQLSTATE of a statement that Postgres refused.
_REFUSED = {
    "57014": (503, "Postgres takes too long", ""),  # query_canceled: the statement timed out
    "55P03": (503, "Postgres is busy", "nothing was changed; try again"),  # a wait for a lock timed out
    "23503": (409, "Still in use", "another table refers to it; nothing was changed"),  # a foreign key's
}
_OUT_OF_RESOURCES = "53"  # the class of insufficient resources
_SILENT = "Postgres does not answer, or not in time"

_log = logging.getLogger("decant.answers")


class Answer(Response):
    """An answer with a text as its body and one value per header. Chalice takes longer over what it need not
    look for here: binary bodies, and lists in headers."""

    def to_dict(self, binary_types: list[str] | None = None) -> dict[str, Any]:
        return {
            "headers": self.headers,
            "multiValueHeaders": {},
            "statusCode": self.status_code,
            "body": self.body,
        }


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer whose body is a struct, or JSON that is already encoded."""
    encoded = body if isinstance(body, bytes) else encode(body)
    return Answer(encoded.decode(), {"Content-Type": JSON, **(headers or {})}, status)


def html(text: str) -> Answer:
    """An HTML page."""
    return Answer(text, {"Content-Type": f"{HTML}; charset=utf-8"})


def page(request: Request) -> Answer:
    """The web page. Its links are relative, so a URL without a trailing slash is redirected to add one."""
    path = request.context["path"]
    if not path.endswith("/"):
        return Answer("", {"Location": f"./{path.rpartition('/')[2]}/"}, 307)
    answer = html(assets.page())
    answer.headers["Content-Security-Policy"] = _PAGE_POLICY
    return answer


def asset(version: str, name: str) -> Answer:
    """A file of the web page. Raises RequestError with 404 if there is none."""
    file = or_404(assets.find(version, name))
    return Answer(
        file.text,
        {
            "Content-Type": f"{file.media}; charset=utf-8",
            "Cache-Control": "public, max-age=31536000, immutable",
        },
    )


def problem(status: int, title: str, detail: str = "", request_id: str = "") -> Answer:
    """A problem document."""
    document = Problem(title, status, detail, request_id)
    return Answer(as_json(document), {"Content-Type": PROBLEM}, status)


def problem_of(error: DecantError, request_id: str) -> Answer:
    """What a caller may know of an error. A detail on a 5xx promises that nothing was changed."""
    if isinstance(error, RequestError):
        return problem(error.status, error.title, error.detail, request_id)
    _log.error("%s: %s", type(error).__name__, error, extra={"request_id": request_id})
    if isinstance(error, ConfigError | KeysOvertaken):
        return problem(500, "Misconfigured", "nothing was changed; the log says what is wrong", request_id)
    if isinstance(error, StoreError) and error.sqlstate in _REFUSED:
        return problem(*_REFUSED[error.sqlstate], request_id)
    if isinstance(error, StoreUnavailable):
        is_short = (error.sqlstate or "").startswith(_OUT_OF_RESOURCES)
        title = "Postgres lacks disk, memory or connections" if is_short else _SILENT
        return problem(503, title, request_id=request_id)
    if isinstance(error, AwsError):
        return problem(503, "The run cannot be started now", "it is recorded as failed", request_id)
    return problem(500, "Internal error", request_id=request_id)


def refusal(status: int, request_id: str, **headers: str) -> dict[str, Any]:
    """An answer that API Gateway (or its emulator) gives by itself, in the form of a handler's answer."""
    answer = problem(status, _GATEWAY_TITLES.get(status) or HTTPStatus(status).phrase, request_id=request_id)
    answer.headers |= {**SECURITY, **headers, "X-Request-Id": request_id}
    return answer.to_dict()


def or_404(body: T | None) -> T:
    """The body. Raises RequestError with 404 if it is None."""
    if body is None:
        raise RequestError(404, "Not found")
    return body


def one_user(request: Request, body: bytes, source: str) -> Answer:
    """One person, with a strong ETag; 304 if the caller already has this version."""
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": etag, "X-Data-Source": source, "Cache-Control": "private, no-cache"}
    if _has(request.headers.get("if-none-match"), etag):
        return json(b"", 304, headers)
    return json(body, headers=headers)


def _has(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller already has this version (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or known == ["*"]


def started(request: Request, run_id: str, status: str) -> Answer:
    """A run that has begun, and the URL of its status, relative to the request's URL."""
    last_segment = request.context["path"].rpartition("/")[2]
    location = f"{last_segment}/{run_id}" if last_segment else run_id
    return json(RunStarted(run_id, status), 202, {"Location": location})


def user_list(request: Request, people: UserList, dialect: Callable[[], Any]) -> Answer:
    """A page of people, in the media type that the caller prefers, with a link to the next page. CSV has a
    column for each custom field of the dialect.
    """
    media = _preferred_media(request.headers.get("accept", "*/*"))
    headers = {"Content-Type": CONTENT_TYPES[media], "X-Data-Source": "postgres", "Vary": "Accept"}
    return Answer(_serialised(people, media, dialect), {**headers, **_next(request, people.next)})


def ledger_list(request: Request, ledger: RunList | RejectList) -> Answer:
    """A page of the ledger, with a link to the next page."""
    return json(ledger, headers=_next(request, ledger.next))


def _next(request: Request, cursor: str | None) -> dict[str, str]:
    """The Link header to the next page, if there is one: the same query with the next cursor."""
    if cursor is None:
        return {}
    query = {**(request.query_params or {}), "cursor": cursor}
    return {"Link": f'<?{urlencode(query)}>; rel="next"'}


def _serialised(people: UserList, media: str, dialect: Callable[[], Any]) -> str:
    if media == NDJSON:
        return "".join(f"{as_json(person)}\n" for person in people.items)
    return table.as_csv(people.items, dialect().custom) if media == CSV else as_json(people)


def _preferred_media(accept: str) -> str:
    """The type of a list that the caller prefers, the first of equals. Raises RequestError with 406 if
    there is none."""
    ranges = map(_preference, (accept.strip() or "*/*").split(","))
    weights = dict(sorted(ranges))  # of a range that is repeated, the greatest weight
    best = max(CONTENT_TYPES, key=lambda media: _quality(media, weights))
    if not _quality(best, weights):
        raise RequestError(406, "Not acceptable", f"available as {', '.join(CONTENT_TYPES)}")
    return best


def _quality(media: str, weights: Mapping[str, float]) -> float:
    """The caller's weight for a media type, 0 to 1; the most specific range decides (RFC 9110, 12.5.1)."""
    for wanted in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if wanted in weights:
            return weights[wanted]
    return 0.0


def _preference(part: str) -> tuple[str, float]:
    """A media range and its weight; a malformed weight counts as 0."""
    wanted, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [value.removeprefix("q=") for value in parameters if value.startswith("q=")]
    if weights and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", weights[0]):
        return wanted, 0.0
    return wanted, min(float(weights[0]), 1.0) if weights else 1.0

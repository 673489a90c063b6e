"""One HTTP exchange with a server, bounded in time and size, whatever the server does. Parses no body."""

import logging
import math
import re
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from chalicelib import transport
from chalicelib.errors import SourceBusy, SourceError, SourceInvalid, SourceUnavailable
from chalicelib.sources.connections import CuttableAdapter

# At DEBUG urllib3 logs the query, which may hold a key; its warnings hold headers and the whole URL.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_HEADERS = {**requests.utils.default_headers(), "Accept": "application/json", "User-Agent": "decant"}
_JSON_TYPES = ("application/json", "text/json")
_CHUNK_BYTES = 65_536
_LONG_WAIT_SECONDS = 86_400
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")  # RFC 9110 has whole ones; some APIs send 2.0
_RATE_LIMITS = ("X-RateLimit", "X-Rate-Limit", "RateLimit")
_FIRST_EPOCH = 1_000_000_000  # seconds; a smaller reset is how long it takes, a larger one when it is


@dataclass(frozen=True)
class Limits:
    """Limits on one page; times in seconds. ``page`` covers all attempts and pauses.

    A body may have ``record_bytes`` per requested record, but never less than ``least_body_bytes`` nor more
    than ``body_bytes``: once decoded it takes up to forty times as much memory.
    """

    connect: float = 3.05
    read: float = 10
    page: float = 45
    attempts: int = 5
    pause: float = 2
    longest_pause: float = 20
    record_bytes: int = 16 * 1024
    least_body_bytes: int = 8 * 1024 * 1024
    body_bytes: int = 32 * 1024 * 1024


class Failure(Exception):
    """Why an exchange gave nothing usable; ``error`` is what that means for the page."""

    def __init__(self, problem: str, error: type[SourceError] = SourceUnavailable) -> None:
        super().__init__(problem)
        self.problem, self.error = problem, error


class Transient(Failure):
    """A failure that is worth a retry; ``retry_after`` is the wait that the server asked for, in seconds."""

    def __init__(
        self, problem: str, error: type[SourceError] = SourceUnavailable, retry_after: float = 0
    ) -> None:
        super().__init__(problem, error)
        self.retry_after = retry_after


class Unauthorized(Failure):
    """The server does not accept the credentials."""


class TooLarge(Failure):
    """The body is larger than it may be."""


@dataclass(frozen=True)
class Reply:
    """An answer that was accepted."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytearray = field(repr=False)


class Server:
    """A server, with connections that are kept for the next exchange."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._limits = limits
        self._session, self._adapter = requests.Session(), CuttableAdapter()
        is_local = urlsplit(url).scheme == "http" and transport.is_safe(url)
        self._session.trust_env = not is_local  # no proxy for this machine or its Docker network

    def ask(
        self,
        request: requests.Request,
        most_bytes: int,
        deadline: float,
        accepted: Collection[int] = (requests.codes.ok,),
    ) -> Reply:
        """The answer, with one of the accepted statuses; JSON if it is 200. Raises Failure.

        From the deadline (monotonic) on, a timer cuts the connection, whatever the server is slow at.
        """
        timer = threading.Timer(
            deadline - time.monotonic(), lambda: self._adapter.cut_until(over=timer.finished)
        )
        timer.daemon = True  # a process that a signal ends does not wait for it
        problem: Failure
        try:
            timer.start()
            with self._send(request) as response:
                _check(response, accepted)
                return Reply(
                    response.status_code, response.headers, self._body(response, most_bytes, deadline)
                )
        except Failure as failure:
            problem = failure
            if isinstance(failure, Transient) and failure.retry_after > self._limits.page:
                wait = _in_words(failure.retry_after)
                problem = Failure(f"{failure.problem}, and asks to wait {wait}", SourceBusy)
        except (requests.ConnectionError, requests.Timeout) as error:
            problem = Transient(f"no answer: {_cause(error)}")
        except urllib3.exceptions.HTTPError as error:
            problem = Transient(f"the body was cut off: {type(error).__name__}")
        except requests.RequestException as error:
            problem = Failure(f"the request failed: {type(error).__name__}")
        finally:
            timer.cancel()
        if time.monotonic() > deadline:
            problem = self._too_slow()
        raise problem  # outside the except clauses, since their errors hold the whole URL

    def close(self) -> None:
        self._adapter.close()

    def _send(self, request: requests.Request) -> requests.Response:
        """The response's head. Bypasses two of the session's methods: ``send``, which reads a redirect's body
        without a limit, and ``prepare_request``, which prefers the password of a ``.netrc`` to the URL's."""
        request.headers = {**_HEADERS, **request.headers}
        prepared = request.prepare()
        settings: Any = self._session.merge_environment_settings(prepared.url, {}, True, None, None)
        return self._adapter.send(prepared, timeout=(self._limits.connect, self._limits.read), **settings)

    def _body(self, response: requests.Response, most_bytes: int, deadline: float) -> bytearray:
        """Reads what has arrived, again and again, so that no trickle and no flood evades the limits."""
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > most_bytes:
                raise TooLarge(f"the body is larger than {most_bytes} bytes", SourceInvalid)
        if time.monotonic() > deadline:  # also if the cut looks like the end of the body
            raise self._too_slow()
        if not body and _may_have_broken_off(response):
            raise Transient("the head was cut off")
        return body

    def _too_slow(self) -> Failure:
        return Failure(f"it took longer than {self._limits.page} s")


def _cause(error: requests.RequestException) -> str:
    """The class of what is behind it, if known, such as ``NameResolutionError``."""
    behind = error.args[0] if error.args else None
    behind = getattr(behind, "reason", behind)
    return type(behind if isinstance(behind, Exception) else error).__name__


def _check(response: requests.Response, accepted: Collection[int]) -> None:
    """Raises Failure unless the status is accepted, and what comes with a 200 is JSON."""
    status, codes = response.status_code, requests.codes
    wait = _requested_wait(response.headers)
    is_busy = status == codes.too_many_requests or (status == codes.forbidden and wait > 0)
    if is_busy or status == codes.request_timeout or status >= codes.server_error:
        raise Transient(f"status {status}", SourceBusy if is_busy else SourceUnavailable, wait)
    if response.is_redirect:
        raise Failure(f"status {status}: redirects are not followed; use the final URL")
    if status not in accepted:
        raise (Unauthorized if status == codes.unauthorized else Failure)(f"status {status}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if status == codes.ok and kind not in _JSON_TYPES and not kind.endswith("+json"):
        if _may_have_broken_off(response):
            raise Transient("the head was cut off")
        raise Failure("the Content-Type of the answer is not JSON", SourceInvalid)


def _may_have_broken_off(response: requests.Response) -> bool:
    """Whether the head may be cut short: it gives no end of the body, and http.client accepts a cut head."""
    headers = response.headers
    has_length = headers.get("Content-Length", "").isdigit()
    return not (has_length or "Transfer-Encoding" in headers or "Connection" in headers)


def _in_words(seconds: float) -> str:
    """A wait. The source chose the number, so a long one is not repeated: it could be any number."""
    return f"{seconds:,.0f} s" if seconds < _LONG_WAIT_SECONDS else "more than a day"


def _requested_wait(headers: Mapping[str, str]) -> float:
    """Seconds until the server wants to be asked again, or until its limit of requests, which is used up, is
    reset; 0 if it says neither."""
    used_up = [prefix for prefix in _RATE_LIMITS if headers.get(f"{prefix}-Remaining") == "0"]
    resets = [_until_reset(headers.get(f"{prefix}-Reset", "")) for prefix in used_up]
    return _retry_after(headers.get("Retry-After", "")) or max(resets, default=0.0)


def _until_reset(header: str) -> float:
    """Seconds from a header that holds them, or the time since 1970; 0 for what is neither, such as
    milliseconds. Clocks differ, so at least one."""
    reset = float(header) if _SECONDS.fullmatch(header) else math.inf
    wait = reset if reset < _FIRST_EPOCH else reset - time.time()
    return max(wait, 1.0) if wait <= _LONG_WAIT_SECONDS else 0.0


def _retry_after(header: str) -> float:
    """Seconds from a Retry-After header, which holds seconds or a date; 0 if it holds neither."""
    if _SECONDS.fullmatch(header):
        return float(header)
    try:
        return (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return 0.0

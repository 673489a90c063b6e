"""Decides from a URL alone whether traffic to it could be read or changed in transit.

Stricter than the drivers: a URL that one of them might interpret differently counts as unsafe.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_AUTHORITY = re.compile(r"(?:[^@\\]*@)?(?P<host>\[[^\]]*\]|[^][:,@\\]*)(?::\d*)?")
_CONTAINER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")  # no dot; no name on AWS is like that


def is_safe(url: str) -> bool:
    """Whether traffic stays on this machine or in its Docker network, or the server must prove its name.

    Raises ValueError if the URL is malformed.
    """
    parts = urlsplit(url, allow_fragments=False)  # libpq has no fragments
    options = parse_qsl(parts.query, keep_blank_values=True)
    return _is_verified(parts.scheme, options) or _stays_local(parts, options)


def _is_verified(scheme: str, options: list[tuple[str, str]]) -> bool:
    if scheme in {"postgresql", "postgres"}:  # ssl=true means sslmode=require to libpq
        return _values(options, "sslmode", "ssl", "requiressl") == ["verify-full"]
    if scheme == "rediss":
        return set(_values(options, "ssl_cert_reqs", "ssl_check_hostname")) <= {"required"}
    return scheme == "https"


def _stays_local(parts: SplitResult, options: list[tuple[str, str]]) -> bool:
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        return False
    # The query of an HTTP URL is the server's alone. A driver replaces an empty host by its defaults.
    hosts = [] if parts.scheme == "http" else _values(options, "host", "hostaddr")
    if parts.scheme == "unix":
        hosts.append(parts.path)
    if authority["host"]:
        hosts.append(unquote(authority["host"]))
    return bool(hosts) and all(map(_is_local, hosts))


def _is_local(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.startswith("/") or bool(_CONTAINER_NAME.fullmatch(host))


def _values(options: Iterable[tuple[str, str]], *names: str) -> list[str]:
    return [value for name, value in options if name in names]

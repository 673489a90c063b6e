"""Decides from a URL alone whether traffic to it could be read or changed in transit.

Stricter than the drivers: a URL that one of them might interpret differently counts as unsafe.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_AUTHORITY = re.compile(r"(?:[^@\\]*@)?(?P<host>\[[^\]]*\]|[^][:,@\\]*)(?::\d*)?")
_NEIGHBOUR = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")  # no dot: a container's name; no name on AWS is like that


def is_safe(url: str) -> bool:
    """Whether traffic stays on this machine or in its Docker network, or the server must prove its name.

    Raises ValueError if the URL is malformed.
    """
    parts = urlsplit(url, allow_fragments=False)  # libpq has no fragments
    asked = parse_qsl(parts.query, keep_blank_values=True)
    return _is_verified(parts.scheme, asked) or _stays_here(parts, asked)


def _is_verified(scheme: str, asked: list[tuple[str, str]]) -> bool:
    if scheme in {"postgresql", "postgres"}:  # ssl=true means sslmode=require to libpq
        return _values(asked, "sslmode", "ssl", "requiressl") == ["verify-full"]
    if scheme == "rediss":
        return set(_values(asked, "ssl_cert_reqs", "ssl_check_hostname")) <= {"required"}
    return scheme == "https"


def _stays_here(parts: SplitResult, asked: list[tuple[str, str]]) -> bool:
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        return False
    # The query of an HTTP URL is the server's alone. A driver replaces an empty host by its defaults.
    hosts = [] if parts.scheme == "http" else _values(asked, "host", "hostaddr")
    if parts.scheme == "unix":
        hosts.append(parts.path)
    if authority["host"]:
        hosts.append(unquote(authority["host"]))
    return bool(hosts) and all(map(_is_here, hosts))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.startswith("/") or bool(_NEIGHBOUR.fullmatch(host))


def _values(asked: Iterable[tuple[str, str]], *names: str) -> list[str]:
    return [value for name, value in asked if name in names]

"""Whether what travels to a URL can be read or changed on its way. Looks at the URL alone.

Stricter than the drivers: whatever one of them might read in another way counts as unsafe.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_AUTHORITY = re.compile(r"(?:[^@\\]*@)?(?P<host>\[[^\]]*\]|[^][:,@\\]*)(?::\d*)?")
_NEIGHBOUR = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")  # no dot: a container's name, of nothing on AWS


def is_safe(url: str) -> bool:
    """It stays on this machine or in its Docker network, or the server has to prove its name.

    Raises ValueError for what is no URL.
    """
    parts = urlsplit(url, allow_fragments=False)  # libpq knows no fragments
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
    # An HTTP server's query is its own business. To a driver an empty host is whatever its defaults say.
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

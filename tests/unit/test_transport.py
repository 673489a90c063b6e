"""Which URLs are safe to use from a Lambda, and that the drivers parse them as we do."""

import ssl
from ipaddress import ip_address

import psycopg2
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from chalicelib.transport import is_safe

SAFE = [
    "postgresql://u:p@db.example:5432/d?sslmode=verify-full&sslrootcert=/var/task/certifi/cacert.pem",
    "postgres://db.example/d?sslmode=verify-full",
    "postgresql://u:p@a.example,b.example/d?sslmode=verify-full",
    "rediss://:p@cache.example:6379/0",
    "rediss://:p@cache.example/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
    "https://api.example/users?host=x&sslmode=disable",
    # on this machine
    "postgresql://u:p@127.0.0.1:5432/d",
    "postgresql://u:p@[::1]:5432/d?sslmode=disable",
    "postgresql://u@/d?host=%2Ftmp",
    "redis://:p@localhost:6379/0",
    "unix:///tmp/valkey.sock",
    "http://127.0.0.1:9000/users?host=api.example",
    # in a Docker network
    "postgresql://u:p@postgres:5432/d",
    "redis://:p@redis:6379/0",
    "http://user-api:9000/users",
]

UNSAFE = [
    "postgresql://u:p@db.example/d",
    "postgresql://u:p@10.83.16.7/d",
    *(f"postgresql://db.example/d?sslmode={m}" for m in ("disable", "prefer", "require", "verify-ca", "")),
    "postgresql://db.example/d?sslmode=verify-full&sslmode=require",  # the last one counts
    "postgresql://db.example/d?sslmode=verify-full&ssl=true",  # which is sslmode=require
    "postgresql://db.example/d?sslmode=verify-full#&sslmode=disable",  # libpq has no notion of fragments
    "postgresql://db.example/d?SSLMODE=verify-full",
    "postgresql:///d",  # the host comes from PGHOST
    "postgresql://localhost/d?host=db.example",
    "postgresql://localhost/d?host=",  # likewise
    "postgresql://localhost/d?hostaddr=10.0.0.1",
    "postgresql://localhost,db.example/d",
    "postgresql://localhost@db.example/d",
    "postgresql://a@db.example,b@localhost/d",
    "redis://:p@cache.example:6379/0",
    "redis://2130706434:6379/0",  # a number can be an address
    "redis://0x0a000001:6379/0",
    "redis://0.0.0.0:6379/0",
    "rediss://cache.example/0?ssl_cert_reqs=none",
    "rediss://cache.example/0?ssl_cert_reqs=optional",
    "rediss://cache.example/0?ssl_cert_reqs=none&ssl_cert_reqs=required",
    "rediss://cache.example/0?ssl_check_hostname=no",
    "http://api.example/users",
    "http://127.0.0.1.api.example/users",
    r"http://api.example\@localhost/users",  # some parsers read the host before the backslash, some after
    "http://localhost@api.example/users",
]  # fmt: skip


@pytest.mark.parametrize("url", SAFE)
def test_verified_and_local_urls_are_safe(url):
    assert is_safe(url)


@pytest.mark.parametrize("url", UNSAFE)
def test_all_other_urls_are_unsafe(url):
    assert not is_safe(url)


HOSTS = [
    "",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "postgres",
    "%2Ftmp",
    "db.example",
    "10.0.0.1",
    "a@b",
    "a:1",
    "a,b.c",
]
PARTS = [
    "?",
    "&",
    "#",
    "@",
    ",",
    "/",
    ":",
    "%26",
    "host=",
    "hostaddr=",
    "sslmode=",
    "ssl=true",
    "disable",
    "require",
]
PARTS += [
    "verify-full",
    "sslmode=verify-full",
    "ssl_cert_reqs=",
    "none",
    "required",
    "ssl_check_hostname=",
    "no",
    "=",
    "",
]
TAILS = st.lists(st.sampled_from([*PARTS, *HOSTS]), max_size=6).map("".join)


@given(host=st.sampled_from(HOSTS), tail=TAILS)
def test_for_a_safe_url_libpq_verifies_the_server_or_stays_on_this_machine(host, tail):
    url = f"postgresql://u:p@{host}/d?{tail}"
    try:
        safe, read = is_safe(url), parse_dsn(url)
    except (ValueError, psycopg2.ProgrammingError):
        return  # one of the two refuses it
    if safe and read.get("sslmode") != "verify-full":
        hosts = [*read.get("host", "").split(","), *read.get("hostaddr", "").split(",")]
        assert [there for there in hosts if there and leads_away(there)] == []
        assert any(hosts)


@given(scheme=st.sampled_from(["redis", "rediss"]), host=st.sampled_from(HOSTS), tail=TAILS)
def test_for_a_safe_url_the_redis_client_verifies_the_server_or_stays_on_this_machine(scheme, host, tail):
    url = f"{scheme}://:p@{host}/0?{tail}"
    try:
        safe, line = is_safe(url), redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, redis.RedisError):
        return
    if safe and leads_away(line.host):
        assert isinstance(line, redis.SSLConnection)
        assert (line.cert_reqs, line.check_hostname) == (ssl.CERT_REQUIRED, True)


def leads_away(host):
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return "." in host and not host.startswith("/")

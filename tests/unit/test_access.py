"""Who may do what: the scopes of a key, and no scope without one."""

import hashlib

import pytest

from chalicelib.access import SCOPES, key_hash, key_name, scopes_of

READER, OPERATOR, NOBODY = "reader-key", "operator-key", "key-without-scopes"
API_KEYS = {
    key_hash(READER): frozenset({"read"}),
    key_hash(OPERATOR): frozenset({"read", "operate"}),
    key_hash(NOBODY): frozenset(),
}


def test_there_are_three_scopes():
    assert sorted(SCOPES) == ["erase", "operate", "read"]


@pytest.mark.parametrize("api_key", ["", "key", "schlüssel", "k" * 1_000])
def test_a_key_is_known_by_its_sha256_in_hex(api_key):
    assert key_hash(api_key) == hashlib.sha256(api_key.encode()).hexdigest()


@pytest.mark.parametrize(
    ("api_key", "scopes"), [(READER, {"read"}), (OPERATOR, {"read", "operate"}), (NOBODY, set())]
)
def test_a_known_key_has_the_scopes_that_are_configured(api_key, scopes):
    assert scopes_of(f"Bearer {api_key}", API_KEYS) == scopes


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_may_be_written_in_any_case(scheme):
    assert scopes_of(f"{scheme} {READER}", API_KEYS) == {"read"}  # RFC 9110: schemes are case-insensitive


def test_space_around_a_key_is_ignored():
    assert scopes_of(f"Bearer   {READER} ", API_KEYS) == {"read"}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        READER,
        f"Basic {READER}",
        f"Bearer{READER}",
        f" Bearer {READER}",
        f"Bearer {READER.upper()}",
        f"Bearer {READER[:-1]}",
        f"Bearer {READER}x",
        f"Bearer {READER} {READER}",
        f"Bearer {key_hash(READER)}",  # knowing the configured hash is not knowing the key
        "Bearer schlüssel",
        "Bearer \udce4",  # a byte that was not valid UTF-8
        "Bearer \0",
    ],
    ids=ascii,
)
def test_without_a_known_key_there_is_no_scope(authorization):
    assert scopes_of(authorization, API_KEYS) == frozenset()


def test_a_key_with_half_of_a_surrogate_pair_is_an_unknown_key():
    assert scopes_of("Bearer \ud800", API_KEYS) == frozenset()  # which JSON can express


def test_an_empty_key_has_no_scope_even_if_its_hash_is_configured():
    assert scopes_of("Bearer ", {key_hash(""): frozenset({"read"})}) == frozenset()


def test_without_configured_keys_nobody_has_a_scope():
    assert scopes_of(f"Bearer {READER}", {}) == frozenset()


def test_a_key_is_called_by_the_start_of_its_hash():
    assert key_name("Bearer  abc ") == key_hash("abc")[:8]

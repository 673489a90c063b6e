"""The errors: one tree, drawn in one place, and no message that holds more than it was given."""

import inspect
import re
from traceback import extract_tb

import pytest

from chalicelib import errors
from chalicelib.errors import (
    ConfigError,
    DecantError,
    LeaseLost,
    RejectBudgetExceeded,
    RequestError,
    SourceInvalid,
    SourceUnavailable,
    StopRequested,
    StoreError,
    StoreUnavailable,
    TokenError,
    Unforeseen,
)
from chalicelib.validation import validate
from tests.builders import RANDOM_DATA_API

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
]


def drawn_tree() -> dict[str, str]:
    """Each class in the docstring's drawing, mapped to its parent."""
    parents, above = {}, {0: "Exception"}
    for indent, name in re.findall(r"^ {4}([ │├└─]*)(\w+)(?: {2}.*)?$", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        parents[name], above[depth] = above[depth - 1], name
    return parents


def test_the_drawn_tree_matches_the_classes():
    assert drawn_tree() == {kind.__name__: kind.__base__.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_has_a_docstring(kind):
    assert kind.__doc__


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError("REDIS_URL", "is not set"), "REDIS_URL: is not set"),
        (
            TokenError("email", "the value is empty once normalised, so it has no token"),
            "email: the value is empty once normalised, so it has no token",
        ),
        (SourceUnavailable(3, "status 503"), "page 3: status 503"),
        (SourceInvalid(3, "no records"), "page 3: no records"),
        (RejectBudgetExceeded(3, 21, 100), "page 3: 21 of 100 records are invalid"),
        (StoreError("load_page"), "query load_page failed"),
        (StoreError("load_page", "23505"), "query load_page failed: SQLSTATE 23505"),
        (
            StoreError("load_page", "23514", "runs_conserve"),
            "query load_page failed: SQLSTATE 23514: constraint runs_conserve",
        ),
        (
            StoreError("load_page", constraint="runs_conserve"),
            "query load_page failed: constraint runs_conserve",
        ),
        (
            StoreError("users", "42P01"),
            "query users failed: SQLSTATE 42P01: a table is missing; have the migrations run?",
        ),
        (
            StoreError("user", "42883"),
            "query user failed: SQLSTATE 42883: a function is missing; have the migrations run?",
        ),
        (StoreError("migrate", "42P01"), "query migrate failed: SQLSTATE 42P01"),
        (StoreUnavailable("connect"), "query connect failed"),
        (LeaseLost("load_page"), "the run's lease has expired, or the run was ended"),
        (StopRequested("load_page"), "stopped on request"),
        (RequestError(404, "Not found", "no such run"), "Not found: no such run"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_holds_what_it_was_given(error, message):
    assert str(error) == message
    assert isinstance(error, DecantError)


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (SourceInvalid(3, "no records"), {"page": 3, "problem": "no records"}),
        (
            StoreError("load_page", "23514", "runs_conserve"),
            {"query": "load_page", "sqlstate": "23514", "constraint": "runs_conserve"},
        ),
        (RequestError(404, "Not found", "no run"), {"status": 404, "title": "Not found", "detail": "no run"}),
        (RequestError(404, "Not found"), {"status": 404, "title": "Not found", "detail": ""}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_carries_its_data(error, data):
    assert vars(error) == data


# Unexpected errors


def shown(error: BaseException) -> str:
    return str(Unforeseen(error))


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_an_unforeseen_error_hides_its_text():
    unforeseen = Unforeseen(raised(ValueError("raw-value")))
    assert "raw-value" not in f"{unforeseen} {unforeseen!r} {unforeseen.args} {vars(unforeseen)}"


def test_an_unforeseen_error_shows_its_type_and_place():
    assert re.fullmatch(r"ValueError at test_errors\.py:\d+", shown(raised(ValueError("raw-value"))))


def test_an_error_that_was_never_raised_has_no_place():
    assert shown(KeyError("raw-value")) == "KeyError"


def test_an_unforeseen_error_in_a_library_also_shows_our_own_line():
    with pytest.raises(ValueError, match="Expecting value") as caught:
        validate(b"raw-value", RANDOM_DATA_API.dialect, today=None)
    frames = extract_tb(caught.value.__traceback__)
    library, ours = frames[-1].lineno, [frame.lineno for frame in frames if "chalicelib" in frame.filename]
    assert shown(caught.value) == f"JSONDecodeError at decoder.py:{library} (from lenient_json.py:{ours[-1]})"

"""Checks on the text of the SQL: that no column is forgotten, locks are bounded, isolation is right."""

import re
from collections import Counter
from pathlib import Path

import pytest

from chalicelib import forms, stats, store
from chalicelib.privacy import TREATMENT_OF
from local.folders import ROOT

SQL = ROOT / "chalicelib" / "sql"
STORED = {*TREATMENT_OF, "custom"} - {"uid"}


def named(statement):
    """How often each name occurs, alone or with the suffix _list, outside comments and string literals."""
    return Counter(re.findall(r"\w+", re.sub(r"--.*|'[^']*'|_list\b", "", statement)))


def unlike_the_others(counts, columns):
    """The columns that are named more or less often than most others."""
    usual = Counter(counts[column] for column in columns).most_common(1)[0][0]
    return {column for column in columns if counts[column] != usual or not usual}


def read(statement):
    return (SQL / f"{statement}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("statement", ["queries/load_page", "functions/load_page", "functions/person"])
def test_a_statement_names_each_stored_column_as_often_as_the_others(statement):
    assert unlike_the_others(named(read(statement)), STORED) == set()


def test_the_list_query_selects_each_stored_column():
    selected = re.search(r"^SELECT.*?^FROM", read("queries/users"), re.MULTILINE | re.DOTALL)

    assert unlike_the_others(named(selected.group()), STORED) == set()


@pytest.mark.parametrize("form", [forms.Users, forms.Lookup])
def test_the_list_query_has_each_filter(form):
    filters = set(form.__struct_fields__) - {"limit", "cursor"}

    assert filters <= set(re.findall(r"%\((\w+)\)s::[\w\[\]]+ IS NULL", read("queries/users")))


def waiting():
    """The queries of several statements, or that may wait for another transaction; without comments."""
    for path in sorted((SQL / "queries").glob("*.sql")):
        statements = re.sub(r"--.*", "", path.read_text(encoding="utf-8")).strip()
        changes = re.search(r"\b(UPDATE|DELETE|ON CONFLICT)\b", statements)
        if statements.count(";") > 1 or (changes and "SKIP LOCKED" not in statements):
            yield pytest.param(statements, id=path.stem)


def test_a_query_that_changes_a_run_waits_as_long_as_a_load_may_take():
    changing = {
        path.stem for path in (SQL / "queries").glob("*.sql") if "UPDATE runs" in path.read_text("utf-8")
    }
    bounded_or_after_all_loads = {"open_run", "finish_run", "remove_departed", "erase"}

    seconds = {name: store._SECONDS.get(name) for name in changing - bounded_or_after_all_loads}

    assert seconds == dict.fromkeys(seconds, store._SECONDS["load_page"])
    assert "stop_run" in seconds


# For how many locks each of these may wait.
WAITS = {
    "queries/open_run": 3,
    "queries/erase": 3,
    "queries/remove_departed": 2,
    "queries/reconcile_keys": 4,
    "functions/load_page": 4,
}


def test_the_waits_of_every_statement_with_a_lock_timeout_are_known():
    with_timeout = {path for path in SQL.rglob("*.sql") if "lock_timeout" in path.read_text("utf-8")}

    assert {str(path.relative_to(SQL).with_suffix("")) for path in with_timeout} == {
        *WAITS,
        "queries/migrations",
    }


@pytest.mark.parametrize(("statement", "waits"), WAITS.items())
def test_the_lock_timeout_is_shorter_than_the_wait_for_the_answer(statement, waits):
    """Otherwise a statement that the client gave up would still be carried out later."""
    ((number, unit),) = re.findall(r"lock_timeout = '(\d+)(ms|s)'", read(statement))
    seconds = int(number) / (1000 if unit == "ms" else 1)

    assert waits * seconds < store._SECONDS.get(Path(statement).name, store._READ_SECONDS)


READS = [
    path.stem
    for path in sorted((SQL / "queries").glob("*.sql"))
    if not re.search(r"\b(INSERT|UPDATE|DELETE|CREATE|load_page)\b", path.read_text("utf-8"))
]


@pytest.mark.parametrize("query", READS)
def test_a_read_sets_nothing(query):
    """RDS Proxy may reserve a connection on which something was set for its client."""
    assert not re.search(r"\b(SET|set_config)\b", re.sub(r"--.*", "", read(f"queries/{query}")))


@pytest.mark.parametrize("statements", list(waiting()))
def test_a_statement_that_waited_sees_the_committed_change(statements):
    """A database default stricter than READ COMMITTED would show all statements the state at the start."""
    assert statements.startswith("SET TRANSACTION ISOLATION LEVEL READ COMMITTED;")


def test_the_risk_is_counted_over_the_columns_that_the_statistics_name():
    assert re.search(r"GROUP BY (.*)", read("queries/risk"))[1].split(", ") == list(stats.QUASI_IDENTIFIERS)

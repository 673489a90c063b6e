"""The order of the house: which room may import which, the owners of each library, and limits on size."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {path.stem: path for path in (ROOT / "chalicelib").glob("*.py") if path.stem != "__init__"}
SOURCES = {
    f"sources.{path.stem}".removesuffix(".__init__"): path
    for path in (ROOT / "chalicelib/sources").glob("*.py")
}
CLIENT = {
    "sources.assertions",
    "sources.client",
    "sources.connections",
    "sources.exchange",
    "sources.oauth",
}
DIALECTS = SOURCES.keys() - {"sources", *CLIENT}
ALL = {"app": ROOT / "app.py", **ROOMS, **SOURCES}

PURE = {
    "access",
    "assets",
    "clean",
    "custom",
    "dialect",
    "edges",
    "envelope",
    "errors",
    "forms",
    "issues",
    "kept_texts",
    "ledger",
    "lenient_json",
    "paging",
    "people",
    "privacy",
    "quarantine",
    "report",
    "run_lists",
    "shapes",
    "stats",
    "table",
    "token_rules",
    "transport",
    "users",
    "validation",
    "views",
}
EDGES = {"store", "cache", "config", "aws", "sources.client"}

# Each room, and the rooms that it may import. Imports run downward; nothing imports app.
MAY_IMPORT = {
    "app": {
        "answers",
        "config",
        "emulator",
        "forms",
        "gate",
        "manual",
        "openapi",
        "people",
        "run_lists",
        "runs",
        "stats",
        "telemetry",
        "upkeep",
        "views",
        "wiring",
    },
    "gate": {"access", "answers", "errors", "forms", "telemetry"},
    "answers": {"assets", "errors", "table", "views"},
    "table": {"custom", "views"},
    "assets": set(),
    "openapi": {"answers", "custom", "dialect", "forms", "gate", "shapes", "stats", "views"},
    "manual": set(),
    "emulator": {"answers", "errors", "gate"},
    "telemetry": {"errors", "ledger", "report"},
    "runs": {
        "aws",
        "background",
        "config",
        "edges",
        "errors",
        "ledger",
        "opening",
        "pipeline",
        "privacy",
        "report",
        "telemetry",
        "views",
        "wiring",
    },
    "background": {"errors", "ledger", "report", "wiring"},
    "upkeep": {"aws", "errors", "retries", "views", "wiring"},
    "wiring": {
        "cache",
        "config",
        "dialect",
        "errors",
        "privacy",
        "quarantine",
        "store",
        "sources",
        "sources.client",
    },
    "pipeline": {
        "edges",
        "errors",
        "ledger",
        "loading",
        "opening",
        "paging",
        "prepare",
        "report",
        "resuming",
    },
    "resuming": {"edges", "errors", "report"},
    "prepare": {
        "clean",
        "custom",
        "dialect",
        "edges",
        "envelope",
        "errors",
        "kept_texts",
        "ledger",
        "paging",
        "privacy",
        "report",
        "timing",
        "users",
        "validation",
        "views",
    },
    "kept_texts": set(),
    "loading": {"edges", "errors", "ledger", "report", "timing", "views"},
    "timing": {"report"},
    "edges": {"dialect", "ledger", "opening", "paging", "privacy", "quarantine", "report"},
    "opening": {"custom", "errors", "ledger", "privacy", "report"},
    "run_lists": {"errors", "forms", "views"},
    "people": {"custom", "dialect", "errors", "forms", "ledger", "privacy", "views"},
    "store": {"errors", "ledger", "migrations", "pool", "queries", "retries", "stats", "views"},
    "pool": {"errors", "semaphore"},
    "retries": {"errors"},
    "migrations": {"pool", "queries", "retries"},
    "queries": set(),
    "cache": {"redis_connections", "single_flight", "views"},
    "single_flight": {"errors"},
    "redis_connections": {"errors", "semaphore"},
    "semaphore": set(),
    "config": {"access", "aws", "errors", "transport", "users"},
    "aws": {"errors"},
    "sources": {"dialect", "errors"},
    "sources.client": {"dialect", "errors", "paging", "sources.exchange", "sources.oauth"},
    "sources.oauth": {"errors", "sources.assertions", "sources.exchange"},
    "sources.assertions": {"errors"},
    "sources.exchange": {"errors", "sources.connections", "transport"},
    "sources.connections": set(),
    **{room: {"dialect", "paging", "users"} for room in DIALECTS},
    "errors": set(),
    "access": set(),
    "transport": set(),
    "shapes": set(),
    "users": set(),
    "lenient_json": set(),
    "dialect": {"custom", "envelope", "errors", "lenient_json", "paging", "shapes", "users"},
    "envelope": {"lenient_json", "shapes", "users"},
    "paging": set(),
    "validation": {"dialect", "issues", "lenient_json", "shapes", "users"},
    "issues": {"shapes", "users"},
    "privacy": {"custom", "errors", "ledger", "token_rules"},
    "token_rules": set(),
    "quarantine": set(),
    "clean": {"custom", "users"},
    "custom": {"shapes", "users"},
    "ledger": {"users"},
    "report": {"ledger", "paging"},
    "views": {"ledger", "users"},
    "stats": {"views"},
    "forms": {"ledger", "users"},
}

OWNERS = {
    "pandas": {"clean"},
    "psycopg2": {"pool"},
    "redis": {"redis_connections"},
    "requests": CLIENT - {"sources.assertions"},
    "urllib3": {"sources.connections", "sources.exchange"},
    "tenacity": {"sources.client", "retries"},
    "hmac": {"privacy"},
    "cryptography": {"privacy", "quarantine", "sources.assertions"},
    "boto3": {"aws"},
    "botocore": {"aws"},
    "chalice": {"app", "answers", "gate"},
}

# The rooms with a place that may catch any exception: what called them cannot, or must not see its text.
BOUNDARIES = {"background", "gate", "pipeline", "telemetry", "upkeep"}


@cache
def tree(room: str) -> ast.Module:
    return ast.parse(ALL[room].read_text(encoding="utf-8"))


@cache
def imports(room: str) -> set[str]:
    found = set()
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(room: str) -> set[str]:
    names = {name.removeprefix("chalicelib.") for name in imports(room) if name.startswith("chalicelib.")}
    return {name for name in names if name in ALL}


@pytest.mark.parametrize("room", sorted(ALL))
def test_a_room_imports_only_rooms_below_it(room):
    assert rooms_imported(room) - {room} == MAY_IMPORT[room]


def test_the_rooms_have_an_order():
    TopologicalSorter(MAY_IMPORT).prepare()  # raises CycleError if two rooms are below each other


@pytest.mark.parametrize("room", sorted(EDGES))
def test_an_edge_does_not_import_another_edge(room):
    others = {"aws"} if room == "config" else set()  # the settings may be kept in a secret
    assert not (rooms_imported(room) & EDGES) - {room} - others


@pytest.mark.parametrize("room", sorted(PURE))
def test_a_pure_room_uses_no_clock_network_or_environment(room):
    assert not imports(room) & {"os", "time", "socket", "logging", "threading"}


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_library_has_one_owner(library):
    users_of_it = {room for room in ALL if any(name.partition(".")[0] == library for name in imports(room))}
    assert users_of_it == OWNERS[library]


def test_only_config_reads_the_environment():
    assert {room for room in ALL if "os" in imports(room)} == {"config"}


@pytest.mark.parametrize("room", sorted(ALL))
def test_only_the_boundaries_catch_every_exception(room):
    broad = [
        node.lineno
        for node in ast.walk(tree(room))
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or {"Exception", "BaseException"} & {getattr(part, "id", None) for part in ast.walk(node.type)}
        )
    ]
    assert len(broad) <= (1 if room in BOUNDARIES else 0)


@pytest.mark.parametrize("room", sorted(ALL))
def test_a_module_docstring_says_what_the_module_owns(room):
    assert ast.get_docstring(tree(room))


WORD_LISTS = {ROOT / "local/people.py"}
FOLDERS = ("local", "infra", "localstack/*_*", "bench", "bench/*")
OUTSIDE = [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.py")]


@pytest.mark.parametrize("path", [*ALL.values(), *OUTSIDE], ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_modules_stay_within_their_size_limits(path):
    text = path.read_text(encoding="utf-8")
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 40
    ]
    assert not long
    assert text.count("\n") <= (150 if path.name == "app.py" else 250) or path in WORD_LISTS


STATEMENTS = {"INSERT", "UPDATE", "DELETE", "WITH"}


def test_sql_is_written_only_in_sql_files():
    for room in ALL:
        for node in ast.walk(tree(room)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value.split()
                assert len(words) < 3 or words[0] not in STATEMENTS, (room, words)


@pytest.mark.parametrize("room", sorted(ALL))
def test_a_statement_is_never_assembled_from_parts(room):
    """No SQL is assembled at run time: execute() gets the text of a file, or a literal."""
    executed = [
        ast.unparse(node.args[0])
        for node in ast.walk(tree(room))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute"
        if node.args
    ]
    whole = re.compile(r"""sql\(\w+\)|sql\('\w+'\)|file\.read_text\(encoding='utf-8'\)|'[A-Z]+'""")
    assert [text for text in executed if not whole.fullmatch(text)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "chalicelib/sql").rglob("*.sql")), ids=lambda path: path.name)
def test_a_statement_takes_values_only_as_parameters(path):
    statement = re.sub(r"--.*|%%", "", path.read_text(encoding="utf-8"))
    outside = re.sub(r"'[^']*'", "''", statement)  # a quoted placeholder would be text, not a parameter
    if path.parent.name == "queries":
        assert outside.count("%") == statement.count("%") == len(re.findall(r"%\(\w+\)s", outside))
    assert not re.search(r"\bexecute\b(?! function)", outside, re.IGNORECASE)  # no dynamic SQL


PAGE = sorted((ROOT / "chalicelib/web").iterdir())
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|Function\(|style=|[\"']javascript:"
)


@pytest.mark.parametrize("path", PAGE, ids=lambda path: path.name)
def test_a_file_of_the_page_is_small_and_never_turns_text_into_html(path):
    text = path.read_text(encoding="utf-8")

    assert text.count("\n") <= 150
    assert not UNSAFE.search(text)
    assert path.suffix == ".html" or text.startswith(("// ", "/* "))

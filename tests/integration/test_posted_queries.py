"""A source that is asked with posted queries, as GraphQL is: the dialect of the document, over two pages."""

import ast
import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from chalicelib import runs
from chalicelib.dialect import Dialect
from chalicelib.paging import Paging
from chalicelib.users import Email, Personal, User
from local.folders import ROOT
from tests.builders import use
from tests.fakes import uid
from tests.serving import serving

TEXT = (ROOT / "docs" / "adapting.md").read_text(encoding="utf-8")
(DOCUMENTED,) = re.findall(r"```py\n(.*?)```", TEXT, re.DOTALL)


class Member(Personal):
    id: UUID
    mail: Email


def dialect(**changes):
    names = {"Any": object}
    exec(compile(ast.parse(DOCUMENTED), "adapting.md", "exec"), names)  # noqa: S102  our own document
    paging = Paging(names["query"], next_cursor=names["next_cursor"], method="POST")
    return Dialect(
        "graph",
        Member,
        lambda member: User(uid=member.id, email=member.mail),
        replace(paging, **changes),
        uid="id",
        envelope="data.users.nodes",
    )


@contextmanager
def graph(pages):
    """Serves the pages, by the cursor that asks for them; yields the URL and the bodies that were posted."""
    asked = []

    def respond(_, body):
        asked.append(posted := json.loads(body))
        return json.dumps(pages[posted["variables"].get("after")]).encode()

    with serving(respond, kind="application/graphql-response+json") as url:
        yield f"{url}/graphql", asked


def page(*numbers, after=None):
    nodes = [{"id": uid(number), "mail": f"m{number}@example.com"} for number in numbers]
    info = {"hasNextPage": after is not None, "endCursor": after}
    return {"data": {"users": {"nodes": nodes, "pageInfo": info}}}


@pytest.fixture
def ingest(monkeypatch, app_environment):
    def run(url, **changes):
        use(monkeypatch, dialect(**changes))
        app_environment(SOURCE_URL=url, SOURCE_DIALECT="graph", SOURCE_PAGES="9", SOURCE_PAGE_SIZE="2")
        return runs.run_ingest("schedule")

    return run


def test_each_page_is_asked_for_with_the_cursor_of_the_one_before_it(ingest):
    with graph({None: page(1, 2, after="two"), "two": page(3)}) as (url, asked):
        report = ingest(url)

    assert (report.status, report.inserted) == ("succeeded", 3)
    assert [body["variables"] for body in asked] == [{"first": 2}, {"first": 2, "after": "two"}]
    assert len({body["query"] for body in asked}) == 1


def test_changes_are_asked_for_on_each_page(ingest):
    def since(time: datetime):
        return {"variables": {"changed": time.isoformat()}}

    with graph({None: page(1, after="two"), "two": page(2)}) as (url, asked):
        assert ingest(url, since=since).status == "succeeded"
        assert ingest(url, since=since).since

    everybody, changes = [body["variables"] for body in asked[:2]], [body["variables"] for body in asked[2:]]
    assert [sorted(variables) for variables in everybody] == [["first"], ["after", "first"]]
    assert [sorted(variables) for variables in changes] == [
        ["changed", "first"],
        ["after", "changed", "first"],
    ]


def test_errors_without_data_fail_the_page_and_are_not_repeated(ingest):
    with graph({None: {"errors": [{"message": "hush"}], "data": None}}) as (url, _):
        report = ingest(url)

    assert report.status == "failed"
    assert report.error == (
        "page 1: the body holds no list of records in the format of graph (expected at data.users.nodes)"
    )

"""docs/adapting.md, followed literally in a copy of the tree: another API, a field of its own, the answer."""

import json
import re
import shutil
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg2
import pytest

from local import settings
from tests import curl
from tests.checkout import ROOT, copied
from tests.serving import serving

TEXT = (ROOT / "docs" / "adapting.md").read_text(encoding="utf-8")
FILE_OR_BLOCK = re.compile(
    r"`(?P<file>\w+/[\w/.]+)`|^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
PAGE = "https://api.example.com/v1/members"


@dataclass(frozen=True)
class Block:
    """A fenced block, and the files that the text before it named last."""

    kind: str
    text: str
    files: tuple[str, ...]


def blocks():
    files, named = (), []
    for found in FILE_OR_BLOCK.finditer(TEXT):
        if found["file"]:
            named.append(found["file"])
        else:
            files, named = tuple(named) or files, []
            yield Block(found["kind"], found["text"], files)


BLOCKS = list(blocks())
(SAMPLE,) = (block.text for block in BLOCKS if block.kind == "json")
PREVIEWED, SAID = (block.text for block in BLOCKS if not block.kind)
PREVIEW, RUN, ASK = (block.text.strip() for block in BLOCKS if block.kind == "sh")


def follow(folder):
    for block in BLOCKS:
        for file in block.files:
            path = folder / file
            if block.kind in {"python", "sql"}:
                assert not path.exists()
                path.write_text(block.text, encoding="utf-8")


@contextmanager
def members():
    """The API that the document describes, with one page; yields its URL."""

    with serving(lambda path, _: SAMPLE.encode() if "page=1&" in path else b'{"members": []}') as url:
        yield f"{url}/v1/members"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    with copied(tmp_path_factory.mktemp("adapted")) as checkout:
        follow(checkout.folder)
        yield checkout


def test_the_run_and_the_answer_match_the_document(adapted, tmp_path):
    curl.put_into(tmp_path)
    with members() as address, adapted.running(RUN.replace(PAGE, address)) as (said, port):
        ask = ASK.replace(":8000", f":{port}")

        def answer(path):
            asked = adapted.shell(ask.replace("/users", path), PATH=f"{tmp_path}:/usr/bin:/bin")
            assert asked.returncode == 0, asked.stderr
            return asked.stdout

        assert SAID in said
        assert "Ingest succeeded" in said
        (person,) = json.loads(answer("/users"))["items"]
        assert person["custom"] == {"language": "pt"}
        assert person["email"].startswith("v1_")
        assert person["address"]["coordinates"] == {"lat": 38.7, "lng": -9.1}
        assert json.loads(answer(f"/users/{person['uid']}")) == person  # from the cache this time
        assert json.loads(answer("/users?custom%5Blanguage%5D=pt"))["items"] == [person]
        assert "custom.language" in [row["path"] for row in json.loads(answer("/contract"))["fields"]]
        database = settings.published(adapted.folder / ".local")["DATABASE_URL"]
        with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT language FROM users")
            assert cursor.fetchall() == [("pt",)]


def test_the_preview_matches_the_document(adapted):
    (adapted.folder / "page.json").write_text(SAMPLE, encoding="utf-8")

    done = adapted.shell(PREVIEW)

    assert done.returncode == 0, done.stderr
    assert PREVIEWED in done.stdout
    person = json.loads(done.stdout[done.stdout.index("{") :])
    assert person["custom"] == {"language": "pt"}


def test_the_check_that_the_document_names_passes(adapted):
    name = "tests/test_house.py"
    for copied_too in ("pyproject.toml", name):
        (adapted.folder / copied_too).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / copied_too, adapted.folder / copied_too)

    done = adapted.shell(f"{sys.executable} -m pytest -q -p no:cacheprovider {name}")

    assert done.returncode == 0, done.stdout

"""docs/adapting.md, followed literally in a copy of the tree: another API, another field, the answer."""

import json
import re
import shutil
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import curl
from tests.checkout import ROOT, copied
from tests.unit.test_sql import STORED, named, unlike_the_others

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
(SAID,) = (block.text for block in BLOCKS if not block.kind)
RUN, ASK = (block.text.strip() for block in BLOCKS if block.kind == "sh")


def change(path, difference):
    """Applies a diff: replaces lines with - by those with +, in the context of lines without a sign."""
    lines = [(line[:1] or " ", line[1:]) for line in difference.splitlines()]
    before, after = ("".join(f"{text}\n" for sign, text in lines if sign in signs) for signs in (" -", " +"))
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{path.name} holds this {text.count(before)} times:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def follow(folder):
    for block in BLOCKS:
        for file in block.files:
            path = folder / file
            if block.kind == "diff":
                change(path, block.text)
            elif block.kind in {"python", "sql"}:
                assert not path.exists()
                path.write_text(block.text, encoding="utf-8")


@contextmanager
def members():
    """The API that the document describes, with one page; yields its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            is_first = "page=1&" in self.path
            body = SAMPLE.encode() if is_first else b'{"members": []}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/members"
        finally:
            server.shutdown()


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
        assert person["language"] == "pt"
        assert person["email"].startswith("v1_")
        assert person["address"]["coordinates"] == {"lat": 38.7, "lng": -9.1}
        assert json.loads(answer(f"/users/{person['uid']}")) == person  # from the cache this time
        (row,) = [field for field in json.loads(answer("/contract"))["fields"] if field["path"] == "language"]
        assert (row["treatment"], row["column"]) == ("keep", "language")


def test_the_tests_that_the_document_names_pass(adapted):
    names = ("tests/test_house.py", "tests/unit/test_sql.py")
    for name in ("pyproject.toml", *names):
        (adapted.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, adapted.folder / name)

    done = adapted.shell(f"{sys.executable} -m pytest -q -p no:cacheprovider {' '.join(names)}")

    assert done.returncode == 0, done.stdout
    assert "`tests/unit/test_sql.py`" in TEXT


IN_THE_LOAD = [block for block in BLOCKS for file in block.files if file.endswith("/load_page.sql")]


@pytest.mark.parametrize("number", range(len(IN_THE_LOAD)))
def test_a_forgotten_place_in_the_load_is_detected(adapted, tmp_path, number):
    path = tmp_path / "load_page.sql"
    (file,) = IN_THE_LOAD[number].files
    shutil.copy(adapted.folder / file, path)
    change(path, IN_THE_LOAD[number].text.translate(str.maketrans("+-", "-+")))

    counts = named(path.read_text(encoding="utf-8"))

    assert unlike_the_others(counts, {*STORED, "language"}) == {"language"}

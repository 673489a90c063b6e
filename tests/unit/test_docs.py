"""Everything that the documents refer to exists: files, headings, make targets."""

import importlib.util
import json
import re
import subprocess
from datetime import date
from pathlib import Path

import pytest

from chalicelib.clean import clean
from chalicelib.privacy import Tokeniser, protect
from chalicelib.validation import validate
from chalicelib.views import user_drafts
from local.folders import ROOT
from tests.builders import RANDOM_DATA_API
from tests.keys import PII_KEY

DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "localstack").glob("*.md")})
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PLACE = re.compile(r"`((?:\.github|bench|chalicelib|docs|infra|local|localstack|tests)/[\w*/-][\w./*-]*)`")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^```sh$.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _name(path):
    return str(path.relative_to(ROOT))


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=_name)


def headings(path):
    """The anchors of the headings: lower case, dashes for spaces, no punctuation."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    titles = [
        re.sub(r"[^\w\s-]", "", title.lower()) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    return {title.strip().replace(" ", "-") for title in titles}


@every_document
def test_every_link_has_a_target(path):
    for file, heading in LINK.findall(path.read_text(encoding="utf-8")):
        target = (path.parent / file) if file else path
        assert target.exists(), file
        assert not heading or heading in headings(target), f"{file}#{heading}"


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "decisions.md"], ids=_name)
def test_every_path_in_the_documents_exists(path):
    its_own = re.compile(r"members\.py|/1\d{3}_|test_adapting\.py")  # which it has created, or deleted
    ours = its_own if path.name == "adapting.md" else None
    for place in PLACE.findall(path.read_text(encoding="utf-8")):
        assert any(ROOT.glob(place.rstrip("/"))) or (ours and ours.search(place)), place


@every_document
def test_every_make_target_in_the_documents_exists(path):
    code = " ".join(CODE.findall(path.read_text(encoding="utf-8")))

    assert set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", code)) <= TARGETS


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "decisions.md"], ids=_name)
def test_every_module_that_the_documents_run_exists(path):
    for module in re.findall(r"python -m ([\w.]+)", path.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(module), module


def test_the_map_of_the_house_has_every_room_and_no_other():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text.partition("## The rooms")[2], re.MULTILINE)
    mapped = {Path(name).name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row)}

    assert mapped == {path.name for path in (ROOT / "chalicelib").glob("*.py")} - {"__init__.py"} | {"app.py"}


def test_the_readme_shows_what_becomes_of_a_record():
    """Some fields of a record, and what is stored of them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    arrived, shown = map(json.loads, re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    record = RANDOM_DATA_API.record()
    record = record | arrived | {"address": record["address"] | arrived["address"]}
    users = validate(json.dumps([record]).encode(), RANDOM_DATA_API.dialect, date(2026, 1, 1)).users

    (draft,) = user_drafts(protect(clean(users).columns, Tokeniser({1: PII_KEY}))).values()

    stored = json.loads(draft)
    stored["address"] = {name: stored["address"][name] for name in shown["address"]}
    assert {name: stored[name] for name in shown} == shown


def test_a_shell_can_read_the_settings_of_a_server():
    """The commands of a backup need DATABASE_URL while the service is stopped."""
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    (settings,) = re.findall(r"^```\n(DATABASE_URL=.*?)^```$", text, re.MULTILINE | re.DOTALL)

    script = f'set -e\n{settings}printf "%s" "$DATABASE_URL"'
    read = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)

    assert read.stdout.endswith("options=-csearch_path%3Ddecant")

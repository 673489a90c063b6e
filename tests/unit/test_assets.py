"""The page's files as they are served: which, as what, and for how long."""

import re
from types import SimpleNamespace

import pytest

from chalicelib import answers, assets
from chalicelib.errors import RequestError

FOLDER = assets._FOLDER
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.js"))
STYLES = sorted(path.name for path in FOLDER.glob("*.css"))


def asked_at(path):
    return SimpleNamespace(context={"path": path})


def test_the_page_asks_for_each_of_its_files_in_the_present_version_and_for_nothing_else():
    links = re.findall(r'(?:href|src)="web/([0-9a-f]{16})/([a-z]+\.(?:css|js))"', assets.page())

    assert {version for version, _ in links} == {assets.version()}
    assert sorted(name for _, name in links) == sorted(SCRIPTS + STYLES)
    assert "{version}" not in assets.page()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_only_what_the_page_has(name):
    imported = re.findall(r'from "\./([^"]+)"', (FOLDER / name).read_text(encoding="utf-8"))

    assert set(imported) <= set(SCRIPTS) - {"page.js"}


@pytest.mark.parametrize(("name", "media"), [("page.js", "text/javascript"), ("base.css", "text/css")])
def test_a_file_may_be_kept_for_good(name, media):
    answer = answers.asset(assets.version(), name)

    assert answer.body == (FOLDER / name).read_text(encoding="utf-8")
    assert answer.headers["Content-Type"] == f"{media}; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "../assets.py", "..", ".", "", "/etc/passwd"])
def test_what_is_no_file_of_the_page_is_not_there(name):
    with pytest.raises(RequestError, match="Not found"):
        answers.asset(assets.version(), name)


def test_a_file_of_another_version_is_not_there():
    """It would be kept for good under the wrong name."""
    with pytest.raises(RequestError, match="Not found"):
        answers.asset("0" * 16, "page.js")


def test_other_contents_are_another_version(tmp_path, monkeypatch):
    before = assets.version()
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    assert assets.version() == before

    (tmp_path / "page.js").write_text("// Another.\n")

    assert assets.version() != before


def test_the_page_may_load_nothing_but_its_own_files():
    policy = answers.page(asked_at("/")).headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    for rule in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "trusted-types 'none'"):
        assert rule in policy


@pytest.mark.parametrize(("path", "leads_to"), [("/api", "./api/"), ("/one/prod", "./prod/")])
def test_a_stage_without_its_last_slash_leads_to_the_one_with_it(path, leads_to):
    answer = answers.page(asked_at(path))

    assert (answer.status_code, answer.headers["Location"]) == (307, leads_to)


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_with_its_last_slash_it_is_the_page(path):
    assert answers.page(asked_at(path)).status_code == 200

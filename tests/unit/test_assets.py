"""The page's files as they are served: which ones, with which media type, and cached for how long."""

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


def test_the_page_requests_each_of_its_files_in_the_current_version_and_nothing_else():
    links = re.findall(r'(?:href|src)="web/([0-9a-f]{16})/([a-z]+\.(?:css|js))"', assets.page())

    assert {version for version, _ in links} == {assets.version()}
    assert sorted(name for _, name in links) == sorted(SCRIPTS + STYLES)
    assert "{version}" not in assets.page()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_only_files_of_the_page(name):
    imported = re.findall(r'from "\./([^"]+)"', (FOLDER / name).read_text(encoding="utf-8"))

    assert set(imported) <= set(SCRIPTS) - {"page.js"}


@pytest.mark.parametrize(("name", "media"), [("page.js", "text/javascript"), ("base.css", "text/css")])
def test_a_file_may_be_cached_forever(name, media):
    answer = answers.asset(assets.version(), name)

    assert answer.body == (FOLDER / name).read_text(encoding="utf-8")
    assert answer.headers["Content-Type"] == f"{media}; charset=utf-8"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "../assets.py", "..", ".", "", "/etc/passwd"])
def test_a_name_that_is_not_a_file_of_the_page_is_not_found(name):
    with pytest.raises(RequestError, match="Not found"):
        answers.asset(assets.version(), name)


def test_a_file_of_another_version_is_not_found():
    """It would be cached forever under the wrong name."""
    with pytest.raises(RequestError, match="Not found"):
        answers.asset("0" * 16, "page.js")


def test_changed_contents_change_the_version(tmp_path, monkeypatch):
    before = assets.version()
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    assert assets.version() == before

    (tmp_path / "page.js").write_text("// Another.\n")

    assert assets.version() != before


def test_the_page_may_load_only_its_own_files():
    policy = answers.page(asked_at("/")).headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy
    for rule in ("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "trusted-types 'none'"):
        assert rule in policy


@pytest.mark.parametrize(("path", "leads_to"), [("/api", "./api/"), ("/one/prod", "./prod/")])
def test_a_stage_without_its_trailing_slash_redirects_to_the_one_with_it(path, leads_to):
    answer = answers.page(asked_at(path))

    assert (answer.status_code, answer.headers["Location"]) == (307, leads_to)


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_with_the_trailing_slash_the_page_is_served(path):
    assert answers.page(asked_at(path)).status_code == 200

"""A dialect is found by the name of its file."""

import sys

import pytest

from chalicelib import sources
from chalicelib.errors import ConfigError
from chalicelib.sources import random_data_api

FILE = """from dataclasses import replace

from chalicelib.sources.randomuser import DIALECT

DIALECT = replace(DIALECT, name="{}")
"""


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Adds a file to the folder of the sources, for one test."""

    def add(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])

    yield add
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"{sources.__name__}.{path.stem}", None)
        vars(sources).pop(path.stem, None)


def test_a_built_in_dialect():
    assert sources.named("random-data-api") is random_data_api.DIALECT


@pytest.mark.parametrize("name", ["our-cats", "our_cats"])
def test_a_new_file_is_all_that_a_dialect_takes(added, name):
    before = sources.names()
    added("our_cats", FILE.format(name))

    assert sources.named(name).name == name
    assert sources.names() == [*before, name]


def test_a_dialect_has_the_name_of_its_file(added):
    added("our_cats", FILE.format("our-dogs"))

    for name in "our-cats", "our-dogs":
        with pytest.raises(ConfigError) as refused:
            sources.named(name)
        assert str(refused.value) == "SOURCE_DIALECT: the dialect in our_cats.py has another name, our-dogs"


@pytest.mark.parametrize(
    "name", ["", "Randomuser", "random_data_api", "client", "client.Source", "../config", "os"]
)
def test_there_is_no_other_dialect(name):
    with pytest.raises(ConfigError) as refused:
        sources.named(name)
    assert str(refused.value) == f"SOURCE_DIALECT: must be one of {', '.join(sources.names())}"


def test_the_built_in_dialects_are_listed():
    assert {"random-data-api", "randomuser"} <= set(sources.names())


def test_a_file_that_cannot_be_imported_does_not_keep_another_from_being_used(added):
    added("broken", "import nothing_like_this")

    assert sources.named("randomuser").name == "randomuser"
    with pytest.raises(ModuleNotFoundError, match="nothing_like_this"):
        sources.named("broken")

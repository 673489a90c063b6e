"""docs/configuration.md is right about every setting: its name, default, bounds and choices."""

import base64
import re
from dataclasses import dataclass, fields

import pytest

from chalicelib import cache, config, sources
from chalicelib.errors import ConfigError
from local.folders import ROOT

DOCUMENT = ROOT / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
BOUNDS = re.compile(r"([\d,]+) to ([\d,]+)")

WITHOUT_DEFAULT = {
    "DATABASE_URL": "postgresql://localhost/decant",
    "REDIS_URL": "redis://localhost",
    "SOURCE_URL": "https://example.com",
    "PII_KEYS": f'{{"1": "{base64.b64encode(bytes(32)).decode()}"}}',
}


@dataclass(frozen=True)
class Row:
    name: str
    default: str
    takes: str

    @property
    def bounds(self):
        found = BOUNDS.fullmatch(self.takes)
        return [int(number.replace(",", "")) for number in found.groups()] if found else None


ROWS = {
    name: Row(name, default.strip("`"), takes)
    for name, default, takes, _ in ROW.findall(DOCUMENT.read_text())
}
BOUNDED = [name for name, row in ROWS.items() if row.bounds]
SCHEMES = [name for name, row in ROWS.items() if "://`" in row.takes and name != "ALLOWED_ORIGIN"]


def read(**changes):
    return config.read(WITHOUT_DEFAULT | changes)


def test_every_setting_has_a_row_and_no_other():
    assert sorted(ROWS) == sorted(config.NAMES)


def test_a_setting_without_a_default_is_required():
    assert {name for name, row in ROWS.items() if row.default == "required"} == set(WITHOUT_DEFAULT)
    for name in WITHOUT_DEFAULT:
        with pytest.raises(ConfigError, match=f"{name}.*not set"):
            read(**{name: ""})


def test_the_defaults_are_those_of_the_code(monkeypatch):
    for name in config.NAMES:
        monkeypatch.delenv(name, raising=False)
    settings = read()
    apart = {
        "INGEST_SCHEDULE": config.ingest_schedule(),
        "QUEUE_NAME": config.queue_name(),
        "ALLOWED_ORIGIN": config.allowed_origin(),
        "LOG_LEVEL": config.log_level(),
        "SECRET_ID": None,
    }
    used = {setting.name.upper(): getattr(settings, setting.name) for setting in fields(settings)} | apart

    for name in ROWS.keys() - WITHOUT_DEFAULT.keys():
        assert ROWS[name].default == ("none" if used[name] in (None, {}) else str(used[name])), name


@pytest.mark.parametrize("name", BOUNDED)
def test_the_bounds_are_those_of_the_code(name):
    least, most = ROWS[name].bounds
    for inside in (least, most):
        assert getattr(read(**{name: str(inside)}), name.lower()) == inside
    for outside in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=name):
            read(**{name: str(outside)})


def test_every_number_has_its_bounds_in_the_table():
    numbers = {field.name.upper() for field in fields(config.Settings) if field.type in (int, float)}
    assert set(BOUNDED) == numbers


@pytest.mark.parametrize("name", SCHEMES)
def test_the_schemes_are_those_of_the_code(name):
    schemes = re.findall(r"`(\w+://)`", ROWS[name].takes)
    for scheme in schemes:
        read(**{name: f"{scheme}localhost/decant"})
    with pytest.raises(ConfigError) as error:
        read(**{name: "gopher://localhost"})
    assert len(re.findall(r"\w+", str(error.value).partition("the scheme ")[2].replace(" or ", " "))) == len(
        schemes
    )


def test_the_dialects_and_levels_are_those_of_the_code(monkeypatch):
    assert re.findall(r"`([^`]+)`", ROWS["SOURCE_DIALECT"].takes) == sources.names()
    for level in re.findall(r"`(\w+)`", ROWS["LOG_LEVEL"].takes):
        monkeypatch.setenv("LOG_LEVEL", level)
        assert config.log_level() == level


def test_each_key_in_redis_is_named_for_whoever_limits_the_access_to_it():
    document = DOCUMENT.read_text()
    assert [key for key in (cache._STATS, cache._STATS_LOCK) if f"`{key}`" not in document] == []

"""`.env.example` names every setting, and holds only defaults."""

from dataclasses import fields

from dotenv import dotenv_values

from chalicelib import config
from local.folders import ROOT

EXAMPLE = dotenv_values(ROOT / ".env.example")


def test_the_example_names_every_setting_and_no_other():
    assert sorted(EXAMPLE) == sorted(config.NAMES)


def test_a_value_in_the_example_is_the_default():
    defaults = {setting.name.upper(): setting.default for setting in fields(config.Settings)}
    defaults |= {"INGEST_SCHEDULE": config.DEFAULT_SCHEDULE, "LOG_LEVEL": "INFO"}

    for name, value in EXAMPLE.items():
        assert not value or value == str(defaults[name]), name

"""`make api-key`: which keys the setting that it prints admits."""

import json
import shlex

import pytest

from chalicelib.access import key_hash
from local import api_key, keys, settings


@pytest.fixture
def setting(tmp_path, monkeypatch, capsys):
    """Calls the command under these settings; returns the value of API_KEYS that it prints for .env."""
    monkeypatch.setattr(api_key, "local_folder", lambda: tmp_path)
    monkeypatch.setattr("sys.argv", ["api-key", "--scopes", "read"])

    def call(**chosen):
        monkeypatch.setattr(settings, "chosen", lambda: chosen)
        assert api_key.main() == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("API_KEYS=")]
        return json.loads(shlex.split(line)[0].removeprefix("API_KEYS="))

    return call


def test_the_key_of_a_laptop_stays(setting, tmp_path):
    assert sorted(setting().values()) == [["erase", "operate", "read"], ["read"]]
    assert keys.api_key_file(tmp_path).exists()


def test_for_a_database_of_ones_own_only_the_new_key_is_admitted(setting, tmp_path):
    """A laptop's key, which nobody asked for, would open everything."""
    assert list(setting(DATABASE_URL="postgresql://").values()) == [["read"]]
    assert not keys.api_key_file(tmp_path).exists()


def test_configured_keys_stay(setting, tmp_path):
    known = json.dumps({"0" * 64: ["operate"]})

    assert list(setting(API_KEYS=known).values()) == [["operate"], ["read"]]
    assert not keys.api_key_file(tmp_path).exists()


def test_the_setting_for_a_secret_holds_the_hash_of_the_printed_key(setting, monkeypatch, capsys):
    monkeypatch.setattr(settings, "chosen", lambda: {"API_KEYS": "{}"})

    assert api_key.main() == 0

    (first, _, as_json, *_) = capsys.readouterr().out.splitlines()
    key = first.rpartition(" ")[2]
    assert json.loads(as_json) == {"API_KEYS": {key_hash(key): ["read"]}}


def test_a_scope_that_does_not_exist_is_refused(setting, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["api-key", "--scopes", "read,write"])

    assert api_key.main() == 1
    assert capsys.readouterr().err.startswith("make api-key: SCOPES must be one or more of ")

"""`make pii-key`: it adds a new key to the known ones."""

import base64
import json
import shlex
import stat

import pytest

from chalicelib.config import parse_pii_keys
from local import pii_key, settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pii_key, "local_folder", lambda: tmp_path)
    monkeypatch.setattr(settings, "chosen", dict)
    return tmp_path


def test_a_new_key_is_added_to_a_laptops_key_file(folder, capsys):
    assert [pii_key.main(), pii_key.main()] == [0, 0]

    file = folder / "pii-keys.json"
    keys = parse_pii_keys(file.read_text(encoding="utf-8"))
    assert sorted(keys) == [1, 2, 3]
    assert len(set(keys.values())) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = capsys.readouterr().out
    assert "version 3 makes the tokens" in shown
    assert not [key for key in keys.values() if base64.b64encode(key).decode() in shown]


def test_a_folder_that_cannot_be_written_to_is_reported_in_one_sentence(folder, monkeypatch, capsys):
    def refuse(path, text):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(pii_key, "write_private", refuse)

    assert pii_key.main() == 1
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert output.err.startswith("make pii-key: [Errno 30] Read-only file system")


def test_configured_keys_are_kept_and_the_new_setting_is_printed(folder, monkeypatch, capsys):
    known = json.dumps({"7": base64.b64encode(b"7" * 32).decode(), "5": None})
    monkeypatch.setattr(settings, "chosen", lambda: {"PII_KEYS": known})

    assert pii_key.main() == 0

    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PII_KEYS=")]
    keys = parse_pii_keys(shlex.split(line)[0].removeprefix("PII_KEYS="))
    assert (keys.keys(), keys[7], keys[5]) == ({5, 7, 8}, b"7" * 32, None)
    assert list(folder.iterdir()) == []


def test_for_a_database_of_ones_own_a_first_key_is_printed(folder, monkeypatch, capsys):
    monkeypatch.setattr(settings, "chosen", lambda: {"DATABASE_URL": "postgresql://"})

    assert pii_key.main() == 0

    (_, line) = capsys.readouterr().out.splitlines()
    assert sorted(parse_pii_keys(shlex.split(line)[0].removeprefix("PII_KEYS="))) == [1]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("broken", ["{", '{"1": "s3cret"}', '{"1": null}'])
def test_unreadable_keys_are_left_unchanged(folder, monkeypatch, capsys, broken):
    monkeypatch.setattr(settings, "chosen", lambda: {"PII_KEYS": broken})

    assert pii_key.main() == 1

    shown = capsys.readouterr()
    assert shown.err.startswith("make pii-key: PII_KEYS")
    assert "s3cret" not in shown.out + shown.err


def test_keys_that_are_in_a_secret_are_not_continued_with_a_laptops(folder, monkeypatch, capsys):
    monkeypatch.setattr(settings, "chosen", lambda: {"SECRET_ID": "decant/prod"})

    assert pii_key.main() == 1
    assert capsys.readouterr().err.startswith("make pii-key: the keys are in the secret SECRET_ID")
    assert list(folder.iterdir()) == []

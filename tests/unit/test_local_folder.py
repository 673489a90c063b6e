"""The contents of `.local/`: keys, published settings and the lock."""

import base64
import json
import os
import stat

import pytest

from chalicelib import config
from local import keys, lock, ports, settings
from local.errors import AlreadyRunning, FolderNotOurs, LocalError
from local.folders import make_private, remove_tree, write_private


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_keys_are_made_once_and_readable_only_by_their_owner(tmp_path):
    first = keys.api_key(tmp_path), keys.pii_keys(tmp_path)
    second = keys.api_key(tmp_path), keys.pii_keys(tmp_path)

    assert first == second
    assert mode(tmp_path / "api-key") == mode(tmp_path / "pii-keys.json") == 0o600


def test_two_checkouts_have_different_keys(tmp_path):
    (tmp_path / "other").mkdir()

    assert keys.api_key(tmp_path) != keys.api_key(tmp_path / "other")
    assert keys.pii_keys(tmp_path) != keys.pii_keys(tmp_path / "other")


def test_the_app_accepts_the_keys(tmp_path):
    read = config.read(
        {
            "DATABASE_URL": "postgresql://x",
            "REDIS_URL": "redis://x",
            "SOURCE_URL": "http://x",
            "PII_KEYS": keys.pii_keys(tmp_path),
            "API_KEYS": keys.api_keys(tmp_path),
        }
    )

    assert [len(key) for key in read.pii_keys.values()] == [32]
    assert list(read.api_keys.values()) == [frozenset({"read", "operate", "erase"})]
    assert keys.api_key(tmp_path) not in keys.api_keys(tmp_path)
    assert base64.b64decode(json.loads(keys.pii_keys(tmp_path))["1"])


def test_published_settings_are_read_back_unchanged_and_removed_with_the_run(tmp_path):
    written = {
        "PII_KEYS": '{"1": "a=="}',
        "SOURCE_URL": "http://x/?a=1&b=it's #2",
        "REDIS_URL": "redis://:p@h/0",
    }

    with settings.publish(tmp_path, written):
        assert settings.published(tmp_path) == written
        assert mode(tmp_path / "env") == 0o600

    assert settings.published(tmp_path) == {}


def test_only_settings_and_names_in_the_env_file_are_taken_from_the_environment(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("AWS_REGION=file\nAWS_PROFILE=file\nSOURCE_PAGES=3\nREDIS_URL=\n")
    environment = {"HOME": "/", "AWS_REGION": "real", "DATABASE_URL": "", "INGEST_SCHEDULE": "rate(1 hour)"}
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(os, "environ", environment)

    assert settings.chosen() == {
        "AWS_REGION": "real",
        "AWS_PROFILE": "file",
        "SOURCE_PAGES": "3",
        "INGEST_SCHEDULE": "rate(1 hour)",
    }


def test_an_env_file_that_is_not_text_is_refused_without_showing_it(tmp_path, monkeypatch):
    (tmp_path / ".env").write_bytes(b"SOURCE_PAGES=1\nNAME=Andr\xe9\n")
    monkeypatch.setattr(settings, "ROOT", tmp_path)

    with pytest.raises(LocalError, match=r"\.env is not UTF-8$"):
        settings.chosen()


def test_a_setting_that_is_not_text_is_named_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(os, "environ", {"DATABASE_URL": os.fsdecode(b"postgresql://Andr\xe9@localhost/")})

    with pytest.raises(LocalError, match=r"^DATABASE_URL: not UTF-8$"):
        settings.chosen()


@pytest.mark.parametrize("name", ["DECANT_LOCAL_DIR", "PYTHON"])
def test_what_is_needed_before_the_env_file_is_read_may_not_be_in_it(tmp_path, monkeypatch, name):
    (tmp_path / ".env").write_text(f"{name}=x\n")
    monkeypatch.setattr(settings, "ROOT", tmp_path)

    with pytest.raises(LocalError, match=f"^{name}: set it in the environment, not in "):
        settings.chosen()


def test_the_port_may_be_in_the_env_file_and_the_environment_wins(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("PORT=18222\n")
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    assert ports.requested() == 18222

    monkeypatch.setenv("PORT", "18223")
    assert ports.requested() == 18223


def test_a_second_command_learns_who_holds_the_lock(tmp_path):
    with (
        lock.hold(tmp_path, "make run"),
        pytest.raises(AlreadyRunning, match=f"`make run, process {os.getpid()}`"),
        lock.hold(tmp_path, "make clean"),
    ):
        pass

    with lock.hold(tmp_path, "make clean"):
        assert lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path)


def test_a_killed_command_is_not_taken_for_the_holder_of_its_lock(tmp_path):
    """`make localstack-down` ends the holder, and the id may be another process's by now."""
    (tmp_path / "lock").write_text("make run, process 1")

    assert lock.holder(tmp_path) is None
    with (
        lock.hold(tmp_path, "make clean"),
        pytest.raises(AlreadyRunning, match=f"`make clean, process {os.getpid()}`"),
        lock.hold(tmp_path, "make run"),
    ):
        pass


def test_a_lock_names_no_holder_after_it_or_before_the_next_has_written_its_own(tmp_path):
    with lock.hold(tmp_path, "make run"):
        assert lock.holder(tmp_path) == os.getpid()
    with (tmp_path / "lock").open("a+") as next_one:
        assert lock._take(next_one.fileno())
        assert lock.is_held(tmp_path)
        assert lock.holder(tmp_path) is None


def test_a_private_file_is_private_even_with_a_lax_umask(tmp_path):
    before = os.umask(0)
    write_private(tmp_path / "file", "secret")
    make_private(tmp_path / "folder")
    os.umask(before)

    assert mode(tmp_path / "file") == 0o600
    assert mode(tmp_path / "folder") & 0o066 == 0


def test_a_private_file_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(
        os, "fsync", lambda _: synced.extend((p.name, p.read_text()) for p in tmp_path.iterdir())
    )

    write_private(tmp_path / "file", "secret")

    assert synced == [("file.new", "secret")]


def test_a_symlink_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(FolderNotOurs, match="is a link"):
        make_private(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused_with_that_users_id(tmp_path):
    os.chown(make_private(tmp_path / "theirs"), 12345, 12345)

    with pytest.raises(FolderNotOurs, match="belongs to user 12345: run as user 12345"):
        make_private(tmp_path / "theirs")


def test_what_a_link_in_a_removed_folder_leads_to_stays_as_it_is(tmp_path):
    outside, removed = tmp_path / "outside", tmp_path / "removed"
    outside.mkdir(mode=0o755)
    removed.mkdir()
    (removed / "link").symlink_to(outside)

    remove_tree(removed)

    assert not removed.exists()
    assert mode(outside) == 0o755

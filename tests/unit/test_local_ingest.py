"""`make ingest`: whose servers it uses, what it prints, and its exit status. The run itself is faked."""

import os
import signal
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from chalicelib import runs, wiring
from chalicelib.errors import ConfigError, StoreError
from chalicelib.report import Report
from local import ingest, keys, lock, migrate, settings, signals, stack
from local.errors import LocalError
from local.stack import running_stack
from tests.checkout import environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout's `.local`, with no settings in the environment and in `.env`."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(os, "environ", environment(DECANT_LOCAL_DIR=str(tmp_path / "local")))
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


@pytest.fixture
def call(folder, monkeypatch):
    """Calls the command as make does; returns the exit status, and the run's arguments and settings."""
    monkeypatch.setattr(ingest.signals, "defer", lambda: None)
    monkeypatch.setattr(ingest.signals, "interrupt", lambda: None)

    def call(*argv, report=None, error=None):
        seen = {}

        def run_ingest(trigger, pages, page_size, on_page):
            wish = {"trigger": trigger, "pages": pages, "page_size": page_size}
            seen.update(wish, settings={name: os.environ.get(name) for name in settings.NAMES})
            if error:
                raise error
            on_page(report.pages + 1, report)
            return report

        monkeypatch.setattr(runs, "run_ingest", run_ingest)
        monkeypatch.setattr("sys.argv", ["ingest", *argv])
        return ingest.main(), seen

    return call


def refuse(*_):
    raise LocalError("stopped here")


def a_report(**changes):
    counts = {"pages": 2, "fetched": 1200, "inserted": 1000, "unchanged": 190, "rejected": 10, "seconds": 0.5}
    return Report(**{"run_id": "r1", "status": "succeeded", **counts, **changes})


@pytest.fixture
def configured(folder):
    os.environ["DATABASE_URL"] = "postgresql://theirs"


def test_pages_and_size_are_passed_to_the_run(configured, call):
    status, seen = call("--pages", "20", "--size", "1000", report=a_report())

    assert status == 0
    assert (seen["trigger"], seen["pages"], seen["page_size"]) == ("backfill", 20, 1000)


def test_without_them_the_settings_decide(configured, call):
    _, seen = call(report=a_report())

    assert (seen["pages"], seen["page_size"]) == (None, None)


@pytest.mark.parametrize(
    ("argv", "most"),
    [
        *((("--pages", text), 100_000) for text in ("0", "-1", "1.5", "100001", "9" * 5_000)),
        *((("--size", text), 5_000) for text in ("0", "many", "²", "5001")),
    ],
)
def test_an_invalid_count_is_refused(configured, call, argv, most, capsys):
    with pytest.raises(SystemExit):
        call(*argv, report=a_report())

    assert f"must be a whole number from 1 to {most}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (set(), " (their names may be values)"),
        ({*"ba"}, ": a, b"),
        ({f"a{n}" for n in range(100, 202)}, f": {', '.join(f'a{n}' for n in range(100, 200))}, and 2 more"),
    ],
)
def test_unknown_fields_are_named_and_it_says_if_there_are_more(names, said):
    lines = list(ingest.table(a_report(unknown_fields=24, unknown_names=names)))

    assert lines[-1].endswith(f"24  dropped, not in the dialect{said}")


def test_a_run_over_changes_says_since_when():
    lines = list(ingest.table(a_report(since="2026-02-28T23:59:58.123456Z")))

    assert "  since       2026-02-28T23:59Z, only who has changed" in lines


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("skipped", 0), ("partial", 1), ("failed", 1), ("lost", 1)]
)
def test_the_exit_status_reflects_the_runs_status(configured, call, status, code):
    assert call(report=a_report(status=status))[0] == code


def test_an_error_is_printed_as_one_sentence(configured, call, capsys):
    status, _ = call(error=ConfigError("PII_KEYS", "is not set"))

    assert status == 1
    assert capsys.readouterr().err == "ingest: PII_KEYS: is not set\n"


def test_a_database_without_tables_is_reported_with_the_command_that_makes_them(configured, call, capsys):
    status, _ = call(error=StoreError("expire_seals", "42P01"))

    assert status == 1
    assert capsys.readouterr().err == (
        "ingest: query expire_seals failed: SQLSTATE 42P01: a table is missing; have the migrations run? "
        "`.venv/bin/python -m local.migrate` runs them\n"
    )


def test_a_report_that_nobody_reads_leaves_the_status_to_the_run(configured, call, unread_stdout, capsys):
    with unread_stdout():
        assert call(report=a_report())[0] == 0
    with unread_stdout():
        assert call(report=a_report(status="partial"))[0] == 1
    assert capsys.readouterr().err == ""


def test_a_report_that_cannot_be_written_leaves_the_status_to_the_run(configured, call, capsys, monkeypatch):
    read_only = os.open(os.devnull, os.O_RDONLY)
    with os.fdopen(read_only, "w") as stdout, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", stdout)
        assert call(report=a_report())[0] == 0
    monkeypatch.setattr("sys.stdout", None)  # as after `>&-`
    assert call(report=a_report())[0] == 0

    assert capsys.readouterr().err == "ingest: the report cannot be written: Bad file descriptor\n"


def test_no_progress_bar_without_a_terminal(configured, call, capsys):
    call(report=a_report())

    assert capsys.readouterr().err == ""


def test_the_report_adds_up_and_names_the_most_common_reasons():
    reasons = Counter({("email", "format"): 3, ("dob", "date"): 5} | {(f"f{n}", "type"): 1 for n in range(9)})

    lines = [" ".join(line.split()) for line in ingest.table(a_report(rejects_by_rule=reasons))]

    assert lines == [
        "Ingest succeeded in 0.50 s, 2,400 records/s (run r1)",
        "pages 2",
        "fetched 1,200",
        "= inserted 1,000",
        "+ updated 0",
        "+ unchanged 190",
        "+ duplicate 0",
        "+ rejected 10",
        "+ suppressed 0",
        "+ filtered 0",
        "dob: date 5",
        "email: format 3",
        *(f"f{n}: type 1" for n in range(8)),
        "and 1 more reasons",
    ]


def test_withheld_texts_are_printed_by_column():
    report = Report("r1", "succeeded", fetched=9, withheld=Counter(city=2, gender=1))

    last = list(ingest.table(report))[-1]

    assert " ".join(last.split()) == "withheld 3 held an e-mail address or a long number: city, gender"


def test_a_failure_is_printed_with_its_reason():
    report = Report("r1", "failed", error="page 1: the source said no")

    assert "  error       page 1: the source said no" in list(ingest.table(report))


def test_a_replay_that_found_nothing_says_so():
    assert list(ingest.table(Report("r1", "succeeded", is_replay=True)))[1:] == [
        "  that run has no sealed rejects",
    ]


def test_a_replay_that_cannot_open_the_seals_does_not_claim_that_there_are_none():
    report = Report("r1", "partial", error="QUARANTINE_KEY does not open all sealed records", is_replay=True)

    assert list(ingest.table(report))[1:] == [
        "  error       QUARANTINE_KEY does not open all sealed records",
    ]


def test_a_replay_says_where_the_records_are_that_it_rejected_again():
    last = list(ingest.table(Report("r2", "succeeded", fetched=2, rejected=1, is_replay=True)))[-1]

    assert last.strip() == "those that are sealed again are under this run: make replay RUN=r2"


def test_a_skipped_run_has_nothing_to_count():
    assert list(ingest.table(Report("r1", "skipped"))) == [
        "Ingest skipped in 0.00 s (run r1)",
        "  another run of this source is in progress, or died and its lease has not expired;",
        "  that takes 2 minutes (30 over a queue); run `make ingest` then, or wait for the schedule",
    ]


def test_the_environment_wins_over_the_env_file(folder, call):
    (folder.parent / ".env").write_text("DATABASE_URL=postgresql://file\nSOURCE_PAGES=7\nREDIS_URL=\n")
    os.environ["DATABASE_URL"] = "postgresql://environment"

    _, seen = call(report=a_report())

    assert seen["settings"]["DATABASE_URL"] == "postgresql://environment"
    assert seen["settings"]["SOURCE_PAGES"] == "7"
    assert seen["settings"]["REDIS_URL"] is None


def test_no_signal_interrupts_an_import_or_the_start_and_stop_of_its_own_servers(folder, call, monkeypatch):
    handled = []
    monkeypatch.setattr(ingest.signals, "defer", lambda: handled.append("deferred"))
    monkeypatch.setattr(ingest.signals, "interrupt", lambda: handled.append("interrupts"))
    monkeypatch.setattr(ingest, "importlib", SimpleNamespace(import_module=handled.append))
    monkeypatch.setattr(ingest.wiring, "store", lambda: SimpleNamespace(migrate=lambda: None))

    @contextmanager
    def servers(*_):
        handled.append("start")
        yield SimpleNamespace(settings={})
        handled.append("stop")

    monkeypatch.setattr(stack, "running_stack", servers)
    call(report=a_report())

    assert handled == [
        "deferred",
        "start",
        "chalicelib.pipeline",
        "chalicelib.sources.client",
        "interrupts",
        "deferred",
        "stop",
    ]


def test_a_stop_that_a_library_has_swallowed_ends_the_run_after_its_page(configured, call, monkeypatch):
    monkeypatch.setattr(signals, "_received", [])
    monkeypatch.setattr(ingest.tqdm, "update", lambda *_: signals._received.append(signal.SIGINT))

    assert call(report=a_report())[0] == 130


def test_the_servers_and_keys_of_a_running_stack_are_used(folder, call):
    os.environ["SOURCE_PAGES"] = "7"
    with (
        lock.hold(folder, "make run"),
        settings.publish(folder, {"DATABASE_URL": "postgresql://run", "PII_KEYS": '{"1": "a b"}'}),
    ):
        _, seen = call(report=a_report())

    assert seen["settings"]["DATABASE_URL"] == "postgresql://run"
    assert seen["settings"]["PII_KEYS"] == '{"1": "a b"}'
    assert seen["settings"]["SOURCE_PAGES"] == "7"


def test_a_configured_database_is_never_used_with_the_keys_of_a_running_stack(configured, folder, call):
    with (
        lock.hold(folder, "make run"),
        settings.publish(folder, {"DATABASE_URL": "postgresql://run", "PII_KEYS": "laptop's"}),
    ):
        _, seen = call(report=a_report())

    assert seen["settings"]["DATABASE_URL"] == "postgresql://theirs"
    assert seen["settings"]["PII_KEYS"] is None


def test_the_published_settings_of_a_killed_stack_are_ignored(configured, folder, call):
    (folder / "lock").touch()
    (folder / "env").write_text("DATABASE_URL=postgresql://theirs\nPII_KEYS=old\n")

    _, seen = call(report=a_report())

    assert seen["settings"]["PII_KEYS"] is None


def test_a_stack_that_is_still_starting_is_not_disturbed(folder, call, capsys, monkeypatch):
    (folder / "env").write_text("DATABASE_URL=postgresql://killed\n")
    monkeypatch.setattr(keys, "pii_keys", refuse)  # what a stack asks for first
    with lock.hold(folder, "make run"), pytest.raises(LocalError), running_stack(folder, {}):
        pass
    with lock.hold(folder, "make run"):
        status, _ = call(report=a_report())

    assert status == 1
    assert "this checkout is in use by `make run, process" in capsys.readouterr().err


def test_the_migration_reads_the_same_settings(folder, monkeypatch):
    (folder.parent / ".env").write_text("DATABASE_URL=postgresql://mine\n", encoding="utf-8")
    seen = []
    store = SimpleNamespace(migrate=lambda: seen.append(os.environ["DATABASE_URL"]))
    monkeypatch.setattr(wiring, "store", lambda: store)

    assert (migrate.main(), seen) == (0, ["postgresql://mine"])


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(13, "Permission denied", ".env"), 1, "[Errno 13] Permission denied: '.env'\n"),
    ],
)
def test_a_migration_that_ends_otherwise_shows_no_traceback(folder, monkeypatch, capsys, error, status, said):
    def fail():
        raise error

    monkeypatch.setattr(wiring, "store", fail)

    assert (migrate.main(), capsys.readouterr().err) == (status, said)


def test_a_users_own_keys_are_not_accompanied_by_a_laptops(folder):
    chosen = {
        "DATABASE_URL": "postgresql://",
        "REDIS_URL": "redis://",
        "SOURCE_URL": "http://h",
        "PII_KEYS": "{}",
    }
    with running_stack(folder, chosen) as stack:
        assert stack.settings["PII_KEYS"] == "{}"

    assert not keys.pii_keys_file(folder).exists()

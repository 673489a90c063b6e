"""A process that dies in the middle of a run reveals nothing: not on disk, and not in its last output."""

import signal
import time

from tests.builders import RANDOM_DATA_API, RANDOMUSER, Api
from tests.leaks.faults import DAWDLE, RELENT, spoiled
from tests.leaks.scene import Scene
from tests.leaks.source import Answer, answer

PATIENCE_SECONDS = 30


def a_page(scene: Scene, api: Api, case: str) -> bytes:
    return api.page(*scene.canaries.people(api, case, 5), *spoiled(scene.canaries, api, 1))


# Programs of `child.py`, the exit status of each, and what it prints.
LAST_WORDS = {
    "fail": (1, ["ERROR:decant.background:run", "Unforeseen: RuntimeError at child.py"]),
    "crash": (-signal.SIGABRT, ["Fatal Python error: Aborted"]),
}


def test_last_words(scene: Scene, api: Api, sql):
    for program, (status, words) in LAST_WORDS.items():
        scene.use_dialect(api)
        page = a_page(scene, api, program)
        scene.system.source.script(Answer(answer(page)), Answer(answer(page)))

        process = scene.start(program)

        assert process.wait() == status
        said = process.stderr.read_text(encoding="utf-8")
        assert [word for word in words if word not in said] == []
        sql("DELETE FROM runs")  # releases the lease of the crashed run

    assert scene.leaks() == []


def test_killed_while_it_fetches(scene: Scene, sql):
    scene.use_dialect(RANDOM_DATA_API)
    scene.change(SOURCE_PAGES="2")
    page = a_page(scene, RANDOM_DATA_API, "killed while it fetches")
    scene.system.source.script(Answer(answer(page)), Answer(answer(page)[:-9], "hold"))

    process = scene.start("ingest")
    try:
        assert scene.system.source.holding.wait(PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while sql("SELECT pages_done, status FROM runs") != [(1, "running")]:  # loaded during the fetch
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()

    assert sql("SELECT pages_done, status FROM runs") == [(1, "running")]
    assert scene.leaks() == []


def test_killed_while_it_loads(scene: Scene, sql):
    scene.use_dialect(RANDOMUSER)
    sql(DAWDLE)
    scene.system.source.script(Answer(answer(a_page(scene, RANDOMUSER, "killed while it loads"))))

    process = scene.start("ingest")
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        leaks = scene.leaks()  # while the dead process's statement is still visible
        sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        sql(RELENT)

    assert leaks + scene.leaks() == []

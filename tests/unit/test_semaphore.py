"""The semaphore of the connection pools."""

import threading
import time

from chalicelib.semaphore import Semaphore


def test_as_many_are_free_as_it_was_made_with():
    semaphore = Semaphore(2)

    assert [semaphore.acquire(0.01) for _ in range(3)] == [True, True, False]
    semaphore.release()
    assert semaphore.acquire(0)


def test_acquire_waits_for_a_release_and_no_longer():
    semaphore = Semaphore(1)
    semaphore.acquire(0)
    began = time.monotonic()
    threading.Timer(0.1, semaphore.release).start()

    assert semaphore.acquire(10)
    assert 0.1 <= time.monotonic() - began < 5

"""The cache under stress: many readers, slow readers, erasures, and a killed Redis."""

import contextlib
import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib import cache as cache_module
from chalicelib.cache import Answer, Cache
from chalicelib.errors import DecantError, StoreUnavailable
from tests.concurrency import at_once
from tests.fakes import uid

THREADS = 200
ROUNDS = 500  # of each race
WHO, KEY = uid(1), f"user:{uid(1)}"


def body(version, who=WHO):
    return b'{"uid":"%s","version":%d}' % (who.encode(), version)


def version_of(held):
    return int(held.rpartition(b":")[2][:-1])


class SlowStore:
    """The store behind the caches: one version of everyone, returned after a delay."""

    def __init__(self):
        self.version, self.seconds = 1, 0.0
        self.erased = set()
        self.asked = itertools.count()

    def get_user(self, who):
        next(self.asked)
        found = None if who in self.erased else body(self.version, who)
        time.sleep(self.seconds)
        return found

    def stats(self):
        return b"{}"


@pytest.fixture
def people():
    return SlowStore()


@pytest.fixture
def patient(monkeypatch):
    """A long timeout: on a busy machine the last of many threads would otherwise give up on Redis."""
    monkeypatch.setattr(cache_module, "_TIMEOUT_SECONDS", 20)


@pytest.fixture
def containers(valkey, redis_client, people):
    """Several caches over the same Redis, as in several Lambda containers."""
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(contextlib.closing(Cache(valkey.url, people, 120))) for _ in range(4)]


@pytest.fixture
def cache_without_redis(people):
    """A cache whose Redis is down."""
    with contextlib.closing(Cache("redis://127.0.0.1:1", people, 120)) as cache:
        yield cache


# Many readers


@pytest.mark.usefixtures("patient")
def test_two_hundred_threads_on_one_cold_key_query_postgres_once(containers, people):
    people.seconds = 0.5  # long enough for all to come meanwhile

    answers = at_once(*[lambda: containers[0].get_user(WHO)] * THREADS)

    assert {answer.body for answer in answers} == {body(1)}
    assert next(people.asked) <= 3  # threads that come after the first lookup ended find it in Redis


@pytest.mark.usefixtures("patient")
def test_two_hundred_threads_in_four_containers_query_postgres_once_per_container(containers, people):
    people.seconds = 0.5  # long enough for all to come meanwhile

    answers = at_once(*[lambda cache=cache: cache.get_user(WHO) for cache in containers * (THREADS // 4)])

    assert {answer.body for answer in answers} == {body(1)}
    assert next(people.asked) <= 2 * len(containers)


def test_two_hundred_threads_on_one_cold_key_rarely_query_postgres_without_redis(
    containers, people, redis_down
):
    people.seconds = 0.5  # long enough for all to come meanwhile
    with redis_down():
        containers[0].get_user(WHO)  # notices that Redis is down
        answers = at_once(*[lambda: containers[0].get_user(WHO)] * THREADS)

    assert {answer.body for answer in answers} == {body(1)}
    assert next(people.asked) <= 1 + 10


@pytest.mark.parametrize(
    ("error", "others_get"),
    [(KeyError("ann@example.com"), DecantError), (StoreUnavailable("x"), StoreUnavailable)],
)
def test_those_who_joined_a_read_that_failed_learn_no_more_than_they_may(
    cache_without_redis, people, monkeypatch, error, others_get
):
    """The text of a defect may hold a value of the person."""
    made = []

    def fail(who):
        made.append(who)
        time.sleep(0.5)  # long enough for the others to join
        raise error

    def error_of_read():
        with pytest.raises((KeyError, DecantError)) as failed:
            cache_without_redis.get_user(WHO)
        return failed.type

    monkeypatch.setattr(people, "get_user", fail)

    errors = at_once(*[error_of_read] * 4)

    assert sorted(errors, key=str) == sorted(
        [type(error)] * len(made) + [others_get] * (4 - len(made)), key=str
    )
    assert len(made) < 4


def test_a_read_after_an_erasure_does_not_join_a_lookup_that_began_before(cache_without_redis, people):
    """Without Redis, whose erasure mark would decide."""
    cache, began, may_end = cache_without_redis, threading.Event(), threading.Event()
    look = people.get_user

    def look_slowly(who):
        found = look(who)
        began.set()
        assert may_end.wait(10)
        return found

    with ThreadPoolExecutor(1) as threads:
        people.get_user = look_slowly
        early = threads.submit(cache.get_user, WHO)
        assert began.wait(10)
        people.get_user = look
        people.erased.add(WHO)
        cache.forget_user(WHO)

        late = cache.get_user(WHO)
        may_end.set()

    assert (early.result().body, late.body) == (body(1), None)


@pytest.mark.usefixtures("patient")
def test_two_hundred_threads_on_an_unknown_uid_query_postgres_once(containers, people):
    people.seconds = 0.5  # long enough for all to come meanwhile
    people.erased.add(WHO)

    answers = at_once(*[lambda: containers[0].get_user(WHO)] * THREADS)

    assert {answer.body for answer in answers} == {None}
    assert next(people.asked) <= 3


def test_threads_on_different_keys_do_not_wait_for_each_other(containers, people):
    people.seconds = 0.1

    began = time.monotonic()
    answers = at_once(*[lambda n=n: containers[0].get_user(uid(n)) for n in range(40)])
    took = time.monotonic() - began

    assert [answer.body for answer in answers] == [body(1, uid(n)) for n in range(40)]
    assert took < 40 * 0.1 / 4


def test_a_failed_lookup_does_not_keep_the_others_waiting(containers, people, monkeypatch):
    """The lookup fails unexpectedly: all waiting threads get an error, and the next read is a new lookup."""

    def broken(who):
        time.sleep(0.05)
        raise ZeroDivisionError

    def look():
        with contextlib.suppress(BaseException):
            return containers[0].get_user(WHO)
        return "broken"

    monkeypatch.setattr(people, "get_user", broken)
    assert set(at_once(*[look] * 20)) == {"broken"}

    monkeypatch.undo()
    assert containers[0].get_user(WHO) == Answer(body(1), "postgres")


# A slow reader has read an old state, and fills Redis only after the new state arrived.


def test_a_slow_reader_never_replaces_a_newer_load_by_an_old_value(containers, people, redis_client):
    reader, loader = containers[:2]
    stale = []
    with ThreadPoolExecutor(2) as threads:
        for number in range(ROUNDS):
            redis_client.delete(KEY)
            people.version, people.seconds = 2 * number + 1, (number % 5) * 0.0004
            reading = threads.submit(reader.get_user, WHO)
            time.sleep((number % 7) * 0.0003)
            newer = 2 * number + 2
            people.version = newer
            loading = threads.submit(loader.put_users, {WHO: body(newer)})
            reading.result(10), loading.result(10)
            stale += [number] * (version_of(redis_client.get(KEY)) != newer)

    assert stale == []


def test_a_slow_reader_never_brings_back_an_erased_person(containers, people, redis_client):
    reader, eraser = containers[:2]
    back = []
    with ThreadPoolExecutor(2) as threads:
        for number in range(ROUNDS):
            redis_client.delete(KEY)
            people.erased.clear()
            people.seconds = (number % 5) * 0.0004
            reading = threads.submit(reader.get_user, WHO)
            time.sleep((number % 7) * 0.0003)
            people.erased.add(WHO)  # the commit
            erasing = threads.submit(eraser.forget_user, WHO)
            reading.result(10), erasing.result(10)
            back += [number] * (redis_client.get(KEY) != b"erased")

    assert back == []


def test_a_slow_load_never_brings_back_an_erased_person(containers, redis_client):
    """It committed before the erasure, and reaches the cache after it."""
    loader, eraser = containers[:2]
    back = []
    with ThreadPoolExecutor(2) as threads:
        for number in range(ROUNDS):
            redis_client.delete(KEY)
            works = [
                threads.submit(loader.put_users, {WHO: body(number + 1)}),
                threads.submit(eraser.forget_user, WHO),
            ]
            [work.result(10) for work in works[:: 1 - 2 * (number % 2)]]
            back += [number] * (redis_client.get(KEY) != b"erased")

    assert back == []


def test_the_newest_of_many_loads_in_any_order_stays(containers, redis_client):
    """With versions of different numbers of digits, since they must be compared as numbers."""
    for start in (1, 5, 95, 995):
        redis_client.delete(KEY)
        loads = [
            lambda cache=containers[n % 4], version=start + (n * 7) % 16: cache.put_users(
                {WHO: body(version)}
            )
            for n in range(16)
        ]
        at_once(*loads)
        assert version_of(redis_client.get(KEY)) == start + 15


def test_a_reader_never_sees_a_version_decrease(containers, people):
    """For readers in every container, while a run loads one version after the other."""
    loaded, ended = [1], threading.Event()
    containers[0].put_users({WHO: body(1)})
    fell = []

    def read(cache):
        seen = 0
        while not ended.is_set():
            least = loaded[-1]
            version = version_of(cache.get_user(WHO).body)
            if version < max(seen, least):
                fell.append((seen, least, version))
            seen = version

    readers = [threading.Thread(target=read, args=(cache,)) for cache in containers * 2]
    for reader in readers:
        reader.start()
    for version in range(2, 300):
        people.version = version
        containers[0].put_users({WHO: body(version)})
        loaded.append(version)
    ended.set()
    for reader in readers:
        reader.join(30)

    assert fell == []


# Redis is killed


@pytest.fixture
def short_rest(monkeypatch):
    monkeypatch.setattr(cache_module, "_RETRY_SECONDS", 0.2)


class Load:
    """Readers that run until stopped; counts their answers, and keeps the errors and the slowest time."""

    def __init__(self, caches):
        self._ended = threading.Event()
        self.answers, self.wrong, self.slowest = itertools.count(), [], 0.0
        self._threads = [threading.Thread(target=self._read, args=(cache,)) for cache in caches * 3]

    def _read(self, cache):
        for number in itertools.count():
            if self._ended.is_set():
                return
            began = time.monotonic()
            try:
                answer = cache.get_user(who := uid(number % 20))
            except BaseException as error:  # noqa: BLE001  any error is wrong
                self.wrong.append(error)
                return
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer.body != body(1, who):
                self.wrong.append(answer)
            next(self.answers)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.usefixtures("short_rest")
def test_killing_redis_under_load_affects_only_latency(containers, valkey, redis_client):
    with Load(containers) as load:
        time.sleep(0.3)
        before = next(load.answers)
        os.kill(valkey.pid, signal.SIGKILL)
        redis_client.connection_pool.disconnect()
        time.sleep(0.7)
        without = next(load.answers)
        valkey.stop()
        valkey.start()
        time.sleep(0.7)
        after = next(load.answers)

    assert load.wrong == []
    assert 100 < before < without - 100 < after - 200
    assert load.slowest < 2
    assert containers[0].get_user(uid(1)).source == "redis"  # Redis is used again


def test_freezing_redis_under_load_costs_one_timeout_and_no_answer(containers, valkey):
    with Load(containers) as load:
        time.sleep(0.2)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            time.sleep(1.3)  # by now each container has timed out, and stops asking
            waited = next(load.answers)
            time.sleep(0.3)
            unasked = next(load.answers)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)

    assert load.wrong == []
    assert load.slowest < 2
    assert unasked - waited > 100


def test_a_full_redis_is_no_error_for_a_reader(containers, people, redis_client):
    redis_client.config_set("maxmemory", "1")
    try:
        assert containers[0].get_user(WHO) == Answer(body(1), "postgres")
        containers[0].put_users({WHO: body(2)})
    finally:
        redis_client.config_set("maxmemory", "0")


def test_counts_are_right_after_many_threads(containers, people):
    cache = containers[0]
    cache.get_user(WHO)

    at_once(*[lambda: [cache.get_user(WHO) for _ in range(20)]] * 40)

    assert cache.get_counts().hits == 800
    assert (cache.get_counts().misses, cache.get_counts().fills, cache.get_counts().errors) == (1, 1, 0)

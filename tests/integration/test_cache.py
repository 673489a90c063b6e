"""The cache with a real Redis (Valkey), and without one."""

import logging
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext

import pytest

from chalicelib import cache as cache_module
from chalicelib import store
from chalicelib.cache import Answer, Cache
from chalicelib.errors import ConfigError, StoreUnavailable
from chalicelib.redis_connections import Unanswered
from chalicelib.sources import client
from tests.concurrency import at_once
from tests.fakes import uid
from tests.waiting import seconds_of

WHO, KEY = uid(1), f"user:{uid(1)}"
TTL_SECONDS = 120


class FakeStore:
    """A store behind the cache. ``meanwhile`` is called during each read."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.asked = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def get_user(self, who: str) -> bytes | None:
        self.asked += 1
        found = self.bodies.get(who)
        self.meanwhile()
        return found

    def stats(self) -> bytes:
        self.meanwhile()
        return b"{}"


def body(version: int, who: str = WHO) -> bytes:
    return b'{"uid":"%s","version":%d,"city":"\xc3\x86r\xc3\xb8"}' % (who.encode(), version)


@pytest.fixture
def people():
    return FakeStore()


@pytest.fixture
def cache(valkey, redis_client, people):
    with closing(Cache(valkey.url, people, TTL_SECONDS)) as opened:
        yield opened


@pytest.fixture
def short_rest(monkeypatch):
    monkeypatch.setattr(cache_module, "_RETRY_SECONDS", 0.2)
    return 0.25


@contextmanager
def silent(server):
    """Freezes the server: it accepts connections but does not answer."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def warnings_in(caplog):
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


# Read-through


def test_the_first_answer_comes_from_postgres_and_the_next_from_redis_byte_for_byte(cache, people):
    people.bodies[WHO] = body(1)

    first, second = cache.get_user(WHO), cache.get_user(WHO)

    assert (first, second) == (Answer(body(1), "postgres"), Answer(body(1), "redis"))
    assert people.asked == 1


def test_loaded_people_are_served_without_postgres(cache, people):
    cache.put_users({WHO: body(1), uid(2): body(4, uid(2))})

    assert cache.get_user(WHO) == Answer(body(1), "redis")
    assert cache.get_user(uid(2)) == Answer(body(4, uid(2)), "redis")
    assert people.asked == 0


def test_loading_nobody_sends_nothing_to_redis(cache, monkeypatch):
    monkeypatch.setattr(cache, "_redis", None)

    cache.put_users({})


@pytest.mark.parametrize("found", [{WHO: body(1)}, {}], ids=["a person", "nobody"])
def test_an_answer_of_postgres_does_not_wait_until_redis_has_it(cache, people, valkey, redis_client, found):
    people.bodies = found
    people.meanwhile = lambda: os.kill(valkey.pid, signal.SIGSTOP)
    try:
        assert cache.get_user(WHO) == Answer(found.get(WHO), "postgres")
        assert cache.get_counts().errors == 0
    finally:
        os.kill(valkey.pid, signal.SIGCONT)

    assert cache.get_user(WHO) == Answer(found.get(WHO), "redis")


def test_a_refused_answer_is_noticed_with_the_next_read(cache, people, redis_client, caplog):
    people.bodies[WHO] = body(1)

    with full(redis_client):
        assert [cache.get_user(WHO).source for _ in range(2)] == ["postgres"] * 2

    assert warnings_in(caplog) == ["redis is unavailable (OutOfMemoryError); trying again in 5 s"]
    assert (cache.get_counts().errors, redis_client.dbsize()) == (1, 0)


def test_an_answer_that_cannot_be_sent_to_redis_is_an_outage(cache, people, redis_down, caplog):
    people.bodies[WHO] = body(1)

    with ExitStack() as stack:
        people.meanwhile = lambda: [stack.enter_context(redis_down()), cache._redis._close_idle()]
        assert cache.get_user(WHO) == Answer(body(1), "postgres")

    assert warnings_in(caplog) == ["redis is unavailable (ConnectionError); trying again in 5 s"]
    assert (cache.get_counts().errors, cache.get_counts().fills) == (1, 0)


def test_a_slow_reader_does_not_overwrite_what_was_loaded_meanwhile(cache, people, redis_client):
    people.bodies[WHO] = body(1)
    people.meanwhile = lambda: cache.put_users({WHO: body(2)})

    assert cache.get_user(WHO) == Answer(body(1), "postgres")
    assert redis_client.get(KEY) == body(2)


def test_a_slow_reader_that_found_nobody_does_not_hide_a_person_loaded_meanwhile(cache, people):
    people.meanwhile = lambda: cache.put_users({WHO: body(1)})

    assert cache.get_user(WHO) == Answer(None, "postgres")
    assert cache.get_user(WHO) == Answer(body(1), "redis")


def test_a_slow_reader_does_not_overwrite_an_erasure_mark(cache, people, redis_client):
    people.bodies[WHO] = body(1)
    people.meanwhile = lambda: redis_client.set(KEY, b"erased", ex=60)

    cache.get_user(WHO)

    assert redis_client.get(KEY) == b"erased"
    assert cache.get_user(WHO) == Answer(None, "redis")


def test_a_load_does_not_overwrite_an_erasure_mark(cache, redis_client):
    redis_client.set(KEY, b"erased", ex=60)

    cache.put_users({WHO: body(9), uid(2): body(1, uid(2))})

    assert redis_client.get(KEY) == b"erased"
    assert redis_client.get(f"user:{uid(2)}") == body(1, uid(2))


@pytest.mark.parametrize(("held", "put", "left"), [(1, 2, 2), (2, 1, 2), (9, 10, 10), (10, 9, 10)])
def test_the_newer_body_stays_in_either_order(cache, redis_client, held, put, left):
    cache.put_users({WHO: body(held)})

    cache.put_users({WHO: body(put)})

    assert redis_client.get(KEY) == body(left)


def test_an_erasure_mark_outlives_the_longest_page(cache, redis_client):
    cache.forget_user(WHO)

    longest_page = client.Limits().page + store._SECONDS["load_page"]
    assert redis_client.ttl(KEY) > 2 * longest_page


def test_a_load_renews_the_ttl_only_with_a_newer_body(cache, redis_client):
    cache.put_users({WHO: body(2)})
    redis_client.pexpire(KEY, 5_000)

    cache.put_users({WHO: body(2)})
    assert redis_client.pttl(KEY) <= 5_000

    cache.put_users({WHO: body(3)})
    assert redis_client.pttl(KEY) > 5_000


def test_people_who_were_removed_are_forgotten(cache, people, redis_client):
    others = {uid(number): body(3, uid(number)) for number in range(2, 1_200)}
    cache.put_users({WHO: body(9), **others})

    cache.drop_users([*others, uid(9_999)])

    assert redis_client.keys("user:*") == [KEY.encode()]
    cache.put_users({uid(2): body(1, uid(2))})  # who has come back, as a new person
    assert cache.get_user(uid(2)) == Answer(body(1, uid(2)), "redis")


def test_a_removal_leaves_an_erasure_mark(cache, redis_client):
    cache.forget_user(WHO)

    cache.drop_users([WHO])

    assert redis_client.get(KEY) == b"erased"


def test_an_unknown_uid_is_remembered_for_ten_seconds(cache, people, redis_client):
    assert cache.get_user(WHO) == Answer(None, "postgres")
    assert cache.get_user(WHO) == Answer(None, "redis")

    assert people.asked == 1
    assert 9_000 < redis_client.pttl(KEY) <= 10_000


def test_an_unknown_person_is_found_as_soon_as_loaded(cache):
    cache.get_user(WHO)

    cache.put_users({WHO: body(1)})

    assert cache.get_user(WHO) == Answer(body(1), "redis")


def test_bodies_live_about_as_long_as_configured_with_some_variation(cache, people, redis_client):
    many = [uid(number) for number in range(100)]
    people.bodies = {who: body(1, who) for who in many[:50]}
    for who in people.bodies:
        cache.get_user(who)
    cache.put_users({who: body(1, who) for who in many[50:]})

    for half in (many[:50], many[50:]):
        left = [redis_client.pttl(f"user:{who}") / 1000 for who in half]
        assert 0.9 * TTL_SECONDS - 5 < min(left) < TTL_SECONDS < max(left) <= 1.1 * TTL_SECONDS
        assert max(left) - min(left) > 0.1 * TTL_SECONDS


def test_a_page_is_written_in_a_few_short_commands(cache, redis_client):
    redis_client.config_resetstat()
    many = {uid(number): body(1, uid(number)) for number in range(1_001)}

    cache.put_users(many)

    calls = {name: stats["calls"] for name, stats in redis_client.info("commandstats").items()}
    assert (calls["cmdstat_script|load"], calls["cmdstat_evalsha"], redis_client.dbsize()) == (1, 3, 1_001)


def test_a_script_that_redis_has_forgotten_is_loaded_again(cache, redis_client):
    cache.put_users({WHO: body(1)})
    redis_client.script_flush()

    cache.put_users({WHO: body(2)})

    assert redis_client.get(KEY) == body(2)


def test_nobody_waits_forever_for_statistics_that_another_container_computes(
    cache, redis_client, monkeypatch
):
    monkeypatch.setattr(cache_module, "_STATS_WAIT_SECONDS", 1)
    redis_client.set("stats:lock", b"")  # its container hangs
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cache.get_stats)
        try:
            assert asked.result(timeout=5).source == "postgres"
        finally:
            redis_client.set("stats", b"{}")  # ends the wait in any case
    assert redis_client.exists("stats:lock")  # which is not this container's


@pytest.mark.parametrize("failing", [False, True])
def test_after_computing_statistics_a_container_lets_others_compute_them(
    cache, people, redis_client, failing
):
    def meanwhile():
        assert redis_client.exists("stats:lock")
        if failing:
            raise StoreUnavailable("stats")

    people.meanwhile = meanwhile
    with pytest.raises(StoreUnavailable) if failing else nullcontext():
        cache.get_stats()

    assert not redis_client.exists("stats:lock")


def test_statistics_that_took_too_long_do_not_end_the_turn_of_another_container(
    cache, people, redis_client, monkeypatch
):
    monkeypatch.setattr(cache_module, "_STATS_WAIT_SECONDS", 1)
    people.meanwhile = lambda: [time.sleep(1.1), redis_client.set("stats:lock", b"")]

    cache.get_stats()

    assert redis_client.exists("stats:lock")


def test_statistics_that_another_container_failed_to_compute_are_not_waited_for(
    cache, people, redis_client, monkeypatch
):
    monkeypatch.setattr(cache_module, "_STATS_WAIT_SECONDS", 2)
    people.meanwhile = lambda: time.sleep(1)  # longer than this container would have waited
    redis_client.set("stats:lock", b"")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cache.get_stats)
        try:
            time.sleep(1.5)
            assert not asked.done()
            redis_client.delete("stats:lock")  # without a result
            assert asked.result(timeout=3).source == "postgres"
        finally:
            redis_client.set("stats", b"{}")  # ends the wait in any case
    assert not redis_client.exists("stats:lock")


# Redis outages


def test_without_redis_postgres_answers_within_a_bounded_time(cache, people, redis_down):
    people.bodies[WHO] = body(1)
    cache.get_user(WHO)

    with redis_down():
        took = seconds_of(lambda: cache.get_user(WHO))
        assert cache.get_user(WHO) == Answer(body(1), "postgres")
    assert took < 1.5


ONE_WAIT_SECONDS = 0.9  # one timeout is half a second, and an unresponsive server is not tried a second time


def test_an_unresponsive_redis_costs_one_timeout_and_then_none(cache, people, valkey):
    people.bodies[WHO] = body(1)
    cache.get_user(WHO)

    with silent(valkey):
        assert seconds_of(lambda: cache.get_user(WHO)) < ONE_WAIT_SECONDS
        assert seconds_of(lambda: [cache.get_user(WHO) for _ in range(50)]) < 0.2
        assert seconds_of(cache.get_stats) < 0.2


def test_a_redis_that_is_unresponsive_from_the_start_costs_one_timeout(valkey, redis_client, people):
    with closing(Cache(valkey.url, people, TTL_SECONDS)) as cache, silent(valkey):
        assert seconds_of(lambda: cache.get_user(WHO)) < ONE_WAIT_SECONDS


def test_a_load_continues_without_redis(cache, redis_down):
    with redis_down():
        assert seconds_of(lambda: cache.put_users({WHO: body(1)})) < 1.5


def test_an_outage_is_logged_once_and_not_for_each_request(cache, redis_down, caplog):
    with redis_down():
        for _ in range(20):
            cache.get_user(WHO)
            cache.put_users({WHO: body(1)})

    assert warnings_in(caplog) == ["redis is unavailable (ConnectionError); trying again in 5 s"]


def test_an_outage_is_logged_once_for_many_threads(cache, redis_down, caplog):
    with redis_down():
        answers = at_once(*[lambda number=number: cache.get_user(uid(number)) for number in range(8)])

    assert answers == [Answer(None, "postgres")] * 8
    assert len(warnings_in(caplog)) == 1


def test_an_outage_that_outlasts_the_pause_is_not_logged_again(cache, redis_down, short_rest, caplog):
    with redis_down():
        cache.get_user(WHO)
        time.sleep(short_rest)
        cache.get_user(WHO)

    assert len(warnings_in(caplog)) == 1


def test_redis_is_not_asked_again_for_a_few_seconds(cache, redis_down, people, redis_client):
    with redis_down():
        cache.get_user(WHO)

    cache.get_user(WHO)

    assert redis_client.dbsize() == 0
    assert cache.is_up() is False


def test_redis_is_used_again_after_the_pause_without_a_restart(cache, redis_down, people, short_rest):
    people.bodies[WHO] = body(1)
    with redis_down():
        cache.get_user(WHO)
    time.sleep(short_rest)

    assert [cache.get_user(WHO).source for _ in range(2)] == ["postgres", "redis"]
    assert cache.is_up() is True


def test_a_connection_that_died_while_idle_causes_no_failure(cache, redis_down, people, caplog):
    people.bodies[WHO] = body(1)
    cache.get_user(WHO)
    with redis_down():
        pass

    assert [cache.get_user(WHO).source for _ in range(2)] == ["postgres", "redis"]
    assert warnings_in(caplog) == []


@contextmanager
def full(client):
    held = client.config_get("maxmemory")
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", held["maxmemory"])


def test_an_erasure_asks_redis_even_if_it_has_just_refused_a_write(cache, redis_client):
    cache.put_users({WHO: body(1)})
    with full(redis_client):
        cache.put_users({uid(2): body(1, uid(2))})

    assert cache.forget_user(WHO) is True
    assert redis_client.get(KEY) == b"erased"


@contextmanager
def replica(client):
    client.replicaof("127.0.0.1", 1)
    try:
        yield
    finally:
        client.replicaof("NO", "ONE")


refusing = pytest.mark.parametrize(
    ("refuse", "error"), [(full, "OutOfMemoryError"), (replica, "ReadOnlyError")], ids=["full", "a replica"]
)


@refusing
def test_a_load_with_nothing_newer_does_not_mistake_a_refusing_redis_for_a_recovered_one(
    cache, redis_client, short_rest, caplog, refuse, error
):
    redis_client.set(KEY, body(9))

    with refuse(redis_client):
        for _ in range(2):
            cache.put_users({WHO: body(1)})
            time.sleep(short_rest)

    assert warnings_in(caplog) == [f"redis is unavailable ({error}); trying again in 0.2 s"]


@refusing
def test_a_redis_that_refuses_writes_is_logged_once_and_postgres_answers(
    cache, people, redis_client, short_rest, caplog, refuse, error
):
    people.bodies[WHO] = body(1)
    redis_client.set(f"user:{uid(2)}", body(1, uid(2)))

    with refuse(redis_client):
        for _ in range(3):
            assert cache.get_user(WHO) == Answer(body(1), "postgres")
            cache.put_users({WHO: body(2)})
            assert cache.forget_user(WHO) is False
            assert cache.get_stats() == Answer(b"{}", "postgres")
            time.sleep(short_rest)
            assert cache.get_user(uid(2)).source == "redis"  # it still serves what it holds

    assert warnings_in(caplog) == [f"redis is unavailable ({error}); trying again in 0.2 s"]
    assert [cache.get_user(WHO).source for _ in range(2)] == ["postgres", "redis"]
    assert warnings_in(caplog)[1:] == ["redis is available again"]


def test_an_erased_person_is_removed_from_a_full_redis_too(cache, redis_client):
    redis_client.set(KEY, body(1))

    with full(redis_client):
        assert cache.forget_user(WHO) is False

    assert redis_client.get(KEY) is None


def test_after_a_primary_becomes_a_replica_a_new_connection_is_opened(cache, redis_client, short_rest):
    def connections():
        mine = redis_client.client_id()
        return {client["id"] for client in redis_client.client_list() if int(client["id"]) != mine}

    cache.is_up()
    before = connections()
    with replica(redis_client):
        cache.put_users({WHO: body(1)})
    time.sleep(short_rest)

    assert cache.is_up() is True
    assert before
    assert not before & connections()


@pytest.mark.parametrize("raised", [KeyError, ZeroDivisionError])
def test_only_an_error_of_redis_counts_as_an_outage(cache, people, raised):
    def fail():
        raise raised

    people.meanwhile = fail

    with pytest.raises(raised):
        cache.get_user(WHO)
    assert cache.is_up() is True


def test_with_a_wrong_password_postgres_answers_and_the_log_has_only_the_kind_of_error(
    valkey, redis_client, people, caplog
):
    people.bodies[WHO] = body(1)
    url = f"redis://:hush-hush@127.0.0.1:{valkey.port}/0"

    with closing(Cache(url, people, TTL_SECONDS)) as cache, caplog.at_level(logging.DEBUG):
        answer = cache.get_user(WHO)

    assert answer == Answer(body(1), "postgres")
    assert warnings_in(caplog) == ["redis is unavailable (AuthenticationError); trying again in 5 s"]
    assert "hush" not in caplog.text


def test_an_erasure_that_redis_does_not_answer_counts_as_an_outage(cache, redis_down, caplog):
    with redis_down():
        assert not cache.forget_user(WHO)

    assert cache.get_counts().errors == 1
    assert "redis is unavailable" in caplog.text


def test_an_answer_in_flight_when_redis_went_away_does_not_end_the_outage(cache, monkeypatch, caplog):
    ask = cache._redis.ask

    def answer_late(*commands):
        answers = ask(*commands)
        cache._mark_down(Unanswered(TimeoutError()))  # by another thread
        return answers

    monkeypatch.setattr(cache._redis, "ask", answer_late)

    assert cache.is_up()
    assert "available again" not in caplog.text


# If these were not refused immediately, they would fail only at the first request, or never.
NONSENSE = [
    "redis://:hush@127.0.0.1:port/0",
    "redis://:hush@127.0.0.1:99999/0",
    "redis://:hush@127.0.0.1:6379/0?socket_timeout=soon",
    "redis://:hush@127.0.0.1:6379/0?db=first",
    "redis://:hush@127.0.0.1:6379/0?hush=hush",
    "http://:hush@127.0.0.1:6379/0",
    ":hush@127.0.0.1",
    "",
]


@pytest.mark.parametrize("url", NONSENSE)
def test_an_invalid_url_is_refused_without_showing_its_password(people, url):
    with pytest.raises(ConfigError) as refused, closing(Cache(url, people, TTL_SECONDS)) as cache:
        cache.get_user(WHO)

    assert str(refused.value).startswith("REDIS_URL: ")
    assert "hush" not in f"{refused.value!r} {vars(refused.value)}"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("host", [".", "a" * 70 + ".example.com"])
def test_an_invalid_host_is_an_outage_like_any_other(people, host):
    with closing(Cache(f"redis://:hush@{host}:6379/0", people, TTL_SECONDS)) as cache:
        assert cache.get_user(WHO) == Answer(None, "postgres")

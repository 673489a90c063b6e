"""Connections to Redis: to a real server (Valkey), and to servers that break the protocol."""

import contextlib
import gc
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.errors import ConfigError
from chalicelib.redis_connections import Connections, Unanswered

PATIENCE = 0.3


@pytest.fixture
def connect():
    """Opens connections to a URL; closes them after the test."""
    with contextlib.ExitStack() as opened:
        yield lambda url, seconds=PATIENCE: opened.enter_context(
            contextlib.closing(Connections(url, seconds))
        )


@pytest.fixture
def redis(connect, valkey, redis_client):
    return connect(valkey.url)


@pytest.fixture
def crowded(connect, valkey, redis_client):
    """Connections with a long timeout, for a hundred threads that on a busy machine wait for one another."""
    return connect(valkey.url, 20)


# A real server


def test_replies_come_in_the_order_of_the_commands(redis):
    said = redis.ask(
        ("SET", "key", b"\r\n\x00\xff$5\r\n"),
        ("GET", "key"),
        ("GET", "another"),
        ("DEL", "key", "another"),
        ("PING",),
    )

    assert said == [b"OK", b"\r\n\x00\xff$5\r\n", None, 1, b"PONG"]


def test_arguments_are_text_bytes_or_numbers(redis, redis_client):
    redis.ask(("SET", "Ærø", "日本", "PX", 60_000))

    assert redis_client.get("Ærø") == "日本".encode()


def test_large_values_are_returned_complete(redis):
    large = b"\r\n" * 1_000_000

    assert redis.ask(("SET", "large", large), ("GET", "large")) == [b"OK", large]


def test_many_commands_are_sent_in_one_call(redis, redis_client):
    redis.ask(*[("SET", f"key:{number}", number) for number in range(10_000)])

    assert redis_client.dbsize() == 10_000


def test_a_refusal_shows_its_kind_and_repeats_nothing(redis):
    with pytest.raises(Unanswered, match=r"^ResponseError$") as refused:
        redis.ask(("NOSUCH", "hush"))

    assert refused.value.is_refusal
    assert "hush" not in f"{refused.value!r} {vars(refused.value)}"
    assert refused.value.__context__ is None


def test_after_a_refusal_every_command_gets_its_own_reply(redis):
    redis.ask(("RPUSH", "list", "one"))
    with pytest.raises(Unanswered):
        redis.ask(("SET", "key", "one"), ("GET", "list"), ("SET", "key", "two"))

    assert redis.ask(("GET", "key")) == [b"two"]


def test_what_is_sent_is_not_waited_for_and_its_reply_goes_to_no_other_command(redis, redis_client):
    for number in range(3):
        redis.send(("SET", f"key:{number}", number), ("GET", f"key:{number}"))

    assert redis.ask(("GET", "key:1"), ("PING",)) == [b"1", b"PONG"]
    assert redis.ask(("GET", "key:2")) == [b"2"]
    assert len(redis_client.client_list()) == 1 + 1


def test_a_refusal_of_what_was_sent_fails_the_next_command_and_no_other(redis):
    redis.send(("NOSUCH", "hush"))
    with pytest.raises(Unanswered, match=r"^ResponseError$") as refused:
        redis.ask(("SET", "key", "one"))

    assert refused.value.is_refusal
    assert redis.ask(("SET", "key", "two"), ("GET", "key")) == [b"OK", b"two"]


def test_what_was_refused_on_two_connections_fails_one_command(redis):
    redis._lend(lambda line: [line.send([("NOSUCH",)]), redis.send(("NOSUCH",))])
    with pytest.raises(Unanswered):
        redis.ask(("PING",))

    assert redis.ask(("PING",)) == [b"PONG"]


def test_user_and_password_are_decoded_from_the_url(connect, valkey, redis_client):
    redis_client.execute_command("ACL", "SETUSER", "ann", "on", ">p@ss/word:", "~*", "+@all")
    try:
        ann = connect(f"redis://ann:p%40ss%2Fword%3A@127.0.0.1:{valkey.port}")
        assert ann.ask(("ACL", "WHOAMI")) == [b"ann"]
    finally:
        redis_client.execute_command("ACL", "DELUSER", "ann")


@pytest.mark.parametrize("where", ["/3", "/0?db=3", "?db=3"])
def test_the_database_is_the_one_in_the_url(connect, valkey, redis_client, where):
    connect(valkey.url.removesuffix("/0") + where).ask(("SET", "key", "three"))

    assert redis_client.get("key") is None
    redis_client.swapdb(0, 3)
    assert redis_client.get("key") == b"three"


def test_threads_share_connections_but_never_replies(crowded):
    def ask(number):
        sent = f"{number}:".encode() * 50
        crowded.send(("SET", "another", number))
        return crowded.ask(("SET", f"key:{number}", sent), ("GET", f"key:{number}"))[1] == sent

    with ThreadPoolExecutor(100) as threads:
        assert all(threads.map(ask, range(3_000)))


def test_no_more_than_thirty_two_connections_are_open(crowded, redis_client):
    with ThreadPoolExecutor(100) as threads:
        list(threads.map(lambda _: crowded.ask(("PING",)), range(3_000)))

    assert len(redis_client.client_list()) <= 32 + 1


def test_sequential_calls_need_one_connection(redis, redis_client):
    for _ in range(100):
        redis.ask(("PING",))

    assert len(redis_client.client_list()) == 1 + 1


def test_nothing_stays_open_after_close(redis, redis_client):
    redis.ask(("PING",))
    redis._lend(lambda line: [line.ask([("PING",)], PATIENCE), redis.ask(("PING",)), redis.close()])

    assert len(redis_client.client_list()) == 1


# Servers that break the protocol


class Scripted:
    """Performs one act per connection, in turn, after receiving something; then hangs up."""

    def __init__(self, *acts, listening=None):
        self.acts, self.heard = list(acts), []
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listening.close()

    def _play(self):
        for act in self.acts:
            with contextlib.suppress(OSError), self._listening.accept()[0] as line:
                self.heard.append(line.recv(65_536))
                act(line)


def says(*parts):
    """Sends the parts with short pauses."""

    def act(line):
        for part in parts:
            line.sendall(part)
            time.sleep(0.01)

    return act


def dribble(line):
    for _ in range(60):
        line.sendall(b"+PONG\r\n")
        time.sleep(0.1)


def silence(line):
    line.recv(1)


NO_REPLY = [
    b"",
    b"+OK",
    b"$5\r\nhel",
    b"$500000000000\r\n",
    b"$five\r\n",
    b":\r\n",
    b"\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"\x15\x03\x01\x00\x02\x02\x16",
]


@pytest.mark.parametrize("said", NO_REPLY, ids=range(len(NO_REPLY)))
def test_an_invalid_reply_is_a_failure_and_ends_the_connection(connect, said):
    with Scripted(says(said), says(b"+PONG\r\n")) as server:
        redis = connect(server.url)
        with pytest.raises(Unanswered) as failure:
            redis.ask(("GET", "hush"))

        assert redis.ask(("PING",)) == [b"PONG"]
        assert "hush" not in repr(failure.value)


def test_a_late_reply_is_not_taken_for_that_of_a_later_command(connect):
    def late(line):
        time.sleep(PATIENCE * 2)
        line.sendall(b"$5\r\nfirst\r\n")

    with Scripted(late, says(b"$6\r\nsecond\r\n")) as server:
        redis = connect(server.url)
        with pytest.raises(Unanswered, match=r"^TimeoutError$"):
            redis.ask(("GET", "one"))
        time.sleep(PATIENCE * 2)

        assert redis.ask(("GET", "two")) == [b"second"]


@pytest.mark.parametrize("act", [dribble, silence])
def test_all_replies_of_a_call_together_take_at_most_about_twice_the_timeout(connect, act):
    with Scripted(act) as server:
        began = time.monotonic()
        with pytest.raises(Unanswered, match=r"^TimeoutError$"):
            connect(server.url).ask(*[("PING",)] * 60)

    assert time.monotonic() - began < 2.5 * PATIENCE


def test_a_connection_that_died_while_idle_is_replaced_and_the_call_repeated(connect):
    with Scripted(says(b"+PONG\r\n"), says(b"+PONG\r\n")) as server:
        redis = connect(server.url)
        redis.ask(("PING",))

        assert redis.ask(("PING",)) == [b"PONG"]
        assert len(server.heard) == 2


def test_a_connection_that_died_before_it_answered_what_was_sent_is_replaced(connect):
    with Scripted(says(b""), says(b"+PONG\r\n")) as server:
        redis = connect(server.url)
        redis.send(("SET", "key", "one"))

        assert redis.ask(("PING",)) == [b"PONG"]
        assert b"SET" not in server.heard[1]


def test_nothing_is_sent_without_a_server(connect):
    with Scripted() as server:
        pass

    with pytest.raises(Unanswered, match=r"^ConnectionError$"):
        connect(server.url).send(("PING",))


def test_a_call_that_fails_on_a_new_connection_is_not_repeated(connect):
    with Scripted(says(b""), says(b"+PONG\r\n")) as server:
        with pytest.raises(Unanswered, match=r"^ConnectionError$"):
            connect(server.url).ask(("PING",))
        assert len(server.heard) == 1


def test_waiting_for_a_free_connection_takes_no_longer_than_the_timeout(connect):
    with Scripted(silence) as server:
        redis = connect(server.url)
        for _ in range(32):
            redis._slots.acquire(0)

        began = time.monotonic()
        with pytest.raises(Unanswered, match=r"^TimeoutError$"):
            redis.ask(("PING",))

    assert time.monotonic() - began < 2 * PATIENCE


def test_a_unix_socket_is_supported(connect, tmp_path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "redis sock"))
    listening.listen()

    with Scripted(says(b"+OK\r\n", b"+OK\r\n", b"+PONG\r\n"), listening=listening) as server:
        url = f"unix://:secret@{tmp_path}/redis%20sock?db=2"
        assert connect(url).ask(("PING",)) == [b"PONG"]

    assert b"AUTH" in server.heard[0]
    assert b"secret" in server.heard[0]


def test_a_failed_connection_leaves_nothing_open(connect, tmp_path):
    """An unclosed socket causes a warning, and a warning fails a test."""
    with Scripted() as server:
        for url in (
            f"unix://{tmp_path}/none",
            f"{server.url.replace('redis:', 'rediss:')}?ssl_ca_certs={tmp_path}/none",
        ):
            with pytest.raises(Unanswered, match=r"^ConnectionError$"):
                connect(url).ask(("PING",))
    gc.collect()


@pytest.mark.parametrize("asked", ["ssl_cert_reqs=none", "ssl_check_hostname=false", "timeout=1", "db=-"])
def test_a_url_cannot_weaken_security_or_have_unknown_options(asked):
    with pytest.raises(ConfigError, match=r"^REDIS_URL: "):
        Connections(f"rediss://:secret@127.0.0.1/0?{asked}", 1)

"""Looks after running servers until somebody asks us to end, or one of them ends for good."""

import time

from local import processes, signals
from local.errors import ServerFailed
from local.processes import how_it_ended
from local.stack import Server, Stack

_LOOK_SECONDS = 0.2
_REVIVE_SECONDS = 3.0  # a server that falls over at once should not do so many times a second
_STAYS_ALIVE_SECONDS = 10.0


def watch(stack: Stack) -> None:
    """Until somebody asks us to end, or a server ends by itself for good."""
    revived_at: dict[str, float] = {}
    while True:
        signals.check()
        for server in stack.servers:
            if not server.running:
                _revive(server, revived_at)
        time.sleep(_LOOK_SECONDS)


def _revive(server: Server, revived_at: dict[str, float]) -> None:
    """Postgres and Valkey are started again, as a cloud would do; whoever uses them copes meanwhile.

    One that cannot stay alive ends everything, and so does any other child.
    """
    how = how_it_ended(server.exit_status)
    since = time.monotonic() - revived_at.get(server.name, -_STAYS_ALIVE_SECONDS)
    if isinstance(server, processes.Child) or since < _STAYS_ALIVE_SECONDS:
        raise ServerFailed(server.name, f"ended by itself ({how})", server.log)
    print(
        f"{server.name} ended by itself ({how}); it is started again in {_REVIVE_SECONDS:.0f} s.", flush=True
    )
    for _ in range(round(_REVIVE_SECONDS / _LOOK_SECONDS)):
        signals.check()
        time.sleep(_LOOK_SECONDS)
    server.start()
    revived_at[server.name] = time.monotonic()
    print(f"{server.name} is back.", flush=True)

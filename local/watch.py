"""Watches running servers until we are asked to stop, or one of them cannot be kept alive."""

import time
from collections import defaultdict

from local import signals
from local.errors import ServerFailed
from local.processes import how_it_ended
from local.stack import Stack, Watched

_LOOK_SECONDS = 0.2
_REVIVE_SECONDS = 3.0  # a server that fails at once must not restart many times a second
_MOST_DEATHS, _WITHIN_SECONDS = 5, 60.0


def watch(stack: Stack, mortal: str = "") -> None:
    """Runs until we are asked to stop, a server keeps ending, or the one named ``mortal`` ends even once."""
    deaths = defaultdict[str, list[float]](list)
    while True:
        signals.check()
        for server in stack.servers:
            if not server.running:
                _revive(stack, server, deaths[server.name], 1 if server.name == mortal else _MOST_DEATHS)
        time.sleep(_LOOK_SECONDS)


def _revive(stack: Stack, server: Watched, deaths: list[float], most_deaths: int) -> None:
    """Restarts a server that ended, as a cloud would. Its clients cope while it is down."""
    how = how_it_ended(server.exit_status)
    deaths.append(time.monotonic())
    if sum(death > deaths[-1] - _WITHIN_SECONDS for death in deaths) >= most_deaths:
        raise ServerFailed(server.name, f"ended unexpectedly ({how})", server.log)
    print(f"{server.name} ended unexpectedly ({how}); it restarts in {_REVIVE_SECONDS:.0f} s.", flush=True)
    for _ in range(round(_REVIVE_SECONDS / _LOOK_SECONDS)):
        signals.check()
        time.sleep(_LOOK_SECONDS)
    stack.revive(server)
    print(f"{server.name} is running again.", flush=True)

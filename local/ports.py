"""The port that the user sets as PORT, in the environment or in `.env`."""

import os
import socket

from local import processes, settings
from local.errors import LocalError, PortTaken


def requested() -> int | None:
    """None if PORT is not set. Raises LocalError."""
    text = settings.chosen().get("PORT") or os.environ.get("PORT")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise LocalError("PORT must be a number from 1 to 65535")
    return int(text)


def refuse_taken(port: int, command: str) -> None:
    """Raises PortTaken. Binds and connects: some systems allow a bind beside a listener on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just freed counts as free
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise LocalError(
                f"port {port} requires more privileges than you have; choose one above 1023"
            ) from None
        except OSError:
            raise PortTaken(port, command) from None
    if processes.listening(port):
        raise PortTaken(port, command)

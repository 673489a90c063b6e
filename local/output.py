"""What a command prints, if its reader may go before it ends, as in `make ingest | head -3`."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def while_read() -> Iterator[None]:
    """Leaves the block once nobody reads stdout any more; raises OSError if it cannot be written otherwise.
    What is printed from then on goes nowhere, or else Python would fail at its exit: see "Note on SIGPIPE" in
    the documentation of its module signal."""
    try:
        yield
        print(end="", flush=True)  # unlike sys.stdout.flush(), also if stdout is closed
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise

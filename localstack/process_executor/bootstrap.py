"""The entry point of a Lambda's process: ties its lifetime to LocalStack's, then calls AWS's runtime client.

Run by path, in an interpreter that has only the standard library (``-S``).
"""

import os
import signal
import site
import sys
import threading

_SET_NO_NEW_PRIVILEGES = 38  # for prctl on Linux
_THIRD_VERSION = 0x20080522  # of capset's arguments: two words for each of three sets


def main() -> None:
    if os.geteuid() == 0:
        _drop_capabilities()  # of this thread and of those that it starts
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]]
    site.setquit()  # exit() and quit(), which a Lambda has
    import awslambdaric.__main__ as runtime_client

    runtime_client.main([sys.argv[0], os.environ["_HANDLER"]])  # type: ignore[no-untyped-call]


def _drop_capabilities() -> None:
    """Root could write where modes forbid it; a Lambda cannot. Child processes do not regain the powers."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.capset(
        (ctypes.c_uint32 * 2)(_THIRD_VERSION), (ctypes.c_uint32 * 6)()
    ):
        raise OSError(ctypes.get_errno(), "root's capabilities cannot be dropped")


def _end_with(lifeline: int) -> None:
    """Kills the process group when the pipe closes. LocalStack holds the other end, and it closes however
    LocalStack ends.

    Linux' PR_SET_PDEATHSIG is unsuitable: it also fires when only the thread that started us ends.
    """
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

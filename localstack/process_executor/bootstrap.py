"""The first code of a Lambda's process: ties its life to LocalStack's, then calls AWS's runtime client.

Run by path, in an interpreter that knows the standard library and nothing else (``-S``).
"""

import os
import signal
import site
import sys
import threading

_SET_NO_NEW_PRIVILEGES = 38  # of Linux' prctl
_THIRD_VERSION = 0x20080522  # of capset's arguments: two words for each of three sets


def main() -> None:
    if os.geteuid() == 0:
        _give_up_roots_powers()  # of this thread, and of those that it starts
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]]
    site.setquit()  # exit() and quit(), which a Lambda has
    import awslambdaric.__main__ as runtime_client

    runtime_client.main([sys.argv[0], os.environ["_HANDLER"]])  # type: ignore[no-untyped-call]


def _give_up_roots_powers() -> None:
    """A Lambda is not root, who may write where modes forbid it. What it starts does not get them back."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.capset(
        (ctypes.c_uint32 * 2)(_THIRD_VERSION), (ctypes.c_uint32 * 6)()
    ):
        raise OSError(ctypes.get_errno(), "root's capabilities cannot be given up")


def _end_with(lifeline: int) -> None:
    """The pipe's other end is LocalStack's, and closes however LocalStack ends.

    Linux' PR_SET_PDEATHSIG would not do: it also fires when only the thread ends that started us.
    """
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

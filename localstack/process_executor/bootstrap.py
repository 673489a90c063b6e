"""The first code of a Lambda's process: ties its life to LocalStack's, then calls AWS's runtime client.

Run by path, in an interpreter that knows the standard library and nothing else (``-S``).
"""

import os
import signal
import site
import sys
import threading


def main() -> None:
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], os.environ["LAMBDA_RUNTIME_DIR"]]
    site.setquit()  # exit() and quit(), which a Lambda has
    import awslambdaric.__main__ as runtime_client

    runtime_client.main([sys.argv[0], os.environ["_HANDLER"]])  # type: ignore[no-untyped-call]


def _end_with(lifeline: int) -> None:
    """The pipe's other end is LocalStack's, and closes however LocalStack ends.

    Linux' PR_SET_PDEATHSIG would not do: it also fires when only the thread ends that started us.
    """
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""How a supervised process begins: `python -m kedge.apps.system_child COMMAND...` is `kedge COMMAND...` that ends with its parent.

Rules: standard input is a pipe that ends when the supervisor dies, however it dies. Then the process asks itself to stop, as SIGTERM
would, and is gone after `GRACE_S` even if it hangs: a trader without its supervisor must not go on adding risk.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from kedge.apps.cli import main
from kedge.apps.exit_codes import FAILURE

GRACE_S = 10.0


def command(arguments: Sequence[str]) -> tuple[str, ...]:
    """What a supervisor runs for `kedge ARGUMENTS`."""
    return (sys.executable, "-m", __name__, *arguments)


def watch_parent(descriptor: int, grace_s: float = GRACE_S) -> threading.Thread:
    """Start watching the pipe; at its end the process is asked to stop, and after `grace_s` it is ended."""
    thread = threading.Thread(target=_until_end, args=(descriptor, grace_s), name="watch-parent", daemon=True)
    thread.start()
    return thread


def _until_end(descriptor: int, grace_s: float) -> None:
    try:
        while os.read(descriptor, 1):
            pass
    except OSError:
        return  # nobody watches over this one
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(FAILURE)


if __name__ == "__main__":
    watch_parent(sys.stdin.fileno())
    sys.exit(main(sys.argv[1:]))

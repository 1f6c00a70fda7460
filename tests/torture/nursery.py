"""A process that has imported everything and forks `kedge` commands from there, so that a start costs a tenth of a fresh interpreter.

Every child is a process of its own, with its own memory, files and end. Requests come as JSON lines on stdin, births and ends go out as
JSON lines on stdout; when stdin closes, whoever still lives is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from typing import Any, NoReturn

from kedge.apps.cli import main
from kedge.kernel.compiling import compile_all


def serve() -> None:
    """Fork until stdin closes."""
    import kedge.apps.audit
    import kedge.apps.exchange
    import kedge.apps.replay
    import kedge.apps.trade
    import kedge.apps.trade_process  # noqa: F401

    compile_all()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    waiting = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4_096)
            _reap(children)
        if 0 in ready:
            more = os.read(0, 65_536)
            if not more:
                break
            *lines, waiting = (waiting + more).split(b"\n")
            for line in lines:
                _bear(json.loads(line), children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _bear(wanted: dict[str, Any], children: set[int]) -> None:
    pid = os.fork()
    if not pid:
        _live(wanted)
    children.add(pid)
    _tell(token=wanted["token"], pid=pid)


def _live(wanted: dict[str, Any]) -> NoReturn:
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(wanted["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        none = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((none, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.environ.update(wanted["env"])
        code = main(wanted["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reap(children: set[int]) -> None:
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children.discard(pid)
            _tell(pid=pid, status=os.waitstatus_to_exitcode(status))


def _tell(**message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    serve()

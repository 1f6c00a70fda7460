"""A person's Ctrl-C during a long computation, remembered even where the exception is lost on its way.

Python raises `KeyboardInterrupt` between two steps of whatever runs then; inside a finalizer, a callback of a C library or a
compiled function's argument check it is printed or dropped, and the work would go on to its end as if nobody had stopped it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """While it is entered an interrupt is raised as always, and raised again by the function it gives, called between two steps.

    Outside the main thread, where Python cannot listen, that function does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    asked = False

    def stop(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)

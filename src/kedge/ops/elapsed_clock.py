"""The clock by which safety ages: it goes on while the machine is suspended.

Rules: the age of a permit, of a sign of life and of a look at the account is what passed in the world, not what this machine was awake for.
Linux's CLOCK_MONOTONIC stands still in suspend, CLOCK_BOOTTIME goes on (clock_gettime(2)); neither is ever set. Where there is no
CLOCK_BOOTTIME, the monotonic clock has to do. A virtual machine that is paused from outside, and not told, sees no time pass by either.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Final

NAME: Final = "CLOCK_BOOTTIME"


def elapsed_clock(system: Any = time) -> Callable[[], int]:
    """The clock that this system has, in nanoseconds since some moment of its own; `system` is like the module `time`."""
    clock = getattr(system, NAME, None)
    if clock is not None:
        try:
            system.clock_gettime_ns(clock)
        except OSError:  # an old kernel, or a sandbox that knows no such clock
            clock = None
    found: Callable[[], int] = system.monotonic_ns if clock is None else functools.partial(system.clock_gettime_ns, clock)
    return found


elapsed_ns: Final[Callable[[], int]] = elapsed_clock()
"""Nanoseconds since this machine's start, suspended ones too; all processes of one machine read the same."""

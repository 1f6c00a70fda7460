"""Named places where a trader may be killed on purpose, so that drills can prove that nothing is lost and nothing happens twice.

A trader calls `reach(name)` at each of them. Normally that does nothing; `KillAt` ends the process there with no chance to tidy up.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final, Protocol

from kedge.domain.errors import InvalidInput

KILL_POINTS: Final = (
    "before_step",
    "before_commit",
    "after_commit",
    "before_send",
    "after_send",
    "before_answer_commit",
    "after_answer_commit",
    "before_cancel",
    "before_amend",
    "after_amend_answer",
    "after_timer",
    "reconcile_begin",
    "reconcile_after_reading",
    "reconcile_mid_events",
    "reconcile_end",
    "lookup",
    "before_snapshot",
    "after_snapshot",
    "before_ack",
    "after_ack",
    "reconnect",
    "stop",
)
"""`before_send` is after the commit and before the request is made, `after_send` when it is on its way and unanswered."""


class KillPoints(Protocol):
    """What a trader calls at each point."""

    @property
    def armed(self) -> bool:
        """Whether `reach` can do anything at all."""

    def reach(self, name: str) -> None: ...


class NoKillPoints:
    """Never ends anything."""

    armed = False

    def reach(self, name: str) -> None:
        """Goes on."""


class KillAt:
    """Ends the process the `count`-th time a point is reached.

    Parameters
    ----------
    end : callable, optional
        What ends it; by default SIGKILL to this process.

    Raises
    ------
    InvalidInput
        There is no such point, or the count is below 1.
    """

    armed = True

    def __init__(self, name: str, count: int = 1, end: Callable[[], None] | None = None) -> None:
        if name not in KILL_POINTS or count < 1:
            raise InvalidInput(
                f"kill point {name}:{count}", why=f"there are {', '.join(KILL_POINTS)}", fix="write NAME, NAME:COUNT or NAME:COUNT:freeze"
            )
        self.name, self._left, self._end = name, count, end or _kill

    @classmethod
    def parse(cls, text: str) -> KillAt:
        """Read `NAME`, `NAME:COUNT` or `NAME:COUNT:freeze`, which stops the process with SIGSTOP until somebody lets it go on."""
        name, _, rest = text.partition(":")
        count, _, how = rest.partition(":")
        known = {"": _kill, "freeze": _freeze}
        return cls(name, int(count) if count.isascii() and count.isdigit() and how in known else 0 if rest else 1, known.get(how))

    @property
    def reached(self) -> bool:
        """Whether it has ended something."""
        return self._left <= 0

    def reach(self, name: str) -> None:
        if name == self.name:
            self._left -= 1
            if not self._left:
                self._end()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _freeze() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)

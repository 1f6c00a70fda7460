"""The latch in the guard's hands: memory first, then the file, then the journal.

Rules: from the moment at which memory changes no permit is granted; a file that cannot be written leaves the level in memory and is tried
again; severity only rises, except by a release.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from kedge.domain.brake import BrakeLevel, Latch, Trigger
from kedge.domain.errors import KedgeError
from kedge.risk.brake.levels import Wish, flat, raised
from kedge.services.guard.ports import LatchPort
from kedge.services.guard.recorder import Recorder
from kedge.services.guard.records import Latched, LatchTrouble
from kedge.services.guard.timeline import Timeline

_LOG: Final = logging.getLogger(__name__)


class Holder:
    """Holds one account's latch.

    Parameters
    ----------
    high_water_e8 : callable
        The high-water mark now, which every latch carries.

    Attributes
    ----------
    latch : Latch
        As it holds.
    is_durable : bool
        Whether the file says the same.
    latched_ns : int
        When the level last changed, on the monotonic clock; the guard's start before.
    listeners : list of callables
        Called after every change.
    """

    def __init__(
        self,
        port: LatchPort,
        recorder: Recorder,
        timeline: Timeline,
        wall_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        high_water_e8: Callable[[], int],
    ) -> None:
        self._port, self._recorder, self._timeline = port, recorder, timeline
        self._wall_ns, self._monotonic_ns, self._high_water_e8 = wall_ns, monotonic_ns, high_water_e8
        self.latch = port.read()
        self.is_durable = self.latch.trigger is not Trigger.UNREADABLE
        self.latched_ns = monotonic_ns()
        self.listeners: list[Callable[[], None]] = []

    @property
    def level(self) -> BrakeLevel:
        return self.latch.level

    def raise_to(self, wish: Wish, breach_ns: int | None = None) -> bool:
        """Engage; False where the brake is on at least as hard already. On return the file is written, or the trouble told.

        `breach_ns` is when what led to it began to be read; now where a person did.
        """
        found = raised(self.latch, wish, self._wall_ns(), self._high_water_e8())
        if found is None:
            return False
        began_ns = self._monotonic_ns()
        self.latch = found
        self._timeline.begin(began_ns if breach_ns is None else breach_ns)
        self._timeline.mark("permits_stopped", began_ns)
        self.write()
        now_ns = self._monotonic_ns()
        self.latched_ns = now_ns
        self._timeline.mark("latched", now_ns)
        self._record(now_ns - began_ns)
        where = f"{wish.observed} against {wish.limit}" if wish.observed else wish.reason
        self._recorder.settled("BRAKE")
        self._recorder.page("BRAKE", f"{found.level}: {wish.trigger}, {where}")
        self._changed()
        return True

    def declare_flat(self) -> None:
        """Everything is closed."""
        found = flat(self.latch, self._wall_ns(), self._high_water_e8())
        if found is not None:
            self._replace(found)

    def let_go(self, found: Latch) -> None:
        """Put a released latch in place.

        Raises
        ------
        KedgeError
            The file cannot be written; the brake stays as it was.
        """
        self._port.write(found)
        self.latch, self.is_durable = found, True
        self._changed()

    def keep_high_water(self) -> None:
        """Write the present high-water mark into the latch, without a new generation: nothing else changed."""
        high_e8 = self._high_water_e8()
        if high_e8 != self.latch.high_water_e8 and self.is_durable:
            self.latch = msgspec.structs.replace(self.latch, high_water_e8=high_e8)
            self.write()

    def check_file(self) -> None:
        """See that the file still says what holds; try to write it where it could not be. What somebody damaged is HALTED."""
        if not self.is_durable:
            self.write()
            return
        there = self._port.read()
        if there == self.latch:
            return
        self._recorder.write(LatchTrouble(wall_ns=self._wall_ns(), what="the latch's file was changed by others", level=self.level))
        self._recorder.page("LATCH", f"the latch's file was changed by others: it read {there.level}, generation {there.generation}")
        wish = Wish(
            level=BrakeLevel.HALTED, trigger=Trigger.UNREADABLE, reason="the latch's file was changed by others",
            observed=f"{there.level}, generation {there.generation}", limit=f"{self.latch.level}, generation {self.latch.generation}",
        )  # fmt: skip
        if not self.raise_to(wish):
            self.write()

    def write(self) -> None:
        """Write the file as memory has it."""
        try:
            self._port.write(self.latch)
        except KedgeError as error:
            is_new, self.is_durable = self.is_durable, False
            if is_new:
                self._recorder.write(LatchTrouble(wall_ns=self._wall_ns(), what=str(error), level=self.level))
            self._recorder.page("LATCH", f"the latch cannot be written, {self.level} holds in memory: {error.what}")
            return
        self.is_durable = True

    def _replace(self, found: Latch) -> None:
        began_ns = self._monotonic_ns()
        self.latch = found
        self.write()
        self._record(self._monotonic_ns() - began_ns)
        self._changed()

    def _record(self, took_ns: int) -> None:
        latch = self.latch
        _LOG.warning("brake %s, generation %d: %s", latch.level, latch.generation, latch.reason)
        self._recorder.write(
            Latched(
                wall_ns=self._wall_ns(), level=latch.level, generation=latch.generation, trigger=latch.trigger, observed=latch.observed,
                limit=latch.limit, reason=latch.reason, actor_id=latch.actor_id, source=latch.source, is_durable=self.is_durable,
                took_ns=took_ns,
            )
        )  # fmt: skip

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()

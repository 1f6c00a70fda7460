"""What people and the venue rule about a run from outside: documents of limits, overrides, restrictions, and the days before it began.

Rules: each reaches the engine as an event, once: a document by its number, an override by its approval, a restriction when it changes.
What cannot be read changes nothing: the limits in force stay, and the alarm is a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kedge.domain.errors import InvalidInput, KedgeError
from kedge.domain.events import DailyHistory, LimitsChanged, OverrideGranted, VenueRestricted
from kedge.domain.units import FLOOR
from kedge.domain.venue import DailyCloses, TradingVenue, VenuePosition
from kedge.engine.days import CLOSES_KEPT
from kedge.risk.limits import Limits
from kedge.risk.limits_document import LimitsDocument, OverrideGrant
from kedge.services.live_core import LiveCore

_log: Final = logging.getLogger("kedge.live")


class Rulings(Protocol):
    """Where documents and overrides of one account are left for its trader."""

    def newest_number(self) -> int: ...
    def newest(self) -> LimitsDocument | None: ...
    def override_names(self) -> list[str]: ...
    def override(self, approval_id: str) -> tuple[OverrideGrant, int] | None:
        """One override, and for how long it still holds, in nanoseconds of the wall."""
        ...


class DailyVenue(Protocol):
    """A venue that tells what past days closed at."""

    async def daily_closes(self, instrument: str, days: int) -> DailyCloses: ...


class Rules:
    """Takes rulings and restrictions into one run.

    Parameters
    ----------
    rulings : Rulings, optional
        None where limits are those of the first record for ever.
    speed : int
        How many times faster than the wall venue time runs.
    """

    def __init__(self, core: LiveCore, rulings: Rulings | None, *, speed: int) -> None:
        self._core, self._rulings, self._speed = core, rulings, speed
        self._seen: set[str] = set()
        self._unread = 0
        self.on_change: Callable[[], None] = _nobody

    def look(self) -> None:
        """Take in what was left since the last look."""
        if self._rulings is None:
            return
        try:
            self._document(self._rulings)
            self._overrides(self._rulings)
        except (KedgeError, OSError) as error:
            _log.error("rulings cannot be read: %s", error, extra={"event": "rulings_unread"})

    def shown(self, position: VenuePosition) -> None:
        """The venue shows a position, and whether it may only be reduced."""
        slot = self._core.state.slots.get(position.instrument)
        only_reduces = position.only_reduces and position.lots != 0
        if slot is not None and only_reduces != slot.only_reduces:
            _log.warning("venue restricts %s: %s", position.instrument, only_reduces, extra={"event": "venue_restricts"})
            self._core.step(VenueRestricted(self._core.now_ns(), position.instrument, only_reduces))

    def shown_all(self, positions: Sequence[VenuePosition]) -> None:
        """The venue's whole list of positions that are not flat: what is not in it is restricted no more."""
        for position in positions:
            self.shown(position)
        held = {position.instrument for position in positions}
        for slot in self._core.state.by_index:
            if slot.only_reduces and slot.instrument not in held:
                self._core.step(VenueRestricted(self._core.now_ns(), slot.instrument, False))

    async def learn_days(self, venue: TradingVenue | DailyVenue) -> None:
        """Ask the venue what past days closed at, where limits or sizes need it and the venue says.

        Raises
        ------
        VenueUnavailable
        """
        ask = getattr(venue, "daily_closes", None)
        if ask is None or not (needs_days(self._core.state.limits) or self._core.engine.settings.sizing is not None):
            return
        for slot in self._core.state.by_index:
            told: DailyCloses = await ask(slot.instrument, CLOSES_KEPT)
            if told.closes_ticks:
                event = DailyHistory(self._core.now_ns(), slot.instrument, told.last_day_ts_ns, told.closes_ticks)
                self._core.step(event)

    def _document(self, rulings: Rulings) -> None:
        number = rulings.newest_number()
        if number <= max(self._core.state.limits_number, self._unread):
            return
        try:
            document = rulings.newest()
        except KedgeError:
            self._unread = number  # said once; the next document is read again
            raise
        if document is not None:
            told: LimitsChanged = document.event(self._core.now_ns())
            _log.warning("limits %s by %s: %s", document.version, document.actor, document.reason, extra={"event": "limits_changed"})
            self._core.step(told)
            self.on_change()

    def _overrides(self, rulings: Rulings) -> None:
        for name in rulings.override_names():
            if name not in self._seen:
                self._seen.add(name)
                self._grant(rulings.override(name))

    def _grant(self, found: tuple[OverrideGrant, int] | None) -> None:
        state = self._core.state
        if found is None or found[1] <= 0 or found[0].approval_id in state.gate.used or found[0].approval_id in state.gate.overrides:
            return
        grant, left_ns = found
        slot = state.slots.get(grant.instrument)
        lots = 0 if slot is None else lots_of(slot.spec.qty_lots, grant.qty)
        if lots < 1:
            _log.error("override %s names no order here", grant.approval_id, extra={"event": "override_unknown"})
            return
        now_ns = self._core.now_ns()
        _log.warning("override %s: %s", grant.approval_id, grant.reason, extra={"event": "override"})
        self._core.step(
            OverrideGranted(
                now_ns,
                grant.approval_id,
                grant.instrument,
                grant.side,
                lots,
                grant.rules,
                now_ns + left_ns * self._speed,
                grant.requester,
                grant.approver,
                grant.reason,
            )
        )
        self.on_change()


def lots_of(to_lots: Callable[..., int], qty: str) -> int:
    """Whole lots of a quantity as written, towards zero; 0 where it is none."""
    try:
        return to_lots(qty, rounding=FLOOR)
    except InvalidInput:
        return 0


def needs_days(limits: Limits) -> bool:
    """Whether some limit is judged by the volatility of days."""
    rows = (limits.var99_soft_e8, limits.var99_max_e8, limits.es975_soft_e8, limits.es975_max_e8)
    return any(rows) or bool(limits.liquidation_sigmas_soft_e2 or limits.liquidation_sigmas_min_e2)


def _nobody() -> None:
    """Nobody wants to know."""

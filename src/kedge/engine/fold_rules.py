"""Folding what people, the guard and the venue rule from outside: limits, overrides, the brake, restrictions, past days, alerts told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedge.domain.errors import InvalidConfig
from kedge.domain.events import AccountInherited, BooksAgreed, BrakeTold, DailyHistory, LimitsChanged, OverrideGranted, VenueRestricted
from kedge.domain.outputs import AlertRaised
from kedge.engine.state import EngineState
from kedge.kernel.account import DAY, DAY_LOSS_E8, DAY_START, DRAWDOWN_E8, DRAWDOWN_MAX_E8, EQUITY, PEAK
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

SOFT, HARD, OVER = "soft", "hard", "over"
"""Severities of alerts; OVER ends one."""
HISTORY_REFUSED = "HISTORY_REFUSED"
"""Alert: daily closes that the venue told cannot be, and are not used."""


class RuleFold:
    """The writer of what is ruled from outside.

    Parameters
    ----------
    trouble : callable
        Told of what cannot be understood: a code and a detail.

    Attributes
    ----------
    observers, absorbers : dict
        What to call for each type of event and of output.
    """

    def __init__(self, state: EngineState, trouble: Callable[[str, str], None]) -> None:
        self.state, self._slots, self._trouble = state, state.slots, trouble
        self.observers: dict[type, Callable[[Any], None]] = {
            LimitsChanged: self._limits_changed,
            OverrideGranted: self._override,
            BooksAgreed: self._agreed,
            VenueRestricted: self._venue_restricted,
            BrakeTold: self._brake_told,
            DailyHistory: self._history,
            AccountInherited: self._inherited,
        }
        self.absorbers: dict[type, Callable[[Any], None]] = {AlertRaised: self._alert}

    def _limits_changed(self, event: LimitsChanged) -> None:
        """Limits that were told before, or that a later document replaced, are no news."""
        state = self.state
        if event.number <= state.limits_number:
            return
        try:
            limits = Limits.from_plain(event.limits)
        except InvalidConfig as error:
            self._trouble("LIMITS_UNREADABLE", f"document {event.number}: {error.what}")
            return
        if limits.version != event.version:
            self._trouble("LIMITS_UNREADABLE", f"document {event.number} is {limits.version}, not {event.version}")
            return
        state.limits, state.limits_number = limits, event.number

    def _override(self, event: OverrideGranted) -> None:
        slot = self._slots.get(event.instrument)
        if slot is not None:
            self.state.gate.grant(event)
            slot.blocked = False  # what was refused may be planned again

    def _agreed(self, event: BooksAgreed) -> None:
        self.state.books_ts_ns = event.ts_ns

    def _venue_restricted(self, event: VenueRestricted) -> None:
        slot = self._slots.get(event.instrument)
        if slot is not None:
            slot.only_reduces = event.only_reduces

    def _brake_told(self, event: BrakeTold) -> None:
        """The guard's last word counts, whatever it said before: answers come in order, and a person resumes in any case."""
        state = self.state
        state.brake_level, state.brake_generation = event.level, event.generation
        state.brake_reason = f"{event.trigger or ''} {event.reason}".strip()

    def _history(self, event: DailyHistory) -> None:
        slot = self._slots.get(event.instrument)
        if slot is not None:
            tick_e8 = slot.spec.tick_e8
            closes_e8 = tuple(ticks * tick_e8 for ticks in event.closes_ticks)
            price_e8 = int(self.state.marks[slot.index]) * tick_e8
            slot.days.learn(event.last_day_ts_ns, closes_e8, ts_ns=event.ts_ns, price_e8=price_e8)

    def _inherited(self, event: AccountInherited) -> None:
        """What losses are measured from. The first mark of a later day begins that day, as it does in a run that goes on."""
        if event.peak_e8 is None:
            return
        state, account = self.state, self.state.account
        account[PEAK] = max(event.peak_e8, int(account[EQUITY]))
        account[DRAWDOWN_E8], account[DAY_LOSS_E8] = event.drawdown_e8, event.day_loss_e8
        account[DRAWDOWN_MAX_E8] = max(int(account[DRAWDOWN_MAX_E8]), event.drawdown_e8)
        account[DAY], account[DAY_START] = event.day, event.day_start_e8
        state.drawdown_accepted = event.drawdown_accepted and event.risk_state == RiskState.RUNNING

    def _alert(self, alert: AlertRaised) -> None:
        if alert.code == HISTORY_REFUSED and alert.instrument in self._slots:
            self._slots[alert.instrument].days.refused = None  # told now
        name = alert_name(alert.code, alert.instrument)
        if alert.severity == OVER:
            self.state.alerts.pop(name, None)
        else:
            self.state.alerts[name] = self.state.ts_ns


def alert_name(code: str, instrument: str) -> str:
    """What an alert is kept under while it lasts."""
    return f"{code}|{instrument}"

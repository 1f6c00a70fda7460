"""What is armed now, and what it strikes. Times come from the caller, who chooses their clock; chance comes from a seed.

Rules: an armed fault is asked for each request, operation or frame that it could strike, in the order in which it was armed; one stroke
uses up one count; what strikes is counted by kind. The same seed and the same questions give the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from kedge.domain.units import NS_PER_MS
from kedge.simulation.faults import AT_ONCE, LASTING, ON_ARRIVAL, RATE_ALWAYS_BPS, Fault, Kind, checked
from kedge.simulation.venue_types import Crowd

_QUESTIONS: Final = frozenset({"/v5/order/realtime", "/v5/order/history"})
_ORDERS: Final = "/v5/order/"
_MASK: Final = (1 << 64) - 1


class Refusal(NamedTuple):
    """An answer in place of the true one; 0 and empty for what the kind usually says."""

    code: int
    text: str


class Arrival(NamedTuple):
    """What happens to a request before it arrives."""

    is_lost: bool = False
    delay_ms: int = 0


class Fate(NamedTuple):
    """What happens to a request that has arrived: `reject` undoes it unheard, everything else comes after it was carried out.

    `is_dropped` cuts the connection instead of answering, `is_hung` leaves it open and never answers.
    """

    reject: Refusal | None = None
    is_dropped: bool = False
    is_hung: bool = False
    delay_ms: int = 0
    is_doubled: bool = False
    is_overtaken: bool = False


class FrameFate(StrEnum):
    """What happens to one change of a book stream."""

    PASS = "pass"
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"


class Dice:
    """Whole numbers by chance, from a seed and nothing else (splitmix64, Steele and others 2014)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, limit: int) -> int:
        """The next number in [0, limit); limit is far below 2^64, so its bias is nothing."""
        self._state = z = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return (z ^ (z >> 31)) % limit


class _Armed:
    """One fault with what is left of it."""

    __slots__ = ("fault", "begins_ns", "ends_ns", "left", "has_begun")

    def __init__(self, fault: Fault, now_ns: int) -> None:
        self.fault = fault
        self.begins_ns = now_ns + fault.after_ms * NS_PER_MS
        lasts_ms = fault.usual_ms if fault.fault in LASTING and fault.fault != "clock_skew" else fault.for_ms
        self.ends_ns = self.begins_ns + lasts_ms * NS_PER_MS if lasts_ms else None
        self.left = fault.count
        self.has_begun = False

    def is_on(self, now_ns: int) -> bool:
        return self.begins_ns <= now_ns and not self.is_over(now_ns)

    def is_over(self, now_ns: int) -> bool:
        return self.ends_ns is not None and now_ns >= self.ends_ns


class Armoury:
    """Faults that wait, strike or last.

    Parameters
    ----------
    seed : int
        Of the chance with which faults strike that have a rate.

    Attributes
    ----------
    done : dict
        How often each kind has struck, or begun where it strikes by itself.
    """

    def __init__(self, seed: int = 0) -> None:
        self.done: dict[str, int] = {}
        self._armed: list[_Armed] = []
        self._dice = Dice(seed)

    def arm(self, fault: Fault, now_ns: int) -> None:
        """Order a fault.

        Raises
        ------
        InvalidInput
            It makes no sense; see `faults.checked`.
        """
        self._armed.append(_Armed(checked(fault), now_ns))

    def clear(self) -> None:
        """Disarm everything, what is scheduled too."""
        self._armed.clear()

    def begun(self, now_ns: int) -> list[Fault]:
        """Faults of `AT_ONCE` that begin by now and were not told before: whoever asks cuts the connections and sets the clock."""
        found = [one for one in self._armed if one.fault.fault in AT_ONCE and not one.has_begun and one.begins_ns <= now_ns]
        found.sort(key=lambda one: one.begins_ns)
        for one in found:
            one.has_begun = True
            self._count(one.fault.fault)
            if one.fault.fault == "cut":
                self._armed.remove(one)
        self._forget(now_ns)
        return [one.fault for one in found]

    def next_ns(self, now_ns: int) -> int | None:
        """When something next begins or ends by itself; None for never."""
        times = [one.begins_ns for one in self._armed] + [one.ends_ns for one in self._armed if one.ends_ns is not None]
        return min((ts_ns for ts_ns in times if ts_ns > now_ns), default=None)

    def lasts(self, kind: Kind, now_ns: int, symbol: str = "") -> int:
        """Nanoseconds for which a kind of `LASTING` still holds; 0 when it does not. Of several, the one that began last."""
        one = self._latest(kind, now_ns, symbol)
        return 0 if one is None or one.ends_ns is None else one.ends_ns - now_ns

    def skew_ns(self, now_ns: int) -> int:
        """By how much the venue's wall clock is off now."""
        one = self._latest("clock_skew", now_ns)
        return 0 if one is None else one.fault.ms * NS_PER_MS

    def crowd(self, usual: Crowd, now_ns: int, symbol: str) -> Crowd:
        """How the background of an instrument is to quote now: as usual, thinner, or further away."""
        thin, wide = self._latest("thin_book", now_ns, symbol), self._latest("wide_book", now_ns, symbol)
        if thin is not None:
            usual = msgspec.structs.replace(usual, notional_e8=usual.notional_e8 * thin.fault.bps // RATE_ALWAYS_BPS)
        return usual if wide is None else msgspec.structs.replace(usual, gap_bps=wide.fault.bps)

    def shown(self, now_ns: int) -> dict[str, Any]:
        """What is armed and scheduled, how long lasting ones hold (ms), and how often each kind has struck."""
        self._forget(now_ns)
        striking = [one for one in self._armed if one.begins_ns <= now_ns and one.fault.fault not in AT_ONCE]
        later = [one for one in self._armed if one.begins_ns > now_ns]
        lasting = {kind: self.lasts(kind, now_ns) for kind in LASTING}
        return {
            "armed": [_shown(one, now_ns) for one in striking],
            "scheduled": [{**_shown(one, now_ns), "in_ms": _ms(one.begins_ns - now_ns)} for one in later],
            "lasting_ms": {kind: _ms(left_ns) for kind, left_ns in lasting.items() if left_ns},
            "skew_ms": self.skew_ns(now_ns) // NS_PER_MS,
            "done": dict(self.done),
        }

    # --- what is struck --------------------------------------------------------------------------------------------------

    def arrival(self, path: str, account: str, now_ns: int) -> Arrival | None:
        """What happens to a request on its way to the venue; None for nothing."""
        fault = self._strike_request(ON_ARRIVAL, path, account, now_ns)
        if fault is None:
            return None
        return Arrival(is_lost=True) if fault.fault == "lose_request" else Arrival(delay_ms=fault.usual_ms)

    def fate(self, path: str, account: str, now_ns: int) -> Fate | None:
        """What happens to a request that passed the venue's checks; None for nothing."""
        if not self._armed:
            return None
        if fault := self._strike_request(("reject",), path, account, now_ns):
            return Fate(reject=Refusal(fault.code, fault.text))
        struck = {
            kind: self._strike_request((kind,), path, account, now_ns)
            for kind in ("drop_reply", "hang_reply", "delay_reply", "duplicate_reply", "reorder_reply")
        }
        if not any(struck.values()):
            return None
        delay = struck["delay_reply"]
        return Fate(
            is_dropped=struck["drop_reply"] is not None,
            is_hung=struck["hang_reply"] is not None,
            delay_ms=0 if delay is None else delay.usual_ms,
            is_doubled=struck["duplicate_reply"] is not None,
            is_overtaken=struck["reorder_reply"] is not None,
        )

    def answer_instead(self, path: str, account: str, now_ns: int) -> Refusal | None:
        """The ambiguous answer to a request that was carried out; None for the truth."""
        fault = self._strike_request(("timeout_after",), path, account, now_ns)
        return None if fault is None else Refusal(fault.code, fault.text)

    def operation(self, kinds: Sequence[Kind], account: str, now_ns: int) -> Kind | None:
        """Which of these kinds strikes the private rows of one operation of an account."""
        fault = self._strike(kinds, lambda one: one.account in ("", account), now_ns)
        return None if fault is None else fault.fault

    def frame(self, symbol: str, now_ns: int) -> FrameFate:
        """What happens to one change of a book stream."""
        if not self._armed:
            return FrameFate.PASS
        fault = self._strike(("drop_book", "duplicate_book", "reorder_book"), lambda one: one.symbol in ("", symbol), now_ns)
        return FrameFate.PASS if fault is None else _FRAMES[fault.fault]

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _strike_request(self, kinds: Sequence[Kind], path: str, account: str, now_ns: int) -> Fault | None:
        return self._strike(kinds, lambda one: is_meant(one, path, account), now_ns)

    def _strike(self, kinds: Sequence[Kind], fits: Callable[[Fault], bool], now_ns: int) -> Fault | None:
        """Use up one stroke of the first fault of these kinds that is on, fits, and is let by its rate."""
        for one in self._armed:
            fault = one.fault
            if fault.fault not in kinds or not one.is_on(now_ns) or not fits(fault):
                continue
            if fault.rate_bps < RATE_ALWAYS_BPS and self._dice.below(RATE_ALWAYS_BPS) >= fault.rate_bps:
                continue
            if one.ends_ns is None:
                one.left -= 1
                if not one.left:
                    self._armed.remove(one)
            self._count(fault.fault)
            return fault
        return None

    def _latest(self, kind: Kind, now_ns: int, symbol: str = "") -> _Armed | None:
        latest = None
        for one in self._armed:
            fits = one.fault.fault == kind and one.begins_ns <= now_ns and symbol in ("", one.fault.symbol or symbol)
            if fits and (latest is None or one.begins_ns >= latest.begins_ns):
                latest = one
        return latest if latest is not None and latest.is_on(now_ns) else None

    def _forget(self, now_ns: int) -> None:
        """Drop what is over and would otherwise be asked for ever."""
        self._armed = [one for one in self._armed if not one.is_over(now_ns) or (one.fault.fault in AT_ONCE and not one.has_begun)]

    def _count(self, kind: str) -> None:
        self.done[kind] = self.done.get(kind, 0) + 1


_FRAMES: Final = {"drop_book": FrameFate.DROP, "duplicate_book": FrameFate.DUPLICATE, "reorder_book": FrameFate.REORDER}


def is_meant(fault: Fault, path: str, account: str) -> bool:
    """Whether a request is one that a fault is meant for."""
    fits = path == fault.path if fault.path else path.startswith(_ORDERS) and path not in _QUESTIONS
    return fits and fault.account in ("", account)


def _shown(one: _Armed, now_ns: int) -> dict[str, Any]:
    shown = {**msgspec.structs.asdict(one.fault), "count": one.left}
    return shown if one.ends_ns is None else {**shown, "left_ms": _ms(one.ends_ns - now_ns)}


def _ms(span_ns: int) -> int:
    return -(-span_ns // NS_PER_MS)

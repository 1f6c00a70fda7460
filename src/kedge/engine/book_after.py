"""The engine's book with one more order in it: margin, distance to liquidation, VaR and ES, worst case with all that is open.

Rules: everything follows from the state as it is, so whoever folds a journal judges an order as it was judged: the incremental book of
scenarios sums whole numbers, and is only a faster way to the same answer. Returns are filtered by EWMA (filtered historical simulation);
an instrument with fewer returns than `ROWS_MIN` states its loss instead, by a Student-t of its EWMA volatility, or of `PRIOR_SIGMA` where
there are fewer than `SIGMA_ROWS_MIN` returns, and such losses are added up as if all markets moved together. So does one that lay so still
before it moved that a filtered return would be no return any more.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from kedge.domain.instrument import Instrument
from kedge.domain.orders import Side
from kedge.domain.units import E8
from kedge.engine.days import Float64Array, Int64Array
from kedge.engine.state import EngineState, Slot
from kedge.kernel.account import EQUITY, plain_view
from kedge.risk.gate_state import Distance, Margin, Near, Situation, Tail
from kedge.risk.limits_table import distance_e8
from kedge.risk.margin_after import End, maintenance_e8, nearest
from kedge.risk.var.book import VarBook
from kedge.risk.var.book_parts import SHOCK_MAX
from kedge.risk.var.filters import ewma_sigma

PRIOR_SIGMA: Final = 0.05
"""Daily, of an instrument whose own volatility nobody knows."""
SIGMA_ROWS_MIN: Final = 20
ROWS_MIN: Final = 250
T_VAR99: Final = 2.6064635693842795
T_ES975: Final = 2.727802071641669
"""VaR at 99 % and ES at 97.5 % of a Student-t with five degrees of freedom and a standard deviation of one."""

FILTERED: Final = "fhs-ewma"
PARAMETRIC: Final = "parametric-t"
PRIOR: Final = "prior"
_WORSE: Final = (FILTERED, PARAMETRIC, PRIOR)


class _History:
    """Returns and volatility of one instrument, as of its last close."""

    __slots__ = ("days", "method", "returns", "sigma", "sigmas")

    def __init__(self, days: Int64Array, returns: Float64Array) -> None:
        self.days, self.returns = days, returns
        known = returns.size >= SIGMA_ROWS_MIN
        self.sigmas = ewma_sigma(returns) if known else np.zeros(0)
        self.sigma = float(self.sigmas[-1]) if known else PRIOR_SIGMA
        scenarios = returns / self.sigmas[:-1] * self.sigma if returns.size >= ROWS_MIN else np.zeros(0)
        is_filtered = bool(scenarios.size) and bool((np.abs(scenarios) < SHOCK_MAX).all())
        self.method = FILTERED if is_filtered else PARAMETRIC if known else PRIOR


class Histories:
    """Daily returns of an engine's instruments, worked out again when a day is over.

    Attributes
    ----------
    sigmas_e8 : list of int
        Daily standard deviations by instrument, rounded up, as renewed; the prior's where one is not known.
    """

    def __init__(self, state: EngineState) -> None:
        self._slots = state.by_index
        self._changes: list[int] = [-1] * len(self._slots)
        self._known = [_History(np.zeros(0, np.int64), np.zeros(0)) for _ in self._slots]
        self.sigmas_e8 = [math.ceil(PRIOR_SIGMA * E8)] * len(self._slots)
        self.version = 0

    def renew(self) -> int:
        """Take in what has changed; a number that grows whenever something did."""
        for slot in self._slots:
            if slot.days.changes != self._changes[slot.index]:
                self._changes[slot.index] = slot.days.changes
                known = self._known[slot.index] = _History(*slot.days.returns())
                self.sigmas_e8[slot.index] = math.ceil(known.sigma * E8)
                self.version += 1
        return self.version

    def book(self) -> tuple[VarBook, str]:
        """A book of scenarios without positions, and the weakest method in it."""
        known = self._known
        whole = _common([one for one in known if one.method == FILTERED])
        methods = [one.method if one.method != FILTERED or whole is not None else PARAMETRIC for one in known]
        rows = 0 if whole is None else whole.size
        returns, sigmas = np.full((rows, len(known)), np.nan), np.ones((rows + 1, len(known)))
        for column, (one, method) in enumerate(zip(known, methods, strict=True)):
            if method == FILTERED and whole is not None:
                at = np.searchsorted(one.days, whole)
                returns[:, column] = one.returns[at]
                sigmas[:-1, column], sigmas[-1, column] = one.sigmas[:-1][at], one.sigmas[-1]
        priors = [
            None if method == FILTERED else (one.sigma * T_VAR99, one.sigma * T_ES975) for one, method in zip(known, methods, strict=True)
        ]
        names = [slot.instrument for slot in self._slots]
        return VarBook(names, returns, sigmas=sigmas, priors=priors), max(methods, key=_WORSE.index)


def _common(histories: list[_History]) -> Int64Array | None:
    """Days that all of them have a return for; None where these are too few."""
    if not histories:
        return None
    days = histories[0].days
    for one in histories[1:]:
        days = np.intersect1d(days, one.days, assume_unique=True)
    return days if days.size >= ROWS_MIN else None


_Held = tuple[int, int, int, int, Instrument]
"""Lots held, mark, open buys and open sells of an instrument, and its record."""


_Seen = tuple[int, bytes, bytes, list[Instrument]]
"""Version of the orders, lots, marks and records that a sweep took in: where none of them differs, nothing of the book does."""


def _unlike(now: bytes, then: bytes) -> set[int]:
    """Where two rows of 64-bit integers differ: by the highest bit in which they do, so that one change of many costs little."""
    found: set[int] = set()
    if now != then:
        apart = int.from_bytes(now, "little") ^ int.from_bytes(then, "little")
        while apart:
            place = (apart.bit_length() - 1) // 64
            found.add(place)
            apart &= (1 << 64 * place) - 1
    return found


class BookOfEngine:
    """What the gate asks about the account as a whole; see `risk.gate_state.BookAfter`.

    `sweep` takes in what has changed since, and is called by whoever asks; sums of whole numbers are then kept up, not made anew.
    """

    def __init__(self, state: EngineState) -> None:
        self._state, self._slots = state, state.by_index
        self._lots, self._marks = plain_view(state.lots), plain_view(state.marks)
        nothing, nowhere = bytes(state.lots.nbytes), bytes(state.marks.nbytes)
        self._seen: _Seen = (0, nothing, nowhere, [slot.spec for slot in self._slots])
        self._is_renewed = False
        self.histories = Histories(state)
        self._version = -1
        self._book: VarBook | None = None
        self._method = PRIOR
        self._held: list[_Held] = [(0, 0, 0, 0, slot.spec) for slot in self._slots]
        self._worst, self._margins, self._net_buys, self._net_sells = ([0] * len(self._slots) for _ in range(4))
        self._maintenance = self._gross = self._buys = self._sells = self._largest = 0
        self._untold: set[int] = set()
        self._at: Situation | None = None
        self._far: tuple[int, Distance, Distance, int] = (-1, Distance(0, 0), Distance(0, 0), 0)
        self._distances: dict[Distance, tuple[int, list[int]]] = {}

    def sweep(self) -> None:
        """Take in positions, marks and open orders as they are: whatever differs from what was swept before."""
        state, orders = self._state, self._state.orders
        lots, marks, specs = state.lots.tobytes(), state.marks.tobytes(), [slot.spec for slot in self._slots]
        seen = (orders.version, lots, marks, specs)
        self._is_renewed = False
        if seen == self._seen:
            return
        version, lots_before, marks_before, specs_before = self._seen
        if specs == specs_before:
            changed = _unlike(lots, lots_before) | _unlike(marks, marks_before)
            changed.update([state.slots[name].index for name in orders.changed_since(version) if name in state.slots])
        else:
            changed = set(range(len(self._slots)))
        for index in sorted(changed):
            self._renew(index)
        self._seen = seen

    def others(self, slot: Slot, side: Side) -> tuple[int, int]:
        """Worst-case gross notional of the other instruments, and their net if every open order of `side` fills; as swept."""
        index = slot.index
        net = self._buys - self._net_buys[index] if side is Side.BUY else self._sells - self._net_sells[index]
        return self._gross - self._worst[index], net

    def judging(self, at: Situation) -> None:
        """What comes next is asked about this situation, of the book as it was swept for it."""
        self._at = at

    def margin(self, at: Situation, order_lots: int, reference_ticks: int, hard: Distance, soft: Distance) -> Margin:
        """Maintenance margin with all that is open filled, and the first instruments that would then be too near to liquidation."""
        self._sweep_for(at)
        own, spec = self._state.slots[at.instrument.instrument_id].index, at.instrument
        low = at.position_lots - at.open_sell_lots + min(0, order_lots)
        high = at.position_lots + at.open_buy_lots + max(0, order_lots)
        largest = spec.notional_e8(reference_ticks, max(-low, high))
        mine = maintenance_e8(spec, largest)
        total = self._maintenance + mine - self._margins[own]
        if not any(hard) and not any(soft):
            return Margin(total)
        if (at.equity_e8 - total - 1) * E8 > 2 * max(largest, self._largest) * self._furthest(hard, soft):
            return Margin(total)  # no rate of margin is above one, so each stands even twice as far away as any has to
        would_be = End(spec, low, high, reference_ticks, largest, mine)
        hard_asked, soft_asked = self._asked(hard), self._asked(soft)
        near_hard = near_soft = None
        for index, slot in enumerate(self._slots):
            end = would_be if index == own else self._end(index)
            if end is None:
                continue
            found, name = nearest(end, at.equity_e8, total), slot.instrument
            if found < hard_asked[index]:
                near_hard = near_hard or Near(name, found, hard_asked[index])
            elif found < soft_asked[index]:
                near_soft = near_soft or Near(name, found, soft_asked[index])
        return Margin(total, near_hard, near_soft)

    def _end(self, index: int) -> End | None:
        """What can come of an instrument's position as it was swept; None where nothing is held or open."""
        lots, mark, buys, sells, spec = self._held[index]
        if not (lots or buys or sells):
            return None
        return End(spec, lots - sells, lots + buys, mark, self._worst[index], self._margins[index])

    def tail(self, at: Situation, order_lots: int, reference_ticks: int) -> Tail | None:
        """VaR and ES of one day with the order in the book, each open order filled where it hurts."""
        self._sweep_for(at)
        book = self._synced()
        index = self._state.slots[at.instrument.instrument_id].index
        _, mark, buys, sells, _ = self._held[index]
        if at.open_buy_lots != buys or at.open_sell_lots != sells:  # it is asked around an order that is open
            per_lot = mark * at.instrument.tick_value_e8
            book.set_open_e8(index, at.open_buy_lots * per_lot, at.open_sell_lots * per_lot)
            self._untold.add(index)
        return self._told_by(*book.worst_after_e8(index, at.instrument.notional_e8(reference_ticks, order_lots)))

    def held(self) -> Tail | None:
        """VaR and ES of the positions as they are."""
        self.sweep()
        return self._told_by(*self._synced().var_es())

    def _sweep_for(self, at: Situation) -> None:
        if at is not self._at:
            self.sweep()
            self._at = at

    def _asked(self, distance: Distance) -> list[int]:
        """How far each instrument's liquidation has to stay away, in 1e-8 of its mark."""
        version = self._renewed()
        known = self._distances.get(distance)
        if known is None or known[0] != version:
            asked = [distance_e8(distance.floor_e8, distance.sigmas_e2, sigma_e8) for sigma_e8 in self.histories.sigmas_e8]
            self._distances[distance] = known = (version, asked)
        return known[1]

    def _furthest(self, hard: Distance, soft: Distance) -> int:
        """The largest distance that any instrument has to keep."""
        version = self._renewed()
        if self._far[:3] != (version, hard, soft):
            self._far = (version, hard, soft, max(*self._asked(hard), *self._asked(soft)))
        return self._far[3]

    def _renewed(self) -> int:
        """The version of the histories, which are looked at once a sweep: no day ends between a situation and its order."""
        if not self._is_renewed:
            self.histories.renew()
            self._is_renewed = True
        return self.histories.version

    def _told_by(self, var_frac: float, es_frac: float) -> Tail | None:
        if not math.isfinite(var_frac + es_frac):
            return None
        var99_e8, es975_e8 = math.ceil(var_frac * E8), math.ceil(es_frac * E8)
        return Tail(var99_e8 if var99_e8 > 0 else 0, es975_e8 if es975_e8 > 0 else 0, self._method)

    def _synced(self) -> VarBook:
        """The book of scenarios with what was swept."""
        version = self._renewed()
        if self._book is None or version != self._version:
            self._book, self._method = self.histories.book()
            self._version = version
            self._untold.update(range(len(self._slots)))
        for index in self._untold:
            self._tell(self._book, index)
        self._untold.clear()
        equity_e8 = self._state.account_view[EQUITY]
        if self._book.equity_e8 != equity_e8:
            self._book.set_equity_e8(equity_e8)
        return self._book

    def _tell(self, book: VarBook, index: int) -> None:
        lots, mark, buys, sells, spec = self._held[index]
        per_lot = mark * spec.tick_value_e8
        book.set_column_e8(index, lots * per_lot, buys * per_lot, sells * per_lot)

    def _renew(self, index: int) -> None:
        """One instrument may have changed: its sums leave, and come back as they are now."""
        slot = self._slots[index]
        spec, lots, mark = slot.spec, self._lots[index], self._marks[index]
        buys, sells = self._state.orders.open_lots(slot.instrument)
        held = (lots, mark, buys, sells, spec)
        if held == self._held[index]:
            return
        self._held[index] = held
        per_lot, low, high = mark * spec.tick_value_e8, lots - sells, lots + buys
        net_buys, net_sells, worst, left = high * per_lot, low * per_lot, max(-low, high) * per_lot, self._worst[index]
        margin = maintenance_e8(spec, worst)
        self._maintenance += margin - self._margins[index]
        self._gross += worst - left
        self._buys += net_buys - self._net_buys[index]
        self._sells += net_sells - self._net_sells[index]
        self._worst[index], self._margins[index] = worst, margin
        self._net_buys[index], self._net_sells[index] = net_buys, net_sells
        if worst >= self._largest or left == self._largest:
            self._largest = max(self._worst)
        self._untold.add(index)

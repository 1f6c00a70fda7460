"""What trading can have done to equity since the ledger last explained the wallet. Pure.

Rules: the price moves of what is held count at once; a trade that the executions tell of counts at its price and its fee; one that nobody
has told of yet may have been at any price that was shown since, and a little beyond. A change that trading can have made is profit or loss.
Of one that it cannot have made alone, the rest is neither, and what counts is the worst that trades at shown prices can have done. Wallet
and positions come in two answers, and something may happen between them: then what counts is the worst that either may mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from kedge.domain.events import OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.units import E8, NS_PER_S
from kedge.risk.brake.books import signed

BEYOND_SHOWN_BPS: Final = 300
"""A trade that nobody told of may have been so far beyond the prices that were shown around it."""
BEYOND_UNSEEN_BPS: Final = 1_000
"""So far, where nobody looked at the account for a while: after a restart."""
BEYOND_UNKNOWN_BPS: Final = 5_000
"""So far, where the venue shows no price of it now: neither a mark nor a book."""
NOISE_BPS: Final = 5
"""Marks and equity come in two answers: where something traded, so much of equity may lie between them."""
TORN_BPS: Final = 1
"""Where wallet and positions differ by more of equity in what is unrealised, something happened between their answers."""
LISTED_NS: Final = 60 * NS_PER_S
"""A fill this old is in the wallet, whatever ids the ledger gives its rows."""
KEPT: Final = 2_000
_ALL_BPS: Final = 10_000

Lots = Mapping[InstrumentId, int]
Prices = Mapping[InstrumentId, int]
Specs = Mapping[InstrumentId, Instrument]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue shows: money of the wallet's answer, positions with their signed cost, and marks in 1e-8 of the quote currency."""

    equity_e8: int
    wallet_e8: int
    lots: Lots
    costs_e8: Mapping[InstrumentId, int]
    marks_e8: Prices


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A change of equity, taken apart: `equity_e8` is what losses are judged on, `strange_e8` what no trade can have done."""

    equity_e8: int
    strange_e8: int
    is_strange: bool


class Earnings:
    """Profit and loss of one account since the last agreement of its wallet with the ledger.

    Attributes
    ----------
    equity_e8 : int or None
        Equity at that agreement; None where nothing is known to measure from, so that every change counts.
    lots, marks_e8 : dict
        Positions that are in that equity, and their marks.
    """

    def __init__(self) -> None:
        self.equity_e8: int | None = None
        self.lots: dict[InstrumentId, int] = {}
        self.marks_e8: dict[InstrumentId, int] = {}
        self._shown: dict[InstrumentId, tuple[int, int]] = {}
        self._fills: dict[str, OrderFilled] = {}
        self._listed: dict[str, None] = {}
        self._costs_e8: dict[InstrumentId, int] = {}
        self._stops_e8: dict[InstrumentId, int] = {}
        self._unrealised_e8 = 0
        self._before_e8: dict[InstrumentId, int] = {}
        self._is_unseen = self._is_torn = False

    @property
    def instruments(self) -> set[InstrumentId]:
        """Everything whose prices count."""
        return {*self.lots, *(fill.instrument for fill in self._fills.values())}

    def resume(self, equity_e8: int, lots: Lots, marks_e8: Prices, fills: Iterable[OrderFilled]) -> None:
        """Go on from where an earlier process stood; `fills` are those since, and nobody saw the prices in between."""
        self.equity_e8, self.lots, self.marks_e8, self._is_unseen = equity_e8, dict(lots), dict(marks_e8), True
        self._fills = {fill.fill_id: fill for fill in fills}
        self._shown = {name: (mark_e8, mark_e8) for name, mark_e8 in marks_e8.items()}

    def know(self, fill_ids: Iterable[str]) -> None:
        """These fills are in the wallet already."""
        for name in fill_ids:
            self._listed[name] = None
            self._fills.pop(name, None)
        while len(self._listed) > KEPT:
            del self._listed[next(iter(self._listed))]

    def settle(self, waiting: Iterable[OrderFilled]) -> None:
        """The wallet is taken as it stands: what was filled is in it, though no list says so, but for the fills that wait."""
        open_ = {fill.fill_id for fill in waiting}
        self.know([name for name in self._fills if name not in open_])

    def take(self, fills: Iterable[OrderFilled]) -> None:
        """Fills that were told or listed for the first time."""
        self._fills |= {fill.fill_id: fill for fill in fills if fill.fill_id not in self._listed}

    def show(self, prices_e8: Prices, stops_e8: Prices) -> None:
        """Prices that the venue shows now, and those of stops, at which it may close by itself."""
        self._stops_e8 |= stops_e8
        for name, price_e8 in prices_e8.items():
            low_e8, high_e8 = self._shown.get(name, (price_e8, price_e8))
            self._shown[name] = (min(low_e8, price_e8), max(high_e8, price_e8))

    def agree(self, shown: Shown, lots: Lots, waiting: Iterable[OrderFilled], specs: Specs, data_ns: int) -> None:
        """Wallet and ledger agree. `lots` are explained by all fills but those that wait; what the wallet lacks of them is yet to come."""
        equity_e8, marks_e8 = shown.equity_e8, shown.marks_e8
        self._fills = {name: fill for name, fill in self._fills.items() if fill.ts_ns > data_ns - LISTED_NS}
        held, open_ = dict(lots), {fill.fill_id: fill for fill in waiting}
        for name, fill in self._fills.items():
            if name not in open_:
                held[fill.instrument] = held.get(fill.instrument, 0) - signed(fill)
        for name, fill in open_.items():
            if name in self._listed:
                held[fill.instrument] = held.get(fill.instrument, 0) + signed(fill)
        before_e8 = self.marks_e8
        self.equity_e8, self._is_unseen = equity_e8, False
        self._unrealised_e8, self._costs_e8 = equity_e8 - shown.wallet_e8, dict(shown.costs_e8)
        self._before_e8, self._is_torn = before_e8, self._tears(shown, specs) or dict(shown.lots) != {n: q for n, q in held.items() if q}
        self.lots = {name: count for name, count in held.items() if count}
        kept = {fill.instrument for fill in self._fills.values()} | self.lots.keys()
        self.marks_e8 = {name: mark_e8 for name, mark_e8 in {**before_e8, **marks_e8}.items() if name in kept or name in marks_e8}
        self._shown = {name: (mark_e8, mark_e8) for name, mark_e8 in self.marks_e8.items()}
        self._stops_e8 = {name: stop_e8 for name, stop_e8 in self._stops_e8.items() if name in kept}
        self.show({name: before_e8[name] for name in self._shown if name in before_e8}, {})

    def estimate(self, shown: Shown, waiting: Iterable[OrderFilled], specs: Specs) -> Estimate:
        """What losses are judged on now: the equity agreed on, and of the change since then as much as trading can have done."""
        equity_e8, base_e8, lots = shown.equity_e8, self.equity_e8, shown.lots
        if base_e8 is None:
            return Estimate(equity_e8=equity_e8, strange_e8=0, is_strange=False)
        if not self._has_traded(shown):  # one answer of the venue tells what prices did, and what of the wallet is not theirs
            judged_e8 = base_e8 + equity_e8 - shown.wallet_e8 - self._unrealised_e8
            return Estimate(equity_e8=judged_e8, strange_e8=equity_e8 - judged_e8, is_strange=True)
        open_, low_e8, high_e8, shown_e8 = {fill.fill_id for fill in waiting}, 0, 0, 0
        for name in sorted(self.instruments | lots.keys()):
            spec = specs.get(name)
            if spec is None and (name in self.lots or name in lots):  # nobody can say what it earned: everything counts
                return Estimate(equity_e8=equity_e8, strange_e8=0, is_strange=False)
            if spec is None:  # a trade that was told a moment ago, of something that is not held
                continue
            fills = [fill for fill in self._fills.values() if fill.instrument == name]
            least, most, worst = self._one(spec, lots.get(name, 0), fills, open_, shown.marks_e8.get(name))
            low_e8, high_e8, shown_e8 = low_e8 + least, high_e8 + most, shown_e8 + worst
        judged_e8 = equity_e8 if low_e8 <= equity_e8 - base_e8 <= high_e8 else base_e8 + shown_e8
        strange_e8 = equity_e8 - judged_e8
        return Estimate(equity_e8=judged_e8, strange_e8=strange_e8, is_strange=abs(strange_e8) > abs(base_e8) * NOISE_BPS // _ALL_BPS)

    # within -------------------------------------------------------------------------------------------------------------

    def _one(self, spec: Instrument, held: int, fills: list[OrderFilled], open_: set[str], mark_e8: int | None) -> tuple[int, int, int]:
        """The least and the most that one instrument can have earned, and the least at prices that were shown."""
        name = spec.instrument_id
        before = self.lots.get(name, 0)
        paid_e8 = [fill.price_ticks * spec.tick_e8 for fill in fills]
        range_e8, shown_e8 = self._range_e8(name, mark_e8, paid_e8)
        now_e8 = mark_e8 or (paid_e8[-1] if paid_e8 else self.marks_e8.get(name, 0))  # of what is held no more it cancels out
        least, most = self._moved(spec, before, now_e8)
        done = 0
        for fill in fills:
            earned_e8 = _value_e8(spec, signed(fill), now_e8 - fill.price_ticks * spec.tick_e8) - fill.fee_e8
            if fill.fill_id in open_:  # told, and positions do not show it yet: the wallet may
                least, most = least + min(0, earned_e8), most + max(0, earned_e8)
            else:
                least, most, done = least + earned_e8, most + earned_e8, done + signed(fill)
        rest = held - before - done
        if not rest:
            return least, most, least
        fee_e8 = abs(_value_e8(spec, rest, range_e8[1])) * max(0, spec.taker_fee_e8) // E8
        within = [_value_e8(spec, rest, now_e8 - one_e8) for one_e8 in range_e8]
        worst = min(_value_e8(spec, rest, now_e8 - one_e8) for one_e8 in shown_e8)
        return least + min(within) - fee_e8, most + max(within), least + worst - fee_e8

    def _has_traded(self, shown: Shown) -> bool:
        """Whether there are trades that the wallet may hold since it was explained: told ones, or ones that positions tell of."""
        if self._is_unseen or self._fills or dict(shown.lots) != self.lots:
            return True
        return any(cost_e8 != self._costs_e8.get(name, cost_e8) for name, cost_e8 in shown.costs_e8.items())

    def _moved(self, spec: Instrument, lots: int, now_e8: int) -> tuple[int, int]:
        """The least and the most that the price did for what was held; where the answers tore, nobody knows from which price on."""
        name = spec.instrument_id
        from_e8 = {self.marks_e8.get(name, now_e8)}
        if self._is_torn:
            from_e8 |= {now_e8, self._before_e8.get(name, now_e8)}
        moves = [_value_e8(spec, lots, now_e8 - one_e8) for one_e8 in from_e8]
        return min(moves), max(moves)

    def _tears(self, shown: Shown, specs: Specs) -> bool:
        """Whether wallet and positions were not read at the same moment: they differ in what is unrealised."""
        total_e8 = 0
        for name, lots in shown.lots.items():
            spec, mark_e8 = specs.get(name), shown.marks_e8.get(name)
            if spec is None or mark_e8 is None:
                return True
            total_e8 += _value_e8(spec, lots, mark_e8) - shown.costs_e8.get(name, 0)
        off_e8 = shown.equity_e8 - shown.wallet_e8 - total_e8
        return abs(off_e8) > abs(shown.equity_e8) * TORN_BPS // _ALL_BPS

    def _range_e8(self, name: InstrumentId, mark_e8: int | None, others_e8: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Between which prices a trade that nobody told of may have been, and between which prices were shown."""
        known = [*self._shown.get(name, ()), *others_e8, *([mark_e8] if mark_e8 else [])] or [0]
        beyond = BEYOND_SHOWN_BPS if mark_e8 else BEYOND_UNKNOWN_BPS
        beyond = max(beyond, BEYOND_UNSEEN_BPS) if self._is_unseen else beyond
        stop_e8 = self._stops_e8.get(name)
        stops = [stop_e8] if stop_e8 else []
        range_e8 = (min(known + stops) * (_ALL_BPS - beyond) // _ALL_BPS, max(known + stops) * (_ALL_BPS + beyond) // _ALL_BPS)
        return range_e8, (min(known), max(known)) if mark_e8 else range_e8


def _value_e8(spec: Instrument, lots: int, price_e8: int) -> int:
    """What so many lots are worth at a price, or gain by a move of it, in 1e-8; rounded down."""
    return lots * price_e8 * spec.tick_value_e8 // spec.tick_e8

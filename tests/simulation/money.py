"""The auditor's own money: positions, cost, wallet, equity, peak. Plain integers and fractions, and nothing of the package's accounting."""

from __future__ import annotations

from fractions import Fraction

E8 = 100_000_000
DAY_NS = 86_400_000_000_000
TICK_VALUE_E8 = 10_000
"""What one tick is worth on one lot, of every instrument of a day."""


class Purse:
    """One account as somebody tells of it.

    Attributes
    ----------
    lots, costs, marks : dict
        By instrument: the position (signed), what its open part cost (signed, 1e-8), the last mark (ticks).
    """

    def __init__(self, wallet_e8: int, ts_ns: int) -> None:
        self.wallet_e8 = wallet_e8
        self.lots: dict[str, int] = {}
        self.costs: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.fees_e8 = self.funding_e8 = self.flows_e8 = 0
        self.peak_e8 = self.day_start_e8 = wallet_e8
        self.day = ts_ns // DAY_NS
        self.drawdown_e8 = self.day_loss_e8 = 0

    def fill(self, name: str, signed_lots: int, price_ticks: int, fee_e8: int) -> None:
        """A trade: what is closed releases its share of the cost, rounded half to even; the rest costs what it cost."""
        lots, cost = self.lots.get(name, 0), self.costs.get(name, 0)
        closing = 0
        if lots and (lots > 0) != (signed_lots > 0):
            closing = min(abs(lots), abs(signed_lots))
        sign = 1 if signed_lots > 0 else -1
        released = cost if closing == abs(lots) else round(Fraction(cost * closing, abs(lots))) if closing else 0
        earned = -sign * closing * price_ticks * TICK_VALUE_E8 - released
        opened = signed_lots - sign * closing
        self.lots[name] = lots + signed_lots
        self.costs[name] = cost - released + opened * price_ticks * TICK_VALUE_E8
        self.wallet_e8 += earned - fee_e8
        self.fees_e8 += fee_e8

    def restate(self, name: str, cost_e8: int) -> None:
        """The position cost something else: as much more or less was earned before."""
        self.wallet_e8 += cost_e8 - self.costs.get(name, 0)
        self.costs[name] = cost_e8

    def pay_funding(self, paid_e8: int) -> None:
        """A settlement: more than 0 was paid."""
        self.wallet_e8 -= paid_e8
        self.funding_e8 += paid_e8

    def flow(self, amount_e8: int) -> None:
        """Money came or went that nobody earned: peak and the day's start keep their proportion to equity, rounded up."""
        before = self.equity_e8
        after = before + amount_e8
        self.wallet_e8 += amount_e8
        self.flows_e8 += amount_e8
        if before > 0:
            self.peak_e8 = -(-max(0, self.peak_e8) * max(0, after) // before)
            self.day_start_e8 = -(-max(0, self.day_start_e8) * max(0, after) // before)

    def mark(self, name: str, price_ticks: int, ts_ns: int) -> None:
        """A bar closed at this price: losses are judged now."""
        if ts_ns // DAY_NS > self.day:
            self.day, self.day_start_e8 = ts_ns // DAY_NS, self.equity_e8
        self.marks[name] = price_ticks
        equity = self.equity_e8
        self.peak_e8 = max(self.peak_e8, equity)
        self.drawdown_e8, self.day_loss_e8 = lost_e8(self.peak_e8, equity), lost_e8(self.day_start_e8, equity)

    @property
    def equity_e8(self) -> int:
        """Wallet and what the positions are worth beyond their cost; one without a mark stands at its cost."""
        worth_e8, marks, costs = self.wallet_e8, self.marks, self.costs
        for name, lots in self.lots.items():
            if name in marks:
                worth_e8 += lots * marks[name] * TICK_VALUE_E8 - costs[name]
        return worth_e8


def lost_e8(base_e8: int, now_e8: int) -> int:
    """How far below `base`, as a fraction of it in 1e-8, rounded up; all of a base that is not positive is lost."""
    if base_e8 <= 0:
        return 0 if base_e8 == 0 and now_e8 >= 0 else E8
    return max(0, -(-(base_e8 - now_e8) * E8 // base_e8))


def funding_e8(lots: int, mark_e8: int, rate_e8: int, tick_e8: int) -> Fraction:
    """What holders of `lots` pay at a settlement: a positive rate is paid by longs to shorts."""
    return Fraction(lots * mark_e8 * TICK_VALUE_E8 * rate_e8, tick_e8 * E8)

"""ReadEquity by the auditor's own arithmetic: equity as the guard read it, and what came or went."""

from __future__ import annotations

from tests.simulation.audit_terms import DAY_NS


class ReadEquity:
    """Equity as the guard read it, with the high-water mark and the day's beginning, flow-adjusted by the auditor's own arithmetic."""

    def __init__(self, start_ns: int, equity_e8: int) -> None:
        self.equity_e8 = self.high_e8 = self.day_e8 = equity_e8
        self.day = start_ns // DAY_NS
        self._flows: list[tuple[int, int]] = []

    def flow(self, amount_e8: int, now_ns: int) -> None:
        """Money came or went; it is in what is read later than this, and in nothing read before."""
        self._flows.append((now_ns, amount_e8))

    def read(self, equity_e8: int, ts_ns: int) -> None:
        """The guard learnt this, as it was at `ts_ns`. What was lost stays the same share whatever came or went."""
        came = [amount for at_ns, amount in self._flows if at_ns < ts_ns]
        self._flows = [one for one in self._flows if one[0] >= ts_ns]
        before = equity_e8 - sum(came)
        for amount in came:
            if before > 0:
                after = max(0, before + amount)
                self.high_e8, self.day_e8 = self.high_e8 * after // before, self.day_e8 * after // before
            before += amount
            self.equity_e8 += amount
        if ts_ns // DAY_NS > self.day:
            self.day, self.day_e8 = ts_ns // DAY_NS, self.equity_e8
        self.equity_e8 = equity_e8
        self.high_e8 = max(self.high_e8, equity_e8)

    def lost_e8(self, trigger: str) -> int:
        """As a fraction in 1e-8."""
        return self._lost_e8(trigger, self.equity_e8)

    def happened_e8(self, trigger: str, equity_e8: int) -> int:
        """The same where the account is worth this at the venue now, whatever of it was read."""
        return self._lost_e8(trigger, equity_e8 - sum(amount for _, amount in self._flows))

    def _lost_e8(self, trigger: str, equity_e8: int) -> int:
        from_e8 = self.high_e8 if trigger == "drawdown" else self.day_e8
        return max(0, from_e8 - equity_e8) * 100_000_000 // from_e8 if from_e8 > 0 else 0

"""Questions to the venue. None of them changes anything; rows of open orders are copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.simulation.venue_account import Account, Slot, copy_row
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_tape import Tape
from kedge.simulation.venue_types import (
    KLINE_INTERVALS,
    BookSnapshot,
    ClosedPnlRow,
    ExecutionRow,
    FundingRow,
    KlineRow,
    LogRow,
    OrderRow,
    Page,
    PositionRow,
    PriceLimits,
    TickerRow,
    TradeRow,
    VenueSettings,
    WalletRow,
)


class VenueReads:
    """The reading half of `Venue`.

    Raises
    ------
    NotFound
        Any question about an account or instrument that does not exist.
    """

    tape: Tape
    settings: VenueSettings
    _accounts: dict[str, Account]
    _markets: dict[InstrumentId, Market]

    @property
    def now_ns(self) -> int:
        """Time of the latest call."""
        return self.tape.now_ns

    @property
    def instruments(self) -> list[Instrument]:
        return [market.spec for market in self._markets.values()]

    # --- an account ------------------------------------------------------------------------------------------------------

    def wallet(self, account: str) -> WalletRow:
        return self._account(account).row(self.tape.now_ns)

    def position(self, account: str, instrument: InstrumentId) -> PositionRow:
        """The position, flat or not."""
        return self._slot(self._account(account), self._market(instrument)).row()

    def positions(self, account: str) -> list[PositionRow]:
        """Positions that are not flat, by instrument."""
        slots = self._account(account).slots
        return [slots[name].row() for name in sorted(slots) if slots[name].lots]

    def find_order(self, account: str, instrument: InstrumentId, order_id: str = "", link_id: str = "") -> OrderRow | None:
        """An open or remembered order by its id, else by the client's; None when there is none."""
        order = self._find(self._account(account), instrument, order_id, link_id)
        return copy_row(order) if order is not None else None

    def open_orders(
        self, account: str, before: int | None = None, limit: int = 50, where: Callable[[OrderRow], bool] | None = None
    ) -> Page[OrderRow]:
        """Open orders, conditional ones included; places are order numbers."""
        found: list[OrderRow] = []
        for order in reversed(self._account(account).open.values()):
            if (before is not None and order.number >= before) or (where is not None and not where(order)):
                continue
            if len(found) == limit:
                return Page(found, found[-1].number)
            found.append(copy_row(order))
        return Page(found, None)

    def order_history(
        self, account: str, before: int | None = None, limit: int = 50, where: Callable[[OrderRow], bool] | None = None
    ) -> Page[OrderRow]:
        """Closed orders, the latest closed first."""
        return self._account(account).closed.page(before, limit, where)

    def executions(
        self, account: str, before: int | None = None, limit: int = 50, where: Callable[[ExecutionRow], bool] | None = None
    ) -> Page[ExecutionRow]:
        """Fills, busts and fundings."""
        return self._account(account).executions.page(before, limit, where)

    def transaction_log(
        self, account: str, before: int | None = None, limit: int = 50, where: Callable[[LogRow], bool] | None = None
    ) -> Page[LogRow]:
        """Every change of the wallet."""
        return self._account(account).log.page(before, limit, where)

    def closed_pnl(
        self, account: str, before: int | None = None, limit: int = 50, where: Callable[[ClosedPnlRow], bool] | None = None
    ) -> Page[ClosedPnlRow]:
        """What closing orders earned."""
        return self._account(account).closed_pnl.page(before, limit, where)

    # --- the market ------------------------------------------------------------------------------------------------------

    def ticker(self, instrument: InstrumentId) -> TickerRow:
        return self._market(instrument).ticker(self.tape.now_ns)

    def depth(self, instrument: InstrumentId, levels: int) -> BookSnapshot:
        """The best prices of both sides."""
        return self._market(instrument).snapshot(levels, self.tape.now_ns)

    def price_limits(self, instrument: InstrumentId) -> PriceLimits | None:
        """None before the first price."""
        market = self._market(instrument)
        return market.price_limits if market.is_live else None

    def recent_trades(self, instrument: InstrumentId, limit: int = 500) -> list[TradeRow]:
        """Public trades, newest first."""
        trades = self._market(instrument).trades
        return [trade for trade, _ in zip(reversed(trades), range(limit), strict=False)]

    def klines(
        self, instrument: InstrumentId, interval: str, limit: int = 200, start_ns: int | None = None, end_ns: int | None = None
    ) -> list[KlineRow]:
        """Klines newest first, the open one included; bounds are inclusive by the kline's start.

        Raises
        ------
        InvalidInput
            An interval the venue does not have.
        """
        if interval not in KLINE_INTERVALS:
            raise InvalidInput(
                f"interval is {interval!r}", why="the venue has no such klines", fix=f"use one of {', '.join(KLINE_INTERVALS)}"
            )
        return self._market(instrument).klines.rows(interval, limit, start_ns, end_ns)

    def funding_history(self, instrument: InstrumentId, limit: int = 200) -> Sequence[FundingRow]:
        """Settlements, newest first."""
        return list(reversed(self._market(instrument).fundings))[:limit]

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _account(self, name: str) -> Account:
        try:
            return self._accounts[name]
        except KeyError:
            raise NotFound(f"account {name!r}", why="it was not opened at this venue", fix="open_account first") from None

    def _market(self, instrument: InstrumentId) -> Market:
        try:
            return self._markets[instrument]
        except KeyError:
            raise NotFound(f"instrument {instrument!r}", why="this venue does not list it", fix="name a listed one") from None

    def _slot(self, account: Account, market: Market) -> Slot:
        slot = account.slots.get(market.name)
        if slot is None:
            leverage = min(self.settings.leverage_e2, market.spec.leverage_max_e2, market.spec.tiers[0].leverage_max_e2)
            slot = account.slots[market.name] = Slot(account, market, leverage, self.tape.now_ns)
        return slot

    def _find(self, account: Account, instrument: InstrumentId, order_id: str, link_id: str) -> OrderRow | None:
        order = account.known.get(order_id) if order_id else account.links.get(link_id) if link_id else None
        return order if order is not None and order.instrument == instrument else None

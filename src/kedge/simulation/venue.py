"""The simulated venue: many accounts, order books, stops, margin, funding and liquidation, as one deterministic value.

Rules: every call brings the venue's time, which never goes back; a refused call changes nothing; the same calls give the same ids,
rows and changes. Ties at one instant: klines close, funding, liquidation, then triggers and orders. The background has an unlimited
wallet and is the other side of whatever no account is. `venue_types` is the contract; docs/venue.md tells what is simplified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.events import BarClosed, FundingKnown
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.kernel.bounds import prove_account
from kedge.market.path import path_ticks
from kedge.simulation.venue_account import Account, Slot, copy_row
from kedge.simulation.venue_crowd import Background, mix
from kedge.simulation.venue_dealing import Dealing
from kedge.simulation.venue_events import cover, liquidate, settle_funding
from kedge.simulation.venue_market import Market
from kedge.simulation.venue_preview import preview
from kedge.simulation.venue_reads import VenueReads
from kedge.simulation.venue_rules import (
    AMEND_QTY,
    BAD_SYMBOL,
    LEVERAGE_HIGH,
    LEVERAGE_SAME,
    NOT_ENOUGH,
    NOT_FOUND_AMEND,
    NOT_FOUND_CANCEL,
    STOPS_SAME,
    UNCHANGED,
    Terms,
    money_refusal,
    notional_refusal,
    order_price,
    order_terms,
    qty_refusal,
    tier_refusal,
    trigger_refusal,
    watched_e8,
)
from kedge.simulation.venue_stops import Stops
from kedge.simulation.venue_tape import Tape
from kedge.simulation.venue_triggers import FALL, RISE
from kedge.simulation.venue_types import (
    KLINE_INTERVALS,
    MINUTE_NS,
    CancelType,
    Change,
    CreateType,
    Crowd,
    FundingRow,
    LogType,
    OrderRequest,
    OrderRow,
    PositionRow,
    PriceStep,
    Reject,
    RejectReason,
    Status,
    StopType,
    TriggerBy,
    VenueSettings,
    WalletRow,
)

WALLET_MAX_E8: Final = 10**16
"""Most that one wallet may be opened with or receive at once: a hundred million units of the quote currency."""

TICKER_EVERY_NS: Final = 100_000_000
"""Tickers of an instrument are at least this far apart in venue time, as the venue's are; the last news waits for a later drain."""

_ALL: Final = 1 << 62
_MARKET: Final = OrderKind.MARKET
_LIMIT: Final = OrderKind.LIMIT
_IOC: Final = TimeInForce.IOC
_FOK: Final = TimeInForce.FOK
_NEW: Final = Status.NEW
_USER: Final = CreateType.USER
_NOT_CANCELLED: Final = CancelType.UNKNOWN
_NO_REASON: Final = RejectReason.NONE
_NO_STOP: Final = StopType.NONE


class Venue(VenueReads):
    """One simulated exchange for linear perpetuals: one-way positions, cross margin, one quote currency.

    Parameters
    ----------
    instruments : sequence of Instrument
        What is listed; ids unique, one quote currency.
    settings : VenueSettings
    start_ts_ns : int
        Time of the first call at the earliest.

    Raises
    ------
    InvalidInput
        Instruments that do not fit together, or whose sums could overflow the kernel's laws; from any call: a time before the last.
    NotFound
        From any call: an account, or outside of `place` an instrument, that does not exist.
    """

    def __init__(self, instruments: Sequence[Instrument], settings: VenueSettings, start_ts_ns: int) -> None:
        _check_listing(instruments)
        self.settings = settings
        self.tape = Tape(settings.seed ^ mix(settings.id_salt), start_ts_ns)
        self._accounts = {}
        self._markets = {}
        self._crowds: dict[InstrumentId, Background] = {}
        for n, spec in enumerate(sorted(instruments, key=lambda spec: spec.instrument_id)):
            number = f"{n:x}"
            prefix = f"{self.tape.trade_prefix[: 23 - len(number)]}{number}-"
            market = self._markets[spec.instrument_id] = Market(spec, settings, prefix, start_ts_ns)
            self._crowds[spec.instrument_id] = Background(market, settings.crowd, mix(settings.seed + n + 1))
        self._dealing = Dealing(self.tape, self._accounts)
        self._stops = Stops(self._dealing, settings)
        self._next_ns = start_ts_ns
        self._watched: dict[InstrumentId, frozenset[str]] = {}

    # --- accounts --------------------------------------------------------------------------------------------------------

    def open_account(self, account: str, wallet_e8: int, ts_ns: int) -> WalletRow:
        """Open an account with this wallet.

        Raises
        ------
        Conflict
            The name is taken.
        InvalidInput
            The name is empty, or the wallet is outside 0 to WALLET_MAX_E8.
        """
        self._begin(ts_ns)
        if not account or not 0 <= wallet_e8 <= WALLET_MAX_E8:
            raise InvalidInput(
                f"account {account!r} with {wallet_e8} e8", why="a name and a wallet of at most 1e16 are needed", fix="correct it"
            )
        if account in self._accounts:
            raise Conflict(f"account {account!r}", why="it is open already", fix="use another name")
        self._accounts[account] = Account(account, wallet_e8, self.settings.limits.history_max)
        return self._accounts[account].row(ts_ns)

    def transfer(self, account: str, amount_e8: int, ts_ns: int) -> WalletRow | Reject:
        """Move money in (> 0) or out of a wallet; out at most what is available and not owed to unrealised profit."""
        self._begin(ts_ns)
        found = self._account(account)
        if amount_e8 == 0 or amount_e8 > WALLET_MAX_E8:
            return Reject(131002, "amount is invalid")
        if amount_e8 < 0 and -amount_e8 > min(found.available_e8, found.available_e8 - found.unrealised_e8):
            return Reject(131001, "available balance insufficient")
        self._dealing.flow(found, amount_e8, LogType.TRANSFER_IN if amount_e8 > 0 else LogType.TRANSFER_OUT, "")
        self._settle()
        return found.row(ts_ns)

    # --- orders ----------------------------------------------------------------------------------------------------------

    def place(self, account: str, request: OrderRequest, ts_ns: int) -> OrderRow | Reject:
        """Take an order or refuse it; what it did at once is in the row and in the changes."""
        self._begin(ts_ns)
        owner = self._account(account)
        market = self._markets.get(request.instrument)
        if market is None:
            return BAD_SYMBOL
        slot = self._slot(owner, market)
        terms = self._checked(request, slot)
        if isinstance(terms, Reject):
            return terms
        order = self._accept(request, slot, terms)
        if request.trigger_ticks:
            order.status = Status.UNTRIGGERED
            slot.conditional += 1
            market.triggers.wait(order)
            self._dealing.changed(order, slot)
        else:
            self._dealing.enter(order, slot)
        self._settle()
        return copy_row(order)

    def preview(self, account: str, request: OrderRequest, ts_ns: int) -> WalletRow | Reject:
        """What an order would make of the wallet (see `venue_preview`), or why it would be refused; nothing changes."""
        self._begin(ts_ns)
        owner = self._account(account)
        market = self._markets.get(request.instrument)
        if market is None:
            return BAD_SYMBOL
        slot = self._slot(owner, market)
        terms = self._checked(request, slot)
        if isinstance(terms, Reject):
            return terms
        is_idle = request.reduce_only or request.trigger_ticks > 0
        return preview(slot, request.side, terms.qty_lots, self._expected_ticks(request, market, terms), is_idle, ts_ns)

    def amend(
        self, account: str, instrument: InstrumentId, ts_ns: int, *, order_id: str = "", link_id: str = "", qty_lots: int | None = None,
        limit_ticks: int | None = None, trigger_ticks: int | None = None,
    ) -> OrderRow | Reject:  # fmt: skip
        """Change an open order: its total quantity, limit or trigger. Only fewer lots at the same price keep the place in the queue."""
        self._begin(ts_ns)
        owner = self._account(account)
        order = self._find(owner, instrument, order_id, link_id)
        if order is None or not order.is_open or order.stop_type in (StopType.TAKE_PROFIT, StopType.STOP_LOSS):
            return NOT_FOUND_AMEND
        slot = owner.slots[instrument]
        qty = order.qty_lots if qty_lots is None else qty_lots
        price = order.price_ticks if limit_ticks is None or order.kind is OrderKind.MARKET else limit_ticks
        trigger = order.trigger_ticks if trigger_ticks is None or order.status is not Status.UNTRIGGERED else trigger_ticks
        if (qty, price, trigger) == (order.qty_lots, order.price_ticks, order.trigger_ticks):
            return UNCHANGED
        refusal = self._amend(order, slot, qty, price, trigger)
        if refusal is not None:
            return refusal
        self._settle()
        return copy_row(order)

    def cancel(
        self, account: str, instrument: InstrumentId, ts_ns: int, *, order_id: str = "", link_id: str = "",
        cancel_type: CancelType = CancelType.USER,
    ) -> OrderRow | Reject:  # fmt: skip
        """Cancel an open order, conditional or not."""
        self._begin(ts_ns)
        owner = self._account(account)
        order = self._find(owner, instrument, order_id, link_id)
        if order is None or not order.is_open:
            return NOT_FOUND_CANCEL
        slot = owner.slots[instrument]
        slot.market.seq += 1
        self._dealing.cancel(order, slot, cancel_type, RejectReason.BY_REQUEST)
        self._settle()
        return copy_row(order)

    def cancel_all(
        self, account: str, instrument: InstrumentId | None, ts_ns: int, *, conditional: bool | None = None,
        cancel_type: CancelType = CancelType.USER,
    ) -> list[OrderRow]:  # fmt: skip
        """Cancel an account's open orders, of one instrument or all; only or no conditional ones where `conditional` says so."""
        self._begin(ts_ns)
        owner = self._account(account)
        gone = [
            order
            for order in owner.open.values()
            if (instrument is None or order.instrument == instrument)
            and (conditional is None or conditional == (order.status is Status.UNTRIGGERED))
        ]
        for order in gone:
            self._dealing.cancel(order, owner.slots[order.instrument], cancel_type, RejectReason.BY_REQUEST)
        self._settle()
        return [copy_row(order) for order in gone]

    def set_leverage(self, account: str, instrument: InstrumentId, leverage_e2: int, ts_ns: int) -> PositionRow | Reject:
        """Set a position's leverage in hundredths; refused where its tier or the available balance does not bear it."""
        self._begin(ts_ns)
        slot = self._slot(self._account(account), self._market(instrument))
        old = slot.leverage_e2
        if leverage_e2 == old:
            return LEVERAGE_SAME
        if not 100 <= leverage_e2 <= slot.market.spec.leverage_max_e2 or tier_refusal(slot, slot.value_e8, leverage_e2) is not None:
            return LEVERAGE_HIGH
        self._lever(slot, leverage_e2)
        if leverage_e2 < old and slot.account.available_e8 < 0:
            self._lever(slot, old)
            return NOT_ENOUGH
        self.tape.touch(slot)
        self._settle()
        return slot.row()

    def set_trading_stop(
        self,
        account: str,
        instrument: InstrumentId,
        ts_ns: int,
        *,
        take_profit_ticks: int | None = None,
        stop_loss_ticks: int | None = None,
        tp_trigger_by: TriggerBy = TriggerBy.LAST,
        sl_trigger_by: TriggerBy = TriggerBy.LAST,
    ) -> PositionRow | Reject:
        """Set, move or (0 ticks) remove the stops that close a whole position at market; None leaves one as it is."""
        self._begin(ts_ns)
        slot = self._slot(self._account(account), self._market(instrument))
        if not slot.lots:
            return Reject(10001, "can not set tp/sl/ts for zero position")
        wishes = [
            (kind, ticks, by)
            for kind, ticks, by in (
                (StopType.TAKE_PROFIT, take_profit_ticks, tp_trigger_by),
                (StopType.STOP_LOSS, stop_loss_ticks, sl_trigger_by),
            )
            if ticks is not None
        ]
        for kind, ticks, by in wishes:
            if refusal := self._stop_refusal(slot, kind, ticks, by):
                return refusal
        changed = [self._stops.set(slot, kind, ticks, by) for kind, ticks, by in wishes]
        if not any(changed):
            return STOPS_SAME
        self.tape.touch(slot)
        self._settle()
        return slot.row()

    # --- prices and time -------------------------------------------------------------------------------------------------

    def set_prices(
        self, instrument: InstrumentId, last_ticks: int, mark_e8: int, index_e8: int, ts_ns: int, *, flow_lots: int | None = None
    ) -> None:
        """Feed prices: accounts are revalued, resting orders that the price passed trade, the crowd quotes and trades around it.

        Parameters
        ----------
        flow_lots : int, optional
            What the crowd trades at the price; drawn from the seed when not given.

        Raises
        ------
        InvalidInput
            A price that is not positive or is beyond the instrument's largest, or a negative flow.
        """
        market = self._market(instrument)
        top_e8 = market.spec.price_max_ticks * market.spec.tick_e8
        if not 1 <= last_ticks <= market.spec.price_max_ticks or not 0 < mark_e8 <= top_e8 or not 0 < index_e8 <= top_e8:
            raise InvalidInput(
                f"{instrument}: last {last_ticks} ticks, mark {mark_e8}, index {index_e8} e8",
                why=f"prices are within 1 tick and {market.spec.price_max_ticks}", fix="validate the prices before feeding them",
            )  # fmt: skip
        if flow_lots is not None and flow_lots < 0:
            raise InvalidInput(f"flow_lots is {flow_lots}", why="a flow is not negative", fix="pass 0 for none")
        self._begin(ts_ns)
        before = market.last_ticks
        self._mark(market, mark_e8, index_e8)
        market.last_ticks = before or last_ticks
        self._move(market, before or last_ticks, last_ticks, flow_lots)
        market.last_ticks = last_ticks
        market.sample_premium(ts_ns)
        self.tape.markets[market] = None
        self._settle()

    def set_funding_rate(self, instrument: InstrumentId, rate_e8: int | None) -> None:
        """Fix the rate of the settlements to come, as a fraction in 1e-8; None works it out from the premium again.

        Raises
        ------
        InvalidInput
            A rate beyond the venue's cap.
        """
        cap = self.settings.funding_cap_e8
        if rate_e8 is not None and abs(rate_e8) > cap:
            raise InvalidInput(f"funding rate is {rate_e8} e8", why=f"beyond the cap of {cap}", fix="raise funding_cap_e8 or correct it")
        self._market(instrument).feed_rate(rate_e8)

    def skip_funding(self, instrument: InstrumentId) -> None:
        """The rate of the next settlement is unknown: tickers say none, nobody is charged, history does not hold it."""
        self._market(instrument).skip_funding()

    def set_crowd(self, instrument: InstrumentId, crowd: Crowd) -> None:
        """From now on the background of one instrument quotes so: what it quoted is taken back, and quoted anew around the last price."""
        market, held = self._market(instrument), self._crowds[instrument]
        if held.crowd == crowd:
            return
        held.crowd = crowd
        held.retire(0, 1 << 62)
        if market.is_live:
            self._quote(market, held, *held.touch(market.last_ticks, held.coin()))
            self._settle()

    def advance(self, ts_ns: int) -> None:
        """Let time pass: klines close and funding settles when due."""
        self._begin(ts_ns)

    def remember(self, bars: Sequence[BarClosed], rates: Sequence[FundingKnown] = ()) -> None:
        """Give the venue a past: bars and settlements of before its first price, told to whoever asks for history and played to nobody.

        Raises
        ------
        InvalidInput
            Prices have been fed already, or something of the past ends after the venue's time.
        """
        late = [event for event in (*bars, *rates) if event.ts_ns > self.tape.now_ns]
        if late or any(market.is_live for market in self._markets.values()):
            why = f"an event ends at {late[0].ts_ns}, after {self.tape.now_ns}" if late else "prices have been fed already"
            raise InvalidInput("the venue's past", why=why, fix="give it first, and only what is over")
        for name, market in self._markets.items():
            own = [bar for bar in bars if bar.instrument == name]
            market.klines.remember(own, market.spec.tick_value_e8, self.tape.now_ns)
            closes = {bar.ts_ns: bar.close_ticks for bar in own}
            for rate in rates:
                if rate.instrument == name:
                    mark_e8 = closes.get(rate.ts_ns, 0) * market.spec.tick_e8
                    market.fundings.append(FundingRow(name, rate.ts_ns, rate.rate_e8, mark_e8))

    def bar_steps(self, bar: BarClosed, steps: int) -> list[PriceStep]:
        """A recorded bar as prices to feed: along `market.path`, evenly in time, its volume in even shares.

        All steps lie before the bar's close, so that they belong to its kline.

        Raises
        ------
        InvalidInput
            The bar does not span time, its prices do not fit together, or fewer than 4 steps.
        """
        if bar.open_ts_ns >= bar.ts_ns:
            raise InvalidInput(f"bar from {bar.open_ts_ns} to {bar.ts_ns}", why="it spans no time", fix="validate the bars first")
        corners = (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks)
        path = path_ticks(corners, steps, mix(self.settings.seed ^ bar.ts_ns))
        span, volume = bar.ts_ns - bar.open_ts_ns, bar.volume_lots
        return [
            PriceStep(bar.open_ts_ns + span * k // steps, price, volume * (k + 1) // steps - volume * k // steps)
            for k, price in enumerate(path)
        ]

    def play_step(self, instrument: InstrumentId, step: PriceStep) -> None:
        """Feed one step of a bar; mark and index are its price."""
        price_e8 = step.last_ticks * self._market(instrument).spec.tick_e8
        self.set_prices(instrument, step.last_ticks, price_e8, price_e8, step.ts_ns, flow_lots=step.flow_lots)

    def play_bar(self, bar: BarClosed, steps: int = 25) -> None:
        """Feed a whole bar and let time reach its close."""
        for step in self.bar_steps(bar, steps):
            self.play_step(bar.instrument, step)
        self.advance(bar.ts_ns)

    # --- changes ---------------------------------------------------------------------------------------------------------

    def watch_klines(self, instrument: InstrumentId, intervals: Iterable[str]) -> None:
        """From now on drains hold the open klines of these intervals whenever they moved; final ones come always.

        Raises
        ------
        InvalidInput
            An interval the venue does not have.
        """
        market, wanted = self._market(instrument), frozenset(intervals)
        if not wanted <= set(KLINE_INTERVALS):
            raise InvalidInput(f"intervals {sorted(wanted)}", why="the venue has no such klines", fix=f"use {', '.join(KLINE_INTERVALS)}")
        self._watched[market.name] = wanted

    def drain(self, *, market_data: bool = True) -> list[Change]:
        """Everything that changed since the last drain, in order; each change is handed out once.

        Without `market_data` tickers, changes of books and forming klines are neither made nor kept: for whoever shows none.
        """
        changes, self.tape.changes = self.tape.changes, []
        if not market_data:
            for market in self._markets.values():
                market.hush()
            return changes
        now_ns = self.tape.now_ns
        for market in self._markets.values():
            if market.is_moved:
                market.is_moved, market.is_news = False, market.is_live
            elif not market.is_news:
                continue
            if market.is_news and now_ns >= market.next_ticker_ns:
                market.is_news, market.next_ticker_ns = False, now_ns + TICKER_EVERY_NS
                changes.append(market.ticker(now_ns))
            delta = market.delta(now_ns)
            if delta is not None:
                changes.append(delta)
            if market.klines.is_moved:
                market.klines.is_moved = False
                if market.name in self._watched:
                    forming = (market.klines.current(interval) for interval in sorted(self._watched[market.name]))
                    changes += [row for row in forming if row is not None]
        return changes

    # --- inside: time ----------------------------------------------------------------------------------------------------

    def _begin(self, ts_ns: int) -> None:
        tape = self.tape
        if ts_ns < tape.now_ns:
            raise InvalidInput(f"ts_ns is {ts_ns}", why=f"the venue's time is {tape.now_ns} already", fix="call in order of time")
        if ts_ns >= self._next_ns:
            self._roll(ts_ns)
        tape.now_ns = ts_ns

    def _roll(self, ts_ns: int) -> None:
        """Klines and funding up to this time, settlements in the order of their instants."""
        tape, markets = self.tape, self._markets.values()
        while (market := min(markets, key=lambda market: market.next_funding_ns)).next_funding_ns <= ts_ns:
            tape.now_ns = max(tape.now_ns, market.next_funding_ns)
            tape.changes += market.klines.roll(tape.now_ns)
            settle_funding(market, self._dealing)
            self._settle()
        for market in markets:
            tape.changes += market.klines.roll(ts_ns)
        self._next_ns = ts_ns - ts_ns % MINUTE_NS + MINUTE_NS

    def _settle(self) -> None:
        """The end of an operation: triggers and liquidations that it caused, until nothing moves; then the rows are written."""
        tape = self.tape
        while True:
            for account in list(tape.accounts):
                if account.maintenance_e8 and account.is_due:
                    liquidate(account, self._dealing)
                if account.wallet_e8 < 0:
                    cover(account, self._dealing)
            if not (tape.markets and self._fire_one()):
                break
        tape.write()

    def _fire_one(self) -> bool:
        for market in self.tape.markets:
            order = market.triggers.pop_due(market.last_ticks, market.mark_e8, market.index_e8)
            if order is not None:
                self._stops.fire(order, self._accounts[order.account].slots[market.name])
                return True
        return False

    # --- inside: prices --------------------------------------------------------------------------------------------------

    def _mark(self, market: Market, mark_e8: int, index_e8: int) -> None:
        """New mark: positions are revalued, and accounts it broke are liquidated before anybody trades."""
        market.take_prices(mark_e8, index_e8)
        for slot in list(market.holders.values()):
            slot.revalue()
            if slot.account.is_due:
                liquidate(slot.account, self._dealing)
                cover(slot.account, self._dealing)

    def _move(self, market: Market, before_ticks: int, last_ticks: int, flow_lots: int | None) -> None:
        """The crowd carries the price to `last_ticks`."""
        crowd = self._crowds[market.name]
        rises = last_ticks > before_ticks or (last_ticks == before_ticks and crowd.coin())
        bid, ask = crowd.touch(last_ticks, rises)
        crowd.retire(bid, ask)
        self._sweep(market, Side.SELL, last_ticks + 1)
        self._sweep(market, Side.BUY, last_ticks - 1)
        self._quote(market, crowd, bid, ask)
        lots = crowd.draw(crowd.crowd.flow_notional_e8) if flow_lots is None else flow_lots
        if lots:
            self._flow(market, Side.BUY if rises else Side.SELL, lots, last_ticks)

    def _quote(self, market: Market, crowd: Background, bid: int, ask: int) -> None:
        """The crowd's quotes that are missing behind this touch."""
        for order_id, side, price, lots in crowd.missing(bid, ask):
            outcome = self._dealing.crowd(market, order_id, side, lots, price, TimeInForce.GTC)
            if outcome.resting_lots:
                crowd.quoted(order_id, side, price)

    def _sweep(self, market: Market, side: Side, worst_ticks: int) -> None:
        """The crowd takes every resting order that the price has passed."""
        if worst_ticks < 1:
            return
        passed = market.book.walk(side, _ALL, worst_ticks).qty_lots
        if passed:
            self._dealing.crowd(market, "", side, passed, worst_ticks, TimeInForce.IOC)

    def _flow(self, market: Market, side: Side, lots: int, price_ticks: int) -> None:
        """The crowd trades at a price: with whoever is first in the queue there, the rest within itself."""
        outcome = self._dealing.crowd(market, "", side, lots, price_ticks, TimeInForce.IOC)
        if outcome.cancelled_lots:
            self.tape.changes.append(market.print_trade(side, price_ticks, outcome.cancelled_lots, self.tape.now_ns))

    # --- inside: orders --------------------------------------------------------------------------------------------------

    def _checked(self, request: OrderRequest, slot: Slot) -> Terms | Reject:
        """A new order against every rule, money last."""
        terms = order_terms(request, slot, self.settings)
        if isinstance(terms, Reject) or request.trigger_ticks or request.reduce_only:
            return terms
        expected = self._expected_ticks(request, slot.market, terms)
        return money_refusal(slot, request.side, terms.qty_lots, expected) or terms

    def _expected_ticks(self, request: OrderRequest, market: Market, terms: Terms) -> int:
        """The price an order is costed at: its limit, or the worst a market order would touch now."""
        if request.kind is _LIMIT:
            return terms.price_ticks
        return market.book.walk(request.side, terms.qty_lots, terms.price_ticks).worst_ticks or terms.price_ticks

    def _accept(self, request: OrderRequest, slot: Slot, terms: Terms) -> OrderRow:
        tape, account, market = self.tape, slot.account, slot.market
        order_id, now_ns = tape.order_id(), tape.now_ns
        force = request.time_in_force
        conditional = request.trigger_ticks > 0
        if request.kind is _MARKET and force is not _FOK:
            force = _IOC
        order = OrderRow(
            account.name, market.name, tape.orders_made, order_id, request.link_id, request.side, request.kind, force,
            0 if conditional and request.kind is _MARKET else terms.price_ticks, terms.qty_lots, terms.qty_lots, now_ns, now_ns,
            market.last_ticks, market.seq, _NEW, 0, 0, 0, 0, request.reduce_only, request.close_on_trigger, request.self_trade, "",
            CreateType.STOP_ORDER if conditional else _USER, _NOT_CANCELLED, _NO_REASON, StopType.STOP if conditional else _NO_STOP,
            request.trigger_ticks, request.trigger_direction, request.trigger_by,
            request.take_profit_ticks, request.stop_loss_ticks, request.tp_trigger_by, request.sl_trigger_by,
        )  # fmt: skip
        account.open[order_id] = account.known[order_id] = order
        if request.link_id:
            account.links[request.link_id] = order
        return order

    def _amend(self, order: OrderRow, slot: Slot, qty: int, limit_ticks: int, trigger: int) -> Reject | None:
        market, waits = slot.market, order.status is Status.UNTRIGGERED
        price = limit_ticks
        if order.kind is OrderKind.LIMIT:
            found = order_price(market, order.kind, order.side, limit_ticks, self.settings, waits)
            if isinstance(found, Reject):
                return found
            price = found
        if qty <= order.cum_lots:
            return AMEND_QTY
        refusal = qty_refusal(market, order.kind, qty) or notional_refusal(market, order.kind, qty, price, order.reduce_only)
        if refusal is not None:
            return refusal
        if waits:
            return self._amend_waiting(order, slot, qty, price, trigger)
        return self._amend_resting(order, slot, qty - order.cum_lots, price)

    def _amend_waiting(self, order: OrderRow, slot: Slot, qty: int, price: int, trigger: int) -> Reject | None:
        market = slot.market
        if trigger != order.trigger_ticks:
            price_e8 = watched_e8(market, order.trigger_by)
            refusal = trigger_refusal(order.trigger_direction, trigger * market.spec.tick_e8, price_e8)
            if refusal is not None:
                return refusal
            market.triggers.forget(order)
            order.trigger_ticks = trigger
            market.triggers.wait(order)
        order.qty_lots = order.leaves_lots = qty
        order.price_ticks = price
        self._dealing.changed(order, slot)
        return None

    def _amend_resting(self, order: OrderRow, slot: Slot, leaves: int, price: int) -> Reject | None:
        if order.reduce_only:
            leaves = min(leaves, slot.room_to_reduce(order.side) + order.leaves_lots)
        else:
            refusal = money_refusal(slot, order.side, leaves, price, order.leaves_lots, order.price_ticks)
            if refusal is not None:
                return refusal
        if price == order.price_ticks and leaves <= order.leaves_lots:
            self._dealing.shrink(order, slot, leaves)
            return None
        self._dealing.withdraw(order, slot)
        order.qty_lots, order.leaves_lots, order.price_ticks = order.cum_lots + leaves, leaves, price
        self._dealing.enter(order, slot)
        return None

    def _lever(self, slot: Slot, leverage_e2: int) -> None:
        slot.leverage_e2 = leverage_e2
        slot.revalue()
        slot.rebind()

    def _stop_refusal(self, slot: Slot, kind: StopType, ticks: int, by: TriggerBy) -> Reject | None:
        """Whether a stop would lie on the wrong side of the price it watches."""
        if not ticks:
            return None
        if not 1 <= ticks <= slot.market.spec.price_max_ticks:
            return Reject(10001, "price of the stop is out of range")
        rises = (kind is StopType.TAKE_PROFIT) == (slot.lots > 0)
        trigger_e8, price_e8 = ticks * slot.market.spec.tick_e8, watched_e8(slot.market, by)
        if trigger_refusal(RISE if rises else FALL, trigger_e8, price_e8) is None:
            return None
        return Reject(10001, f"{kind} set on the wrong side of the price: {trigger_e8} against {price_e8}")


def _check_listing(instruments: Sequence[Instrument]) -> None:
    names = {spec.instrument_id for spec in instruments}
    if not names or len(names) != len(instruments) or len({spec.quote for spec in instruments}) > 1:
        raise InvalidInput(
            f"{len(instruments)} instruments",
            why="ids must be unique and the quote currency one",
            fix="list each once, of one quote currency",
        )
    prove_account(instruments, wallet_max_e8=WALLET_MAX_E8)

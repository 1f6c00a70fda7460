"""The venue's side of a day with everybody else on the account: what they do to it, and the venue to its own answers.

It outlives every trader. Nothing here knows of engines or journals; the auditor is told of every row as it is made.
"""

from __future__ import annotations

import msgspec
from tests.simulation.market import ACCOUNT, BEFORE_S, FUNDING_S, IDS, INTERVAL_MS, MS, OTHER, PRIVATE, T0, TOLD, WALLET_E8, Market, listing
from tests.simulation.rows import DELEVERAGED
from tests.simulation.script import Action

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.venue_types import OrderRequest, OrderRow, Reject, Status


class World(Market):
    """One venue, one account of ours on it, a market that a seed plays, and others who trade there."""

    # what others do ---------------------------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """What somebody else does to the account, or the venue to its own answers."""
        match action.what:
            case "deposit":
                self._transfer(action.number("amount", 100) * E8)
            case "withdraw":
                self._transfer(-action.number("amount", 100) * E8)
            case "ignore_amends":
                self.ignored_amends += action.number("count", 1)
            case "lose_first":
                self.first_lost = max(0, self.first_lost) + action.number("count", 1)
            case "lose_trades":
                self.hold("lose_trades", action.number("ms", 3_000))
            case "late_orders" | "late_executions":
                self.rows_late_ms = action.number("late_ms", 500)
                self.hold(action.what, action.number("ms", 5_000))
            case "nibble":
                self._nibble(action.number("count", 1), action.number("ms", 400))
            case "drain":
                self._transfer(-self.core.wallet(ACCOUNT).available_e8 * action.number("bps", 9_900) // 10_000)
                self._squeeze(action.number("squeeze_bps", 2_000))
            case "thin":
                self._thin(action.number("bps", 0))
                self.later(action.number("ms", 4_000), lambda: self._thin(10_000))
            case "loss":
                self._lose(action.number("bps", 200))
            case "squeeze":
                self._squeeze(action.number("bps", 1_000))
            case "cancel_there":
                for row in self.core.open_orders(ACCOUNT, limit=1_000).rows:
                    if row.link_id:
                        self.core.cancel(ACCOUNT, row.instrument, self.now_ns, order_id=row.order_id)
                self.publish()
            case "stop_removed":
                self._remove_stops()
            case "ghost_money":
                self._ghost(action.number("amount_e8", 5_000_000))
            case "jump":
                name = IDS[action.number("instrument", 0) % len(IDS)]
                self.move(name, max(2_000, self.prices[name] * (10_000 + action.number("bps", 0)) // 10_000))
                self.publish()
            case "foreign_order" | "guard_order":
                self._rest(action, "kg-" if action.what == "guard_order" else "x-")
            case "foreign_trade":
                self._strike(action)
            case "deleverage":
                self._deleverage(action)
            case "refuse_later":
                self.refuses_later += [action] * action.number("count", 1)
            case "slow_lists":
                self.late_ms = action.number("late_ms", 500)
                self.hold("slow_lists", action.number("ms", 5_000))
            case "no_room":
                self.wait_ms = action.number("wait_ms", 1_000)
                self.hold("no_room", action.number("ms", 5_000))
            case "deaf":
                self.hold("deaf", action.number("ms", 2_000))
            case "public_cut" | "private_cut":
                for client in list(self.clients):
                    client.cut(action.what == "private_cut", action.number("ms", 3_000), action.number("late_ms", 200))
            case _:
                self.armoury.arm(action.fault(), self.now_ns)
                self._begin()

    def _nibble(self, times: int, every_ms: int) -> None:
        """Somebody trades with about half of what rests of each of our orders."""
        for row in self.core.open_orders(ACCOUNT, limit=1_000).rows:
            if not row.trigger_ticks and row.leaves_lots > 1:
                book, buys = self.core.depth(row.instrument, 50), row.side is Side.BUY
                levels = book.bids if buys else book.asks
                ahead = sum(lots for ticks, lots in levels if (ticks >= row.price_ticks if buys else ticks <= row.price_ticks))
                request = OrderRequest(
                    instrument=row.instrument, side=Side.SELL if buys else Side.BUY, kind=OrderKind.LIMIT,
                    qty_lots=max(1, ahead - row.leaves_lots // 2), limit_ticks=row.price_ticks, time_in_force=TimeInForce.IOC,
                )  # fmt: skip
                self.core.place(OTHER, request, self.now_ns)
        self.publish()
        if times > 1:
            self.later(every_ms, lambda: self._nibble(times - 1, every_ms))

    @property
    def is_laden(self) -> bool:
        """Whether so much is held that it can break the account."""
        return sum(row.value_e8 for row in self.core.positions(ACCOUNT)) > 1_000 * E8

    def _squeeze(self, bps: int) -> None:
        for row in self.core.positions(ACCOUNT):
            against = -bps if row.lots > 0 else bps
            self.move(row.instrument, max(2_000, self.prices[row.instrument] * (10_000 + against) // 10_000))
        self.publish()

    def _thin(self, bps: int) -> None:
        usual = self.core.settings.crowd
        if usual is not None:
            for name in IDS:
                self.core.set_crowd(name, msgspec.structs.replace(usual, notional_e8=usual.notional_e8 * bps // 10_000))
            self.publish()

    def _lose(self, bps: int) -> None:
        held = sum(row.value_e8 for row in self.core.positions(ACCOUNT))
        if held:
            self._squeeze(min(3_000, bps * self.core.wallet(ACCOUNT).equity_e8 // held))

    def _begin(self) -> None:
        for fault in self.armoury.begun(self.now_ns):
            if fault.fault in ("ban", "maintenance", "cut"):
                away = fault.usual_ms if fault.fault != "cut" else 1_000
                for client in list(self.clients):
                    client.cut(True, away, 20)
                    client.hang_up()

    def _transfer(self, amount_e8: int) -> None:
        done = self.core.transfer(ACCOUNT, amount_e8, self.now_ns)
        if not isinstance(done, Reject):
            self.witness.flow(amount_e8)
        self.publish()

    def _remove_stops(self) -> None:
        """The rows that tell of it are not lost: that would be two troubles in one, of which nobody can know."""
        self.publish()
        for held in self.core.positions(ACCOUNT):
            self.core.set_trading_stop(ACCOUNT, held.instrument, self.now_ns, stop_loss_ticks=0)
        told = [change for change in self.core.drain(market_data=False) if isinstance(change, TOLD)]
        for change in told:
            self.witness.row(change)  # no trade is among them
        self._hand_out([[change for change in told if isinstance(change, PRIVATE) and change.account == ACCOUNT]])

    def _ghost(self, amount_e8: int) -> None:
        """Money that nothing explains: it is in the wallet, and in no ledger."""
        account = self.core._accounts[ACCOUNT]
        account.wallet_e8 += amount_e8
        account.version += 1
        self.witness.ghost(amount_e8)

    def _rest(self, action: Action, prefix: str) -> None:
        name = IDS[action.number("instrument", 0) % len(IDS)]
        link = f"{prefix}{action.at_ms}"
        request = OrderRequest(
            instrument=name, side=Side.BUY, kind=OrderKind.LIMIT, qty_lots=20, limit_ticks=self.prices[name] * 97 // 100,
            time_in_force=TimeInForce.GTC, link_id=link,
        )  # fmt: skip
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()
        self.later(action.number("ms", 4_000), lambda: self._take_back(name, link))

    def _take_back(self, name: str, link: str) -> None:
        self.core.cancel(ACCOUNT, name, self.now_ns, link_id=link)
        self.publish()

    def _strike(self, action: Action) -> None:
        name = IDS[action.number("instrument", 0) % len(IDS)]
        side = Side.BUY if action.number("lots", 10) > 0 else Side.SELL
        request = OrderRequest(instrument=name, side=side, kind=OrderKind.MARKET, qty_lots=abs(action.number("lots", 10)), link_id="")
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()

    def _deleverage(self, action: Action) -> None:
        """Close a part of the largest position."""
        held = max(self.core.positions(ACCOUNT), key=lambda row: abs(row.lots), default=None)
        if held is None:
            return
        side, lots = (Side.SELL if held.lots > 0 else Side.BUY), max(1, abs(held.lots) // 2)
        link = f"{DELEVERAGED}{action.at_ms}"
        request = OrderRequest(
            instrument=held.instrument, side=side, kind=OrderKind.MARKET, qty_lots=lots, reduce_only=True, link_id=link
        )  # fmt: skip
        self.core.place(ACCOUNT, request, self.now_ns)
        self.publish()

    # orders that are refused after they were acknowledged -----------------------------------------------------------------

    def phantom(self, request: OrderRequest, action: Action) -> OrderRow:
        """An order that the venue acknowledges and its matching engine refuses later."""
        now_ns = self.now_ns
        row = OrderRow(
            ACCOUNT, request.instrument, 0, f"phantom-{request.link_id[:12]}", request.link_id, request.side, request.kind,
            request.time_in_force, request.limit_ticks, request.qty_lots, request.qty_lots, now_ns, now_ns,
            self.prices[request.instrument], 0,
            Status.UNTRIGGERED if request.trigger_ticks else Status.NEW, reduce_only=request.reduce_only,
            trigger_ticks=request.trigger_ticks,
        )  # fmt: skip
        self.phantoms[request.link_id] = row
        if action.number("shown", 1):
            self.tell([msgspec.structs.replace(row)])
        self.later(action.number("ms", 30), lambda: self._refuse(row))
        return row

    def _refuse(self, row: OrderRow) -> None:
        row.status, row.leaves_lots, row.updated_ns = Status.REJECTED, 0, self.now_ns
        self.tell([msgspec.structs.replace(row)])


__all__ = ["ACCOUNT", "BEFORE_S", "FUNDING_S", "IDS", "INTERVAL_MS", "MS", "T0", "WALLET_E8", "World", "listing"]

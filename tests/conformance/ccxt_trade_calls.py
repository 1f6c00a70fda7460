"""Private calls of ccxt's REST client, each compared with what the exchange then holds."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance import truth, truth_ccxt
from tests.conformance.calls import Calls, Watched
from tests.conformance.ccxt_client import ETHER, PAIR
from tests.conformance.loopback import MINUTE, WALLET, Desk

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.domain.units import E8
from kedge.simulation.venue_types import Status, TriggerBy

TRADE = Calls("ccxt REST, trade")
FAR = 59_900.0


def resting(client: Watched, price: float = FAR, **params: object) -> str:
    """A limit buy of 0.01; its id."""
    return str(client.create_order(PAIR, "limit", "buy", 0.01, price, params)["id"])


@TRADE.check("create_order")
def orders_of_every_kind_arrive_as_meant(desk: Desk, client: Watched) -> None:
    maker = desk.order(resting(client, postOnly=True, clientOrderId="ccxt-1"))
    assert (maker.link_id, maker.time_in_force, maker.price_ticks, maker.qty_lots) == ("ccxt-1", TimeInForce.POST_ONLY, 599_000, 10)
    market = desk.order(client.create_order(PAIR, "market", "buy", 0.5)["id"])
    assert (market.kind, market.status, desk.position().lots) == (OrderKind.MARKET, Status.FILLED, 500)
    closing = desk.order(client.create_order(PAIR, "market", "sell", 0.2, None, {"reduceOnly": True, "position_idx": 0})["id"])
    assert (closing.reduce_only, desk.position().lots) == (True, 300)
    rise = {"triggerPrice": 60_150.5, "triggerDirection": "ascending", "triggerBy": "MarkPrice"}
    stop = desk.order(client.create_order(PAIR, "limit", "buy", 0.01, 60_200, rise)["id"])
    assert (stop.status, stop.trigger_ticks, stop.trigger_direction, stop.trigger_by) == (Status.UNTRIGGERED, 601_505, 1, TriggerBy.MARK)
    both = {"stopLoss": {"triggerPrice": 59_000}, "takeProfit": {"triggerPrice": 61_000}}
    guarded = desk.order(client.create_order(PAIR, "limit", "buy", 0.01, FAR, both)["id"])
    assert (guarded.take_profit_ticks, guarded.stop_loss_ticks) == (610_000, 590_000)


@TRADE.check("create_orders")
def several_orders_are_created_at_once(desk: Desk, client: Watched) -> None:
    wish = {"symbol": PAIR, "type": "limit", "side": "buy", "amount": 0.01, "price": FAR}
    good, refused = client.create_orders([wish, {**wish, "amount": 40}])
    assert desk.order(good["id"]).status is Status.NEW
    assert refused["status"] == "rejected"


@TRADE.check("edit_order")
def an_edited_order_has_its_new_price_and_size(desk: Desk, client: Watched) -> None:
    order_id = resting(client)
    assert client.edit_order(order_id, PAIR, "limit", "buy", 0.02, 59_910.5)["id"] == order_id
    row = desk.order(order_id)
    assert (row.qty_lots, row.price_ticks) == (20, 599_105)


@TRADE.check("edit_orders")
def several_orders_are_edited_at_once(desk: Desk, client: Watched) -> None:
    ids = [resting(client), resting(client)]
    client.edit_orders([{"id": name, "symbol": PAIR, "type": "limit", "side": "buy", "amount": 0.03, "price": FAR} for name in ids])
    assert [desk.order(name).qty_lots for name in ids] == [30, 30]


@TRADE.check("cancel_order")
def a_cancelled_order_is_gone(desk: Desk, client: Watched) -> None:
    order_id = resting(client)
    assert client.cancel_order(order_id, PAIR)["id"] == order_id
    assert desk.order(order_id).status is Status.CANCELLED


@TRADE.check("cancel_orders")
def several_orders_are_cancelled_at_once(desk: Desk, client: Watched) -> None:
    ids = [resting(client), resting(client), resting(client)]
    client.cancel_orders(ids[:2], PAIR)
    assert [row.order_id for row in desk.rows("open_orders")] == ids[2:]


@TRADE.check("cancel_orders_for_symbols")
def orders_of_several_symbols_are_cancelled_at_once(desk: Desk, client: Watched) -> None:
    ether = client.create_order(ETHER, "limit", "sell", 0.1, 3_010)["id"]
    client.cancel_orders_for_symbols([{"id": resting(client), "symbol": PAIR}, {"id": ether, "symbol": ETHER}])
    assert desk.rows("open_orders") == []


@TRADE.check("cancel_all_orders")
def all_orders_of_a_symbol_are_cancelled(desk: Desk, client: Watched) -> None:
    ids = {resting(client), resting(client, triggerPrice=60_300, triggerDirection="ascending")}
    ether = client.create_order(ETHER, "limit", "sell", 0.1, 3_010)["id"]
    assert {order["id"] for order in client.cancel_all_orders(PAIR)} == ids
    assert [row.order_id for row in desk.rows("open_orders")] == [ether]


@TRADE.check("cancel_all_orders_after")
def protection_of_the_disconnected_is_armed(desk: Desk, client: Watched) -> None:
    client.cancel_all_orders_after(30_000)
    assert desk.exchange.hall.disconnect_windows_s[desk.account] == 30


@TRADE.check("fetch_order")
def an_order_is_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    for order_id in (resting(client, clientOrderId="told"), client.create_order(PAIR, "market", "buy", 1.4)["id"]):
        found = client.fetch_order(order_id, PAIR, {"acknowledged": True})
        truth_ccxt.assert_same(found, truth_ccxt.order(desk.order(order_id), spec))
    assert found["fee"] == {"cost": float(truth.money(desk.order(order_id).cum_fee_e8)), "currency": "USDT"}


@TRADE.check("fetch_open_orders")
def open_orders_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    resting(client)
    client.create_order(PAIR, "limit", "sell", 0.02, 60_100, {"takeProfit": {"triggerPrice": 59_000}})
    found = {order["id"]: order for order in client.fetch_open_orders(PAIR)}
    held = desk.rows("open_orders")
    assert len(held) == 2
    assert set(found) == {row.order_id for row in held}
    for row in held:
        truth_ccxt.assert_same(found[row.order_id], truth_ccxt.order(row, spec))


@TRADE.check("fetch_open_order")
def one_open_order_is_found_by_id(desk: Desk, client: Watched) -> None:
    order_id = resting(client)
    found = client.fetch_open_order(order_id, PAIR)
    truth_ccxt.assert_same(found, truth_ccxt.order(desk.order(order_id), desk.exchange.specs["BTCUSDT"]))


@TRADE.check("fetch_closed_orders")
def filled_orders_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    order_id = client.create_order(PAIR, "market", "sell", 0.07)["id"]
    client.cancel_order(resting(client), PAIR)
    (found,) = client.fetch_closed_orders(PAIR)
    truth_ccxt.assert_same(found, truth_ccxt.order(desk.order(order_id), desk.exchange.specs["BTCUSDT"]))


@TRADE.check("fetch_closed_order")
def one_closed_order_is_found_by_id(desk: Desk, client: Watched) -> None:
    order_id = client.create_order(PAIR, "market", "sell", 0.07)["id"]
    assert client.fetch_closed_order(order_id, PAIR)["filled"] == 0.07


@TRADE.check("fetch_canceled_orders")
def cancelled_orders_are_told(desk: Desk, client: Watched) -> None:
    order_id = resting(client)
    client.cancel_order(order_id, PAIR)
    (found,) = client.fetch_canceled_orders(PAIR)
    truth_ccxt.assert_same(found, truth_ccxt.order(desk.order(order_id), desk.exchange.specs["BTCUSDT"]))


@TRADE.check("fetch_canceled_and_closed_orders")
def all_that_ended_is_told(desk: Desk, client: Watched) -> None:
    gone = resting(client)
    client.cancel_order(gone, PAIR)
    filled = client.create_order(PAIR, "market", "sell", 0.07)["id"]
    assert {order["id"]: order["status"] for order in client.fetch_canceled_and_closed_orders(PAIR)} == {gone: "canceled", filled: "closed"}


@TRADE.check("fetch_my_trades")
def fills_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 1.9)
    held = {row.exec_id: row for row in desk.rows("executions")}
    found = client.fetch_my_trades(PAIR)
    assert {trade["id"] for trade in found} == set(held)
    assert len(found) > 1
    for trade in found:
        truth_ccxt.assert_same(trade, truth_ccxt.trade(held[trade["id"]], desk.exchange.specs["BTCUSDT"]))
        truth_ccxt.assert_same(trade["fee"], truth_ccxt.fee(held[trade["id"]]))


@TRADE.check("fetch_order_trades")
def fills_of_one_order_are_told(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.3)
    order_id = client.create_order(PAIR, "market", "sell", 0.3)["id"]
    found = client.fetch_order_trades(order_id, PAIR)
    assert {trade["order"] for trade in found} == {order_id}
    assert sum(Decimal(str(trade["amount"])) for trade in found) == Decimal("0.3")


@TRADE.check("fetch_positions")
def positions_are_told_field_by_field(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.4)
    client.create_order(ETHER, "market", "sell", 5, None, {"stopLoss": {"triggerPrice": 3_100}})
    found = {row["symbol"]: row for row in client.fetch_positions()}
    assert set(found) == {PAIR, ETHER}
    for name, symbol in ((PAIR, "BTCUSDT"), (ETHER, "ETHUSDT")):
        truth_ccxt.assert_same(found[name], truth_ccxt.position(desk.position(symbol), desk.exchange.specs[symbol]))


@TRADE.check("fetch_position")
def one_position_is_told_field_by_field(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "sell", 0.4)
    truth_ccxt.assert_same(client.fetch_position(PAIR), truth_ccxt.position(desk.position(), desk.exchange.specs["BTCUSDT"]))


@TRADE.check("fetch_positions_history")
def closed_positions_are_told(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.4)
    client.create_order(PAIR, "market", "sell", 0.1)
    (found,) = client.fetch_positions_history([PAIR])
    (held,) = desk.rows("closed_pnl")
    truth_ccxt.assert_same(found, {"symbol": PAIR, "contracts": Decimal("0.1"), "realizedPnl": truth.money(held.closed_pnl_e8)})


@TRADE.check("fetch_balance")
def a_balance_is_the_wallet(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.4)
    resting(client)
    held = desk.wallet()
    free_e8 = held.wallet_e8 - held.position_initial_e8 - held.order_initial_e8
    totals = {"total": truth.money(held.wallet_e8), "free": truth.money(free_e8), "used": truth.money(held.wallet_e8 - free_e8)}
    truth_ccxt.assert_same(client.fetch_balance()["USDT"], totals)


@TRADE.check("fetch_leverage")
def leverage_is_told(desk: Desk, client: Watched) -> None:
    truth_ccxt.assert_same(client.fetch_leverage(PAIR), {"longLeverage": 10, "shortLeverage": 10, "symbol": PAIR})


@TRADE.check("set_leverage")
def leverage_is_set(desk: Desk, client: Watched) -> None:
    client.set_leverage(7, PAIR)
    assert desk.position().leverage_e2 == 700


@TRADE.check("set_margin_mode")
def cross_margin_can_be_chosen(desk: Desk, client: Watched) -> None:
    assert client.set_margin_mode("cross", PAIR, {"leverage": 5})["retCode"] == "0"


@TRADE.check("fetch_margin_mode")
def the_margin_mode_is_cross(desk: Desk, client: Watched) -> None:
    assert client.fetch_margin_mode(PAIR)["marginMode"] == "cross"


@TRADE.check("set_position_mode")
def one_way_mode_can_be_chosen(desk: Desk, client: Watched) -> None:
    assert client.set_position_mode(False)["retCode"] == "0"


@TRADE.check("is_unified_enabled")
def the_account_is_unified(desk: Desk, client: Watched) -> None:
    assert client.is_unified_enabled() == [False, True]


@TRADE.check("fetch_trading_fee")
def a_fee_is_the_one_that_is_charged(desk: Desk, client: Watched) -> None:
    spec = desk.exchange.specs["BTCUSDT"]
    fees = {"maker": truth.money(spec.maker_fee_e8), "taker": truth.money(spec.taker_fee_e8)}
    truth_ccxt.assert_same(client.fetch_trading_fee(PAIR), fees)


@TRADE.check("fetch_trading_fees")
def fees_of_all_are_told(desk: Desk, client: Watched) -> None:
    assert set(client.fetch_trading_fees()) == {PAIR, ETHER}


@TRADE.check("fetch_ledger")
def the_ledger_is_the_transaction_log(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.4)
    client.create_order(PAIR, "market", "sell", 0.1)
    found = client.fetch_ledger("USDT")
    held = {f"{row.account}_BTCUSDT_{row.number}": row for row in desk.rows("transaction_log") if row.instrument}
    assert {entry["id"] for entry in found} == set(held)
    for entry in found:
        row = held[entry["id"]]
        direction = "in" if row.change_e8 > 0 else "out"
        truth_ccxt.assert_same(entry, {"after": truth.money(row.balance_e8), "amount": abs(truth.money(row.change_e8)), "type": "trade"})
        truth_ccxt.assert_same(entry, {"direction": direction, "currency": "USDT", "timestamp": truth.ms(row.ts_ns)})
        truth_ccxt.assert_same(entry["fee"], {"cost": truth.money(row.fee_e8), "currency": "USDT"})


@TRADE.check("fetch_transfers")
def transfers_are_those_the_exchange_made(desk: Desk, client: Watched) -> None:
    desk.exchange.ask(lambda venue: venue.transfer(desk.account, 25 * E8, venue.now_ns))
    (found,) = client.fetch_transfers("USDT")
    truth_ccxt.assert_same(found, {"amount": Decimal(25), "currency": "USDT", "status": "ok"})
    assert desk.wallet().wallet_e8 == (WALLET + 25) * E8


@TRADE.check("fetch_deposits")
def there_are_no_deposits(desk: Desk, client: Watched) -> None:
    assert client.fetch_deposits("USDT") == []


@TRADE.check("fetch_withdrawals")
def there_are_no_withdrawals(desk: Desk, client: Watched) -> None:
    assert client.fetch_withdrawals("USDT") == []


@TRADE.check("fetch_my_liquidations")
def nothing_was_liquidated(desk: Desk, client: Watched) -> None:
    client.create_order(PAIR, "market", "buy", 0.1)
    assert client.fetch_my_liquidations(PAIR) == []


@TRADE.check("fetch_funding_history")
def a_funding_that_was_paid_is_told(desk: Desk, client: Watched) -> None:
    desk.place(Side.BUY, 250)
    settled_ns = desk.exchange.ask(lambda venue: venue.ticker(desk.exchange.specs["BTCUSDT"].instrument_id)).next_funding_ns
    desk.exchange.pass_time(settled_ns - desk.exchange.clock.venue_at_ns + MINUTE)
    (found,) = client.fetch_funding_history(PAIR)
    held = next(row for row in desk.rows("executions") if row.exec_type.value == "Funding")
    assert held.fee_e8 > 0
    truth_ccxt.assert_same(found, {"amount": truth.money(held.fee_e8), "code": "USDT", "symbol": PAIR, "timestamp": truth.ms(settled_ns)})
    assert -held.fee_e8 in {row.funding_e8 for row in desk.rows("transaction_log")}

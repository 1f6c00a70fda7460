"""The drills' auditor finds what it is there to find: each defect put into equal books is named."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.torture.compare import findings
from tests.torture.journal_books import JournalSays
from tests.torture.venue_books import VenueSays

NAME = "bybit-linear:BTCUSDT"
Change = Callable[[list[dict[str, Any]], VenueSays], object]


def sent(name: str, qty: int) -> dict[str, Any]:
    return {"type": "send", "approved": {"order": {"client_order_id": name, "qty_lots": qty}}}


def fill(number: int, order: str, side: str, qty: int, ticks: int) -> dict[str, Any]:
    return {
        "type": "fill", "ts_ns": number, "fill_id": f"f{number}", "client_order_id": order, "instrument": NAME, "side": side,
        "qty_lots": qty, "price_ticks": ticks, "fee_e8": 5,
    }  # fmt: skip


def events() -> list[dict[str, Any]]:
    """Buy 3 lots at two prices, sell 2, pay funding; an order that never came."""
    return [
        {"event": {"type": "bar", "instrument": NAME, "ts_ns": 1}, "outputs": [sent("a", 3), sent("b", 2), sent("c", 1)]},
        {"event": fill(2, "a", "buy", 1, 1_000)},
        {"event": fill(3, "a", "buy", 2, 1_001)},
        {"event": fill(4, "b", "sell", 2, 1_010)},
        {"event": {"type": "absent", "ts_ns": 5, "client_order_id": "c"}},
        {"event": {"type": "funding", "ts_ns": 6, "instrument": NAME, "funding_id": "s1", "paid_e8": 7}},
    ]


def trade(number: int, order: str, side: str, qty: str, price: str) -> dict[str, Any]:
    plain = {"execId": f"f{number}", "orderLinkId": order, "symbol": "BTCUSDT", "side": side, "execQty": qty, "execPrice": price}
    return {**plain, "execFee": "0.00000005", "execType": "Trade"}


def order(name: str, qty: str) -> dict[str, Any]:
    return {"orderId": f"v{name}", "orderLinkId": name, "symbol": "BTCUSDT", "cumExecQty": qty, "orderStatus": "Filled", "leavesQty": "0"}


def log(number: int, name: str, change: str, balance: str) -> dict[str, Any]:
    return {"id": f"1_BTCUSDT_{number}", "tradeId": name, "change": change, "cashBalance": balance, "type": "TRADE"}


def there() -> VenueSays:
    """The same by the exchange: lots of 0.001, ticks of 0.1. Cost 0.3002, of which 0.20013333 (half-even) is released for 0.202."""
    return VenueSays(
        trades=[trade(2, "a", "Buy", "0.001", "100"), trade(3, "a", "Buy", "0.002", "100.1"), trade(4, "b", "Sell", "0.002", "101")],
        fundings=[{"execId": "s1", "execFee": "0.00000007"}],
        orders={"va": order("a", "0.003"), "vb": order("b", "0.002")},
        positions={"BTCUSDT": (Decimal("0.001"), Decimal("0.10006667"))},
        log=[
            log(4, "s1", "-0.00000007", "10.00186645"), log(3, "f4", "0.00186662", "10.00186652"),
            log(2, "f3", "-0.00000005", "9.9999999"), log(1, "f2", "-0.00000005", "9.99999995"),
        ],
        wallet=Decimal("10.00186645"),
    )  # fmt: skip


def written(folder: Path, steps: list[dict[str, Any]]) -> JournalSays:
    first = {
        "type": "run_started",
        "settings": {"engine": {"wallet_e8": 10 * 10**8}},
        "instruments": [{"instrument_id": NAME, "tick_e8": 10_000_000, "lot_e8": 100_000}],
    }
    rows = [first, *({"type": "step", "seq": seq, **step} for seq, step in enumerate(steps, 1))]
    db = sqlite3.connect(folder / "journal.sqlite")
    with db:
        db.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO rows VALUES (?, ?)", [(seq, json.dumps(row).encode()) for seq, row in enumerate(rows)])
    db.close()
    journal = JournalSays(folder / "journal.sqlite")
    journal.read_on()
    return journal


def test_equal_books_have_no_findings_and_reading_on_adds_nothing(tmp_path: Path) -> None:
    journal = written(tmp_path, events())
    journal.read_on()
    assert findings(journal, there()) == []


def rests(steps: list[dict[str, Any]], venue: VenueSays, *, here: int) -> None:
    """An order that rests, its limit amended."""
    steps[0]["outputs"].append(sent("d", 2))
    steps.append({"event": {"type": "amended", "client_order_id": "d", "qty_lots": 1, "limit_ticks": here}})
    venue.orders["vd"] = {**order("d", "0"), "orderStatus": "New", "qty": "0.001", "price": "99.9"}


def stop_order(symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"symbol": symbol, "orderStatus": "Untriggered"}


def stops(steps: list[dict[str, Any]], venue: VenueSays, *, here: int = 900) -> None:
    """A position with its stop."""
    steps.append({"event": {"type": "stop_placed", "instrument": NAME, "stop_ticks": here}})
    venue.stops["stop"] = stop_order()
    venue.stop_prices["BTCUSDT"] = Decimal(90)


def test_resting_orders_and_stops_that_agree_are_no_findings(tmp_path: Path) -> None:
    steps, venue = events(), there()
    rests(steps, venue, here=999)
    stops(steps, venue)
    assert findings(written(tmp_path, steps), venue) == []


@pytest.mark.parametrize(("hours", "found"), [(19, ["order e is not at the exchange"]), (20, [])])
def test_a_cancelled_order_that_never_traded_may_be_forgotten_after_a_day(tmp_path: Path, hours: int, found: list[str]) -> None:
    steps = events()
    steps[0]["outputs"].append(sent("e", 1))
    steps.append({"event": {"type": "canceled", "client_order_id": "e", "ts_ns": 10, "reason": "post-only"}})
    steps.append({"event": {"type": "timer", "ts_ns": 10 + hours * 3_600 * 10**9}})
    assert findings(written(tmp_path, steps), there()) == found


def test_a_fill_of_a_stop_belongs_to_no_order(tmp_path: Path) -> None:
    steps, venue = events(), there()
    steps[3]["event"].update(client_order_id="", cause="stop")
    steps[0]["outputs"].pop(1)
    venue.trades[2]["orderLinkId"] = ""
    venue.stops["vb"] = {**venue.orders.pop("vb"), "orderLinkId": ""}
    assert findings(written(tmp_path, steps), venue) == []


def test_a_restated_cost_moves_the_wallet_as_much(tmp_path: Path) -> None:
    steps, venue = events(), there()
    steps.append({"event": {"type": "restated", "instrument": NAME, "cost_e8": 10_006_669}})
    venue.positions["BTCUSDT"] = (Decimal("0.001"), Decimal("0.10006669"))
    assert findings(written(tmp_path, steps), venue)[0].startswith("wallet: 10.00186647 here")


DEFECTS: dict[str, Change] = {
    "execution booked 2 times": lambda steps, _: steps.append(dict(steps[1])),
    "settlement booked 2 times": lambda steps, _: steps.append(dict(steps[5])),
    "bar taken 2 times": lambda steps, _: steps.append({"event": steps[0]["event"]}),
    "client id at the exchange 2 times": lambda _, venue: venue.orders.update(again=order("a", "0.003")),
    "execution lost": lambda steps, _: steps.pop(3),
    "execution never happened": lambda _, venue: venue.trades.pop(0),
    "execution f3: a BTCUSDT buy 0.002": lambda _, venue: venue.trades[1].update(execFee="0.00000006"),
    "execution of an unknown kind": lambda _, venue: venue.others.append({"execType": "BustTrade", "execId": "x"}),
    "settlement lost": lambda steps, _: steps.pop(5),
    "settlement s1": lambda _, venue: venue.fundings[0].update(execFee="0.00000008"),
    "was decided 2 times": lambda steps, _: steps[0]["outputs"].append(sent("a", 3)),
    "never recorded: 'c'": lambda steps, venue: (steps[0]["outputs"].pop(2), steps.pop(4), venue.orders.update(vc=order("c", "0"))),
    "is unresolved; the exchange says nothing": lambda steps, _: steps.pop(4),
    "declared absent and is Filled": lambda _, venue: venue.orders.update(vc=order("c", "0.001")),
    "order b is not at the exchange": lambda _, venue: venue.orders.pop("vb"),
    "order b traded 2 lots here, 1 there": lambda _, venue: venue.orders["vb"].update(cumExecQty="0.001"),
    "order a is over here, New there": lambda _, venue: venue.orders["va"].update(orderStatus="New", leavesQty="0.001"),
    "position BTCUSDT": lambda _, venue: venue.positions.update(BTCUSDT=(Decimal("0.001"), Decimal("0.10006666"))),
    "wallet: 10.00186645 here": lambda _, venue: setattr(venue, "wallet", Decimal("10.00186646")),
    "own log adds up": lambda _, venue: venue.log[1].update(change="0.00186661"),
    "log entry without a record": lambda _, venue: venue.log[0].update(tradeId=""),
    "books_differ": lambda steps, _: steps.append({"event": {"type": "books_differ", "code": "WALLET_DIFFERS"}}),
    "trading is halted": lambda steps, _: steps[0]["outputs"].append(
        {"type": "risk_state", "state": "halted", "code": "X", "observed": "1", "limit": "0"}
    ),
    "order 'z', which was never sent": lambda steps, _: steps.append({"event": {"type": "rejected", "client_order_id": "z"}}),
    "order b ended in different ways: canceled, rejected": lambda steps, _: steps.extend(
        {"event": {"type": kind, "client_order_id": "b"}} for kind in ("canceled", "rejected")
    ),
    "signed with an old time": lambda steps, _: steps.append(
        {"event": {"type": "rejected", "client_order_id": "c", "code": "10002", "reason": "timestamp"}}
    ),
    "order d rests with (1, 0, 999) there, (1, 0, 998) here": lambda steps, venue: rests(steps, venue, here=998),
    "2 stops wait for BTCUSDT": lambda steps, venue: (stops(steps, venue), venue.stops.update(again=stop_order())),
    "has no position": lambda steps, venue: (stops(steps, venue), venue.stops.update(eth=stop_order("ETHUSDT"))),
    "has the stop 90 there, 89.90000000 here": lambda steps, venue: stops(steps, venue, here=899),
    "has the stop 0 there": lambda steps, venue: (stops(steps, venue), venue.stop_prices.update(BTCUSDT=Decimal(0))),
    "which was never sent": lambda steps, _: steps[3]["event"].update(client_order_id="", cause="liquidation"),
    "is rejected here, Filled there": lambda steps, _: steps.append({"event": {"type": "rejected", "client_order_id": "b"}}),
    "record 9 stands where 7": lambda steps, _: steps.append({"seq": 9, "event": {"type": "timer"}}),
}


@pytest.mark.parametrize("text", DEFECTS)
def test_a_defect_is_named(tmp_path: Path, text: str) -> None:
    steps, venue = events(), there()
    DEFECTS[text](steps, venue)
    found = findings(written(tmp_path, steps), venue)
    assert any(text in one for one in found), found

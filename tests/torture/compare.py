"""The exchange's books beside the journal's: nothing twice, nothing lost, equal to the last unit. Each sentence returned is a finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from .journal_books import Grid, JournalSays
from .venue_books import Row, VenueSays

UNIT = Decimal("0.00000001")
REFUSED = "Rejected"
"""The only word of the venue for an order that it has and did not take: one that it took and cancelled was never refused."""
FORGOTTEN_NS = 20 * 3_600 * 10**9
"""The venue keeps a cancelled order that never traded for a day; a journal hears of its end, and of time passing, some bars later."""
RESTING = frozenset({"New", "PartiallyFilled", "Untriggered"})


def findings(journal: JournalSays, venue: VenueSays) -> list[str]:
    """Everything that differs."""
    return [
        *journal.strange,
        *_twice("execution booked", (fill["fill_id"] for fill in journal.fills)),
        *_twice("settlement booked", (one["funding_id"] for one in journal.fundings)),
        *_twice("bar taken", (f"{name} {ts_ns}" for (name, ts_ns), times in journal.bars.items() for _ in range(times))),
        *_twice("client id at the exchange", (row["orderLinkId"] for row in venue.orders.values())),
        *(f"execution of an unknown kind: {row['execType']} {row['execId']}" for row in venue.others),
        *_executions(journal, venue),
        *_settlements(journal, venue),
        *_orders(journal, venue),
        *_positions(journal, venue),
        *_stops(journal, venue),
        *_money(journal, venue),
    ]


def _twice(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what} {times} times: {name!r}" for name, times in Counter(names).items() if times > 1]


def _executions(journal: JournalSays, venue: VenueSays) -> list[str]:
    ours = {fill["fill_id"]: _fill_text(journal, fill) for fill in journal.fills}
    theirs = {row["execId"]: _trade_text(row) for row in venue.trades}
    return _differ("execution", ours, theirs)


def _fill_text(journal: JournalSays, fill: Row) -> str:
    grid = journal.grids[fill["instrument"]]
    qty, price = Decimal(fill["qty_lots"] * grid.lot_e8) * UNIT, Decimal(fill["price_ticks"] * grid.tick_e8) * UNIT
    fee = Decimal(fill["fee_e8"]) * UNIT
    return f"{fill['client_order_id']} {grid.symbol} {fill['side']} {qty.normalize():f} at {price.normalize():f} fee {fee.normalize():f}"


def _trade_text(row: Row) -> str:
    qty, price, fee = (Decimal(row[name]).normalize() for name in ("execQty", "execPrice", "execFee"))
    return f"{row['orderLinkId']} {row['symbol']} {row['side'].lower()} {qty:f} at {price:f} fee {fee:f}"


def _settlements(journal: JournalSays, venue: VenueSays) -> list[str]:
    ours = {one["funding_id"]: str(Decimal(one["paid_e8"]) * UNIT) for one in journal.fundings}
    theirs = {row["execId"]: str(Decimal(row["execFee"]).quantize(UNIT)) for row in venue.fundings}
    return _differ("settlement", ours, theirs)


def _differ(what: str, ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    lost = [f"{what} lost: {name} {theirs[name]}" for name in theirs.keys() - ours.keys()]
    invented = [f"{what} never happened: {name} {ours[name]}" for name in ours.keys() - theirs.keys()]
    changed = [
        f"{what} {name}: {ours[name]} here, {theirs[name]} there" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]
    ]
    return [*lost, *invented, *changed]


def _orders(journal: JournalSays, venue: VenueSays) -> list[str]:
    found = [f"order {name} was decided {order.times} times" for name, order in journal.orders.items() if order.times > 1]
    there = {row["orderLinkId"]: row for row in venue.orders.values()}
    found += [f"the exchange has an order that was never recorded: {name!r}" for name in there.keys() - journal.orders.keys()]
    for name, order in journal.orders.items():
        row = there.get(name)
        if not order.is_over and row is not None and row["orderStatus"] in RESTING:
            found += _resting(journal, name, row)
        elif not order.is_over:
            found.append(f"order {name} is unresolved; the exchange says {row['orderStatus'] if row else 'nothing'}")
        elif row is None:
            forgotten = set(order.ends) == {"canceled"} and journal.ts_ns - order.ended_ns >= FORGOTTEN_NS
            never_there = set(order.ends) <= {"absent", "rejected"}
            found += [] if (forgotten or never_there) and not order.filled_lots else [f"order {name} is not at the exchange"]
        else:
            found += _one_order(journal, name, row)
    return found


def _resting(journal: JournalSays, name: str, row: Row) -> list[str]:
    """An order that rests there and is not over here."""
    order, grid = journal.orders[name], _grid(journal, row["symbol"])
    here = (order.qty_lots, order.filled_lots, order.limit_ticks)
    there = (_lots(row["qty"], grid), _lots(row["cumExecQty"], grid), int(Decimal(row["price"]) / UNIT) // grid.tick_e8)
    return [] if here == there else [f"order {name} rests with {there} there, {here} here (quantity, traded, limit)"]


def _grid(journal: JournalSays, symbol: str) -> Grid:
    (grid,) = [grid for grid in journal.grids.values() if grid.symbol == symbol]
    return grid


def _lots(qty: str, grid: Grid) -> int:
    return int(Decimal(qty) / UNIT) // grid.lot_e8


def _one_order(journal: JournalSays, name: str, row: Row) -> list[str]:
    """An order that both know and that is over here."""
    order = journal.orders[name]
    filled_lots = _lots(row["cumExecQty"], _grid(journal, row["symbol"]))
    if "absent" in order.ends:
        return [f"order {name} was declared absent and is {row['orderStatus']} at the exchange"]
    if len(set(order.ends)) > 1:  # the same end may be told again, late
        return [f"order {name} ended in different ways: {', '.join(order.ends)}"]
    if filled_lots != order.filled_lots:
        return [f"order {name} traded {order.filled_lots} lots here, {filled_lots} there"]
    if "rejected" in order.ends and row["orderStatus"] != REFUSED:
        return [f"order {name} is rejected here, {row['orderStatus']} there"]
    if float(row["leavesQty"]) and row["orderStatus"] in RESTING:
        return [f"order {name} is over here, {row['orderStatus']} there"]
    return []


def _positions(journal: JournalSays, venue: VenueSays) -> list[str]:
    ours = {}
    for name, grid in journal.grids.items():
        if journal.lots[name]:
            ours[grid.symbol] = (Decimal(journal.lots[name] * grid.lot_e8) * UNIT, Decimal(journal.cost_e8[name]) * UNIT)
    return [
        f"position {symbol}: {ours.get(symbol)} here, {venue.positions.get(symbol)} there"
        for symbol in sorted(ours.keys() | venue.positions.keys())
        if ours.get(symbol) != venue.positions.get(symbol)
    ]


def _stops(journal: JournalSays, venue: VenueSays) -> list[str]:
    """Where the journal has placed stops at all, every position has one, of the price that is recorded, and there once."""
    if not journal.stops:
        return []
    waiting = Counter(row["symbol"] for row in venue.stops.values() if row["orderStatus"] in RESTING)
    found = [f"{times} stops wait for {symbol}" for symbol, times in waiting.items() if times > 1]
    found += [f"a stop waits for {symbol}, which has no position" for symbol in waiting.keys() - venue.positions.keys()]
    for symbol, price in venue.stop_prices.items():
        grid = _grid(journal, symbol)
        (here,) = [Decimal(ticks * grid.tick_e8) * UNIT for name, ticks in journal.stops.items() if journal.grids[name] is grid] or [None]
        if not price or here != price:
            found.append(f"position {symbol} has the stop {price} there, {here} here")
    return found


def _money(journal: JournalSays, venue: VenueSays) -> list[str]:
    ours = Decimal(journal.wallet_e8) * UNIT
    found = [] if ours == venue.wallet else [f"wallet: {ours} here, {venue.wallet} there"]
    if venue.log:
        first = min(venue.log, key=lambda row: int(row["id"].rpartition("_")[2]))
        begun = Decimal(first["cashBalance"]) - Decimal(first["change"])
        total = begun + sum((Decimal(row["change"]) for row in venue.log), Decimal(0))
        found += [] if total == venue.wallet else [f"the exchange's own log adds up to {total}, its wallet is {venue.wallet}"]
    booked = {fill["fill_id"] for fill in journal.fills} | {one["funding_id"] for one in journal.fundings}
    return [*found, *(f"log entry without a record: {row['type']} {row['id']}" for row in venue.log if row["tradeId"] not in booked)]

"""Reconciliation: what the venue's books say that ours do not, as events; and what nothing explains, as differences.

Pure: it compares what was read. Rules: executions and the ledger are evidence and are booked as given; an order is never declared dead
because a list does not show it; what stays unexplained is a `BooksDiffer`, which halts. The venue's average prices are rounded, so
positions are compared by lots; the wallet, which all fills, fees and settlements end in, is compared to the last unit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from kedge.domain.events import BooksDiffer, CostRestated, Event, FundingSettled, OrderAccepted, OrderAmended, OrderFilled, PositionAdopted
from kedge.domain.orders import GUARD_PREFIX, FillCause
from kedge.domain.venue import LedgerEntry, TradingVenue, VenueOrder, VenueOrderState, VenuePosition, VenueWallet
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.engine.state import EngineState
from kedge.kernel.account import WALLET
from kedge.services.ledger import LEDGER_DIFFERS, UNKNOWN_LEDGER, cash_missed, ledger_differences, not_understood
from kedge.services.seen import Seen

FOREIGN_ORDER = "FOREIGN_ORDER"
FOREIGN_POSITION = "FOREIGN_POSITION"
POSITION_DIFFERS = "POSITION_DIFFERS"
WALLET_DIFFERS = "WALLET_DIFFERS"
ORDER_ALIVE = "ORDER_ALIVE"
ORDER_VANISHED = "ORDER_VANISHED"
GUARD_ACTS = "GUARD_ACTS"
CLOCK_BEYOND_LIMIT = "CLOCK_BEYOND_LIMIT"
DIFFERENCE_CODES = (
    FOREIGN_ORDER,
    FOREIGN_POSITION,
    POSITION_DIFFERS,
    WALLET_DIFFERS,
    UNKNOWN_LEDGER,
    LEDGER_DIFFERS,
    ORDER_ALIVE,
    ORDER_VANISHED,
    GUARD_ACTS,
    CLOCK_BEYOND_LIMIT,
)
"""Codes of `BooksDiffer`, each with its row in docs/reconciliation.md."""


class Foreign(StrEnum):
    """What to do about orders, trades and positions on the account that are not ours."""

    REFUSE = "refuse"
    ADOPT = "adopt"


class VenueBooks(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's side, read at about one time; executions and ledger from the watermark on."""

    orders: Sequence[VenueOrder]
    executions: Sequence[OrderFilled | FundingSettled]
    ledger: Sequence[LedgerEntry]
    positions: Sequence[VenuePosition]
    wallet: VenueWallet


class Agreed(msgspec.Struct, frozen=True):
    """What the wallet held when the books were last equal, and the ledger's rows that were read with it."""

    wallet_e8: int
    rows: frozenset[str]

    def explained_e8(self, books: VenueBooks) -> int:
        """What the wallet holds by the ledger's rows that came since: money that no row tells of is not in it."""
        return self.wallet_e8 + sum(entry.change_e8 for entry in books.ledger if entry.entry_id not in self.rows)


def agreed(books: VenueBooks) -> Agreed:
    """To be kept of a reading that was equal to our books."""
    return Agreed(books.wallet.wallet_e8, frozenset(entry.entry_id for entry in books.ledger))


async def read_books(venue: TradingVenue, since_ts_ns: int) -> VenueBooks:
    """Ask for everything at once.

    Raises
    ------
    VenueUnavailable
        One of the questions was not answered; nothing is known then, and the others are not waited for.
    """
    try:
        async with asyncio.TaskGroup() as group:
            orders = group.create_task(venue.open_orders())
            executions = group.create_task(venue.executions(since_ts_ns))
            ledger = group.create_task(venue.ledger(since_ts_ns))
            positions = group.create_task(venue.positions())
            wallet = group.create_task(venue.wallet())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return VenueBooks(
        orders=orders.result(),
        executions=executions.result(),
        ledger=ledger.result(),
        positions=positions.result(),
        wallet=wallet.result(),
    )


def missed(state: EngineState, books: VenueBooks, seen: Seen, foreign: Foreign) -> list[Event]:
    """What moved money and is not in our books, oldest first."""
    found: list[Event] = [ours_or_adopted(state, event, foreign) for event in books.executions if event not in seen]
    found += cash_missed(books.ledger, seen)
    return sorted(found, key=lambda event: event.ts_ns)


def ours_or_adopted(state: EngineState, event: OrderFilled | FundingSettled, foreign: Foreign) -> OrderFilled | FundingSettled:
    """A fill of an order we do not know is taken over where that is allowed; else it stays as it is and the engine halts on it.

    What the guard trades is always taken over: it acts on our behalf.
    """
    if not isinstance(event, OrderFilled) or event.cause is not FillCause.TRADE:
        return event
    if foreign is Foreign.REFUSE and not event.client_order_id.startswith(GUARD_PREFIX):
        return event
    if event.client_order_id in state.orders.by_id or event.instrument not in state.slots:
        return event
    return msgspec.structs.replace(event, client_order_id="", cause=FillCause.ADOPTED)


def shown(state: EngineState, books: VenueBooks, ts_ns: int) -> list[Event]:
    """Orders of ours that the venue holds open and that we did not know to have arrived."""
    found: list[Event] = []
    for theirs in books.orders:
        ours = state.orders.by_id.get(theirs.client_order_id)
        if ours is not None and ours.is_live and (ours.status in (Status.PENDING_NEW, Status.UNKNOWN) or not ours.venue_order_id):
            found.append(OrderAccepted(ts_ns, theirs.client_order_id, theirs.venue_order_id))
    return found


def amended(state: EngineState, books: VenueBooks, ts_ns: int) -> list[OrderAmended]:
    """Orders of ours that rest at the venue with another quantity or limit than in our books, though no amend of ours is under way."""
    found: list[OrderAmended] = []
    for theirs in books.orders:
        ours = state.orders.by_id.get(theirs.client_order_id)
        rests = ours is not None and ours.status is Status.OPEN and theirs.state is VenueOrderState.OPEN
        if ours is not None and rests and (theirs.qty_lots, theirs.limit_ticks) != (ours.qty_lots, ours.limit_ticks):
            at_ns = theirs.updated_ts_ns or ts_ns
            found.append(OrderAmended(at_ns, theirs.client_order_id, theirs.qty_lots, theirs.limit_ticks, theirs.trigger_ticks))
    return found


def not_shown(state: EngineState, books: VenueBooks) -> list[OrderState]:
    """Live orders of ours that are not among the venue's open ones: they ended, are on their way, or never came."""
    there = {order.client_order_id for order in books.orders}
    return [order for slot in state.by_index for name, order in state.orders.of(slot.instrument).items() if name not in there]


def still_open(state: EngineState, books: VenueBooks) -> list[OrderState]:
    """Orders of ours whose cancel was asked for and that the venue holds open all the same."""
    found = (state.orders.by_id.get(order.client_order_id) for order in books.orders)
    return [order for order in found if order is not None and order.status is Status.PENDING_CANCEL]


def adoptions(state: EngineState, books: VenueBooks, ts_ns: int) -> list[Event]:
    """Positions to take over where the lots differ."""
    theirs = {position.instrument: position for position in books.positions}
    found: list[Event] = []
    for slot in state.by_index:
        position = theirs.get(slot.instrument)
        lots, cost_e8 = (position.lots, position.cost_e8) if position is not None else (0, 0)
        if lots != slot.position_lots:
            found.append(PositionAdopted(ts_ns, slot.instrument, lots, cost_e8))
    return found


def restatements(state: EngineState, books: VenueBooks, seen: Seen, ts_ns: int, since: Agreed | None = None) -> list[CostRestated]:
    """Costs of positions that explain a difference of the wallets to the last unit, where the lots are the same.

    Fills told out of order release other shares of a position's cost than the venue's books did, so more or less of the same profit is
    realised: our costs and wallet are off by one and the same amount. Where the sums are not equal nothing is restated. They are equal to
    the venue's wallet, or, where money is in it that nothing explains, to what its ledger gives `since` the books were last equal; who has
    not seen them equal yet believes the balances beside the ledger's rows. Without that, people would be shown a difference that is in part
    our own.
    """
    theirs = {position.instrument: position for position in books.positions}
    found: list[CostRestated] = []
    moved_e8 = 0
    for slot in state.by_index:
        position = theirs.get(slot.instrument)
        if (position.lots if position is not None else 0) != slot.position_lots:
            return []
        cost_e8 = int(state.costs[slot.index])
        if position is not None and position.cost_e8 != cost_e8:
            moved_e8 += position.cost_e8 - cost_e8
            found.append(CostRestated(ts_ns, slot.instrument, position.cost_e8))
    ours_e8 = state.account_view[WALLET] + moved_e8 + _told_e8(books, seen)
    explained = balances_e8(books) if since is None else {since.explained_e8(books)}
    return found if moved_e8 and ours_e8 in {books.wallet.wallet_e8, *explained} else []


def balances_e8(books: VenueBooks) -> set[int]:
    """What the wallet holds by the ledger alone: the balance beside a row, and what later rows changed. One sum, where nothing is odd."""
    found, later_e8 = set[int](), 0
    for entry in reversed(books.ledger):
        if entry.balance_e8 is not None:
            found.add(entry.balance_e8 + later_e8)
        later_e8 += entry.change_e8
    return found


def differences(
    state: EngineState, books: VenueBooks, seen: Seen, foreign: Foreign, *, wallet_tolerance_e8: int, ts_ns: int
) -> list[BooksDiffer]:
    """What is left when everything known is booked."""
    found = _orders_differ(state, books, foreign, ts_ns) + ledger_differences(books.ledger, seen, ts_ns)
    lots = {slot.instrument: slot.position_lots for slot in state.by_index}
    theirs = {position.instrument: position.lots for position in books.positions}
    for name in sorted(lots.keys() | theirs.keys()):
        ours, held = lots.get(name), theirs.get(name, 0)
        if ours is None and foreign is Foreign.REFUSE:
            found.append(BooksDiffer(ts_ns, FOREIGN_POSITION, name, "", 0, held))
        elif ours is not None and ours != held:
            found.append(BooksDiffer(ts_ns, POSITION_DIFFERS, name, "", ours, held))
    wallet = state.account_view[WALLET]
    if abs(wallet + _told_e8(books, seen) - books.wallet.wallet_e8) > wallet_tolerance_e8:
        found.append(BooksDiffer(ts_ns, WALLET_DIFFERS, "", "", wallet, books.wallet.wallet_e8))
    return found


def _told_e8(books: VenueBooks, seen: Seen) -> int:
    """What rows nobody understands changed; they are reported one by one."""
    return sum(entry.change_e8 for entry in not_understood(books.ledger, seen))


def foreign_orders(state: EngineState, books: VenueBooks) -> list[VenueOrder]:
    """Open orders that are not ours. The venue's own stops on a position, which can only reduce it, are nobody's."""
    return [
        order
        for order in books.orders
        if order.client_order_id not in state.orders.by_id
        and not (order.is_conditional and order.reduce_only and not order.client_order_id)
    ]


def _orders_differ(state: EngineState, books: VenueBooks, foreign: Foreign, ts_ns: int) -> list[BooksDiffer]:
    found = []
    for order in books.orders:
        ours = state.orders.by_id.get(order.client_order_id)
        if ours is not None and not ours.is_live:
            left = order.qty_lots - order.cum_lots
            found.append(BooksDiffer(ts_ns, ORDER_ALIVE, order.instrument, order.client_order_id, 0, left))
    for order in foreign_orders(state, books):
        name, left = order.client_order_id or order.venue_order_id, order.qty_lots - order.cum_lots
        if name.startswith(GUARD_PREFIX):
            found.append(BooksDiffer(ts_ns, GUARD_ACTS, order.instrument, name, 0, left))
        elif foreign is Foreign.REFUSE:
            found.append(BooksDiffer(ts_ns, FOREIGN_ORDER, order.instrument, name, 0, left))
    return found

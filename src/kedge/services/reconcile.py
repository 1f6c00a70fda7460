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

from kedge.domain.events import BooksDiffer, CashMoved, Event, FundingSettled, OrderAccepted, OrderFilled, PositionAdopted
from kedge.domain.orders import FillCause
from kedge.domain.venue import LedgerEntry, LedgerKind, TradingVenue, VenueOrder, VenuePosition, VenueWallet
from kedge.engine.lifecycle import Status
from kedge.engine.orders import OrderState
from kedge.engine.state import EngineState
from kedge.kernel.account import WALLET
from kedge.services.seen import Seen

FOREIGN_ORDER = "FOREIGN_ORDER"
FOREIGN_POSITION = "FOREIGN_POSITION"
POSITION_DIFFERS = "POSITION_DIFFERS"
WALLET_DIFFERS = "WALLET_DIFFERS"
ORDER_ALIVE = "ORDER_ALIVE"
ORDER_VANISHED = "ORDER_VANISHED"
DIFFERENCE_CODES = (FOREIGN_ORDER, FOREIGN_POSITION, POSITION_DIFFERS, WALLET_DIFFERS, ORDER_ALIVE, ORDER_VANISHED)


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
    found += [cash for entry in books.ledger if (cash := cash_of(entry)) is not None and cash not in seen]
    return sorted(found, key=lambda event: event.ts_ns)


def ours_or_adopted(state: EngineState, event: OrderFilled | FundingSettled, foreign: Foreign) -> OrderFilled | FundingSettled:
    """A fill of an order we do not know is taken over where that is allowed; else it stays as it is and the engine halts on it."""
    if not isinstance(event, OrderFilled) or event.cause is not FillCause.TRADE or foreign is Foreign.REFUSE:
        return event
    if event.client_order_id in state.orders.by_id or event.instrument not in state.slots:
        return event
    return msgspec.structs.replace(event, client_order_id="", cause=FillCause.ADOPTED)


def cash_of(entry: LedgerEntry) -> CashMoved | None:
    """A ledger entry that no execution tells: transfers, the insurance fund's cover, bonus, interest."""
    if entry.kind in (LedgerKind.TRADE, LedgerKind.FUNDING) or entry.fill_id or not entry.change_e8:
        return None
    return CashMoved(entry.ts_ns, entry.change_e8, entry.word, entry.entry_id)


def shown(state: EngineState, books: VenueBooks, ts_ns: int) -> list[Event]:
    """Orders of ours that the venue holds open and that we did not know to have arrived."""
    found: list[Event] = []
    for theirs in books.orders:
        ours = state.orders.by_id.get(theirs.client_order_id)
        if ours is not None and ours.is_live and (ours.status in (Status.PENDING_NEW, Status.UNKNOWN) or not ours.venue_order_id):
            found.append(OrderAccepted(ts_ns, theirs.client_order_id, theirs.venue_order_id))
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


def differences(state: EngineState, books: VenueBooks, foreign: Foreign, *, wallet_tolerance_e8: int, ts_ns: int) -> list[BooksDiffer]:
    """What is left when everything known is booked."""
    found = _orders_differ(state, books, foreign, ts_ns)
    lots = {slot.instrument: slot.position_lots for slot in state.by_index}
    theirs = {position.instrument: position.lots for position in books.positions}
    for name in sorted(lots.keys() | theirs.keys()):
        ours, held = lots.get(name), theirs.get(name, 0)
        if ours is None and foreign is Foreign.REFUSE:
            found.append(BooksDiffer(ts_ns, FOREIGN_POSITION, name, "", 0, held))
        elif ours is not None and ours != held:
            found.append(BooksDiffer(ts_ns, POSITION_DIFFERS, name, "", ours, held))
    wallet = state.account_view[WALLET]
    if abs(wallet - books.wallet.wallet_e8) > wallet_tolerance_e8:
        found.append(BooksDiffer(ts_ns, WALLET_DIFFERS, "", "", wallet, books.wallet.wallet_e8))
    return found


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
    if foreign is Foreign.REFUSE:
        for order in foreign_orders(state, books):
            name = order.client_order_id or order.venue_order_id
            found.append(BooksDiffer(ts_ns, FOREIGN_ORDER, order.instrument, name, 0, order.qty_lots - order.cum_lots))
    return found

"""Orders, fills and positions as plain values.

An `OrderIntent` has not passed the limits; an `ApprovedOrder` has, and is the only thing a gateway accepts.
Sides are an enum on orders, quantities are positive there; positions are signed.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from kedge.domain.instrument import InstrumentId, NonNegativeInt, PositiveInt

ClientOrderId = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,36}$")]

GUARD_PREFIX: Final = "kg-"
"""How the client ids of the guard's orders begin. Ours never do; we leave such orders alone and add no risk once one is seen."""


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderKind(StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """GTC rests, IOC takes what it can, FOK all or nothing, POST_ONLY is cancelled if it would take."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class Liquidity(StrEnum):
    """Role of a fill."""

    MAKER = "maker"
    TAKER = "taker"


class FillCause(StrEnum):
    """Why a fill happened: our order traded, the venue acted by itself, or somebody else traded on our account and we take it over.

    The venue acts by itself when it liquidates, when it deleverages a winner against somebody's loss (ADL), and when the stop that
    lies at the position is triggered.
    """

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    STOP = "stop"
    ADOPTED = "adopted"


BY_VENUE: Final = frozenset({FillCause.LIQUIDATION, FillCause.ADL, FillCause.STOP})
"""Causes of fills that nobody of us ordered at that moment."""


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An order we would like to send; it has not passed the limits.

    `limit_ticks` is 0 for market orders. `qty_lots` is positive. With `trigger_ticks` the order is conditional: it waits at the venue
    until the mark price has risen (`trigger_rises`) or fallen to it.
    """

    client_order_id: ClientOrderId
    decision_id: str
    strategy: str
    instrument: InstrumentId
    side: Side
    kind: OrderKind
    time_in_force: TimeInForce
    qty_lots: PositiveInt
    limit_ticks: NonNegativeInt = 0
    reduce_only: bool = False
    slice_no: NonNegativeInt = 0
    attempt: NonNegativeInt = 0
    trigger_ticks: NonNegativeInt = 0
    trigger_rises: bool = False

    @property
    def signed_lots(self) -> int:
        return self.qty_lots if self.side is Side.BUY else -self.qty_lots


class ApprovedOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order that passed every limit of `limits_version`. Only the risk gate makes these.

    `override_id` is the approval by which two people let it pass a limit that would have refused it; empty where none did.
    """

    order: OrderIntent
    limits_version: str
    override_id: str = ""


def client_order_id(account: str, decision_id: str, leg: int, slice_no: int, attempt: int) -> str:
    """The idempotency key, made before sending: 32 hex digits of SHA-256, so a repeat carries the same id."""
    text = f"{account}|{decision_id}|{leg}|{slice_no}|{attempt}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]

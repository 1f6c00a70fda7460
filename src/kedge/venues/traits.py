"""What a venue's client can and cannot do beside its port. A client that lacks a trait says so here and never pretends."""

from __future__ import annotations

import msgspec


class VenueTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client gives of the port `TradingVenue`.

    Attributes
    ----------
    trading : bool
        Orders can be sent, amended and cancelled.
    account : bool
        Orders, executions, positions and wallet can be read.
    pushes : bool
        News come over streams as they happen; else they are asked for at intervals, and the barrier asks once more.
    ledger : bool
        Changes of the wallet can be read whole.
    settlements : bool
        Funding that the account paid or got is among the executions.
    conditional_orders : bool
        Orders that wait for a trigger by the mark.
    stop_loss : bool
        A stop for the whole position lies at the venue.
    margin_tiers : bool
        Instruments carry the venue's own margin tiers; else one tier with leverage 1 and full maintenance, the strictest there is.
    own_fees : bool
        Instruments carry this account's fees; else the venue's public ones.
    disconnect_cancel : bool
        Resting orders are cancelled when our connection is gone.
    live : bool
        Real money may be traded.
    """

    trading: bool = True
    account: bool = True
    pushes: bool = True
    ledger: bool = True
    settlements: bool = True
    conditional_orders: bool = True
    stop_loss: bool = True
    margin_tiers: bool = True
    own_fees: bool = True
    disconnect_cancel: bool = True
    live: bool = True

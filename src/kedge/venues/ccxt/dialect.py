"""What ccxt does not make alike of an exchange: how it names client ids, and the rows of an account to the last unit.

ccxt's unified rows leave out why a fill happened, what of an order is left, and what is in a wallet without open profit. So an account is
read, and orders are sent, only where somebody wrote a dialect for the exchange and proved it against that exchange's protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from kedge.domain.events import FundingSettled, OrderFilled
from kedge.domain.instrument import Instrument, InstrumentId
from kedge.domain.orders import OrderIntent
from kedge.domain.venue import LedgerEntry, VenueOrder, VenuePosition, VenueWallet
from kedge.venues.ccxt.client import CcxtClient
from kedge.venues.traits import VenueTraits

Records = Mapping[str, Instrument]
"""Instruments by the exchange's own name of a market."""
Know = Callable[[str], Instrument]


class AccountDialect(Protocol):
    """One exchange's account. Reads raise what `CcxtClient.read` raises, lists are whole and oldest first."""

    traits: VenueTraits
    taken_codes: frozenset[str]

    def order_params(self, order: OrderIntent, record: Instrument) -> dict[str, Any]:
        """What goes beside ccxt's own arguments of a create."""

    def id_params(self, client_order_id: str) -> dict[str, Any]:
        """How an order is named by our id in a cancel or an amend."""

    def market_facts(self, market: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of `MarketFacts` that the exchange says in its own row of a market."""

    async def open_orders(self, client: CcxtClient, know: Know) -> list[VenueOrder]: ...
    async def find_order(self, client: CcxtClient, record: Instrument, client_order_id: str) -> VenueOrder | None: ...
    async def executions(
        self, client: CcxtClient, know: Know, since_ts_ns: int, until_ts_ns: int
    ) -> list[OrderFilled | FundingSettled]: ...
    async def positions(self, client: CcxtClient, know: Know) -> list[VenuePosition]: ...
    async def wallet(self, client: CcxtClient, coin: str, ts_ns: int) -> VenueWallet: ...
    async def ledger(self, client: CcxtClient, coin: str, since_ts_ns: int, until_ts_ns: int) -> list[LedgerEntry]: ...
    async def set_stop_loss(self, client: CcxtClient, record: Instrument, stop_loss: str) -> Any:
        """The stop of a whole position, as a price or "0"; answers what `CcxtClient.write` answers."""


MARKET_DATA: Final = VenueTraits(
    trading=False, account=False, pushes=False, ledger=False, settlements=False, conditional_orders=False, stop_loss=False,
    margin_tiers=False, own_fees=False, disconnect_cancel=False, live=False,
)  # fmt: skip
"""What any exchange gives: instruments, bars, funding rates, quotes and time."""


def dialect_of(exchange: str) -> AccountDialect | None:
    """The dialect of an exchange; None where nobody wrote one."""
    from kedge.venues.ccxt.bybit import BybitAccount

    return BybitAccount() if exchange == "bybit" else None


__all__ = ["MARKET_DATA", "AccountDialect", "InstrumentId", "Know", "Records", "dialect_of"]

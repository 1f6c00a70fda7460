"""ccxt's markets to instruments: the grid exactly, and of the rest only what is known.

Rules: quantities that an exchange counts in contracts become lots of the base currency; what is unknown is set to the strictest there is
and named in a warning, or the market is refused; limits that would let integers overflow are lowered to what the arithmetic can prove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, Final, NamedTuple

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId, RiskTier, tick_value_e8
from kedge.domain.units import E8, INT64_MAX
from kedge.venues.ccxt.numbers import decimal_of, e8_of, is_blank, optional_e8, unreadable

PRICE_HEADROOM: Final = 20
"""The price bound of a record is this many times the present price's power of two, or the exchange's own bound where that is lower."""
COLLAR_DEFAULT_BPS: Final = 100
TICK_SIZE: Final = 4
DECIMAL_PLACES: Final = 2
"""The library's ways of saying how precise a number is; the third, significant digits, makes no grid."""


class MarketFacts(NamedTuple):
    """What is known of a market beside ccxt's own record of it.

    Attributes
    ----------
    tiers : sequence of mapping
        ccxt's rows of leverage tiers, in the quote currency; empty where nobody says.
    market_max : str or None
        Largest market order, in the units of ccxt's amounts.
    notional_min : str or None
        Smallest notional, in the quote currency.
    collar : str or None
        How far from the mark a limit price may lie, as a fraction.
    """

    price_now: Any
    maker: Any
    taker: Any
    funding_interval_ns: int
    tiers: Sequence[Mapping[str, Any]] = ()
    market_max: Any = None
    notional_min: Any = None
    collar: Any = None


def instrument_id(exchange: str, market_id: str) -> InstrumentId:
    """Our name of a market, such as `okx-linear:BTC-USDT-SWAP`."""
    return f"{exchange}-linear:{market_id}"


def market_id_of(exchange: str, name: InstrumentId) -> str:
    """The exchange's own name of an instrument.

    Raises
    ------
    InvalidInput
        The instrument belongs to another venue.
    """
    venue, _, market_id = name.partition(":")
    if venue != f"{exchange}-linear" or not market_id:
        raise InvalidInput(f"instrument is {name!r}", why=f"not of {exchange}-linear", fix=f"write it as {exchange}-linear:SYMBOL")
    return market_id


def contract_size(market: Mapping[str, Any]) -> Decimal:
    """How much of the base currency one of the units is in which ccxt counts amounts of this market."""
    size = market.get("contractSize")
    found = Decimal(1) if is_blank(size) else decimal_of(size, f"{market['id']} contractSize")
    if found <= 0:
        unreadable(f"{market['id']} contractSize", size, "must be positive")
    return found


def check_market(market: Mapping[str, Any], coin: str) -> None:
    """Refuse what is not a trading linear perpetual settled in a coin.

    Raises
    ------
    InvalidInput
        It is something else.
    """
    if not (market.get("swap") and market.get("linear") and market.get("settle") == coin and market.get("active") is not False):
        raise InvalidInput(
            f"{market.get('id')} is {market.get('type')}, settled in {market.get('settle')}, active {market.get('active')}",
            why=f"only linear perpetuals settled in {coin} that trade are supported",
            fix="take it out of the configuration",
        )


def instrument_from(exchange: str, mode: int, market: Mapping[str, Any], facts: MarketFacts) -> Instrument:
    """The record in force.

    Parameters
    ----------
    mode : int
        The library's `precisionMode` of this exchange.

    Raises
    ------
    UnreadableAnswer
        A number is missing or makes no grid.
    """
    name, limits = str(market["id"]), market["limits"]
    size = contract_size(market)
    tick_e8 = _step_e8(mode, market["precision"]["price"], Decimal(1), f"{name} price precision")
    lot_e8 = _step_e8(mode, market["precision"]["amount"], size, f"{name} amount precision")
    value_e8 = tick_value_e8(tick_e8, lot_e8, name=name)
    reference_e8 = _bucket(_positive(facts.price_now, f"{name} price"))
    price_max_e8 = min(optional_e8(limits["price"]["max"], f"{name} price max") or INT64_MAX, reference_e8 * PRICE_HEADROOM)
    price_max = max(1, price_max_e8 // tick_e8)
    order_min = -(-_amount_e8(limits["amount"]["min"], size, f"{name} amount min") // lot_e8) or 1
    order_max = _amount_e8(limits["amount"]["max"], size, f"{name} amount max") // lot_e8 or INT64_MAX
    market_max = min(order_max, _amount_e8(facts.market_max, size, f"{name} market max") // lot_e8 or order_max)
    reference_value_e8 = max(1, reference_e8 // tick_e8 * value_e8)
    tiers = _tiers(name, facts.tiers)
    position_max = (tiers[-1].notional_max_e8 if tiers else INT64_MAX) // reference_value_e8
    order_max, market_max, position_max = _provable(price_max, value_e8, tick_e8, (order_max, market_max, position_max))
    return Instrument(
        instrument_id=instrument_id(exchange, name),
        base=str(market["base"]),
        quote=str(market["quote"]),
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        tick_value_e8=value_e8,
        price_max_ticks=price_max,
        order_qty_min_lots=order_min,
        order_qty_max_lots=order_max,
        market_qty_max_lots=market_max,
        position_max_lots=position_max,
        notional_min_e8=_first_e8((facts.notional_min, limits["cost"]["min"]), f"{name} smallest notional"),
        maker_fee_e8=e8_of(facts.maker, f"{name} maker fee"),
        taker_fee_e8=e8_of(facts.taker, f"{name} taker fee"),
        leverage_max_e2=tiers[0].leverage_max_e2 if tiers else 100,
        tiers=tiers or (_strictest(price_max * value_e8 * position_max),),
        funding_interval_ns=facts.funding_interval_ns,
        price_collar_bps=max(1, (optional_e8(facts.collar, f"{name} collar") or 0) * 10_000 // E8) if facts.collar else COLLAR_DEFAULT_BPS,
    )


def _strictest(notional_max_e8: int) -> RiskTier:
    """Where nobody says what margin is asked for: all of it."""
    return RiskTier(notional_max_e8=max(1, notional_max_e8), maintenance_rate_e8=E8, deduction_e8=0, leverage_max_e2=100)


def _step_e8(mode: int, precision: Any, size: Decimal, field: str) -> int:
    if mode not in (TICK_SIZE, DECIMAL_PLACES):
        unreadable(field, precision, "an exchange that counts significant digits has no grid")
    with localcontext() as exact:
        exact.prec = 60
        found = decimal_of(precision, field)
        step = Decimal(1).scaleb(-int(found)) if mode == DECIMAL_PLACES else found
        scaled = step * size * E8
    if scaled < 1 or scaled != int(scaled):
        unreadable(field, precision, "not a whole number of 1e-8")
    return int(scaled)


def _positive(value: Any, field: str) -> int:
    found = e8_of(value, field)
    if found < 1:
        unreadable(field, value, "must be positive")
    return found


def _amount_e8(value: Any, size: Decimal, field: str) -> int:
    """An amount in 1e-8 of the base currency; 0 where none is said."""
    if is_blank(value):
        return 0
    with localcontext() as exact:
        exact.prec = 60
        return int(decimal_of(value, field) * size * E8)


def _first_e8(values: Sequence[Any], field: str) -> int:
    return next((e8_of(value, field) for value in values if not is_blank(value)), 0)


def _bucket(price_e8: int) -> int:
    """The smallest power of two that is not below a price."""
    return 1 << (price_e8 - 1).bit_length()


def _tiers(name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[RiskTier, ...]:
    found = sorted(rows, key=lambda row: _positive(row["maxNotional"], f"{name} maxNotional"))
    for low, high in pairwise(found):
        if e8_of(low["maintenanceMarginRate"], "maintenanceMarginRate") > e8_of(high["maintenanceMarginRate"], "maintenanceMarginRate"):
            unreadable(f"{name} maintenanceMarginRate", high["maintenanceMarginRate"], "a larger tier asks for less")
    tiers: list[RiskTier] = []
    for row in found:
        tiers.append(_tier(name, row, tiers[-1] if tiers else None))
    return tuple(tiers)


def _tier(name: str, row: Mapping[str, Any], below: RiskTier | None) -> RiskTier:
    rate_e8 = _positive(row["maintenanceMarginRate"], f"{name} maintenanceMarginRate")
    deduction_e8 = below.deduction_e8 + below.notional_max_e8 * (rate_e8 - below.maintenance_rate_e8) // E8 if below else 0
    return RiskTier(
        notional_max_e8=_positive(row["maxNotional"], f"{name} maxNotional"),
        maintenance_rate_e8=rate_e8,
        deduction_e8=deduction_e8,
        leverage_max_e2=max(1, _positive(row["maxLeverage"], f"{name} maxLeverage") * 100 // E8),
    )


def _provable(price_max: int, value_e8: int, tick_e8: int, maxima: tuple[int, int, int]) -> tuple[int, int, int]:
    """Lower the largest quantities to what the kernel can hold: position and order together, at the highest price."""
    order, market, position = maxima
    both = min(INT64_MAX // (2 * (price_max + 1) * value_e8), INT64_MAX // (tick_e8 * value_e8))
    while price_max * both * value_e8 + both * both > INT64_MAX:
        both //= 2
    order, market = min(order, both // 2), min(market, both // 2)
    return max(1, order), max(1, market), max(1, min(position, both - max(order, market)))

"""The venue's rules of a contract to an `Instrument`: grid, order limits, margin tiers, this account's fees.

Rules: tiers are sorted by us and their deductions computed by the recurrence, then compared with the venue's; limits that would
let integers overflow are lowered to what the arithmetic can prove, never raised; a contract that is not a trading linear USDT
perpetual is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument, InstrumentId, RiskTier, tick_value_e8
from kedge.domain.units import E8, INT64_MAX, NS_PER_S
from kedge.venues.bybit.codec_market import FeeRateData, InstrumentData, RiskLimitData
from kedge.venues.bybit.codec_numbers import is_blank, money_e8, optional_money_e8, unreadable

VENUE: Final = "bybit-linear"
PRICE_HEADROOM: Final = 20
"""The price bound of a record is this many times the present price's bucket, or the venue's own bound where that is lower."""

COLLAR_DEFAULT_BPS: Final = 100
_DEDUCTION_SLACK_E8: Final = E8 // 100


def instrument_id_of(symbol: str) -> InstrumentId:
    """Our name of a symbol, such as `bybit-linear:BTCUSDT`."""
    return f"{VENUE}:{symbol}"


def symbol_of(instrument_id: InstrumentId) -> str:
    """The venue's symbol of our name.

    Raises
    ------
    InvalidInput
        The instrument belongs to another venue.
    """
    venue, _, symbol = instrument_id.partition(":")
    if venue != VENUE or not symbol:
        raise InvalidInput(f"instrument is {instrument_id!r}", why=f"not of {VENUE}", fix=f"write it as {VENUE}:BTCUSDT")
    return symbol


def instrument_from(
    data: InstrumentData,
    tiers: Sequence[RiskLimitData],
    fees: FeeRateData,
    *,
    reference_price: str | None,
    valid_from_ns: int = 0,
) -> Instrument:
    """The record in force.

    Parameters
    ----------
    tiers : sequence
        The rows of risk-limit for this symbol, in any order.
    fees : FeeRateData
        This account's rates.
    reference_price : str, optional
        The mark or last price now, in the quote coin; its power of two bounds price and position, so that a record read again is the
        same one unless the price has doubled or halved. None where the market has none yet.

    Raises
    ------
    InvalidInput
        Not a trading linear USDT perpetual.
    UnreadablePayload
        A number is missing or contradicts another.
    """
    _check_kind(data)
    name = data.symbol
    tick_e8 = _positive(data.price_filter.tick_size, f"{name} tickSize")
    lot_e8 = _positive(data.lot_size_filter.qty_step, f"{name} qtyStep")
    lots = data.lot_size_filter
    ladder = _tiers(name, tiers)
    price_max_e8 = _positive(data.price_filter.max_price, f"{name} maxPrice")
    reference_e8 = None if is_blank(reference_price) else _bucket(_positive(reference_price or "", f"{name} reference price"))
    if reference_e8 is not None:
        price_max_e8 = min(price_max_e8, reference_e8 * PRICE_HEADROOM)
    order_max = _positive(lots.max_order_qty, f"{name} maxOrderQty") // lot_e8
    market_text = lots.max_order_qty if is_blank(lots.max_mkt_order_qty) else lots.max_mkt_order_qty
    market_max = _positive(market_text or "", f"{name} maxMktOrderQty") // lot_e8
    value_e8 = tick_value_e8(tick_e8, lot_e8, name=name)
    price_max_ticks = max(1, price_max_e8 // tick_e8)
    position_max = ladder[-1].notional_max_e8 // max(1, (reference_e8 or price_max_e8) // tick_e8 * value_e8)
    order_max, market_max, position_max = _provable(price_max_ticks, value_e8, tick_e8, (order_max, market_max, position_max))
    return Instrument(
        instrument_id=instrument_id_of(name),
        base=data.base_coin,
        quote=data.quote_coin,
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        tick_value_e8=value_e8,
        price_max_ticks=price_max_ticks,
        order_qty_min_lots=-(-_positive(lots.min_order_qty, f"{name} minOrderQty") // lot_e8),
        order_qty_max_lots=order_max,
        market_qty_max_lots=market_max,
        position_max_lots=position_max,
        notional_min_e8=optional_money_e8(lots.min_notional_value, f"{name} minNotionalValue") or 0,
        maker_fee_e8=money_e8(fees.maker_fee_rate, f"{name} makerFeeRate"),
        taker_fee_e8=money_e8(fees.taker_fee_rate, f"{name} takerFeeRate"),
        leverage_max_e2=_leverage_e2(data.leverage_filter.max_leverage, f"{name} maxLeverage"),
        tiers=ladder,
        funding_interval_ns=data.funding_interval * 60 * NS_PER_S,
        price_collar_bps=_collar_bps(data),
        valid_from_ns=valid_from_ns,
    )


def _check_kind(data: InstrumentData) -> None:
    if (data.contract_type, data.settle_coin, data.status) != ("LinearPerpetual", "USDT", "Trading"):
        raise InvalidInput(
            f"{data.symbol} is {data.contract_type}, settled in {data.settle_coin}, {data.status}",
            why="only linear USDT perpetuals that trade are supported",
            fix="take the symbol out of the configuration",
        )


def _positive(text: str, field: str) -> int:
    value = money_e8(text, field)
    if value <= 0:
        raise unreadable(field, text, "must be positive")
    return value


def _bucket(price_e8: int) -> int:
    """The smallest power of two that is not below a price."""
    return 1 << (price_e8 - 1).bit_length()


def _leverage_e2(text: str, field: str) -> int:
    return max(1, _positive(text, field) * 100 // E8)


def _collar_bps(data: InstrumentData) -> int:
    ratio = data.risk_parameters.price_limit_ratio_x if data.risk_parameters else None
    ratio_e8 = optional_money_e8(ratio, f"{data.symbol} priceLimitRatioX")
    return max(1, ratio_e8 * 10_000 // E8) if ratio_e8 else COLLAR_DEFAULT_BPS


def _tiers(name: str, rows: Sequence[RiskLimitData]) -> tuple[RiskTier, ...]:
    if not rows:
        raise unreadable(f"{name} risk-limit", "an empty list", "at least one margin tier is needed")
    found = sorted(rows, key=lambda row: money_e8(row.risk_limit_value, f"{name} riskLimitValue"))
    for low, high in pairwise(found):
        if money_e8(low.maintenance_margin, "maintenanceMargin") > money_e8(high.maintenance_margin, "maintenanceMargin"):
            raise unreadable(f"{name} risk-limit {high.id} maintenanceMargin", high.maintenance_margin, "a larger tier asks for less")
    tiers: list[RiskTier] = []
    for row in found:
        tiers.append(_tier(name, row, tiers[-1] if tiers else None))
    return tuple(tiers)


def _tier(name: str, row: RiskLimitData, below: RiskTier | None) -> RiskTier:
    field = f"{name} risk-limit {row.id}"
    rate_e8 = _positive(row.maintenance_margin, f"{field} maintenanceMargin")
    deduction_e8 = below.deduction_e8 + below.notional_max_e8 * (rate_e8 - below.maintenance_rate_e8) // E8 if below else 0
    stated_e8 = optional_money_e8(row.mm_deduction, f"{field} mmDeduction")
    if stated_e8 is not None and abs(stated_e8 - deduction_e8) > _DEDUCTION_SLACK_E8 + deduction_e8 // 10_000:
        raise unreadable(f"{field} mmDeduction", row.mm_deduction, f"the tiers below give {deduction_e8 / E8:g}")
    return RiskTier(
        notional_max_e8=_positive(row.risk_limit_value, f"{field} riskLimitValue"),
        maintenance_rate_e8=rate_e8,
        deduction_e8=deduction_e8,
        leverage_max_e2=_leverage_e2(row.max_leverage, f"{field} maxLeverage"),
    )


def _provable(price_max: int, value_e8: int, tick_e8: int, maxima: tuple[int, int, int]) -> tuple[int, int, int]:
    """Lower the largest quantities to what `prove_bounds` can hold: position and order together, at the highest price."""
    order, market, position = maxima
    both = min(INT64_MAX // (2 * (price_max + 1) * value_e8), INT64_MAX // (tick_e8 * value_e8))
    while price_max * both * value_e8 + both * both > INT64_MAX:
        both //= 2
    order, market = min(order, both // 2), min(market, both // 2)
    return max(1, order), max(1, market), max(1, min(position, both - max(order, market)))

"""What is listed and on which terms: `instruments-info` and `risk-limit`."""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.instrument import Instrument, RiskTier
from kedge.domain.units import E8, NS_PER_MS
from kedge.simulation.venue_types import MINUTE_NS, VenueSettings
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.routes import Call, Result
from kedge.venues.exchange.routes_params import LINEAR, category, instrument, limit, offset, text
from kedge.venues.exchange.texts import Grid, e8_text

_TRADING: Final = "Trading"
_INSTRUMENTS_MOST: Final = 1_000
_INSTRUMENTS_USUAL: Final = 500
_RISK_SYMBOLS: Final = 15
_E8_PER_BPS: Final = 10_000


def instruments_info(call: Call) -> Result:
    """GET /v5/market/instruments-info: everything listed is trading; other categories and states have nothing."""
    kind = category(call.params)
    found = _wanted(call) if kind == LINEAR else []
    first, size = offset(call.params), limit(call.params, _INSTRUMENTS_USUAL, _INSTRUMENTS_MOST)
    numbers = {name: n for n, name in enumerate(sorted(call.hall.instruments), 1)}
    rows = [_listing(call.hall, spec, numbers[spec.venue_symbol]) for spec in found[first : first + size]]
    cursor = str(first + size) if first + size < len(found) else ""
    return {"category": kind, "list": rows, "nextPageCursor": cursor}


def risk_limit(call: Call) -> Result:
    """GET /v5/market/risk-limit: margin tiers as fractions, ascending; without a symbol 15 symbols a page."""
    kind = category(call.params)
    first = offset(call.params)
    if kind != LINEAR:
        specs = []
    elif text(call.params, "symbol"):
        specs, first = [instrument(call.hall, call.params)], 0
    else:
        specs = _sorted(call.hall)
    page = specs[first : first + _RISK_SYMBOLS]
    rows = [_tier(spec, n, tier) for spec in page for n, tier in enumerate(spec.tiers, 1)]
    cursor = str(first + _RISK_SYMBOLS) if first + _RISK_SYMBOLS < len(specs) else ""
    return {"category": kind, "list": rows, "nextPageCursor": cursor}


def _wanted(call: Call) -> list[Instrument]:
    params = call.params
    if text(params, "status", _TRADING) != _TRADING or text(params, "symbolType"):
        return []
    specs = [instrument(call.hall, params)] if text(params, "symbol") else _sorted(call.hall)
    base = text(params, "baseCoin")
    return [spec for spec in specs if not base or spec.base == base]


def _sorted(hall: Hall) -> list[Instrument]:
    return [hall.instruments[name] for name in sorted(hall.instruments)]


def _listing(hall: Hall, spec: Instrument, number: int) -> dict[str, Any]:
    grid, settings = hall.grids[spec.instrument_id], hall.venue.settings
    cap = e8_text(settings.funding_cap_e8)
    return {
        "symbol": spec.venue_symbol,
        "symbolId": number,
        "contractType": "LinearPerpetual",
        "status": _TRADING,
        "baseCoin": spec.base,
        "quoteCoin": spec.quote,
        "symbolType": "",
        "launchTime": str(spec.valid_from_ns // NS_PER_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(grid.price_digits),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": _two_places(spec.leverage_max_e2), "leverageStep": "0.01"},
        "priceFilter": {"minPrice": grid.price(1), "maxPrice": grid.price(spec.price_max_ticks), "tickSize": grid.price(1)},
        "lotSizeFilter": _lot_filter(spec, grid),
        "unifiedMarginTrade": True,
        "fundingInterval": spec.funding_interval_ns // MINUTE_NS,
        "settleCoin": spec.quote,
        "copyTrading": "none",
        "upperFundingRate": cap,
        "lowerFundingRate": e8_text(-settings.funding_cap_e8),
        "displayName": "",
        "forbidUplWithdrawal": False,
        "riskParameters": _price_limit_ratios(spec, settings),
        "isPreListing": False,
        "preListingInfo": None,
    }


def _lot_filter(spec: Instrument, grid: Grid) -> dict[str, str]:
    largest = grid.qty(spec.order_qty_max_lots)
    return {
        "maxOrderQty": largest,
        "minOrderQty": grid.qty(spec.order_qty_min_lots),
        "qtyStep": grid.qty(1),
        "postOnlyMaxOrderQty": largest,
        "maxMktOrderQty": grid.qty(spec.market_qty_max_lots),
        "minNotionalValue": e8_text(spec.notional_min_e8),
    }


def _price_limit_ratios(spec: Instrument, settings: VenueSettings) -> dict[str, str]:
    near_e8 = spec.price_collar_bps * _E8_PER_BPS
    return {"priceLimitRatioX": e8_text(near_e8), "priceLimitRatioY": e8_text(near_e8 * settings.outer_limit_factor)}


def _tier(spec: Instrument, number: int, tier: RiskTier) -> dict[str, Any]:
    initial_e8 = (2 * E8 * 100 + tier.leverage_max_e2) // (2 * tier.leverage_max_e2)
    return {
        "id": number,
        "symbol": spec.venue_symbol,
        "riskLimitValue": e8_text(tier.notional_max_e8),
        "maintenanceMargin": e8_text(tier.maintenance_rate_e8),
        "initialMargin": e8_text(initial_e8),
        "isLowestRisk": 1 if number == 1 else 0,
        "maxLeverage": _two_places(tier.leverage_max_e2),
        "mmDeduction": e8_text(tier.deduction_e8),
    }


def _two_places(number_e2: int) -> str:
    return f"{number_e2 // 100}.{number_e2 % 100:02d}"

"""Figures as words for people: money, shares, spans and prices of a record, exact and in the instrument's own units."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderIntent, OrderKind, Side
from kedge.domain.units import hex_float, money_text

_UNITS: Final = (("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000))
CENTS: Final = 2
FEE_PLACES: Final = 8


def percent_text(part_e8: int) -> str:
    """A fraction in 1e-8 as percent, without trailing zeros: 10_000_000 is '10 %'."""
    return f"{_short(Decimal(part_e8).scaleb(-6))} %"


def signed_percent_text(part_e8: int) -> str:
    """The same with its sign, also where it is positive."""
    return f"+{percent_text(part_e8)}" if part_e8 > 0 else percent_text(part_e8)


def span_text(span_ns: int) -> str:
    """A span in its largest whole unit: '4 h', '90 min', '1500 ms'."""
    for unit, size in _UNITS:
        if span_ns % size == 0 and span_ns:
            return f"{span_ns // size} {unit}"
    return f"{span_ns} ns"


def qty_text(spec: Instrument, lots: int) -> str:
    """A quantity with its currency: '0.012 BTC'; signed where it is."""
    return f"{spec.qty_text(lots)} {spec.base}"


def price_text(spec: Instrument, ticks: int) -> str:
    """A price with its currency: '60010.5 USDT'."""
    return f"{spec.price_text(ticks)} {spec.quote}"


def mid_text(spec: Instrument, mid2_ticks: int) -> str:
    """A mid from twice itself, exact, with its currency: '60010.25 USDT'."""
    return f"{_short(Decimal(mid2_ticks) * spec.tick_size / 2)} {spec.quote}"


def amount_text(spec: Instrument, amount_e8: int, places: int = CENTS) -> str:
    """Money in the instrument's quote currency."""
    return f"{money_text(amount_e8, places=places)} {spec.quote}"


def fee_text(spec: Instrument, fee_e8: int) -> str:
    """A fee in words: 'paid 0.33 USDT', or 'received' where the venue gave a rebate."""
    amount = _short(Decimal(abs(fee_e8)).scaleb(-FEE_PLACES))
    return f"{'received' if fee_e8 < 0 else 'paid'} {amount} {spec.quote}"


def order_text(spec: Instrument, order: OrderIntent) -> str:
    """An order in one line: 'market buy of 0.012 BTC', 'limit sell of 0.5 ETH at 3000.1 USDT, only to reduce'."""
    price = f" at {price_text(spec, order.limit_ticks)}" if order.kind is OrderKind.LIMIT else ""
    waits = f", once the mark {trigger_text(spec, order)}" if order.trigger_ticks else ""
    return f"{order.kind} {order.side} of {qty_text(spec, order.qty_lots)}{price}{waits}{', only to reduce' if order.reduce_only else ''}"


def trigger_text(spec: Instrument, order: OrderIntent) -> str:
    """What a conditional order waits for: 'rises to 60010.5 USDT'."""
    return f"{'rises' if order.trigger_rises else 'falls'} to {price_text(spec, order.trigger_ticks)}"


def terms_text(spec: Instrument, qty_lots: int | None, limit_ticks: int | None) -> str:
    """Quantity and limit of a change, only what it names: '0.5 BTC at 60010.5 USDT', 'a limit of 60010.5 USDT'."""
    if qty_lots is None:
        return f"a limit of {price_text(spec, limit_ticks or 0)}"
    return qty_text(spec, qty_lots) + (f" at {price_text(spec, limit_ticks)}" if limit_ticks else "")


def did_text(side: Side) -> str:
    """What a fill did."""
    return "bought" if side is Side.BUY else "sold"


def float_text(text: str) -> str:
    """A recorded float, shortest exact decimal beside its bits."""
    try:
        return f"{hex_float(text)!r} (bits {text})"
    except InvalidInput:
        return f"no float64: {text!r}"


def vector_of(blob: bytes) -> tuple[float, ...] | None:
    """A feature vector from its blob of little-endian float64; None where its length is no whole number of them."""
    return struct.unpack(f"<{len(blob) // 8}d", blob) if len(blob) % 8 == 0 else None


def _short(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

"""Members of a request beyond plain texts and numbers: words, flags, prices on the grid, and the instruments that are meant.

Rules: those of `routes_params`; unknown members are ignored, and what cannot be read ends the handler with its refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_MS
from kedge.simulation.venue_types import TriggerBy
from kedge.venues.exchange.codes import CATEGORY_INVALID, SYMBOL_INVALID, SYMBOL_OR_COIN_MISSING
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.routes import ApiError
from kedge.venues.exchange.routes_params import CATEGORIES, LINEAR, RefusedCall, text, whole
from kedge.venues.exchange.texts import Grid, read_e8

Params = Mapping[str, Any]
Meaning = TypeVar("Meaning")

ABSENT: Final = (None, "")
TRIGGERS: Final = {by.value: by for by in TriggerBy}
PRICE_INVALID: Final = 110003


def wrong(name: str, wanted: str) -> RefusedCall:
    """10001 for one member."""
    return RefusedCall(ApiError.parameter(f"params error: {name} invalid, expected {wanted}"))


def word(params: Params, name: str, known: Mapping[str, Meaning], default: str = "") -> Meaning:
    """What a word of a closed list stands for."""
    given = text(params, name, default)
    if given not in known:
        raise wrong(name, " or ".join(each for each in known if each))
    return known[given]


def flag(params: Params, name: str) -> bool:
    """True or false, also as text; false when absent."""
    given = params.get(name)
    if given is None or given is False or given in ("", "false"):
        return False
    if given is True or given == "true":
        return True
    raise wrong(name, "true or false")


def time_ns(params: Params, name: str) -> int | None:
    """A time sent in milliseconds, in nanoseconds; None when absent."""
    sent_ms = whole(params, name)
    return None if sent_ms is None else sent_ms * NS_PER_MS


def price_ticks(params: Params, name: str, grid: Grid) -> int | None:
    """A price on the grid; None when absent. Off the grid or past the largest is refused with 110003."""
    given = params.get(name)
    if given is None or given == "":
        return None
    price_e8 = read_e8(given)
    if price_e8 is None:
        raise wrong(name, "a number")
    ticks, off = divmod(price_e8, grid.tick_e8)
    if off or ticks > grid.price_max_ticks:
        raise RefusedCall(ApiError(PRICE_INVALID, f"price is invalid: {name} is not a multiple of the tick, or too large"))
    return ticks


def trigger_by(params: Params, name: str) -> TriggerBy:
    """The price a trigger watches, the last one by default."""
    given = params.get(name)
    return TriggerBy.LAST if given is None or given == "" else word(params, name, TRIGGERS)


def is_linear(params: Params, default: str = "") -> bool:
    """Whether the category is ours; False for one where nothing is listed."""
    given = params.get("category") or default
    if given == LINEAR:
        return True
    if not isinstance(given, str) or given not in CATEGORIES:
        raise RefusedCall(ApiError.parameter(CATEGORY_INVALID))
    return False


def listed(params: Params, hall: Hall) -> tuple[Grid, InstrumentId]:
    """The instrument that category and symbol name."""
    symbol = params.get("symbol") if is_linear(params) else None
    found = hall.instruments.get(symbol) if isinstance(symbol, str) else None
    if found is None:
        raise RefusedCall(ApiError.parameter(SYMBOL_INVALID))
    return hall.grids[found.instrument_id], found.instrument_id


def chosen(params: Params, hall: Hall, *, needed: bool) -> tuple[InstrumentId, ...]:
    """The listed instruments that symbol, else baseCoin, else settleCoin name; all when none is sent and none is needed.

    A coin that nothing is listed in chooses nothing; an unlisted symbol is refused.
    """
    symbol, base, settle = text(params, "symbol"), text(params, "baseCoin"), text(params, "settleCoin")
    if symbol:
        found = hall.instruments.get(symbol)
        if found is None:
            raise RefusedCall(ApiError.parameter(SYMBOL_INVALID))
        return (found.instrument_id,)
    if needed and not (base or settle):
        raise RefusedCall(ApiError.parameter(SYMBOL_OR_COIN_MISSING))
    return tuple(
        spec.instrument_id for spec in hall.instruments.values() if (spec.base == base if base else not settle or spec.quote == settle)
    )

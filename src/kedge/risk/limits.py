"""The limits as one versioned document. Fractions are of flow-adjusted equity, in 1e-8.

Defaults and their order come from the control table: every row is target <= soft <= hard, asserted when built. A field whose default is 0
is a row that is absent where nobody sets it, so that what was recorded before it existed keeps its meaning; a document of the product sets
all of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import msgspec

from kedge.domain.canonical import content_hash
from kedge.domain.errors import InvalidConfig
from kedge.domain.units import NS_PER_MS, NS_PER_S

Frac = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
FracOrNone = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
CountOrNone = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Multiple = Annotated[int, msgspec.Meta(ge=1, le=10_000_000_000)]
MultipleOrNone = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_000)]
SpanNs = Annotated[int, msgspec.Meta(ge=1)]
SpanNsOrNone = Annotated[int, msgspec.Meta(ge=0)]
Sigmas = Annotated[int, msgspec.Meta(ge=0, le=10_000)]

RISING = (
    ("order_notional_frac_soft_e8", "order_notional_frac_max_e8", "position_notional_frac_max_e8"),
    ("position_notional_frac_soft_e8", "position_notional_frac_max_e8", "gross_leverage_max_e8"),
    ("gross_leverage_soft_e8", "gross_leverage_max_e8"),
    ("net_leverage_max_e8", "gross_leverage_max_e8"),
    ("daily_loss_soft_e8", "daily_loss_reduce_e8", "daily_loss_halt_e8"),
    ("drawdown_soft_e8", "drawdown_reduce_e8", "drawdown_halt_e8"),
    ("var99_soft_e8", "var99_max_e8"),
    ("es975_soft_e8", "es975_max_e8"),
    ("margin_ratio_soft_e8", "margin_ratio_max_e8"),
    ("liquidation_distance_min_e8", "liquidation_distance_soft_e8"),
    ("liquidation_sigmas_min_e2", "liquidation_sigmas_soft_e2"),
    ("trade_risk_frac_soft_e8", "trade_risk_frac_max_e8"),
    ("manual_order_frac_soft_e8", "order_notional_frac_max_e8"),
    ("open_orders_instrument_max", "open_orders_total_max"),
    ("orders_per_second_max", "orders_per_10s_max"),
)
"""Fields that may not fall from left to right; absent ones are left out."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pre-trade limits and the levels at which the trader itself reduces or halts; 0 says that a row is absent.

    Attributes
    ----------
    liquidation_distance_min_e8, liquidation_sigmas_min_e2 : int
        After an order liquidation stays at least so far from the mark: the fraction, or so many hundredths of a daily standard deviation,
        whichever is more.
    trade_risk_frac_max_e8 : int
        What a position may lose until its stop fires, with the order filled.
    decisions_max, decisions_window_ns : int
        A strategy that acts on more decisions within this span of venue time may only reduce until a person lets it go on.
    fill_deviation_bps_max, fill_deviation_fills_min, fill_deviation_window_ns : int
        Fills within the window may on average lie this far on the bad side of the mark at their time, once there are so many.
    manual_order_frac_soft_e8 : int
        An order by a person above this notional needs a second person.
    position_age_max_ns, quote_gap_max_ns : int
        How long ago the books may have been compared with the venue's, and for how long a quote may be lost, for an order that adds risk.
    restricted : tuple of str
        Instruments, or venues' symbols or base currencies, that may only be reduced.
    """

    order_notional_frac_soft_e8: Frac = 10_000_000
    order_notional_frac_max_e8: Frac = 15_000_000
    position_notional_frac_soft_e8: FracOrNone = 0
    position_notional_frac_max_e8: Frac = 25_000_000
    gross_leverage_soft_e8: MultipleOrNone = 0
    gross_leverage_max_e8: Multiple = 150_000_000
    net_leverage_max_e8: Multiple = 150_000_000
    daily_loss_soft_e8: Frac = 1_000_000
    daily_loss_reduce_e8: Frac = 1_500_000
    daily_loss_halt_e8: Frac = 2_000_000
    drawdown_soft_e8: Frac = 5_000_000
    drawdown_reduce_e8: Frac = 6_500_000
    drawdown_halt_e8: Frac = 8_000_000
    var99_soft_e8: FracOrNone = 0
    var99_max_e8: FracOrNone = 0
    es975_soft_e8: FracOrNone = 0
    es975_max_e8: FracOrNone = 0
    margin_ratio_soft_e8: FracOrNone = 0
    margin_ratio_max_e8: FracOrNone = 0
    liquidation_distance_soft_e8: FracOrNone = 0
    liquidation_distance_min_e8: FracOrNone = 0
    liquidation_sigmas_soft_e2: Sigmas = 0
    liquidation_sigmas_min_e2: Sigmas = 0
    trade_risk_frac_soft_e8: FracOrNone = 0
    trade_risk_frac_max_e8: FracOrNone = 0
    open_orders_instrument_max: Count = 20
    open_orders_total_max: Count = 100
    orders_per_second_max: Count = 7
    orders_per_10s_max: Count = 50
    messages_per_3s_max: Count = 60
    messages_per_fill_max: Count = 100
    messages_window_min: Count = 200
    decisions_max: CountOrNone = 0
    decisions_window_ns: SpanNs = 300 * NS_PER_S
    duplicate_window_ns: SpanNs = 2_000 * NS_PER_MS
    fat_finger_multiple: Count = 20
    fat_finger_orders_min: Count = 10
    fat_finger_volume_frac_e8: Frac = 25_000_000
    fill_deviation_bps_max: CountOrNone = 0
    fill_deviation_fills_min: Count = 20
    fill_deviation_window_ns: SpanNs = 3_600 * NS_PER_S
    manual_order_frac_soft_e8: FracOrNone = 0
    stale_bars_e2: Count = 150
    position_age_max_ns: SpanNsOrNone = 0
    quote_gap_max_ns: SpanNsOrNone = 0
    restricted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in RISING:
            names = [name for name in row if getattr(self, name)]
            values = [getattr(self, name) for name in names]
            if values != sorted(values):
                raise InvalidConfig(
                    f"limits: {', '.join(f'{n} is {v}' for n, v in zip(names, values, strict=True))}",
                    why="a row must rise: target <= soft <= hard",
                    fix="raise the later or lower the earlier value",
                )
        if list(self.restricted) != sorted(set(self.restricted)) or not all(self.restricted):
            raise InvalidConfig(
                f"limits: restricted is {', '.join(self.restricted)!r}", why="equal documents must have equal hashes", fix="sort, each once"
            )

    @property
    def version(self) -> str:
        """First 16 hex digits of the document's content hash; stands on every decision."""
        return _version(self)

    def plain(self) -> dict[str, int | tuple[str, ...]]:
        """Every field by name, also those at their defaults: what documents and `LimitsChanged` carry."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    @classmethod
    def from_plain(cls, plain: Any) -> Limits:
        """Read limits back.

        Raises
        ------
        InvalidConfig
            Not limits of this version: names the field.
        """
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise InvalidConfig(f"limits: {error}", why="no such limits are known here", fix="correct or leave out the field") from None


def version_of(plain: Any) -> str:
    """The version of limits as a first record holds them; empty where they are not limits of this version."""
    try:
        return Limits.from_plain(plain).version
    except InvalidConfig:
        return ""


_ALWAYS = (
    "order_notional_frac_soft_e8", "order_notional_frac_max_e8", "position_notional_frac_max_e8", "gross_leverage_max_e8",
    "net_leverage_max_e8", "daily_loss_soft_e8", "daily_loss_reduce_e8", "daily_loss_halt_e8", "drawdown_soft_e8", "drawdown_reduce_e8",
    "drawdown_halt_e8", "open_orders_instrument_max", "open_orders_total_max", "orders_per_second_max", "orders_per_10s_max",
    "messages_per_3s_max", "messages_per_fill_max", "messages_window_min", "duplicate_window_ns", "fat_finger_multiple",
    "fat_finger_orders_min", "fat_finger_volume_frac_e8", "stale_bars_e2",
)  # fmt: skip
"""Fields that every hash covers. One that came later is covered where it is set, so that what has no such row keeps its version."""


@lru_cache(maxsize=64)
def _version(limits: Limits) -> str:
    known = limits.plain()
    defaults = dict(zip(limits.__struct_fields__, limits.__struct_defaults__, strict=True))
    return content_hash({name: value for name, value in known.items() if name in _ALWAYS or value != defaults[name]})[:16]

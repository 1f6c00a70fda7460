"""The caps on a size and the order in which they act: signal, Kelly or volatility target, trade risk, expected shortfall, leverage.

All fractions are of equity. The answer names the cap that bound; a cap that cannot be judged refuses, it is never left out in silence.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.risk.sizing_es import BOOK_ES_975_FRAC, es_scale
from kedge.risk.sizing_kelly import KELLY_MULTIPLE_MAX
from kedge.risk.sizing_refused import SizingRefused
from kedge.risk.sizing_trade_risk import TRADE_RISK_FRAC_MAX, notional_frac

BOOK_ES_975_FRAC_MAX: Final = 0.10
"""No configuration may ask for more: above 10 % of equity it is refused when it is read."""


class Cap(StrEnum):
    """What bound a size."""

    SIGNAL = "signal"
    KELLY = "kelly"
    VOL_TARGET = "vol-target"
    TRADE_RISK = "trade-risk"
    BOOK_ES = "book-es"
    LEVERAGE = "leverage"


class SizingCaps(msgspec.Struct, frozen=True, kw_only=True):
    """Fractions of equity that no size passes.

    Attributes
    ----------
    trade_risk_frac : float
        Loss at the stop of one trade, gap included; at most 2 %.
    book_es_975_frac : float
        Expected shortfall of the book at 97.5 %, one day; above 10 % refused.
    kelly_multiple_max : float
        Share of full Kelly, at most 0.25.
    leverage_max : float
        Notional of the position over equity.
    """

    trade_risk_frac: float = TRADE_RISK_FRAC_MAX
    book_es_975_frac: float = BOOK_ES_975_FRAC
    kelly_multiple_max: float = KELLY_MULTIPLE_MAX
    leverage_max: float = 1.5

    def __post_init__(self) -> None:
        rows = (
            ("trade_risk_frac", TRADE_RISK_FRAC_MAX),
            ("book_es_975_frac", BOOK_ES_975_FRAC_MAX),
            ("kelly_multiple_max", KELLY_MULTIPLE_MAX),
            ("leverage_max", 100.0),
        )
        for name, most in rows:
            value = getattr(self, name)
            if not (math.isfinite(value) and 0.0 < value <= most):
                raise InvalidConfig(
                    f"sizing: {name} is {value}", why=f"must be above 0 and at most {most}", fix=f"set {name} to at most {most}"
                )


class Sized(NamedTuple):
    """A size that passes every cap: signed notional as a fraction of equity, which cap bound it, and what each allowed (unsigned)."""

    notional_frac: float
    bound_by: Cap
    allowed: tuple[tuple[Cap, float], ...]


class Wanted(NamedTuple):
    """What is asked for and what is known about it.

    Attributes
    ----------
    signal_frac : float
        Signed notional as a fraction of equity that the strategy wants.
    stop_frac, gap_frac, cost_frac : float
        Loss at the stop, beyond it by a gap, and fees of both sides, as fractions of notional.
    unit_es_975 : float
        ES of the position's own P&L per unit of notional, 97.5 %, one day.
    book_es_975_frac : float
        ES of the book without this trade, as a fraction of equity; ES is subadditive, so the sum is never too little.
    kelly_frac, vol_target_frac : float | None
        Unsigned notional that Kelly (already shrunk and cut) and the volatility target allow; None where that method is not used.
    """

    signal_frac: float
    stop_frac: float
    gap_frac: float
    cost_frac: float
    unit_es_975: float
    book_es_975_frac: float = 0.0
    kelly_frac: float | None = None
    vol_target_frac: float | None = None


def size(wanted: Wanted, caps: SizingCaps) -> Sized | SizingRefused:
    """The smallest of what the signal asks and every cap allows; the first in order names it where two are equal.

    Returns
    -------
    Sized or SizingRefused
        Refused where a cap cannot be judged (`NO_STOP`, `ES_NOT_POSITIVE`) or the book has no budget left (`ES_SPENT`).
    """
    _check(wanted)
    left = caps.book_es_975_frac - wanted.book_es_975_frac
    if left <= 0.0:
        return SizingRefused("ES_SPENT", wanted.book_es_975_frac, caps.book_es_975_frac, "the book uses its whole budget of ES")
    by_stop = notional_frac(wanted.stop_frac, wanted.gap_frac, wanted.cost_frac, caps.trade_risk_frac)
    if isinstance(by_stop, SizingRefused):
        return by_stop
    by_es = es_scale(wanted.unit_es_975, left)
    if isinstance(by_es, SizingRefused):
        return by_es
    rows = (
        (Cap.SIGNAL, abs(wanted.signal_frac)),
        (Cap.KELLY, wanted.kelly_frac),
        (Cap.VOL_TARGET, wanted.vol_target_frac),
        (Cap.TRADE_RISK, by_stop),
        (Cap.BOOK_ES, by_es),
        (Cap.LEVERAGE, caps.leverage_max),
    )
    allowed = tuple((cap, frac) for cap, frac in rows if frac is not None)
    bound_by, least = min(allowed, key=lambda row: row[1])
    return Sized(math.copysign(least, wanted.signal_frac), bound_by, allowed)


def _check(wanted: Wanted) -> None:
    for name, value in wanted._asdict().items():
        if value is None:
            continue
        if not math.isfinite(value) or (value < 0.0 and name not in ("signal_frac", "unit_es_975")):
            raise InvalidInput(f"sizing: {name} is {value}", why="must be finite, and not negative", fix=f"correct {name}")

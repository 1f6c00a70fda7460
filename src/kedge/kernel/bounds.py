"""What an account full of instruments must satisfy before a law may touch it. Plain Python, once per start or change.

Rules: `Instrument` proves its own products; sums over instruments, margins and the ratios of the account are proved
here. Compiled code does not know an instrument's limits, so prices and positions are checked against them at the edge.
"""

from __future__ import annotations

from collections.abc import Iterable

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import Instrument
from kedge.domain.units import E8, INT64_MAX
from kedge.kernel.arithmetic import RATIO_DENOMINATOR_MAX
from kedge.kernel.matching import ONE_IN_BPS


def prove_account(instruments: Iterable[Instrument], *, wallet_max_e8: int, impact_max_bps: int = ONE_IN_BPS) -> dict[str, int]:
    """Prove that no sum over these instruments, and no price impact, reaches 2^63, or refuse.

    Parameters
    ----------
    instruments : every instrument the account may hold
    wallet_max_e8 : largest wallet the run may reach, 1e-8 of the quote currency, at least 1
    impact_max_bps : largest impact the matcher is set to

    Returns
    -------
    dict
        Name of each bounded sum and its largest absolute value.

    Raises
    ------
    InvalidInput
        A sum passes its bound; the message names it.
    """
    held = tuple(instruments)
    if not held or wallet_max_e8 < 1 or impact_max_bps < 0:
        raise InvalidInput(
            f"{len(held)} instruments, wallet_max_e8 {wallet_max_e8}, impact_max_bps {impact_max_bps}",
            why="an account needs an instrument, a wallet and no negative impact",
            fix="name at least one instrument and a positive wallet_max_e8",
        )
    notional = sum(_notional_max_e8(i) for i in held)
    sums = {
        "wallet + gross notional (equity)": wallet_max_e8 + notional,
        "wallet + gross notional + its maintenance margin": wallet_max_e8 + notional + sum(_maintenance_max_e8(i) for i in held),
        "price x impact x lots": max(i.price_max_ticks * lots_max(i) for i in held) * impact_max_bps,
    }
    for name, value in sums.items():
        _refuse_above(INT64_MAX, name, value)
    _refuse_above(RATIO_DENOMINATOR_MAX, "wallet_max_e8 (a peak that a ratio divides by)", wallet_max_e8)
    return sums


def lots_max(instrument: Instrument) -> int:
    """Largest position in lots: the limit, and one whole order past it."""
    return instrument.position_max_lots + max(instrument.order_qty_max_lots, instrument.market_qty_max_lots)


def check_price_ticks(instrument: Instrument, price_ticks: int, *, field: str = "price") -> int:
    """The price, if it is within 1 .. `price_max_ticks`; else `InvalidInput`."""
    if not 1 <= price_ticks <= instrument.price_max_ticks:
        raise InvalidInput(
            f"{instrument.instrument_id} {field}_ticks is {price_ticks}",
            why=f"outside 1 .. {instrument.price_max_ticks}, for which the arithmetic is proved",
            fix="correct the price, or raise price_max_ticks in the instrument record",
        )
    return price_ticks


def check_lots(instrument: Instrument, lots: int, *, field: str = "position") -> int:
    """The signed position, if its size is within `lots_max`; else `InvalidInput`."""
    if abs(lots) > lots_max(instrument):
        raise InvalidInput(
            f"{instrument.instrument_id} {field}_lots is {lots}",
            why=f"more than {lots_max(instrument)} lots, for which the arithmetic is proved",
            fix="correct the quantity, or raise position_max_lots in the instrument record",
        )
    return lots


def _notional_max_e8(instrument: Instrument) -> int:
    # Value and cost of a position have one sign, so this bounds its unrealised profit too.
    return instrument.notional_e8(instrument.price_max_ticks, lots_max(instrument))


def _maintenance_max_e8(instrument: Instrument) -> int:
    # A short at leverage one closes at twice its value; three upward roundings and one unit per tier on top.
    share_e8 = instrument.tiers[-1].maintenance_rate_e8 + 2 * max(0, instrument.taker_fee_e8)
    return _notional_max_e8(instrument) * share_e8 // E8 + 4 + len(instrument.tiers)


def _refuse_above(limit: int, name: str, value: int) -> None:
    if value > limit:
        raise InvalidInput(
            f"{name} reaches {value}",
            why=f"past {limit}, where compiled integers wrap silently or a ratio cannot be formed",
            fix="hold fewer instruments, or lower their price, position or order limits or the wallet limit",
        )

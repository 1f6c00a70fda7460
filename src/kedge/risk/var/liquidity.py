"""What leaving costs on top of VaR: half the spread, and the risk while a position is sold over several days."""

from __future__ import annotations

from kedge.domain.errors import InvalidInput
from kedge.risk.var.measure import checked_number


def exogenous_cost(value: float, spread_mean_frac: float, spread_sd_frac: float, k: float = 3.0) -> float:
    """`0.5 P (mean spread + k sd spread)` (Bangia et al. 1999): half of a bad spread, in the money of `value`."""
    for name, given in (("value", value), ("spread_mean_frac", spread_mean_frac), ("spread_sd_frac", spread_sd_frac), ("k", k)):
        checked_number(given, name, least=0.0)
    return 0.5 * value * (spread_mean_frac + k * spread_sd_frac)


def liquidity_var(value: float, var_frac: float, spread_mean_frac: float, spread_sd_frac: float, k: float = 3.0) -> float:
    """`P VaR` plus the exogenous cost, in the money of `value`. What the size itself costs is the book walk's to tell."""
    return value * checked_number(var_frac, "var_frac") + exogenous_cost(value, spread_mean_frac, spread_sd_frac, k)


def liquidation_variance_factor(days: int) -> float:
    """`(T + 1)(2 T + 1) / (6 T)`: variance of selling equal parts over T days, in days of the whole position; 5 days are 2.2, not 5."""
    if days < 1:
        raise InvalidInput(f"days is {days}", why="selling takes a day", fix="pass 1 or more")
    return (days + 1) * (2 * days + 1) / (6 * days)

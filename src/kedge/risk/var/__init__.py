"""Value at risk and expected shortfall: measures, their backtests, and the incremental book that follows every mark.

Rules: simple returns, oldest first; losses are positive and keep their sign, so that a sure gain is a negative loss;
`alpha = 1 - confidence` is exact, never a binary difference; NaN, empty or too short input raises, it is never 0;
every answer names its method and its convention.
"""

from kedge.risk.var.measure import NotUsable, VarEs

__all__ = ["NotUsable", "VarEs"]

"""What a sizing function answers instead of a size it cannot stand for. A refusal is a value: nothing is ever relaxed in silence."""

from __future__ import annotations

from typing import NamedTuple


class SizingRefused(NamedTuple):
    """No size.

    Attributes
    ----------
    code : str
        Stable, such as `ES_INFEASIBLE`.
    observed, limit : float
        What was measured and what it may be, in the unit that `why` names.
    why : str
        One line.
    """

    code: str
    observed: float
    limit: float
    why: str

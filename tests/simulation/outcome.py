"""What became of a day, and what a day must have in it."""

from __future__ import annotations

from typing import Final

import msgspec

MEASURE: Final = {"events": 3_000, "orders": 20, "troubles": 5, "kinds": 3, "restarts": 1, "fundings": 1}
"""What a day must have in it at least."""


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a day.

    Attributes
    ----------
    rule, figures, at_s
        The violation; empty and 0 where there was none.
    events : int
        Rows of the venue, records of the journal and messages on the wire, each of which the auditor checked.
    digest : str
        Of the journal's bytes and the wire's log.
    """

    seed: int
    theme: str
    style: str
    rule: str = ""
    figures: str = ""
    at_s: float = 0.0
    events: int = 0
    records: int = 0
    orders: int = 0
    fills: int = 0
    fundings: int = 0
    restarts: int = 0
    troubles: int = 0
    kinds: int = 0
    faults: dict[str, int] = {}
    acts: dict[str, int] = {}
    codes: dict[str, int] = {}
    cells: dict[tuple[str, str], int] = {}
    brakes: dict[tuple[str, str], int] = {}
    guarded: dict[str, int] = {}
    digest: str = ""
    story: list[str] = []
    cpu_s: float = 0.0

    @property
    def is_bad(self) -> bool:
        return bool(self.rule)

    @property
    def is_thin(self) -> bool:
        """Whether it has less in it than a day must have; the fault is the script's, not the trader's."""
        return any(getattr(self, name) < least for name, least in MEASURE.items())

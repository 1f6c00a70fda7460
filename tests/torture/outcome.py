"""What a round of drills did, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a round did and found."""

    deaths: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    audits: int = 0
    bars: int = 0
    fills: int = 0
    fundings: int = 0
    orders: int = 0
    records: int = 0
    seconds: float = 0.0
    found: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Comparisons that needed another bar, and the first thing that was missing."""

    rivals: list[str] = field(default_factory=list)
    """How each meeting of two traders on one account ended."""

    def add(self, other: Outcome) -> None:
        """Sum two rounds up."""
        self.deaths += other.deaths
        self.faults += other.faults
        self.found += other.found
        self.late += other.late
        self.rivals += other.rivals
        for name in ("audits", "bars", "fills", "fundings", "orders", "records", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

"""What many days reached, counted and printed: faults, deeds, life-cycle cells, codes, rules broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from tests.simulation.day import MEASURE, Outcome
from tests.simulation.guard_limits import CELLS
from tests.simulation.traders import legal_cells

BAR = 40


class Reached(msgspec.Struct):
    """Sums over days."""

    days: int = 0
    events: int = 0
    orders: int = 0
    fills: int = 0
    fundings: int = 0
    restarts: int = 0
    cpu_s: float = 0.0
    cpu_max_s: float = 0.0
    cpu_max_seed: int = 0
    thin: list[int] = []
    least: dict[str, int] = {}
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    acts: Counter[str] = msgspec.field(default_factory=Counter)
    codes: Counter[str] = msgspec.field(default_factory=Counter)
    styles: Counter[str] = msgspec.field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    brakes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    guarded: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, day: Outcome) -> None:
        """Count one day."""
        self.days += 1
        self.thin += [day.seed] if day.is_thin and not day.is_bad else []
        self.least = {name: min(getattr(day, name), self.least.get(name, getattr(day, name))) for name in MEASURE}
        for name in ("events", "orders", "fills", "fundings", "restarts", "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(day, name))
        if day.cpu_s > self.cpu_max_s:
            self.cpu_max_s, self.cpu_max_seed = day.cpu_s, day.seed
        self.styles[day.style] += 1
        for counter, told in ((self.faults, day.faults), (self.acts, day.acts), (self.codes, day.codes)):
            counter.update(told)
        self.cells.update(day.cells)
        self.brakes.update(day.brakes)
        self.guarded.update(day.guarded)

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Legal cells of the life-cycle table, and triggers with their levels, that no day reached."""
        return [cell for cell in legal_cells() if not self.cells[cell]] + [cell for cell in CELLS if not self.brakes[cell]]

    def text(self) -> str:
        """Everything, for people."""
        days = max(1, self.days)
        brakes = {f"{trigger} x {level}": self.brakes[trigger, level] for trigger, level in CELLS}
        cells = {f"{status} x {report}": self.cells[status, report] for status, report in legal_cells()}
        return "\n".join(
            [
                f"{self.days} days, {self.events} events ({self.events / days:.0f} a day), "
                f"{self.orders / days:.0f} orders, {self.fills / days:.0f} fills, {self.fundings / days:.1f} settlements, "
                f"{self.restarts / days:.1f} restarts a day",
                "the least of any day: " + ", ".join(f"{self.least.get(name, 0)} {name} (of {MEASURE[name]})" for name in MEASURE),
                f"{len(self.thin)} days below the measure of a day" + (f": {self.thin[:10]}" if self.thin else ""),
                *table("faults that struck", self.faults),
                *table("what the scripts did", self.acts),
                *table("styles", self.styles),
                *table("why trading was reduced or halted", self.codes),
                *table("what the brake came on by, and how hard", brakes),
                *table("what guards said and did", self.guarded),
                *table("life-cycle cells", cells),
                f"CPU a day: {self.cpu_s / days:.3f} s on average, {self.cpu_max_s:.3f} s at most (seed {self.cpu_max_seed})",
            ]
        )


def table(title: str, counts: dict[str, int] | Counter[str]) -> Iterable[str]:
    """One histogram, the longest bar for the largest count."""
    most = max(counts.values(), default=0)
    yield f"\n{title}"
    for name, count in counts.items() if title == "life-cycle cells" else sorted(counts.items()):
        bar = "#" * max(1, BAR * count.bit_length() // max(1, most.bit_length())) if count else "none"
        yield f"  {name:34} {count:9}  {bar}"

"""Print coverage of every room and fail below the floor: 85 % of branches and of statements, each room by itself."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

FLOOR_PERCENT = 85.0
COUNTS = ("covered_branches", "num_branches", "covered_lines", "num_statements")


def room_of(file: str) -> str:
    """`src/kedge/risk/gate.py` -> `risk`; modules outside the rooms -> `kedge`."""
    parts = Path(file).parts
    inside = parts[parts.index("kedge") + 1 :]
    return inside[0] if len(inside) > 1 else "kedge"


def percent(covered: int, total: int) -> float:
    """Covered share; a room without branches has none to miss."""
    return 100.0 * covered / total if total else 100.0


def by_room(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, dict[str, int]]:
    """Sum a coverage JSON report's counts over the files of each room."""
    rooms: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for file, entry in report["files"].items():
        for name in COUNTS:
            rooms[room_of(file)][name] += entry["summary"][name]
    return dict(sorted(rooms.items()))


def main(path: str) -> int:
    """Print the table; 1 when a room is below the floor."""
    rooms = by_room(json.loads(Path(path).read_text(encoding="utf-8")))
    if not rooms:
        print("no file of the package was measured", file=sys.stderr)
        return 1
    low = []
    print(f"{'room':<12}{'branches %':>12}{'statements %':>14}")
    for room, counts in rooms.items():
        branches = percent(counts["covered_branches"], counts["num_branches"])
        statements = percent(counts["covered_lines"], counts["num_statements"])
        short = min(branches, statements) < FLOOR_PERCENT
        low += [room] if short else []
        print(f"{room:<12}{branches:>12.1f}{statements:>14.1f}{'  below the floor' if short else ''}")
    print(f"floor {FLOOR_PERCENT:.0f} %: {'missed by ' + ', '.join(low) if low else 'held by every room'}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Draw the live view of `kedge up` into docs/images/up.svg, from a seeded run of the system: `python -m scripts.picture`.

The fonts that Rich would load from elsewhere are left out, so the picture loads nothing.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from kedge.apps.cli import main as kedge
from kedge.apps.up_screen import drawn
from kedge.ops.health_file import SUPERVISOR, read_health_file
from kedge.ops.trader_status import read_trader_status

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "up.svg"
BARS = 1_000
SIZE = (132, 40)


def main() -> None:
    """Run, draw, write."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            code = kedge(["up", "--speed", "max", "--bars", str(BARS), "--port", "0", "--state-dir", folder, "--json"])
        if code:
            raise SystemExit(code)
        status = {**read_trader_status(state, datetime.now(UTC)), "alarms": []}
        children = [{**row, "state": "ready"} for row in read_health_file(state, SUPERVISOR, datetime.now(UTC))["children"]]
    console = Console(record=True, width=SIZE[0], file=io.StringIO(), force_terminal=True)
    console.print(drawn(status, children, "speed max · health http://127.0.0.1:8080/health · Ctrl-C stops", SIZE[1]))
    picture = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="kedge up"), flags=re.DOTALL)
    picture = re.sub(r"font-family: ?(Fira Code|arial)[^;]*;", "font-family: monospace;", picture)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

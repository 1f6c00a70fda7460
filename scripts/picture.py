"""Draw the live view of `kedge demo` into docs/images/up.svg, from a seeded run: `python -m scripts.picture`.

The fonts that Rich would load from elsewhere are left out, so the picture loads nothing.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from kedge.apps.demo import demo_market, demo_spec
from kedge.apps.view import Recent, render
from kedge.ops.config import load_config
from kedge.services.backtest import Run, first_record
from kedge.storage.journal_memory import MemoryJournal

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "up.svg"
BARS = 4_000


def main() -> None:
    """Run, draw, write."""
    settings = load_config(environ={}, folder=PICTURE.parent)
    market = demo_market(settings, BARS)
    run = Run(
        first_record(demo_spec(settings, market, None, None), "demo"), market.events, market.fundings, MemoryJournal(source="synthetic")
    )
    recent = Recent(run.session.send, run.started.instruments, lambda: run.engine.state.ts_ns)
    run.session.send = recent.send  # type: ignore[method-assign]
    run.drive()
    console = Console(record=True, width=132, file=io.StringIO(), force_terminal=True)
    note = f"speed {settings.settings.demo.speed} · {settings.settings.strategy.name} · account {settings.settings.account} · Ctrl-C stops"
    console.print(render(run.engine.summary(), list(recent.rows), "DEMO · SYNTHETIC", note))
    drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="kedge demo"), flags=re.DOTALL)
    drawn = re.sub(r"font-family: ?(Fira Code|arial)[^;]*;", "font-family: monospace;", drawn)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

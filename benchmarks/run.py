"""Run every benchmark in one go and write `docs/performance.md`.

Each benchmark is a program of its own, run in a fresh process, so that none inherits another's caches or garbage.
`--quick` runs small samples and writes nothing: it shows that the programs work, not how fast anything is.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
PARTS = (
    ("Event lane", "event_lane.py", ["--bars", "20000", "--repeats", "1"]),
    ("Journal", "journal.py", []),
    ("Kernel", "kernel.py", []),
    ("Features", "features.py", ["--quick"]),
    ("Scorer", "scorer.py", ["--quick"]),
    ("Training", "training.py", ["--quick"]),
    ("Risk on every mark and order", "risk.py", ["--quick"]),
    ("Venue core", "venue_core.py", ["--operations", "6000", "--rounds", "1"]),
    ("Exchange server", "exchange_server.py", ["--quick"]),
    ("Live latency", "live_latency.py", ["--quick"]),
    ("Orders at the socket", "order_latency.py", ["--quick"]),
    ("Lineage in a journal of a million records", "lineage.py", ["--quick"]),
    ("The API and its stream", "api.py", ["--quick"]),
    ("Start of the command line", "start.py", ["--repeats", "3"]),
    ("Memory over ten minutes", "soak.py", ["--quick"]),
    ("Memory under five thousand messages a second", "flood.py", ["--quick"]),
)
TOGETHER = frozenset({"soak.py", "flood.py"})
"""Ten minutes each, and memory is what they show: they run side by side."""


def started(script: str, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(HERE / script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(script: str, process: subprocess.Popen[str]) -> str:
    """What it printed, once it is done."""
    said, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{script} failed:\n{said}{errors}")
    return said.strip()


def shown(text: str) -> str:
    """A Markdown table as it is, plain columns as they were printed."""
    return text if "|---" in text else f"```text\n{text}\n```"


def machine() -> str:
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    pieces = [
        "# Performance",
        "Written by `make bench`; nothing here is asserted by a test. Rates are per CPU second unless a row says otherwise, and each "
        "stands beside a limit or a plain loop measured in the same run.",
        f"Machine: {machine()}; {time.strftime('%Y-%m-%d', time.gmtime())}.",
    ]
    waiting: dict[str, subprocess.Popen[str]] = {}
    for title, script, quick in PARTS:
        print(f"{title} ...", file=sys.stderr, flush=True)
        if script in TOGETHER and not waiting:
            waiting = {name: started(name, words if given.quick else []) for _, name, words in PARTS if name in TOGETHER}
        process = waiting.get(script) or started(script, quick if given.quick else [])
        try:
            pieces.append(f"## {title}\n\n{shown(ended(script, process))}")
        except BaseException:
            for other in (process, *waiting.values()):
                other.kill()
            raise
    page = "\n\n".join(pieces) + "\n"
    print(page)
    if not given.quick:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

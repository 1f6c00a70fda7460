"""How long a person waits for the command line: `kedge --help`, `--version` and `status`, beside an empty Python process."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time


def milliseconds(arguments: list[str], repeats: int, folder: str) -> float:
    """Median wall time of a whole process."""
    environment = {**os.environ, "KEDGE_STATE_DIR": folder}
    spans = []
    for _ in range(repeats):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False, env=environment)
        spans.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    rows = [
        ("python -c pass", ["-c", "pass"]),
        ("kedge --version", ["-m", "kedge.apps.cli", "--version"]),
        ("kedge --help", ["-m", "kedge.apps.cli", "--help"]),
        ("kedge status", ["-m", "kedge.apps.cli", "status"]),
        ("kedge backtest run --help", ["-m", "kedge.apps.cli", "backtest", "run", "--help"]),
    ]
    print("| process | median ms |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in rows:
            print(f"| `{name}` | {milliseconds(arguments, repeats, folder):.0f} |")


if __name__ == "__main__":
    main()

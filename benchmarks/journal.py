"""Journal: appends by group size, as a multiple of one fdatasync of the same disk, and verification.

    python benchmarks/journal.py [--json] [--folder FOLDER]
    python benchmarks/journal.py --only-append GROUP_SIZE --groups COUNT --folder FOLDER

The folder decides which disk is measured; default is the system's folder for temporary files. Synchronisations are
counted by strace, where it is installed and allowed, in runs of the second form; else the column shows a dash.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kedge.domain.events import BarClosed
from kedge.domain.record import RunStarted
from kedge.storage import MemoryJournal, SigningKey, SqliteJournal, SqliteJournalReader, verify_journal

MINUTE_NS = 60_000_000_000
RECORDS_BY_GROUP = {1: 500, 10: 5_000, 100: 30_000, 1_000: 100_000, 10_000: 200_000}
COUNTED_GROUP_SIZE_MAX = 1_000
COUNTED_GROUPS = (40, 120)
"""Start and end of a run cost synchronisations too: the difference of two runs does not hold them."""


def run_started() -> RunStarted:
    return RunStarted(
        run_id="benchmark",
        account="benchmark",
        source="synthetic",
        speed="max",
        engine_version="0",
        code_sha256="0" * 64,
        settings_sha256="0" * 64,
        settings={},
        instruments=(),
        data=(),
        assumptions={},
        seed=0,
        started_ts_ns=0,
    )


def bars(count: int) -> list[BarClosed]:
    return [
        BarClosed(n * MINUTE_NS, "bybit-linear:BTCUSDT", (n - 1) * MINUTE_NS, 600_000 + n % 90, 600_500, 599_500, 600_100, 12_345)
        for n in range(1, count + 1)
    ]


def fdatasync_s(folder: Path, rounds: int = 100) -> float:
    """Median seconds of one 4 KiB overwrite made durable."""
    path, seconds = folder / "fdatasync", []
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(4_096))
    os.fsync(fd)
    for n in range(rounds):
        start = time.perf_counter()
        os.pwrite(fd, bytes([n % 256]) * 4_096, 0)
        os.fdatasync(fd)
        seconds.append(time.perf_counter() - start)
    os.close(fd)
    return statistics.median(seconds)


def append_s(journal: MemoryJournal | SqliteJournal, events: list[BarClosed]) -> float:
    """Seconds to commit all events and flush."""
    journal.start(run_started())
    commit = journal.commit
    start = time.perf_counter()
    for event in events:
        commit(event, ())
    journal.flush()
    return time.perf_counter() - start


def syncs_per_group(folder: Path, group_size: int) -> float | None:
    """fsync and fdatasync calls for one group, checkpoints shared out; None where they cannot be counted."""
    if group_size > COUNTED_GROUP_SIZE_MAX or not (strace := shutil.which("strace")):
        return None
    counts = []
    for groups in COUNTED_GROUPS:
        log, base = folder / "strace", folder / f"counted-{group_size}-{groups}"
        base.mkdir()
        only = ["--only-append", str(group_size), "--groups", str(groups), "--folder", str(base)]
        command = [strace, "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(log), sys.executable, __file__, *only]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None
        counts.append(len(re.findall(r"\b(?:fsync|fdatasync)\(", log.read_text())))
    return round((counts[1] - counts[0]) / (COUNTED_GROUPS[1] - COUNTED_GROUPS[0]), 2)


def only_append(folder: Path, group_size: int, groups: int) -> None:
    with SqliteJournal(folder / "journal", signer=SigningKey.generate(), source="backtest", group_size=group_size) as journal:
        append_s(journal, bars(groups * group_size))


def measure(folder: Path) -> dict[str, Any]:
    key, events, sync_s, groups = SigningKey.generate(), bars(max(RECORDS_BY_GROUP.values())), fdatasync_s(folder), {}
    for group_size, count in RECORDS_BY_GROUP.items():
        path = folder / f"group-{group_size}.journal"
        with SqliteJournal(path, signer=key, source="backtest", group_size=group_size) as journal:
            seconds = append_s(journal, events[:count])
        groups[group_size] = {
            "appends_per_s": round(count / seconds),
            "us_per_append": round(seconds / count * 1e6, 2),
            "syncs_counted_per_group": syncs_per_group(folder, group_size),
            "fdatasync_times_per_append": round(seconds / count / sync_s, 4),
            "fdatasync_times_per_group": round(seconds / count * group_size / sync_s, 2),
            "verified_per_s": verified_per_s(path, key),
        }
    memory = MemoryJournal(signer=key, source="backtest", group_size=10_000)
    return {
        "fdatasync_us": round(sync_s * 1e6, 1),
        "groups": groups,
        "memory_appends_per_s": round(len(events) / append_s(memory, events)),
        "read_per_s": read_per_s(folder / "group-10000.journal"),
    }


def verified_per_s(path: Path, key: SigningKey) -> int:
    start = time.perf_counter()
    report = verify_journal(path, key.public)
    seconds = time.perf_counter() - start
    if not report.ok:
        raise SystemExit(f"{path.name} does not verify: {report.findings}")
    return round(report.records / seconds)


def read_per_s(path: Path) -> int:
    with SqliteJournalReader(path) as reader:
        start = time.perf_counter()
        count = sum(1 for _ in reader.records())
        return round(count / (time.perf_counter() - start))


def table(result: dict[str, Any]) -> str:
    lines = [
        f"one fdatasync: {result['fdatasync_us']} us",
        "time as a multiple of it (x), and synchronisations counted per group:",
        f"{'group':>6} {'appends/s':>10} {'us/append':>10} {'x/append':>9} {'x/group':>8} {'syncs/group':>12} {'verified/s':>11}",
    ]
    for size, row in result["groups"].items():
        lines.append(
            f"{size:>6} {row['appends_per_s']:>10,} {row['us_per_append']:>10} {row['fdatasync_times_per_append']:>9}"
            f" {row['fdatasync_times_per_group']:>8} {row['syncs_counted_per_group'] or '-':>12} {row['verified_per_s']:>11,}"
        )
    lines.append(f"memory, groups of 10000: {result['memory_appends_per_s']:,} appends/s")
    lines.append(f"reading whole records: {result['read_per_s']:,} records/s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; decides which disk is measured")
    parser.add_argument("--only-append", type=int, metavar="GROUP_SIZE", help="append to a journal in the folder and stop")
    parser.add_argument("--groups", type=int, default=COUNTED_GROUPS[0], help="how many groups --only-append appends")
    options = parser.parse_args()
    if options.only_append:
        only_append(options.folder or Path(), options.only_append, options.groups)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = measure(Path(folder))
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main()

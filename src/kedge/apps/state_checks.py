"""What `kedge doctor` asks of the state folder: space, permissions, durable writes, locks, the last journal's head."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from time import perf_counter, time_ns

from kedge.apps.guard_checks import guard_and_brake
from kedge.apps.machine_checks import Answer, Check
from kedge.domain.errors import KedgeError
from kedge.journal.rows import decode_head
from kedge.ops.process_lock import holder_of
from kedge.ops.status_file import LOCK_NAME
from kedge.storage.journal_head import newest_copy
from kedge.storage.journal_reader import SqliteJournalReader

GIB = 1024**3
FREE_FAIL_BYTES = GIB // 2
FREE_WARN_BYTES = 5 * GIB
FSYNC_WARN_MS = 50.0
PROBE_NAME = ".doctor"


def disk_space(folder: Path) -> Answer:
    """Room for journals."""
    free = shutil.disk_usage(_nearest(folder)).free
    seen = f"{free / GIB:.1f} GiB free at {folder}"
    if free < FREE_FAIL_BYTES:
        return "fail", seen, "free at least 0.5 GiB: a full disk stops trading"
    return ("warn", seen, "free some space") if free < FREE_WARN_BYTES else ("ok", seen, "")


def folder_permissions(folder: Path) -> Answer:
    """The state folder is ours and nobody else can write to it."""
    if not folder.exists():
        above = _nearest(folder)
        writable = os.access(above, os.W_OK)
        return (
            ("skip", f"{folder} will be created", "")
            if writable
            else ("fail", f"{above} cannot be written", "set state_dir to a folder of yours")
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return "fail", f"{folder} cannot be written", f"chown it to you, or set state_dir: chmod u+rwx {folder}"
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "fail", f"{folder} has mode {mode:o}: others can write", f"chmod 700 {folder}"
    return "ok", f"{folder}, mode {mode:o}", ""


def durable_write(folder: Path) -> Answer:
    """A write reaches the disk, and how long that takes: what one commit costs."""
    if not folder.exists():
        return "skip", "no state folder yet", ""
    probe = folder / PROBE_NAME
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        begun = perf_counter()
        os.write(descriptor, b"kedge")
        os.fsync(descriptor)
        took_ms = (perf_counter() - begun) * 1000
    finally:
        os.close(descriptor)
        probe.unlink()
    seen = f"{took_ms:.1f} ms for write and fsync"
    return ("warn", seen, "a slow disk makes each commit slow") if took_ms > FSYNC_WARN_MS else ("ok", seen, "")


def locks(folder: Path) -> Answer:
    """Who holds locks in the state folder."""
    held = {path.relative_to(folder): pid for path in sorted(folder.rglob("*.lock")) if (pid := holder_of(path)) is not None}
    if not held:
        return "ok", "none held", ""
    told = ", ".join(f"{name} by pid {pid}" for name, pid in held.items())
    return (
        ("ok" if Path(LOCK_NAME) in held else "warn"),
        told,
        "" if Path(LOCK_NAME) in held else "a writer runs without `kedge up`: expected?",
    )


def last_journal(folder: Path) -> Answer:
    """The newest journal ends with the signed head that its head file copies, or leads it by the one group of a crash."""
    heads = sorted(folder.rglob("*.head"), key=lambda path: path.stat().st_mtime_ns)
    if not heads:
        return "skip", "no journal yet", ""
    journal = heads[-1].with_suffix("")
    name = journal.relative_to(folder)
    verify = f"kedge audit verify {journal}"
    try:
        with SqliteJournalReader(journal) as reader:
            signed = reader.head()
    except KedgeError as error:
        return "fail", error.what, verify
    copied = decode_head(newest_copy(heads[-1].read_bytes()).body)
    if signed is None or copied is None or copied.run_id != signed.run_id or not 0 <= signed.group - copied.group <= 1:
        return "fail", f"{name} and its head file disagree", verify
    if copied.group < signed.group:
        return "warn", f"{name} leads its head file by one group: a writer is busy, or crashed", verify
    return "ok", f"{name}, signed up to group {signed.group}", ""


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def brake_drill(folder: Path) -> Answer:
    """A drill of the brake was held in time, and passed."""
    from kedge.services.brake_records import guarded_since, rung_of
    from kedge.services.drills.clerk import standing

    found = standing(folder, rung_of(folder), guarded_since(folder), time_ns())
    if found is None:
        return "skip", "no guard has watched here yet", ""
    if found.is_missed:
        return "fail", found.words, "kedge brake test"
    return ("warn", found.words, "kedge brake test") if found.is_due else ("ok", found.words, "")


STATE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("disk", disk_space),
    ("state folder", folder_permissions),
    ("durable write", durable_write),
    ("locks", locks),
    ("last journal", last_journal),
    ("guard", guard_and_brake),
    ("brake drill", brake_drill),
)

"""`/health` and its three narrower questions, as plain data: computed from checks each time, never assumed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedge.api.checks import Finding, Health
from kedge.ops.build import engine_version


def overall(found: Sequence[Finding]) -> str:
    """`ok` when everything is, `degraded` when only parts that readiness does not need fail, else `failing`."""
    bad = [finding for finding in found if finding.state == Health.FAILED]
    if any(finding.needed for finding in bad) or any(finding.needed and finding.state == Health.NONE for finding in found):
        return "failing"
    return "degraded" if bad else "ok"


def report(found: Sequence[Finding], *, began_s: float, git_sha: str | None, now: datetime) -> dict[str, Any]:
    """The document of `/health`; `began_s` is `time.monotonic()` at the start of this process, `git_sha` the commit it was started from."""
    return {
        "schema": "kedge/health/v1",
        "status": overall(found),
        "timestamp": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "version": engine_version(),
        "git_sha": git_sha,
        "uptime_s": round(time.monotonic() - began_s, 1),
        "memory": {"rss_bytes": rss_bytes()},
        "services": {finding.name: finding.state.value for finding in found},
    }


def readiness(found: Sequence[Finding]) -> dict[str, Any]:
    """The document of `/health/ready`: which needed checks fail, what they saw and what to do."""
    failed = [finding for finding in found if finding.needed and finding.state != Health.OK]
    return {
        "schema": "kedge/ready/v1",
        "ready": not failed,
        "checks": {finding.name: finding.state.value for finding in found if finding.needed},
        "failed": [{"check": finding.name, "seen": finding.seen, "fix": finding.fix} for finding in failed],
    }


def rss_bytes() -> int | None:
    """Memory of this process that is resident now; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

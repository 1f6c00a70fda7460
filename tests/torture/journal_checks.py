"""What `kedge` itself says of a journal when everything is over: verified, decided again, and traced."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from .processes import Starter

CHECK_S = 120.0
"""Wall time that the audit of a journal and its replay may take."""


async def check_journal(
    starter: Starter, folder: Path, run: str, options: Sequence[object], *, predicts: bool, strangers: Collection[str] = ()
) -> list[str]:
    """Chain, signatures, snapshots and features hold, deciding again gives the same records, and nothing comes from nowhere.

    A fill of an order in `strangers`, sent by somebody else with our keys, must come from nowhere: that is what the audit is to say of it.
    """
    found: list[str] = []
    for command in (("audit", "verify", run), ("replay", run), ("audit", "orphans", run)):
        out = folder / f"{'-'.join(command[:-1])}.out"
        child = await starter.spawn((*command, *options, "--json"), out)
        await asyncio.wait([child.ended], timeout=CHECK_S)
        child.signal(signal.SIGKILL)
        status = await child.ended
        told = json.loads(out.read_text()) if status in (0, 9) else {}
        grave = [one for one in told.get("findings", ()) if one["kind"] != "crash"]
        grave += [one for report in told.get("runs", ()) for one in report["orphans"] if not is_strange(one, strangers)]
        if predicts and "runs" in told and not sum(report["predictions"] for report in told["runs"]):
            grave.append("no prediction was recorded")
        if status not in (0, 9) or grave or not told.get("equal", True):
            found.append(f"kedge {' '.join(command[:-1])} ended with {status}: {grave or out.read_text()[-400:]}")
    return found


def is_strange(orphan: Mapping[str, object], strangers: Collection[str]) -> bool:
    """Whether the audit names a fill of one of their orders."""
    return any(orphan["why"] == f"no record sends its order {name}" for name in strangers)

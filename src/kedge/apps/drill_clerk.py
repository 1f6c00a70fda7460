"""The server's clerk of drills: looks at the schedule every minute, and holds a drill where one is due.

Rules: a drill is a command of its own at low priority, one at a time, and tried once a day at most, so that one which fails is seen and not
repeated for ever. Where the clerk cannot do its work it says so in the log; the server goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from kedge.apps.system_child import command
from kedge.domain.errors import KedgeError
from kedge.domain.people import Act
from kedge.services.brake_records import guarded_since, rung_of
from kedge.services.drills.clerk import Clerk
from kedge.services.drills.records import drills_folder
from kedge.services.people.desk import PeopleDesk

LOOK_EVERY_S: Final = 60.0
TRY_EVERY_S: Final = 86_400.0
HOLD_WITHIN_S: Final = 600.0
NICE: Final = 10

_log: Final = logging.getLogger("kedge.drills")


def teller(desk: PeopleDesk) -> Callable[[Act], None]:
    """Writes acts into the desk's journal."""

    def tell(act: Act) -> None:
        with desk.shared.writing() as tx:
            tx.act(act)

    return tell


async def keep_drills(
    state_folder: Path,
    desk: PeopleDesk,
    argv: Sequence[str],
    *,
    holds: bool,
    every_s: float = LOOK_EVERY_S,
    run: Callable[[Sequence[str], Path], Awaitable[int]] | None = None,
) -> None:
    """Look after the drills until cancelled.

    Parameters
    ----------
    argv : sequence of str
        The command that holds a drill, without `kedge`.
    holds : bool
        Whether drills that are due are held; a missed one alerts in any case.
    run : callable, optional
        Runs a command line with its output in a file and gives its exit code.
    """
    clerk = Clerk(
        state_folder,
        teller(desk),
        rung=lambda: rung_of(state_folder),
        since=lambda: guarded_since(state_folder),
        wall_ns=time.time_ns,
    )
    tried_s = float("-inf")
    while True:
        try:
            found = await asyncio.to_thread(clerk.look)
            if holds and found is not None and found.is_due and time.monotonic() - tried_s >= TRY_EVERY_S:
                tried_s = time.monotonic()
                _log.info("holding a drill of the brake: %s", found.words)
                code = await (run or run_quietly)(argv, drills_folder(state_folder) / "scheduled.out")
                _log.log(logging.ERROR if code else logging.INFO, "the drill ended with exit code %d", code)
                await asyncio.to_thread(clerk.look)
        except (KedgeError, OSError, TimeoutError) as error:
            _log.error("the schedule of drills cannot be kept now: %s", error)
        await asyncio.sleep(every_s)


async def run_quietly(argv: Sequence[str], out: Path) -> int:
    """Run `kedge ARGV` at low priority; its exit code. It ends with us, and when it takes too long.

    Raises
    ------
    TimeoutError
        It did not end in time and was ended.
    """
    out.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        process = await asyncio.create_subprocess_exec(
            "nice", "-n", str(NICE), *command(argv), stdin=subprocess.PIPE, stdout=file, stderr=file
        )
    try:
        async with asyncio.timeout(HOLD_WITHIN_S):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

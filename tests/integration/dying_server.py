"""A server with people that ends itself with SIGKILL at a named place, once, when a file beside it says so. Run as a process of its own.

`python -m tests.integration.dying_server STATE`: prints its port. The file `STATE/die-at` names the place and is removed on the way out.

Places: `inbox` (the command is in the inbox, nothing else is), `effect` (inside the transaction, before it is committed), `commit`
(committed, the journal of acts has nothing yet), `answer` (all is written, nothing was answered).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from kedge.api.server import ApiServer
from kedge.ops.identity.passwords import Argon2Cost
from kedge.services.people.desk import PeopleDesk

CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)
ORDER = "die-at"


def die_at(state: Path, place: str) -> None:
    """End here, with no chance to tidy up, if this is the place."""
    order = state / ORDER
    if order.exists() and order.read_text() == place:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def open_people(state: Path, origin: str) -> PeopleDesk:
    """The desk, with the places where it may end."""
    desk = PeopleDesk.open(state, public_origin=origin, cost=CHEAP)
    settle, flush = desk.commands._settle, desk.acts.flush

    def settling(inbox: Any) -> None:
        die_at(state, "inbox")
        settle(inbox)

    def flushing(store: Any) -> None:
        if store.is_writing_here:
            die_at(state, "effect")
            return
        with store.reading() as tx:
            due = bool(tx.acts_due(1))  # the server's own upkeep, which may come at any moment, has none
        if due:
            die_at(state, "commit")
        flush(store)
        if due:
            die_at(state, "answer")

    desk.commands._settle = settling  # type: ignore[method-assign]
    desk.acts.flush = flushing  # type: ignore[method-assign]
    return desk


async def main(state: Path) -> None:
    """Serve until killed."""
    server = ApiServer(state, people=lambda origin: open_people(state, origin))
    print(await server.start("127.0.0.1", 0), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))

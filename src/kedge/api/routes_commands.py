"""`/api/v1/commands`: halt, resume and flatten, left for the trader in its durable inbox by somebody who is known."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from kedge.api import schemas_commands as schemas
from kedge.api.asked import asked_of
from kedge.api.documents import answer
from kedge.api.idempotency import KEY_HEADER, keyed
from kedge.api.identity import acting, people_of, permit
from kedge.api.routes import CursorText, Limit
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.domain.events import Command
from kedge.domain.people import Actor
from kedge.governance.actions import Action
from kedge.services.inbox import InboxCommand
from kedge.services.people.repeats import KeyReused
from kedge.services.people.telling import ACTIONS
from kedge.services.replica_read import read_cursor, write_cursor
from kedge.services.replica_text import time_text

router = APIRouter(prefix="/api/v1", route_class=StrictRoute)
LOCATION: Final = {"headers": {"Location": {"description": "Where the command is shown.", "schema": {"type": "string"}}}}
Reader = Annotated[Actor | None, Depends(acting(Action.READ))]
Anybody = Annotated[Actor | None, Depends(acting(None))]


@router.post(
    "/commands",
    operation_id="giveCommand",
    status_code=202,
    response_model=schemas.CommandLeft,
    responses={202: LOCATION, **answers(*CHANGING)},
)
async def give(request: Request, anybody: Anybody, body: schemas.CommandBody) -> Response:
    """Tell the trader something. It is durable before the answer leaves; the same Idempotency-Key is the same command, for ever.

    Each command is an act of its own (`halt`, `resume`, `flatten`), so who may is asked by the body. A `halt` needs no key: a stop must
    not fail for the want of one.
    """
    command = Command(body.command)
    key = "" if command is Command.HALT and KEY_HEADER not in request.headers else await keyed(request)
    actor = await permit(request, ACTIONS[command])
    assert actor is not None  # only a look is permitted to nobody
    correlation_id = asked_of(request).correlation_id
    commands = people_of(request).commands
    given = await asyncio.to_thread(commands.give, actor, command, body.reason, key=key, correlation_id=correlation_id)
    if not given.fits:
        raise KeyReused(
            "the Idempotency-Key was used for another command", why=f"it gave {given.command.command} before", fix="choose a new key"
        )
    headers = {"Location": f"/api/v1/commands/{given.command.command_id}"}
    if given.repeated:
        headers["Idempotent-Replayed"] = "true"
    return answer(_left(given.command), 202, headers)


@router.get("/commands", operation_id="listCommands", response_model=schemas.CommandPage, responses=answers(503))
async def list_(request: Request, reader: Reader, limit: Limit = 100, cursor: CursorText = None) -> Response:
    """What the trader was told, newest first, and whether it has taken it."""
    before = None if cursor is None else read_cursor(cursor, [int])[0]
    found = await asyncio.to_thread(people_of(request).commands.newest, limit + 1, before)
    rows, more = found[:limit], len(found) > limit
    return answer({"items": [_row(one) for one in rows], "next_cursor": write_cursor([rows[-1].number]) if more else None})


@router.get("/commands/{command_id}", operation_id="getCommand", response_model=schemas.CommandRow, responses=answers(404, 503))
async def get(request: Request, reader: Reader, command_id: Annotated[str, Path(max_length=64)]) -> Response:
    """One command."""
    return answer(_row(await asyncio.to_thread(people_of(request).commands.get, command_id)))


def _left(one: InboxCommand) -> dict[str, Any]:
    return {
        "id": one.command_id,
        "command": one.command,
        "reason": one.reason,
        "person_id": one.actor,
        "source": one.source,
        "at": time_text(one.put_wall_ns),
    }


def _row(one: InboxCommand) -> dict[str, Any]:
    state = "taken" if one.taken else "waiting"
    return {**_left(one), "roles": one.roles, "state": state, "run_id": one.claimed_by or None}

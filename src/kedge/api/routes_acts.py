"""`/api/v1/acts`: who did what, for those who audit."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from kedge.api import schemas_commands as schemas
from kedge.api.documents import answer
from kedge.api.identity import acting, people_of
from kedge.api.routes import CursorText
from kedge.api.strict import StrictRoute, answers
from kedge.domain.people import Actor
from kedge.governance.actions import Action
from kedge.services.people.acts import StoredAct
from kedge.services.replica_read import read_cursor, write_cursor
from kedge.services.replica_text import time_text

router = APIRouter(prefix="/api/v1", route_class=StrictRoute)
Auditor = Annotated[Actor, Depends(acting(Action.READ_ACTS))]


@router.get("/acts", operation_id="listActs", response_model=schemas.ActPage, responses=answers(503))
async def list_(
    request: Request,
    auditor: Auditor,
    person: Annotated[str | None, Query(max_length=100, description="Id of the person who acted.")] = None,
    action: Annotated[Action | None, Query(description="What was done.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Rows in one page.")] = 100,
    cursor: CursorText = None,
) -> Response:
    """The journal of acts, newest first. Its proof is `kedge audit verify` over the file itself."""
    wanted = action.value if action is not None else None
    before = None if cursor is None else read_cursor(cursor, [int])[0]
    page = await asyncio.to_thread(people_of(request).acts.page, limit, before, person_id=person, action=wanted)
    following = None if page.before_seq is None else write_cursor([page.before_seq])
    return answer({"items": [_row(one) for one in page.acts], "next_cursor": following})


def _row(stored: StoredAct) -> dict[str, Any]:
    act = stored.act
    return {
        "seq": stored.seq,
        "recorded_at": time_text(stored.recorded_wall_ns),
        "act_id": act.act_id,
        "at": time_text(act.wall_ns),
        "person_id": act.person_id,
        "name": act.name,
        "roles": act.roles,
        "source": act.source,
        "ref": act.ref,
        "action": act.action,
        "subject": act.subject,
        "outcome": act.outcome,
        "code": act.code,
        "reason": act.reason,
        "correlation_id": act.correlation_id,
        "details": act.details,
    }

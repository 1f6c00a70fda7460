"""`/api/v1/stream-tickets`: opens the stream for whoever cannot send a cookie or a token with a handshake."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from kedge.api import schemas_people as schemas
from kedge.api.asked import asked_of
from kedge.api.documents import answer
from kedge.api.identity import acting
from kedge.api.stream_access import TICKET_S, Tickets
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.domain.people import Actor
from kedge.governance.roles import Action

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(*CHANGING))


@router.post("/stream-tickets", operation_id="makeStreamTicket", status_code=201, response_model=schemas.StreamTicket)
async def ticket(request: Request, actor: Annotated[Actor | None, Depends(acting(Action.READ))]) -> Response:
    """A ticket that opens the stream once, soon: `/ws/v1?ticket=...`."""
    tickets: Tickets = request.app.state.tickets
    return answer({"ticket": tickets.give(asked_of(request).given, actor), "expires_in_s": TICKET_S}, 201)

"""`/api/v1/approvals`: asking, deciding, taking back, and carrying out what needs two people."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from kedge.api import schemas_approvals as schemas
from kedge.api.asked import client_of
from kedge.api.documents import answer
from kedge.api.idempotency import keyed, once
from kedge.api.identity import acting, people_of
from kedge.api.routes import CursorText, Limit
from kedge.api.schemas_people import Nothing
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.domain.errors import InvalidInput
from kedge.domain.people import Actor
from kedge.governance.actions import Action
from kedge.governance.approval_kinds import ApprovalKind
from kedge.governance.approval_record import State, Step, challenge_of, same_person
from kedge.services.people.answers import Client, PasskeyEvidence
from kedge.services.people.approval_record import ApprovalRecord, Signed
from kedge.services.people.desk import PeopleDesk
from kedge.services.people.repeats import Made
from kedge.services.replica_read import read_cursor, write_cursor
from kedge.services.replica_text import time_text

reading = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503))
changing = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(*CHANGING))

Reader = Annotated[Actor, Depends(acting(Action.APPROVAL_READ))]
Key = Annotated[str, Depends(keyed)]
ApprovalId = Annotated[str, Path(min_length=1, max_length=64)]


@reading.get("/approvals", operation_id="listApprovals", response_model=schemas.ApprovalPage)
async def list_(
    request: Request,
    actor: Reader,
    state: Annotated[State | None, Query(description="Only those that stand there.")] = None,
    kind: Annotated[ApprovalKind | None, Query(description="Only those of this kind.")] = None,
    limit: Limit = 100,
    cursor: CursorText = None,
) -> Response:
    """Requests and what became of them, newest first."""
    desk = people_of(request)
    before = None if cursor is None else read_cursor(cursor, [int])[0]

    def read() -> dict[str, Any]:
        page = desk.approvals.page(limit, before, state=state and state.value, kind=kind and kind.value)
        following = None if page.before is None else write_cursor([page.before])
        return {"items": [row_view(desk, actor, one) for one in page.records], "next_cursor": following}

    return answer(await asyncio.to_thread(read))


@reading.get("/approvals/{approval_id}", operation_id="getApproval", response_model=schemas.ApprovalDocument, responses=answers(404))
async def get(request: Request, actor: Reader, approval_id: ApprovalId) -> Response:
    """One approval, with its signed record."""
    desk = people_of(request)
    return answer(await asyncio.to_thread(lambda: whole_view(desk, actor, desk.approvals.get(approval_id))))


@changing.post("/approvals", operation_id="requestApproval", status_code=201, response_model=schemas.ApprovalDocument)
async def ask(
    request: Request, actor: Annotated[Actor, Depends(acting(Action.APPROVAL_REQUEST))], key: Key, body: schemas.ApprovalBody
) -> Response:
    """Ask for an approval of exactly this payload."""
    desk, client = people_of(request), client_of(request)

    def make() -> Made:
        record = desk.approvals.request(actor, body.kind, body.payload, body.reason, client)
        return Made(whole_view(desk, actor, record), headers={"Location": f"/api/v1/approvals/{record.approval.approval_id}"})

    return await once(request, key, make, body)


@changing.post(
    "/approvals/{approval_id}/decisions", operation_id="decideApproval", response_model=schemas.ApprovalDocument, responses=answers(404)
)
async def decide(request: Request, actor: Reader, approval_id: ApprovalId, body: schemas.DecisionBody) -> Response:
    """Approve or refuse what was shown. A passkey that signs the approval itself needs no step-up besides."""
    desk, client = people_of(request), client_of(request)

    def make() -> dict[str, Any]:
        evidence = _evidence(desk, actor, approval_id, client, body)
        record = desk.approvals.decide(
            actor,
            approval_id,
            client,
            approve=body.decision == "approve",
            reason=body.reason,
            payload_sha256=body.payload_sha256,
            evidence=evidence,
        )
        return whole_view(desk, actor, record)

    return answer(await asyncio.to_thread(make))


@changing.post(
    "/approvals/{approval_id}/withdrawal", operation_id="withdrawApproval", response_model=schemas.ApprovalDocument, responses=answers(404)
)
async def withdraw(
    request: Request,
    actor: Annotated[Actor, Depends(acting(Action.APPROVAL_WITHDRAW))],
    approval_id: ApprovalId,
    body: schemas.WithdrawalBody,
) -> Response:
    """Take one's own request back."""
    desk, client = people_of(request), client_of(request)
    return answer(
        await asyncio.to_thread(lambda: whole_view(desk, actor, desk.approvals.withdraw(actor, approval_id, body.reason, client)))
    )


@changing.post("/approvals/{approval_id}/use", operation_id="useApproval", response_model=schemas.ApprovalDocument, responses=answers(404))
async def use(
    request: Request, actor: Annotated[Actor, Depends(acting(Action.APPROVAL_USE))], approval_id: ApprovalId, body: Nothing
) -> Response:
    """Carry out what was approved, once."""
    desk, client = people_of(request), client_of(request)
    return answer(await asyncio.to_thread(lambda: whole_view(desk, actor, desk.approvals.use(actor, approval_id, client))))


def _evidence(desk: PeopleDesk, actor: Actor, approval_id: str, client: Client, body: schemas.DecisionBody) -> PasskeyEvidence | None:
    if (body.challenge_id is None) != (body.credential is None):
        raise InvalidInput("challenge_id and credential come together", why="one answers the other", fix="send both, or neither")
    if body.challenge_id is None or body.credential is None:
        return None
    binds = challenge_of(desk.approvals.get(approval_id).approval)
    return desk.step_up.evidence(actor, body.challenge_id, body.credential.model_dump(), client, binds=binds)


def row_view(desk: PeopleDesk, actor: Actor, record: ApprovalRecord) -> dict[str, Any]:
    """An approval as this person sees it."""
    approval, asked = record.approval, record.approval.requester
    obstacle = desk.approvals.obstacle(actor, record)
    return {
        "id": approval.approval_id,
        "kind": approval.kind,
        "what": approval.rule.what,
        "state": approval.state,
        "payload": approval.content(),
        "payload_sha256": approval.payload_sha256,
        "binds": challenge_of(approval).hex(),
        "reason": asked.reason,
        "requester_id": asked.person_id,
        "requester": asked.name,
        "asked_at": time_text(asked.at_wall_ns),
        "expires_at": time_text(approval.expires_wall_ns),
        "mark": approval.mark,
        "four_eyes": approval.four_eyes,
        "own": same_person(asked.person_id, actor.person_id),
        "obstacle": obstacle.what if obstacle else None,
        "obstacle_code": obstacle.code if obstacle else None,
        "obstacle_fix": obstacle.fix if obstacle else None,
        "steps": [_step(step, one) for step, one in zip(approval.steps, record.signatures, strict=True)],
    }


def whole_view(desk: PeopleDesk, actor: Actor, record: ApprovalRecord) -> dict[str, Any]:
    """An approval with what proves it."""
    return {**row_view(desk, actor, record), "record": record.text, "key": desk.approvals.public_key}


def _step(step: Step, one: Signed) -> dict[str, Any]:
    return {
        "state": step.state,
        "at": time_text(step.at_wall_ns),
        "expires_at": time_text(step.expires_wall_ns),
        "person_id": step.person_id,
        "name": step.name,
        "roles": step.roles,
        "source": step.source,
        "reason": step.reason,
        "mark": step.mark,
        "solo_reason": step.solo_reason,
        "method": step.proof.method if step.proof is not None else None,
        "key_id": one.key_id,
        "signature": one.signature,
    }

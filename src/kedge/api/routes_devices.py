"""`/api/v1`: how a command line signs in (RFC 8628): it shows a code, a person confirms it in a browser, it fetches a token."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from kedge.api import people_views as views
from kedge.api import schemas_people as schemas
from kedge.api.asked import client_of
from kedge.api.documents import answer
from kedge.api.identity import acting, people_of
from kedge.api.strict import CHANGING, ProofRoute, answers
from kedge.domain.people import Actor
from kedge.governance.roles import Action
from kedge.services.people.devices import INTERVAL_S

router = APIRouter(prefix="/api/v1", route_class=ProofRoute, responses=answers(*CHANGING))

UserCode = Annotated[str, Path(min_length=1, max_length=40)]
START = Depends(acting(Action.DEVICE_START))


@router.post("/device-codes", operation_id="beginDevice", status_code=201, response_model=schemas.DeviceCode, dependencies=[START])
async def begin(request: Request, body: schemas.DeviceCodeBody) -> Response:
    """A code to show, and one to keep, for a command line that wants to sign in."""
    devices = people_of(request).devices
    made = await asyncio.to_thread(devices.begin, body.label, tuple(body.scopes), client_of(request))
    found = {
        "device_code": made.device_code,
        "user_code": made.user_code,
        "verification_url": views.own_address(request, f"/device?code={quote(made.user_code)}"),
        "expires_in_s": made.expires_in_s,
        "interval_s": made.interval_s,
    }
    return answer(found, 201)


@router.get("/device-codes/{user_code}", operation_id="getDevice", response_model=schemas.DeviceRow, responses=answers(404))
async def look(request: Request, actor: Annotated[Actor, Depends(acting(Action.ACCOUNT_READ))], user_code: UserCode) -> Response:
    """What waits under a code, to be read before it is confirmed."""
    return answer(views.device_view(await asyncio.to_thread(people_of(request).devices.look, actor, user_code, client_of(request))))


@router.post("/device-codes/{user_code}/approval", operation_id="decideDevice", response_model=schemas.DeviceRow, responses=answers(404))
async def decide(
    request: Request, actor: Annotated[Actor, Depends(acting(Action.DEVICE_APPROVE))], user_code: UserCode, body: schemas.DeviceDecision
) -> Response:
    """Let the command line sign in as oneself, or refuse it."""
    devices, client = people_of(request).devices, client_of(request)
    return answer(views.device_view(await asyncio.to_thread(lambda: devices.decide(actor, user_code, client, approve=body.approve))))


@router.post(
    "/device-tokens",
    operation_id="fetchDeviceToken",
    response_model=schemas.NewToken,
    responses={**answers(404), 202: {"model": schemas.DevicePending, "description": "Nobody has decided yet."}},
    dependencies=[START],
)
async def fetch(request: Request, body: schemas.DeviceTokenBody) -> Response:
    """The token, once a person has confirmed the code; 202 until then."""
    found = await asyncio.to_thread(people_of(request).devices.poll, body.device_code, client_of(request))
    if found.token is None:
        return answer({"state": found.device.state, "interval_s": INTERVAL_S}, 202)
    return answer(views.new_token_view(found.token))

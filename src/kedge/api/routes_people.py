"""`/api/v1`: people and their roles, and what the roles may."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from kedge.api import people_views as views
from kedge.api import schemas_people as schemas
from kedge.api.asked import client_of
from kedge.api.documents import answer
from kedge.api.idempotency import keyed, once
from kedge.api.identity import acting, people_of
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.api.versions import etag, if_match
from kedge.domain.people import Actor
from kedge.governance.roles import Action, matrix
from kedge.services.people.answers import Invited
from kedge.services.people.repeats import Made

reading = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503))
changing = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(*CHANGING))

Manager = Annotated[Actor, Depends(acting(Action.PEOPLE_MANAGE))]
Key = Annotated[str, Depends(keyed)]
PersonId = Annotated[str, Path(min_length=1, max_length=100)]
READ_PEOPLE = Depends(acting(Action.PEOPLE_READ))


@reading.get("/roles", operation_id="getRoles", response_model=schemas.RoleMatrix, dependencies=[Depends(acting(Action.READ))])
async def roles(request: Request) -> Response:
    """Who may do what, and which roles exclude each other in one person."""
    return answer(msgspec.to_builtins(matrix()))


@reading.get("/people", operation_id="listPeople", response_model=schemas.PersonList, dependencies=[READ_PEOPLE])
async def people(request: Request) -> Response:
    """Everybody with an account."""
    rows = await asyncio.to_thread(people_of(request).accounts.people)
    return answer({"items": [views.person_view(row) for row in rows]})


@reading.get(
    "/people/{person_id}",
    operation_id="getPerson",
    response_model=schemas.PersonDocument,
    responses=answers(404),
    dependencies=[READ_PEOPLE],
)
async def person(request: Request, person_id: PersonId) -> Response:
    """One account; its ETag is what a change must name."""
    row = await asyncio.to_thread(people_of(request).accounts.person, person_id)
    return answer(views.person_view(row), headers=etag(row.version))


@changing.post("/people", operation_id="invite", status_code=201, response_model=schemas.Invitation)
async def invite(request: Request, actor: Manager, key: Key, body: schemas.PersonBody) -> Response:
    """Invite somebody; the link that sets the account up is shown this once."""
    accounts, client = people_of(request).accounts, client_of(request)

    def make() -> Made:
        invited = accounts.invite(actor, client, name=body.name, display_name=body.display_name, roles=tuple(body.roles))
        return _invitation(request, invited, {"Location": f"/api/v1/people/{invited.person.person_id}"})

    return await once(request, key, make, body, secret=True)


@changing.patch("/people/{person_id}", operation_id="editPerson", response_model=schemas.PersonDocument, responses=answers(404, 412, 428))
async def edit_person(
    request: Request, actor: Manager, person_id: PersonId, version: Annotated[int, Depends(if_match)], body: schemas.PersonPatch
) -> Response:
    """Change roles, name or whether the account is disabled; sessions and tokens follow at once."""
    accounts, client = people_of(request).accounts, client_of(request)
    new_roles = None if body.roles is None else tuple(body.roles)
    row = await asyncio.to_thread(
        lambda: accounts.edit(
            actor, person_id, client, version=version, roles=new_roles, disabled=body.disabled, display_name=body.display_name
        )
    )
    return answer(views.person_view(row), headers=etag(row.version))


@changing.post(
    "/people/{person_id}/setup-links",
    operation_id="makeSetupLink",
    status_code=201,
    response_model=schemas.Invitation,
    responses=answers(404),
)
async def make_setup_link(
    request: Request,
    actor: Annotated[Actor, Depends(acting(Action.SETUP_LINK))],
    person_id: PersonId,
    key: Key,
    body: schemas.Nothing,
) -> Response:
    """A new one-time link for somebody who lost every way in; it replaces the one before, and is shown this once."""
    accounts, client = people_of(request).accounts, client_of(request)
    return await once(request, key, lambda: _invitation(request, accounts.setup_link(actor, person_id, client)), body, secret=True)


def _invitation(request: Request, invited: Invited, headers: dict[str, str] | None = None) -> Made:
    link = views.own_address(request, f"/setup#{invited.link_secret}")
    return Made({"person": views.person_view(invited.person), "setup_link": link}, headers=headers or {})

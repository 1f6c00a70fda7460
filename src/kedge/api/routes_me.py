"""`/api/v1/me`: one's own account: passkeys, password, authenticator app, recovery codes, sessions and tokens."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from kedge.api import people_views as views
from kedge.api import schemas_people as schemas
from kedge.api.asked import client_of
from kedge.api.documents import answer
from kedge.api.idempotency import keyed, once
from kedge.api.identity import acting, people_of
from kedge.api.routes_session import offer_view, options_view, session_of, signed_in
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.api.versions import etag, if_match
from kedge.domain.people import Actor
from kedge.governance.roles import Action
from kedge.services.people.repeats import Made

reading = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503))
changing = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(*CHANGING))

Reader = Annotated[Actor, Depends(acting(Action.ACCOUNT_READ))]
Editor = Annotated[Actor, Depends(acting(Action.ACCOUNT_EDIT))]
Prover = Annotated[Actor, Depends(acting(Action.FACTORS_EDIT))]
TokenMaker = Annotated[Actor, Depends(acting(Action.TOKEN_MANAGE))]
Version = Annotated[int, Depends(if_match)]
Key = Annotated[str, Depends(keyed)]
PublicId = Annotated[str, Path(min_length=1, max_length=2048)]


@reading.get("/me", operation_id="getMe", response_model=schemas.Me)
async def me(request: Request, actor: Reader) -> Response:
    """One's own account, with what one can prove it by."""
    return await _me(request, actor)


async def _me(request: Request, actor: Actor) -> Response:
    desk = people_of(request)
    person = await asyncio.to_thread(desk.accounts.person, actor.person_id)
    factors = await asyncio.to_thread(desk.factors.of, actor.person_id)
    return answer(views.me_view(person, factors), headers=etag(person.version))


@changing.patch("/me", operation_id="editMe", response_model=schemas.Me, responses=answers(412, 428))
async def edit_me(request: Request, actor: Editor, version: Version, body: schemas.MePatch) -> Response:
    """Change the name that others see."""
    accounts, client = people_of(request).accounts, client_of(request)
    await asyncio.to_thread(lambda: accounts.edit_me(actor, client, version=version, display_name=body.display_name))
    return await _me(request, actor)


@reading.get("/me/passkeys", operation_id="listPasskeys", response_model=schemas.PasskeyList)
async def passkeys(request: Request, actor: Reader) -> Response:
    """One's passkeys."""
    rows = await asyncio.to_thread(people_of(request).factors.passkeys, actor)
    return answer({"items": [views.passkey_view(row) for row in rows]})


@changing.post("/me/passkeys/options", operation_id="beginPasskey", response_model=schemas.PasskeyOptions)
async def passkey_options(request: Request, actor: Prover) -> Response:
    """What a browser needs to make another passkey."""
    return answer(options_view(await asyncio.to_thread(people_of(request).factors.passkey_options, actor, client_of(request))))


@changing.post("/me/passkeys", operation_id="addPasskey", status_code=201, response_model=schemas.PasskeyRow, responses=answers(404))
async def add_passkey(request: Request, actor: Prover, body: schemas.NewPasskeyBody) -> Response:
    """Keep another passkey."""
    given = body.credential.model_dump(exclude_none=True)
    factors = people_of(request).factors
    row = await asyncio.to_thread(factors.add_passkey, actor, body.challenge_id, given, body.label, client_of(request))
    return answer(views.passkey_view(row), 201)


@changing.delete("/me/passkeys/{credential_id}", operation_id="removePasskey", response_model=schemas.PasskeyList, responses=answers(404))
async def remove_passkey(request: Request, actor: Prover, credential_id: PublicId) -> Response:
    """Remove a passkey; the last way to prove oneself stays."""
    factors = people_of(request).factors
    await asyncio.to_thread(factors.remove_passkey, actor, credential_id, client_of(request))
    rows = await asyncio.to_thread(factors.passkeys, actor)
    return answer({"items": [views.passkey_view(row) for row in rows]})


@changing.post("/me/password", operation_id="setPassword", response_model=schemas.SessionDocument)
async def set_password(request: Request, actor: Prover, body: schemas.PasswordBody) -> Response:
    """Set a new password; every other session ends, and this one gets a new cookie."""
    found = await asyncio.to_thread(people_of(request).factors.set_password, actor, body.password, client_of(request))
    return answer(signed_in(request, found))


@changing.post("/me/totp", operation_id="beginTotp", response_model=schemas.TotpOffer)
async def begin_totp(request: Request, actor: Prover) -> Response:
    """A new secret for an authenticator app; the one in force stays until a code confirms the new one."""
    return answer(offer_view(await asyncio.to_thread(people_of(request).factors.begin_totp, actor, client_of(request))))


@changing.post("/me/totp/confirmation", operation_id="confirmTotp", response_model=schemas.Confirmed, responses=answers(404))
async def confirm_totp(request: Request, actor: Prover, body: schemas.TotpBody) -> Response:
    """Put the new secret in force; recovery codes are shown this once, none where those in force stay."""
    found = await asyncio.to_thread(people_of(request).factors.confirm_totp, actor, body.ticket, body.code, client_of(request))
    return answer({"recovery_codes": list(found.recovery_codes), "session": signed_in(request, found.signed_in)})


@changing.post("/me/recovery-codes", operation_id="newRecoveryCodes", response_model=schemas.RecoveryCodes)
async def new_recovery_codes(request: Request, actor: Prover) -> Response:
    """Ten new recovery codes, shown this once; the old ones are worth nothing from now on."""
    codes = await asyncio.to_thread(people_of(request).factors.new_recovery_codes, actor, client_of(request))
    return answer({"recovery_codes": list(codes)})


@reading.get("/me/sessions", operation_id="listSessions", response_model=schemas.SessionList)
async def sessions(request: Request, actor: Reader) -> Response:
    """Where one is signed in."""
    rows = await asyncio.to_thread(people_of(request).sessions.of, actor)
    return answer({"items": [views.session_row_view(row, actor) for row in rows]})


@changing.delete("/me/sessions/{session_id}", operation_id="endSession", response_model=schemas.SessionDocument, responses=answers(404))
async def end_session(request: Request, actor: Annotated[Actor, Depends(acting(Action.SESSION_REVOKE))], session_id: PublicId) -> Response:
    """End one of one's sessions; it is worth nothing from its next request on."""
    await asyncio.to_thread(people_of(request).sessions.end, actor, session_id, client_of(request))
    if session_id == actor.ref:
        views.take_session(request)
    return answer(await session_of(request))


@reading.get("/me/tokens", operation_id="listTokens", response_model=schemas.TokenList)
async def tokens(request: Request, actor: Reader) -> Response:
    """One's tokens, without their texts."""
    rows = await asyncio.to_thread(people_of(request).tokens.of, actor)
    return answer({"items": [views.token_view(row) for row in rows]})


@changing.post("/me/tokens", operation_id="makeToken", status_code=201, response_model=schemas.NewToken)
async def make_token(request: Request, actor: TokenMaker, key: Key, body: schemas.TokenBody) -> Response:
    """A token for a machine; its text is shown this once and kept nowhere."""
    tokens, client = people_of(request).tokens, client_of(request)

    def make() -> Made:
        scopes, addresses = tuple(body.scopes), tuple(body.addresses)
        made = tokens.create(actor, client, label=body.label, scopes=scopes, days=body.days, addresses=addresses)
        return Made(views.new_token_view(made))

    return await once(request, key, make, body, secret=True)


@changing.delete("/me/tokens/{token_id}", operation_id="revokeToken", response_model=schemas.TokenList, responses=answers(404))
async def revoke_token(request: Request, actor: Annotated[Actor, Depends(acting(Action.TOKEN_REVOKE))], token_id: PublicId) -> Response:
    """Revoke a token; it is worth nothing from its next request on."""
    desk = people_of(request)
    await asyncio.to_thread(desk.tokens.revoke, actor, token_id, client_of(request))
    rows = await asyncio.to_thread(desk.tokens.of, actor)
    return answer({"items": [views.token_view(row) for row in rows]})

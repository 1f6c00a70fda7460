"""`/api/v1`: who asks, setting an account up by its link, signing in, and proving it again before a dangerous act."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from kedge.api import people_views as views
from kedge.api import schemas_people as schemas
from kedge.api.asked import asked_of, client_of
from kedge.api.documents import answer
from kedge.api.identity import acting, has_people, people_of
from kedge.api.strict import CHANGING, ProofRoute, StrictRoute, answers
from kedge.domain.people import Actor, Source
from kedge.governance.roles import Action
from kedge.services.people.answers import PasskeyOptions, SignedIn, TotpOffer

looking = APIRouter(prefix="/api/v1", route_class=StrictRoute)
proving = APIRouter(prefix="/api/v1", route_class=ProofRoute, responses=answers(*CHANGING, 404))

SETUP = Depends(acting(Action.SETUP))
SIGN_IN = Depends(acting(Action.SIGN_IN))
Stepping = Annotated[Actor, Depends(acting(Action.STEP_UP))]


async def session_of(request: Request) -> dict[str, Any]:
    """Who asks, as the server sees it; with no accounts, nobody."""
    asked = asked_of(request)
    if not has_people(request):
        return views.session_view(request, None, None, None, exist=False, now_ns=0)
    desk, actor = people_of(request), asked.actor

    def read() -> dict[str, Any]:
        person = None if actor is None else desk.accounts.person(actor.person_id)
        session = desk.sessions.current(asked.given.session) if actor is not None and actor.source is Source.BROWSER else None
        return views.session_view(request, actor, person, session, exist=desk.accounts_exist, now_ns=desk.shared.wall_ns())

    return await asyncio.to_thread(read)


def signed_in(request: Request, found: SignedIn) -> dict[str, Any]:
    """The session that began or was renewed, its cookies given to the answer."""
    views.give_session(request, found)
    now_ns = people_of(request).shared.wall_ns()
    return views.session_view(request, found.actor, found.person, found.session, exist=True, now_ns=now_ns)


def options_view(options: PasskeyOptions) -> dict[str, Any]:
    """What a browser asks its authenticator."""
    return {"challenge_id": options.challenge_id, "public_key": options.public_key}


def offer_view(offer: TotpOffer) -> dict[str, Any]:
    """A secret for an authenticator app."""
    return {"totp_uri": offer.totp_uri, "totp_secret": offer.totp_secret, "qr_svg": offer.qr_svg, "ticket": offer.ticket}


@looking.get(
    "/session", operation_id="getSession", response_model=schemas.SessionDocument, responses=answers(), dependencies=[Depends(acting(None))]
)
async def session(request: Request) -> Response:
    """Who asks, what they may, and the token that changing requests of a page carry."""
    return answer(await session_of(request))


@looking.delete("/session", operation_id="signOut", response_model=schemas.SessionDocument, responses=answers(*CHANGING))
async def sign_out(request: Request, actor: Annotated[Actor, Depends(acting(Action.SIGN_OUT))]) -> Response:
    """End the session that asks."""
    await asyncio.to_thread(people_of(request).sessions.sign_out, actor, client_of(request))
    views.take_session(request)
    return answer(await session_of(request))


@proving.post("/setup/options", operation_id="beginSetup", response_model=schemas.PasskeyOptions, dependencies=[SETUP])
async def setup_options(request: Request, body: schemas.SetupOptionsBody) -> Response:
    """What a browser needs to make the first passkey of the account that a link opens."""
    setup = people_of(request).setup
    found = await asyncio.to_thread(setup.passkey_options, body.token, body.name or "", body.display_name or "", client_of(request))
    return answer(options_view(found))


@proving.post("/setup/passkey", operation_id="setUpWithPasskey", response_model=schemas.SessionDocument, dependencies=[SETUP])
async def setup_passkey(request: Request, body: schemas.NewPasskeyBody) -> Response:
    """Set the account up with a passkey, and sign in."""
    given = body.credential.model_dump(exclude_none=True)
    setup = people_of(request).setup
    found = await asyncio.to_thread(setup.with_passkey, body.challenge_id, given, body.label, client_of(request))
    return answer(signed_in(request, found))


@proving.post("/setup/password", operation_id="setUpWithPassword", response_model=schemas.TotpOffer, dependencies=[SETUP])
async def setup_password(request: Request, body: schemas.SetupPasswordBody) -> Response:
    """Begin to set the account up with a password and an authenticator app."""
    setup = people_of(request).setup
    given = (body.token, body.name or "", body.display_name or "", body.password)
    return answer(offer_view(await asyncio.to_thread(setup.password, *given, client_of(request))))


@proving.post("/setup/totp", operation_id="confirmSetup", response_model=schemas.Confirmed, dependencies=[SETUP])
async def setup_totp(request: Request, body: schemas.TotpBody) -> Response:
    """Finish it with a code of the app, and sign in; recovery codes are shown this once."""
    found = await asyncio.to_thread(people_of(request).setup.with_totp, body.ticket, body.code, client_of(request))
    return answer({"recovery_codes": list(found.recovery_codes), "session": signed_in(request, found.signed_in)})


@proving.post("/sign-in/options", operation_id="beginSignIn", response_model=schemas.PasskeyOptions, dependencies=[SIGN_IN])
async def sign_in_options(request: Request) -> Response:
    """What a browser needs to find a passkey of this server; it says nothing about who has one."""
    return answer(options_view(await asyncio.to_thread(people_of(request).sign_in.options, client_of(request))))


@proving.post("/sign-in/passkey", operation_id="signInWithPasskey", response_model=schemas.SessionDocument, dependencies=[SIGN_IN])
async def sign_in_passkey(request: Request, body: schemas.PasskeyBody) -> Response:
    """Sign in with a passkey."""
    given = body.credential.model_dump(exclude_none=True)
    found = await asyncio.to_thread(people_of(request).sign_in.by_passkey, body.challenge_id, given, client_of(request))
    return answer(signed_in(request, found))


@proving.post("/sign-in/password", operation_id="signInWithPassword", response_model=schemas.SessionDocument, dependencies=[SIGN_IN])
async def sign_in_password(request: Request, body: schemas.SignInPasswordBody) -> Response:
    """Sign in with name, password and code; one answer covers whatever was wrong."""
    given = (body.name, body.password, body.code)
    found = await asyncio.to_thread(people_of(request).sign_in.by_password, *given, client_of(request))
    return answer(signed_in(request, found))


@proving.post("/step-up/options", operation_id="beginStepUp", response_model=schemas.PasskeyOptions)
async def step_up_options(request: Request, actor: Stepping, body: schemas.StepUpOptionsBody) -> Response:
    """What a browser needs to prove again who one is; bound to an approval's payload where one is named."""
    binds = None if body.binds is None else bytes.fromhex(body.binds)
    found = await asyncio.to_thread(lambda: people_of(request).step_up.options(actor, client_of(request), binds=binds))
    return answer(options_view(found))


@proving.post("/step-up/passkey", operation_id="stepUpWithPasskey", response_model=schemas.SessionDocument)
async def step_up_passkey(request: Request, actor: Stepping, body: schemas.PasskeyBody) -> Response:
    """Prove it with a passkey; the session gets a new cookie."""
    given = body.credential.model_dump(exclude_none=True)
    found = await asyncio.to_thread(people_of(request).step_up.by_passkey, actor, body.challenge_id, given, client_of(request))
    return answer(signed_in(request, found.signed_in))


@proving.post("/step-up/password", operation_id="stepUpWithPassword", response_model=schemas.SessionDocument)
async def step_up_password(request: Request, actor: Stepping, body: schemas.StepUpPasswordBody) -> Response:
    """Prove it with password and code; the session gets a new cookie."""
    found = await asyncio.to_thread(people_of(request).step_up.by_password, actor, body.password, body.code, client_of(request))
    return answer(signed_in(request, found.signed_in))

"""Rows of the desk of people as the documents that go out: times in words, and nothing that proves who somebody is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import Request

from kedge.api.asked import asked_of
from kedge.api.cookies import end_session, set_device, set_session
from kedge.domain.people import Actor
from kedge.services.people.answers import Factors, NewToken, SignedIn
from kedge.services.people.sessions import ABSOLUTE_S
from kedge.services.replica_text import time_text
from kedge.storage.people_rows import Device, Passkey, Person, Session, Token

NS_PER_MS = 1_000_000


def moment(wall_ns: int) -> str:
    """A time, to the millisecond."""
    return time_text(wall_ns - wall_ns % NS_PER_MS)


def moment_or_none(wall_ns: int | None) -> str | None:
    """A time that may not have come yet."""
    return None if wall_ns is None else moment(wall_ns)


def own_address(request: Request, path: str) -> str:
    """An address of this server as people are to open it: by a name that passkeys may belong to."""
    party: str = request.app.state.origin
    return f"{party}{path}"


def passkeys_possible(request: Request) -> bool:
    """Whether the page that asks may use passkeys: only where its origin is the one that they belong to."""
    own = urlsplit(str(request.app.state.origin))
    asked = urlsplit(f"{own.scheme}://{request.headers.get('host', '')}")
    return (asked.hostname, asked.port) == (own.hostname, own.port)


def give_session(request: Request, signed_in: SignedIn) -> None:
    """Let the answer carry the cookies of a session that began or was renewed."""
    asked = asked_of(request)
    asked.actor = signed_in.actor
    asked.headers += [set_session(signed_in.cookie, ABSOLUTE_S), set_device(signed_in.device)]


def take_session(request: Request) -> None:
    """Let the answer take the session's cookie away."""
    asked = asked_of(request)
    asked.actor = None
    asked.headers.append(end_session())


def session_view(
    request: Request, actor: Actor | None, person: Person | None, session: Session | None, *, exist: bool, now_ns: int
) -> dict[str, Any]:
    """Who asks."""
    proved = actor.step_up_wall_ns if actor is not None else None
    return {
        "signed_in": actor is not None,
        "person": None if person is None else ref_view(person),
        "roles": [] if actor is None else list(actor.roles),
        "source": None if actor is None else actor.source,
        "scopes": None if actor is None or actor.scopes is None else list(actor.scopes),
        "csrf": None if session is None else session.csrf,
        "step_up_age_s": None if proved is None else max(0, now_ns - proved) // NS_PER_MS / 1000,
        "accounts_exist": exist,
        "passkeys_possible": passkeys_possible(request),
    }


def ref_view(person: Person) -> dict[str, Any]:
    """A person, shortly."""
    return {"person_id": person.person_id, "name": person.name, "display_name": person.display_name, "roles": list(person.roles)}


def person_view(person: Person) -> dict[str, Any]:
    """An account."""
    return {**ref_view(person), "state": person.state, "version": person.version, "made_at": moment(person.made_wall_ns)}


def me_view(person: Person, factors: Factors) -> dict[str, Any]:
    """One's own account."""
    held = {
        "passkeys": factors.passkeys,
        "has_password": factors.has_password,
        "has_totp": factors.has_totp,
        "recovery_codes_left": factors.recovery_codes_left,
    }
    return {**person_view(person), "factors": held}


def passkey_view(row: Passkey) -> dict[str, Any]:
    """A passkey."""
    return {
        "credential_id": row.credential_id,
        "label": row.label,
        "transports": list(row.transports),
        "made_at": moment(row.made_wall_ns),
        "used_at": moment_or_none(row.used_wall_ns),
    }


def session_row_view(row: Session, actor: Actor) -> dict[str, Any]:
    """A session, without what proves it."""
    return {
        "session_id": row.session_id,
        "method": row.method,
        "agent": row.agent,
        "address": row.address,
        "current": row.session_id == actor.ref,
        "made_at": moment(row.made_wall_ns),
        "seen_at": moment(row.seen_wall_ns),
        "expires_at": moment(row.expires_wall_ns),
    }


def token_view(row: Token) -> dict[str, Any]:
    """A token, without its text."""
    return {
        "token_id": row.token_id,
        "label": row.label,
        "scopes": list(row.scopes),
        "addresses": list(row.addresses),
        "made_at": moment(row.made_wall_ns),
        "expires_at": moment(row.expires_wall_ns),
        "used_at": moment_or_none(row.used_wall_ns),
        "revoked_at": moment_or_none(row.revoked_wall_ns),
    }


def new_token_view(new: NewToken) -> dict[str, Any]:
    """A token with its text, which is shown this once."""
    return {**token_view(new.token), "token": new.text}


def device_view(row: Device) -> dict[str, Any]:
    """A command line that waits."""
    return {
        "user_code": row.user_code,
        "label": row.label,
        "scopes": list(row.scopes),
        "state": row.state,
        "expires_at": moment(row.expires_wall_ns),
    }

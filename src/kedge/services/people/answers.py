"""What the desk of people takes and gives: who asks from where, and answers that hold secrets which are shown once.

Rules: a secret has no part in any `repr`, so that no log and no traceback says it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kedge.domain.people import Actor, Scope
from kedge.storage.people_rows import Device, Person, Session, Token


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from, as the server saw it.

    Attributes
    ----------
    cookie : str
        Value of `__Host-kedge`, empty where there is none.
    device : str
        Value of `__Host-kedge-device`, empty where there is none.
    """

    address: str
    agent: str = ""
    cookie: str = field(default="", repr=False)
    device: str = field(default="", repr=False)
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that began or was renewed: the values of both cookies, and the row. `actor` is who acts from now on."""

    cookie: str = field(repr=False)
    device: str = field(repr=False)
    session: Session = field(repr=False)
    person: Person
    actor: Actor


@dataclass(frozen=True, slots=True)
class PasskeyOptions:
    """What a browser gives to `navigator.credentials`, as WebAuthn's JSON form; the answer names the challenge."""

    challenge_id: str
    public_key: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TotpOffer:
    """A secret for an authenticator app, in force when a code of it was given with the ticket. `qr_svg` draws the address."""

    totp_uri: str = field(repr=False)
    totp_secret: str = field(repr=False)
    qr_svg: str = field(repr=False)
    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SetUp:
    """An account whose password and TOTP were just set up; the recovery codes are never shown again."""

    signed_in: SignedIn
    recovery_codes: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyEvidence:
    """A passkey's signature, kept so that anybody can check it later without us: raw bytes and the key that they fit."""

    credential_id: str
    public_key: str
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes
    wall_ns: int


@dataclass(frozen=True, slots=True)
class StepUp:
    """A renewed session, and what the passkey signed where one did."""

    signed_in: SignedIn
    evidence: PasskeyEvidence | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token's text, shown once, and its row."""

    text: str = field(repr=False)
    token: Token = field(repr=False)


@dataclass(frozen=True, slots=True)
class Invited:
    """A person and the secret of their set-up link, shown once."""

    person: Person
    link_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a command line shows (`user_code`) and keeps (`device_code`) while a person confirms it."""

    device_code: str = field(repr=False)
    user_code: str
    label: str
    scopes: tuple[Scope, ...]
    expires_in_s: int
    interval_s: int


@dataclass(frozen=True, slots=True)
class PolledDevice:
    """A device code's state; `token` once, when a person has confirmed it."""

    device: Device = field(repr=False)
    token: NewToken | None = None


@dataclass(frozen=True, slots=True)
class Factors:
    """What a person can prove who they are with."""

    passkeys: int
    has_password: bool
    has_totp: bool
    recovery_codes_left: int

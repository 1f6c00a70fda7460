"""Documents about people: what is asked when somebody sets up, signs in, or changes an account, and what is told.

Rules: what holds a secret is shown once, in the answer that made it, and in no list; input is read strictly.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kedge.api.schemas_base import Count, Document, Time
from kedge.domain.people import Role, Scope, Source

NAME_MAX = 64
SECRET_MAX = 200
"""Longer than any of ours; a password may be that long."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX, examples=["ada"])]
DisplayName = Annotated[str, Field(min_length=1, max_length=100, examples=["Ada Lovelace"])]
Label = Annotated[str, Field(min_length=1, max_length=100, examples=["laptop"])]
Secret = Annotated[str, Field(min_length=1, max_length=SECRET_MAX, json_schema_extra={"format": "password"})]
OtherPassword = Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra={"format": "password"})]
Code = Annotated[str, Field(min_length=1, max_length=40, description="Six digits of the authenticator app, or a recovery code.")]
ChallengeId = Annotated[str, Field(min_length=1, max_length=100)]
RoleName = Annotated[Role, Field(strict=False)]
ScopeName = Annotated[Scope, Field(strict=False)]


class Said(BaseModel):
    """A document that comes in."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Nothing(Said):
    """Nothing needs to be said."""


class Credential(Said):
    """What `navigator.credentials` gave, as `PublicKeyCredential.toJSON()` writes it: bytes in base64url."""

    id: Annotated[str, Field(min_length=1, max_length=2048)]
    rawId: Annotated[str, Field(min_length=1, max_length=2048)]  # noqa: N815  # WebAuthn's name
    type: Literal["public-key"]
    response: dict[str, Any]
    authenticatorAttachment: str | None = None  # noqa: N815  # WebAuthn's name
    clientExtensionResults: dict[str, Any] = {}  # noqa: N815  # WebAuthn's name


class SetupOptionsBody(Said):
    """The set-up link's secret, and who one wants to be; names are fixed already where somebody invited."""

    token: Secret
    name: Name | None = None
    display_name: DisplayName | None = None


class PasskeyBody(Said):
    """A passkey's answer to a challenge."""

    challenge_id: ChallengeId
    credential: Credential


class NewPasskeyBody(PasskeyBody):
    """A new passkey."""

    label: Label = "passkey"


class SetupPasswordBody(SetupOptionsBody):
    """A password, to be followed by a code."""

    password: OtherPassword


class TotpBody(Said):
    """A code of the authenticator app that was just set up."""

    ticket: Secret
    code: Code


class SignInPasswordBody(Said):
    """Both factors at once, so that one answer covers whatever was wrong."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    password: OtherPassword
    code: Code


class StepUpOptionsBody(Said):
    """What the proof shall be bound to: the SHA-256 of an approval's payload, in hex."""

    binds: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class StepUpPasswordBody(Said):
    """A fresh proof with password and code."""

    password: OtherPassword
    code: Code


class PasswordBody(Said):
    """A new password."""

    password: OtherPassword


class MePatch(Said):
    """What one may change about oneself."""

    display_name: DisplayName


class TokenBody(Said):
    """A token to make."""

    label: Label
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))]
    days: Annotated[int, Field(ge=1, le=366)] = 90
    addresses: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=16)] = []


class PersonBody(Said):
    """Somebody to invite."""

    name: Name
    display_name: DisplayName
    roles: Annotated[list[RoleName], Field(min_length=1, max_length=len(Role))]


class PersonPatch(Said):
    """What an admin may change; what is absent stays."""

    display_name: DisplayName | None = None
    roles: Annotated[list[RoleName], Field(max_length=len(Role))] | None = None
    disabled: bool | None = None


class DeviceCodeBody(Said):
    """A command line that wants to sign in."""

    label: Label
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))]


class DeviceDecision(Said):
    """Whether the command line may."""

    approve: bool


class DeviceTokenBody(Said):
    """The code that the command line kept."""

    device_code: Secret


class PersonRef(Document):
    """A person, shortly."""

    person_id: str
    name: str
    display_name: str
    roles: list[Role]


class SessionDocument(Document):
    """Who asks, as the server sees it."""

    signed_in: bool
    person: PersonRef | None
    roles: list[Role]
    source: Source | None
    scopes: list[Scope] | None = Field(description="Of a token; null where the roles alone decide.")
    csrf: str | None = Field(description="To be sent as `X-Kedge-CSRF` with every changing request.")
    step_up_age_s: float | None = Field(description="How long ago the person last proved who they are.")
    accounts_exist: bool
    passkeys_possible: bool = Field(description="Whether this page's address may use passkeys; 127.0.0.1 may not, localhost may.")


class PasskeyOptions(Document):
    """For `navigator.credentials`; `public_key` as `parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` take it."""

    challenge_id: str
    public_key: dict[str, Any]


class TotpOffer(Document):
    """A secret for an authenticator app, shown once; in force when a code of it came back with the ticket."""

    totp_uri: str
    totp_secret: str
    qr_svg: str
    ticket: str


class RecoveryCodes(Document):
    """Ten codes, each used once in place of the app's; shown once."""

    recovery_codes: list[str]


class Confirmed(RecoveryCodes):
    """An authenticator app is in force; the session is a new one."""

    session: SessionDocument


class FactorsDocument(Document):
    """What somebody can prove who they are with."""

    passkeys: Count
    has_password: bool
    has_totp: bool
    recovery_codes_left: Count


class PersonDocument(PersonRef):
    """An account."""

    state: Literal["invited", "active", "disabled"]
    version: Count
    made_at: Time


class Me(PersonDocument):
    """One's own account."""

    factors: FactorsDocument


class PersonList(Document):
    """All accounts."""

    items: list[PersonDocument]


class Invitation(Document):
    """An account and its one-time link, shown once."""

    person: PersonDocument
    setup_link: str


class PasskeyRow(Document):
    """A passkey."""

    credential_id: str
    label: str
    transports: list[str]
    made_at: Time
    used_at: Time | None


class PasskeyList(Document):
    """One's passkeys."""

    items: list[PasskeyRow]


class SessionRow(Document):
    """A session of a browser."""

    session_id: str
    method: str
    agent: str
    address: str
    current: bool
    made_at: Time
    seen_at: Time
    expires_at: Time


class SessionList(Document):
    """One's sessions."""

    items: list[SessionRow]


class TokenRow(Document):
    """A token, without its text."""

    token_id: str
    label: str
    scopes: list[Scope]
    addresses: list[str]
    made_at: Time
    expires_at: Time
    used_at: Time | None
    revoked_at: Time | None


class TokenList(Document):
    """One's tokens."""

    items: list[TokenRow]


class NewToken(TokenRow):
    """A token with its text, shown once."""

    token: str


class DeviceCode(Document):
    """What a command line shows and keeps."""

    device_code: str
    user_code: str
    verification_url: str
    expires_in_s: Count
    interval_s: Count


class DeviceRow(Document):
    """A command line that waits for a person's word."""

    user_code: str
    label: str
    scopes: list[Scope]
    state: Literal["pending", "approved", "refused", "used"]
    expires_at: Time


class DevicePending(Document):
    """Nobody has decided yet: ask again, not sooner than `interval_s`."""

    state: Literal["pending", "approved", "refused", "used"]
    interval_s: Count


class MatrixRow(Document):
    """An act, and what it takes."""

    action: str
    what: str
    roles: list[Role]
    signed_in: bool
    step_up: bool
    scopes: list[Scope]
    local: str


class ExclusivePair(Document):
    """Two roles that one person must not hold."""

    roles: list[Role]
    why: str


class RoleMatrix(Document):
    """Who may do what."""

    roles: list[Role]
    rows: list[MatrixRow]
    exclusive: list[ExclusivePair]
    guarded: list[Role] = Field(description="Given only with a second person's approval.")


class StreamTicket(Document):
    """Opens the stream once, for whoever cannot send a header: `/ws/v1?ticket=...`."""

    ticket: str
    expires_in_s: Count

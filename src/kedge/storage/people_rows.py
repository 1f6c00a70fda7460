"""The rows of the store of people: one frozen type a table, integers and text only, no secret in the clear.

Rules: what proves an identity is kept as a hash (sessions, tokens, links, recovery codes), as a PHC string (passwords) or sealed (TOTP).
`TABLE`, `KEY` and `INDEXED` say how the store keeps a row; a column is a copy of a field, the body is the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import msgspec

from kedge.domain.people import Role, Scope

PersonState = Literal["invited", "active", "disabled"]
LinkPurpose = Literal["first", "invite", "recover", "restore"]
DeviceState = Literal["pending", "approved", "refused", "used"]
ApprovalState = Literal["requested", "approved", "refused", "withdrawn", "expired", "used"]
IdempotencyState = Literal["running", "done"]


class Unique(NamedTuple):
    """A field of which no two rows may hold the same value.

    Attributes
    ----------
    field : str
        Name of the field, which must be among `INDEXED`.
    fold : callable or None
        Makes the stored column of the field's value, such as casefold for names.
    where : str
        SQL condition over the columns; empty: among all rows.
    what : str
        What a person is told is taken.
    """

    field: str
    what: str
    fold: Callable[[str], str] | None = None
    where: str = ""


def folded_name(name: str) -> str:
    """The form in which two names are the same name."""
    return name.strip().casefold()


class StoredRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the rows. `KEY` names the fields of the primary key, `INDEXED` those that `find` and `count` may compare."""

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    INDEXED: ClassVar[tuple[str, ...]] = ()
    UNIQUE: ClassVar[tuple[Unique, ...]] = ()


class Person(StoredRow, frozen=True, kw_only=True):
    """An account. `version` grows with each change; it is what If-Match compares."""

    TABLE: ClassVar[str] = "person"
    KEY: ClassVar[tuple[str, ...]] = ("person_id",)
    INDEXED: ClassVar[tuple[str, ...]] = ("name", "state")
    UNIQUE: ClassVar[tuple[Unique, ...]] = (Unique("name", "the name", folded_name),)

    person_id: str
    name: str
    display_name: str
    roles: tuple[Role, ...]
    state: PersonState
    version: int
    made_wall_ns: int


class Passkey(StoredRow, frozen=True, kw_only=True):
    """A WebAuthn credential; `credential_id` and `public_key` (COSE) are hex."""

    TABLE: ClassVar[str] = "passkey"
    KEY: ClassVar[tuple[str, ...]] = ("credential_id",)
    INDEXED: ClassVar[tuple[str, ...]] = ("person_id",)

    credential_id: str
    person_id: str
    public_key: str
    sign_count: int
    label: str
    transports: tuple[str, ...]
    made_wall_ns: int
    used_wall_ns: int | None = None


class Password(StoredRow, frozen=True, kw_only=True):
    """A person's password as an argon2id PHC string."""

    TABLE: ClassVar[str] = "password"
    KEY: ClassVar[tuple[str, ...]] = ("person_id",)

    person_id: str
    phc: str
    made_wall_ns: int


class Totp(StoredRow, frozen=True, kw_only=True):
    """A person's TOTP secret, sealed. `last_step` is the newest time step that was used, None before the first."""

    TABLE: ClassVar[str] = "totp"
    KEY: ClassVar[tuple[str, ...]] = ("person_id",)

    person_id: str
    sealed: str
    confirmed: bool
    last_step: int | None = None


class RecoveryCode(StoredRow, frozen=True, kw_only=True):
    """One of a person's recovery codes, hashed; used once."""

    TABLE: ClassVar[str] = "recovery_code"
    KEY: ClassVar[tuple[str, ...]] = ("code_hash",)
    INDEXED: ClassVar[tuple[str, ...]] = ("person_id",)

    code_hash: str
    person_id: str
    used_wall_ns: int | None = None


class Session(StoredRow, frozen=True, kw_only=True):
    """A sign-in. `session_hash` is of the cookie, `session_id` the public name; `expires_wall_ns` is absolute."""

    TABLE: ClassVar[str] = "session"
    KEY: ClassVar[tuple[str, ...]] = ("session_hash",)
    INDEXED: ClassVar[tuple[str, ...]] = ("session_id", "person_id", "expires_wall_ns")
    UNIQUE: ClassVar[tuple[Unique, ...]] = (Unique("session_id", "the session's id"),)

    session_hash: str
    session_id: str
    person_id: str
    made_wall_ns: int
    seen_wall_ns: int
    expires_wall_ns: int
    method: str
    agent: str
    address: str
    csrf: str
    step_up_wall_ns: int | None = None


class Token(StoredRow, frozen=True, kw_only=True):
    """An API token; `token_id` is its public name. An empty `addresses` allows every address."""

    TABLE: ClassVar[str] = "token"
    KEY: ClassVar[tuple[str, ...]] = ("token_hash",)
    INDEXED: ClassVar[tuple[str, ...]] = ("token_id", "person_id")
    UNIQUE: ClassVar[tuple[Unique, ...]] = (Unique("token_id", "the token's id"),)

    token_hash: str
    token_id: str
    person_id: str
    label: str
    scopes: tuple[Scope, ...]
    addresses: tuple[str, ...]
    made_wall_ns: int
    expires_wall_ns: int
    used_wall_ns: int | None = None
    revoked_wall_ns: int | None = None


class Link(StoredRow, frozen=True, kw_only=True):
    """A one-time set-up link. Nobody owns the first one: `person_id` is None there."""

    TABLE: ClassVar[str] = "link"
    KEY: ClassVar[tuple[str, ...]] = ("link_hash",)
    INDEXED: ClassVar[tuple[str, ...]] = ("person_id", "purpose", "expires_wall_ns")

    link_hash: str
    purpose: LinkPurpose
    made_wall_ns: int
    expires_wall_ns: int
    person_id: str | None = None
    used_wall_ns: int | None = None


class Challenge(StoredRow, frozen=True, kw_only=True):
    """A WebAuthn challenge (hex) that waits for its one answer, bound to a purpose and, where there is one, a session."""

    TABLE: ClassVar[str] = "challenge"
    KEY: ClassVar[tuple[str, ...]] = ("challenge_id",)
    INDEXED: ClassVar[tuple[str, ...]] = ("person_id", "expires_wall_ns")

    challenge_id: str
    purpose: str
    value: str
    expires_wall_ns: int
    person_id: str | None = None
    session_hash: str | None = None


class Device(StoredRow, frozen=True, kw_only=True):
    """A sign-in by device code; `person_id` is who confirmed it."""

    TABLE: ClassVar[str] = "device"
    KEY: ClassVar[tuple[str, ...]] = ("device_hash",)
    INDEXED: ClassVar[tuple[str, ...]] = ("user_code", "state", "expires_wall_ns")
    UNIQUE: ClassVar[tuple[Unique, ...]] = (Unique("user_code", "the user code", where="state = 'pending'"),)

    device_hash: str
    user_code: str
    label: str
    scopes: tuple[Scope, ...]
    state: DeviceState
    made_wall_ns: int
    expires_wall_ns: int
    person_id: str | None = None
    polled_wall_ns: int | None = None


class Failure(StoredRow, frozen=True, kw_only=True):
    """Failed proofs of identity of one bucket: how many, and until when it waits."""

    TABLE: ClassVar[str] = "failure"
    KEY: ClassVar[tuple[str, ...]] = ("bucket",)
    INDEXED: ClassVar[tuple[str, ...]] = ("until_wall_ns",)

    bucket: str
    count: int
    until_wall_ns: int


class ApprovalRow(StoredRow, frozen=True, kw_only=True):
    """An approval; `body` is the signed record as canonical JSON."""

    TABLE: ClassVar[str] = "approval"
    KEY: ClassVar[tuple[str, ...]] = ("approval_id",)
    INDEXED: ClassVar[tuple[str, ...]] = ("kind", "state", "requester_id", "expires_wall_ns")

    approval_id: str
    kind: str
    state: ApprovalState
    requester_id: str
    made_wall_ns: int
    expires_wall_ns: int
    payload_sha256: str
    body: str
    version: int


class IdempotencyRow(StoredRow, frozen=True, kw_only=True):
    """A request that must have one effect. `status` is 0 while it runs; `body` is the stored answer, empty where it held a secret."""

    TABLE: ClassVar[str] = "idempotency"
    KEY: ClassVar[tuple[str, ...]] = ("actor_id", "key")
    INDEXED: ClassVar[tuple[str, ...]] = ("expires_wall_ns",)

    key: str
    actor_id: str
    route: str
    fingerprint: str
    state: IdempotencyState
    expires_wall_ns: int
    status: int = 0
    headers: dict[str, str] = {}
    body: str = ""


class RefusedActs(StoredRow, frozen=True, kw_only=True):
    """Refused acts of one source since the one that was written: `count` more, which one act will say after `until_wall_ns`.

    `summary` is that act without the count, as canonical JSON.
    """

    TABLE: ClassVar[str] = "refused_acts"
    KEY: ClassVar[tuple[str, ...]] = ("source_key",)
    INDEXED: ClassVar[tuple[str, ...]] = ("until_wall_ns",)

    source_key: str
    count: int
    until_wall_ns: int
    summary: str


class ActsMark(StoredRow, frozen=True, kw_only=True):
    """How far the journal of acts was when acts were last taken off the list: a journal that ends before it was cut back."""

    TABLE: ClassVar[str] = "acts_mark"
    KEY: ClassVar[tuple[str, ...]] = ("journal_id",)

    journal_id: str
    row: int
    row_hash: str


ROW_TYPES: tuple[type[StoredRow], ...] = (
    Person,
    Passkey,
    Password,
    Totp,
    RecoveryCode,
    Session,
    Token,
    Link,
    Challenge,
    Device,
    Failure,
    ApprovalRow,
    IdempotencyRow,
    RefusedActs,
    ActsMark,
)

"""What may need two people: the table of kinds, what their payloads hold, and how exactly a payload is bound.

A kind says who may ask and who may approve, as pairs, so that "one risk plus one trader or admin" is two rows whichever of them asks.
A payload is a JSON object of text, whole numbers, booleans and lists: its canonical bytes are hashed, shown and carried out, all three the
same. What could be shown as something else than it is (floats, control and direction marks, unsorted or doubled keys) is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from kedge.domain.canonical import digest, encode
from kedge.domain.errors import InvalidInput
from kedge.domain.people import Role, Scope
from kedge.governance.roles import gains_guarded, require_compatible

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
PAYLOAD_BYTES_MAX: Final = 16 * 1024
PAYLOAD_DEPTH_MAX: Final = 8
_INT_MAX: Final = 2**53 - 1
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class ApprovalKind(StrEnum):
    """What an approval is for. The words stand in signed records: none is ever renamed."""

    ROLE_GRANT = "role-grant"
    BRAKE_RELEASE = "brake-release"
    LIMIT_LOOSEN = "limit-loosen"
    ORDER_OVERRIDE = "order-override"
    MODEL_PROMOTE = "model-promote"
    GO_LIVE = "go-live"
    KEY_CHANGE = "key-change"
    RETENTION_CHANGE = "retention-change"


class Pair(msgspec.Struct, frozen=True):
    """Who asks and who approves: any one of the roles on each side."""

    requester: frozenset[Role]
    approver: frozenset[Role]


class KindRule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes
    ----------
    what : str
        What is carried out, in words.
    pairs : tuple of Pair
        Any one of them has to fit both persons.
    ttl_s, use_ttl_s : int
        How long a request waits for its decision, and an approval for its use.
    may_solo : bool
        Whether a declared solo mode may stand in for the second person.
    may_bootstrap : bool
        Whether the first admin may do it while nobody else ever could have approved.
    independent : bool
        Whether the approver must have had no part in what is approved.
    scope : Scope
        What a token needs to ask for it or to carry it out.
    """

    what: str
    pairs: tuple[Pair, ...]
    scope: Scope
    ttl_s: int = DAY_S
    use_ttl_s: int = HOUR_S
    may_solo: bool = False
    may_bootstrap: bool = False
    independent: bool = False

    @property
    def requesters(self) -> frozenset[Role]:
        """Every role that may ask."""
        return frozenset().union(*(pair.requester for pair in self.pairs))

    @property
    def approvers(self) -> frozenset[Role]:
        """Every role that may approve, of whatever request."""
        return frozenset().union(*(pair.approver for pair in self.pairs))

    def approvers_of(self, requester_roles: frozenset[Role]) -> frozenset[Role]:
        """The roles that may approve what a person with these roles asks for; empty when they may not ask."""
        return frozenset().union(*(pair.approver for pair in self.pairs if pair.requester & requester_roles))


def _roles(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


_RISK: Final = _roles(Role.RISK)
_DESK: Final = _roles(Role.TRADER, Role.ADMIN)
_RISK_AND_DESK: Final = (Pair(_DESK, _RISK), Pair(_RISK, _DESK))

KINDS: Final[dict[ApprovalKind, KindRule]] = {
    ApprovalKind.ROLE_GRANT: KindRule(
        what="give a person the role risk, admin or auditor",
        pairs=(Pair(_roles(Role.ADMIN), _roles(Role.ADMIN, Role.RISK)),),
        scope=Scope.ADMIN,
        ttl_s=7 * DAY_S,
        use_ttl_s=DAY_S,
        may_solo=True,
        may_bootstrap=True,
    ),
    ApprovalKind.BRAKE_RELEASE: KindRule(
        what="release the brake", pairs=_RISK_AND_DESK, scope=Scope.BRAKE_RELEASE, ttl_s=HOUR_S, use_ttl_s=HOUR_S // 4, may_solo=True
    ),
    ApprovalKind.LIMIT_LOOSEN: KindRule(what="loosen a limit", pairs=_RISK_AND_DESK, scope=Scope.RISK_WRITE, may_solo=True),
    ApprovalKind.ORDER_OVERRIDE: KindRule(
        what="let one order pass a limit",
        pairs=_RISK_AND_DESK,
        scope=Scope.RISK_WRITE,
        ttl_s=HOUR_S,
        use_ttl_s=HOUR_S // 4,
    ),
    ApprovalKind.MODEL_PROMOTE: KindRule(
        what="promote a model",
        pairs=(Pair(_roles(Role.RESEARCHER), _RISK),),
        scope=Scope.MODEL_APPROVE,
        ttl_s=7 * DAY_S,
        use_ttl_s=DAY_S,
        may_solo=True,
        independent=True,
    ),
    ApprovalKind.GO_LIVE: KindRule(what="trade with real money", pairs=(Pair(_roles(Role.TRADER), _RISK),), scope=Scope.TRADE_LIVE),
    ApprovalKind.KEY_CHANGE: KindRule(
        what="change a key of the venue",
        pairs=(Pair(_DESK, _RISK), Pair(_roles(Role.ADMIN), _roles(Role.ADMIN))),
        scope=Scope.ADMIN,
        may_solo=True,
    ),
    ApprovalKind.RETENTION_CHANGE: KindRule(
        what="change how long records are kept", pairs=(Pair(_roles(Role.ADMIN), _roles(Role.ADMIN, Role.RISK)),), scope=Scope.ADMIN
    ),
}
"""Every kind and what it takes."""


class RoleGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Payload of `role-grant`: all roles that a person has afterwards, sorted; `version`, where given, is the person's as it was seen."""

    person_id: str
    roles: tuple[Role, ...]
    version: int | None = None


def kind_of(name: str) -> ApprovalKind:
    """The kind of this name.

    Raises
    ------
    InvalidInput
        There is none.
    """
    try:
        return ApprovalKind(name)
    except ValueError:
        known = ", ".join(ApprovalKind)
        raise InvalidInput(f"kind {name!r} is none that is approved", why=f"there are {known}", fix="name one of these") from None


def canonical_payload(payload: Mapping[str, Any]) -> bytes:
    """The one encoding of a payload: what is hashed, stored, shown and carried out.

    Raises
    ------
    InvalidInput
        A value that has no exact text, or that could be shown as something else than it is; names its place.
    """
    _check(payload, "payload", PAYLOAD_DEPTH_MAX)
    encoded = encode(payload)
    if len(encoded) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(
            f"payload has {len(encoded)} bytes",
            why=f"a person must be able to read it: at most {PAYLOAD_BYTES_MAX}",
            fix="bind a file by its hash",
        )
    return encoded


def payload_sha256(payload: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a payload's canonical bytes: what an approval binds."""
    return digest(canonical_payload(payload))


def check_payload(kind: ApprovalKind, payload: Mapping[str, Any]) -> None:
    """Refuse a payload that nobody could carry out.

    Raises
    ------
    InvalidInput
        Malformed, or what it asks for is impossible; `RolesExclude` where roles exclude each other.
    """
    canonical_payload(payload)
    if kind is ApprovalKind.ROLE_GRANT:
        grant = role_grant(payload)
        require_compatible(grant.roles)
        if not gains_guarded((), grant.roles):
            raise InvalidInput(
                f"payload.roles ({', '.join(grant.roles) or 'none'}) needs no approval",
                why="only risk, admin and auditor do",
                fix="change the roles at the person",
            )


def role_grant(payload: Mapping[str, Any]) -> RoleGrant:
    """The payload of a `role-grant`, strictly read."""
    try:
        grant = msgspec.convert(payload, RoleGrant)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"payload of role-grant: {error}", why="it holds person_id and roles, and may hold version", fix="mend it"
        ) from error
    if list(grant.roles) != sorted(set(grant.roles)):
        raise InvalidInput(
            f"payload.roles ({', '.join(grant.roles)}) is not sorted, each once", why="equal grants must have equal hashes", fix="sort it"
        )
    return grant


def gainers(kind: ApprovalKind, payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the persons who gain by it and so cannot approve it."""
    return (role_grant(payload).person_id,) if kind is ApprovalKind.ROLE_GRANT else ()


def _check(value: object, place: str, depth: int) -> None:
    if depth == 0:
        raise InvalidInput(f"{place} is nested too deep", why=f"at most {PAYLOAD_DEPTH_MAX} levels", fix="flatten it")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                raise InvalidInput(f"{place} has the key {key!r}", why="keys are lower-case words with _", fix="rename it")
            _check(inner, f"{place}.{key}", depth - 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _check(inner, f"{place}[{number}]", depth - 1)
    elif isinstance(value, str):
        check_text(value, place)
    elif isinstance(value, int):
        if abs(value) > _INT_MAX:
            raise InvalidInput(f"{place} = {value} is beyond 2^53", why="not every reader keeps its digits", fix="write it as text")
    else:
        raise InvalidInput(
            f"{place} is a {type(value).__name__}",
            why="only text, whole numbers, true, false, lists and objects have one exact form",
            fix="use text",
        )


def check_text(value: str, place: str) -> None:
    """Refuse text with characters that are not seen, or that change how others are seen."""
    if any(unicodedata.category(character)[0] == "C" and character != "\n" for character in value):
        raise InvalidInput(f"{place} has an invisible character", why="what is approved must be what is seen", fix="take it out")

"""Who may do what: the matrix of roles and acts, the roles that exclude each other in one person, and the check before every act.

The rule: what the table does not allow is refused. A token never does more than its owner may at that moment, nor more than its
scopes say. Whoever sits at the machine and has not signed in may stop trading, always; everything else needs a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from kedge.domain.errors import Forbidden, InvalidInput, KedgeError, NotSignedIn, StepUpRequired
from kedge.domain.people import Actor, Role, Scope, Source
from kedge.governance.actions import RULES, Action, Local, Rule

__all__ = [
    "EXCLUSIVE",
    "FIRST_ROLES",
    "GUARDED_ROLES",
    "RULES",
    "STEP_UP_MAX_NS",
    "Action",
    "ExclusivePair",
    "Local",
    "Matrix",
    "MatrixRow",
    "RolesExclude",
    "conflicts",
    "gains_guarded",
    "matrix",
    "may",
    "needs_step_up",
    "require",
    "require_compatible",
    "step_up_is_fresh",
    "with_implied",
]

STEP_UP_MAX_NS: Final = 5 * 60 * 10**9
"""So old may the last proof of identity be for a dangerous act."""


def _roles(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


EXCLUSIVE: Final[dict[frozenset[Role], str]] = {
    _roles(Role.TRADER, Role.RISK): "who takes the risk must not judge it",
    _roles(Role.ADMIN, Role.RISK): "who gives out roles must not hold the second key",
    _roles(Role.RESEARCHER, Role.RISK): "who builds a model must not approve it",
    _roles(Role.AUDITOR, Role.TRADER): "who audits must not act",
    _roles(Role.AUDITOR, Role.RESEARCHER): "who audits must not act",
    _roles(Role.AUDITOR, Role.RISK): "who audits must not act",
    _roles(Role.AUDITOR, Role.ADMIN): "who audits must not act",
}
"""Pairs that one person must not hold, and why. Viewer goes with every role."""

FIRST_ROLES: Final = (Role.ADMIN, Role.TRADER)
"""Of whoever sets up the first account, sorted."""

GUARDED_ROLES: Final = _roles(Role.ADMIN, Role.AUDITOR, Role.RISK)
"""Nobody gets one of these by one person's word: see the approval kind `role-grant`."""


class RolesExclude(InvalidInput):
    """Two roles must not be in one person. Reaction: give one of them to somebody else."""

    code = "ROLES_EXCLUDE"


def conflicts(roles: Collection[Role]) -> list[str]:
    """A sentence for each forbidden pair among these roles; empty when one person may hold them all."""
    held = frozenset(roles)
    return [f"{_and(pair)} exclude each other in one person: {why}" for pair, why in EXCLUSIVE.items() if pair <= held]


def require_compatible(roles: Collection[Role], name: str = "one person") -> None:
    """Refuse roles that exclude each other.

    Raises
    ------
    RolesExclude
        Naming every forbidden pair.
    """
    if found := conflicts(roles):
        raise RolesExclude(
            f"{name} cannot hold the roles {', '.join(sorted(roles))}",
            why="; ".join(found),
            fix="give one role of each pair to somebody else",
        )


def with_implied(roles: Iterable[Role]) -> tuple[Role, ...]:
    """The roles and what they imply, sorted, each once: every role implies viewer."""
    held = frozenset(roles)
    return tuple(sorted(held | {Role.VIEWER} if held else held))


def gains_guarded(before: Collection[Role], after: Collection[Role]) -> tuple[Role, ...]:
    """The roles that a change gives and that need a second person's approval, sorted."""
    return tuple(sorted((frozenset(after) - frozenset(before)) & GUARDED_ROLES))


def needs_step_up(action: Action) -> bool:
    """Whether a session must have proved its person's identity a moment ago."""
    return RULES[action].step_up


def step_up_is_fresh(actor: Actor, now_wall_ns: int) -> bool:
    """Whether the last proof of identity is recent. One from the future proves nothing: the clock was set."""
    proved = actor.step_up_wall_ns
    return proved is not None and 0 <= now_wall_ns - proved <= STEP_UP_MAX_NS


def require(actor: Actor | None, action: Action, *, now_wall_ns: int, accounts_exist: bool) -> None:
    """Refuse an act to whoever may not do it.

    Parameters
    ----------
    actor : Actor or None
        Who asks, with the roles in force now; None where nobody is known.

    Raises
    ------
    NotSignedIn, Forbidden, StepUpRequired
    """
    rule = RULES[action]
    if rule.open or (rule.until_accounts and not accounts_exist):
        return
    if actor is not None and actor.source is Source.SYSTEM and rule.system:
        return
    if actor is None or actor.is_local or actor.source is Source.LOCAL:
        _require_local(actor, rule, accounts_exist)
        return
    _require_role(actor, rule)
    if actor.source is Source.TOKEN or actor.scopes is not None:
        _require_scope(actor, rule)
    elif rule.step_up and not step_up_is_fresh(actor, now_wall_ns):
        raise StepUpRequired(
            f"to {rule.what} needs a fresh proof that you are {actor.name}",
            why=f"the act is dangerous and the last proof is older than {STEP_UP_MAX_NS // 10**9} s",
            fix="prove your identity again (passkey, or password and code), then repeat",
        )


def may(actor: Actor | None, action: Action, *, now_wall_ns: int, accounts_exist: bool) -> bool:
    """Whether `require` lets the act pass."""
    try:
        require(actor, action, now_wall_ns=now_wall_ns, accounts_exist=accounts_exist)
    except KedgeError:
        return False
    return True


def _require_local(actor: Actor | None, rule: Rule, accounts_exist: bool) -> None:
    at_machine = actor is not None and actor.is_local and actor.source is Source.LOCAL
    if at_machine and (rule.local is Local.ALWAYS or (rule.local is Local.UNTIL_ACCOUNTS and not accounts_exist)):
        return
    raise NotSignedIn(
        f"nobody is signed in who could {rule.what}",
        why="this needs a person with an account",
        fix="sign in, or `kedge login` at a terminal" if accounts_exist else "set up the first account by the link that the server printed",
    )


def _require_role(actor: Actor, rule: Rule) -> None:
    if rule.system or actor.source is Source.SYSTEM:
        raise Forbidden(
            f"{actor.name} may not {rule.what}",
            why="the server does it, by itself" if rule.system else "no person asks",
            fix="leave it to the server" if rule.system else "have a person do it",
        )
    if rule.roles and not rule.roles & frozenset(with_implied(actor.roles)):
        held = ", ".join(actor.roles) or "none"
        raise Forbidden(
            f"{actor.name} may not {rule.what}",
            why=f"it takes the role {_or(rule.roles)}, and {actor.name} holds {held}",
            fix="ask a person with that role, or an admin for it",
        )


def _require_scope(actor: Actor, rule: Rule) -> None:
    if not rule.scopes:
        raise Forbidden(f"a token may not {rule.what}", why="the act is for a person in a session", fix="sign in with a browser")
    if not rule.scopes & frozenset(actor.scopes or ()):
        raise Forbidden(
            f"this token may not {rule.what}",
            why=f"it takes the scope {_or(rule.scopes)}",
            fix="use a token with that scope",
        )


def _and(words: Iterable[str]) -> str:
    return " and ".join(sorted(words))


def _or(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


class MatrixRow(msgspec.Struct, frozen=True, kw_only=True):
    """An act as people see it: what it takes."""

    action: Action
    what: str
    roles: tuple[Role, ...]
    signed_in: bool
    step_up: bool
    scopes: tuple[Scope, ...]
    local: Local


class ExclusivePair(msgspec.Struct, frozen=True, kw_only=True):
    """Two roles that one person must not hold."""

    roles: tuple[Role, ...]
    why: str


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Roles, acts, and what excludes what."""

    roles: tuple[Role, ...]
    rows: tuple[MatrixRow, ...]
    exclusive: tuple[ExclusivePair, ...]
    guarded: tuple[Role, ...]


def matrix() -> Matrix:
    """The whole table as plain data, for the API and the documentation; acts of the server alone are left out."""
    return Matrix(
        roles=tuple(Role),
        rows=tuple(_row(action, rule) for action, rule in RULES.items() if not rule.system),
        exclusive=tuple(ExclusivePair(roles=tuple(sorted(pair)), why=why) for pair, why in EXCLUSIVE.items()),
        guarded=tuple(sorted(GUARDED_ROLES)),
    )


def _row(action: Action, rule: Rule) -> MatrixRow:
    everybody = tuple(Role) if rule.open or not rule.roles else tuple(role for role in Role if role in rule.roles)
    return MatrixRow(
        action=action,
        what=rule.what,
        roles=everybody,
        signed_in=not rule.open,
        step_up=rule.step_up,
        scopes=tuple(scope for scope in Scope if scope in rule.scopes),
        local=rule.local,
    )

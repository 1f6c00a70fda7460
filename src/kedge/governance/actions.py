"""The acts that somebody may want to do, and what each takes: the table behind `governance.roles`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from kedge.domain.people import Role, Scope


class Action(StrEnum):
    """What somebody may want to do. The words stand in the journal of acts: none is ever renamed."""

    READ = "read"
    READ_ACTS = "read-acts"
    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    BRAKE_ENGAGE = "brake-engage"
    LIMITS_TIGHTEN = "limits-tighten"
    PEOPLE_READ = "people-read"
    PEOPLE_MANAGE = "people-manage"
    ROLES_GRANT = "roles-grant"
    SETUP_LINK = "setup-link"
    SETUP = "setup"
    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    STEP_UP = "step-up"
    ACCOUNT_READ = "account-read"
    ACCOUNT_EDIT = "account-edit"
    FACTORS_EDIT = "factors-edit"
    SESSION_REVOKE = "session-revoke"
    TOKEN_MANAGE = "token-manage"
    TOKEN_REVOKE = "token-revoke"
    DEVICE_START = "device-start"
    DEVICE_APPROVE = "device-approve"
    APPROVAL_READ = "approval-read"
    APPROVAL_REQUEST = "approval-request"
    APPROVAL_WITHDRAW = "approval-withdraw"
    APPROVAL_DECIDE = "approval-decide"
    APPROVAL_USE = "approval-use"
    APPROVAL_EXPIRE = "approval-expire"
    DRILL_HELD = "drill-held"
    DRILL_MISSED = "drill-missed"


class Local(StrEnum):
    """Whether somebody at the machine may do it without signing in."""

    NEVER = "never"
    UNTIL_ACCOUNTS = "until the first account exists"
    ALWAYS = "always"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the matrix.

    Attributes
    ----------
    what : str
        The act in words.
    roles : frozenset of Role
        Any one of them is enough; empty where every person who is signed in may.
    open : bool
        Nobody needs to be signed in: the act itself proves who asks, or gives nothing away.
    until_accounts : bool
        Open until the first account exists.
    local : Local
        What the terminal of the machine may do without signing in.
    step_up : bool
        Dangerous: in a session the last proof of identity may be `STEP_UP_MAX_NS` old.
    scopes : frozenset of Scope
        Any one of them lets a token do it; empty where no token may. A token needs no step-up: making it took one.
    system : bool
        The server alone does it, by itself.
    """

    what: str
    roles: frozenset[Role] = frozenset()
    open: bool = False
    until_accounts: bool = False
    local: Local = Local.NEVER
    step_up: bool = False
    scopes: frozenset[Scope] = frozenset()
    system: bool = False


def _roles(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


def _scopes(*scopes: Scope) -> frozenset[Scope]:
    return frozenset(scopes)


_ALL: Final = frozenset(Role)
_WORKING: Final = _ALL - {Role.VIEWER}
_APPROVAL_SCOPES: Final = _scopes(Scope.ADMIN, Scope.RISK_WRITE, Scope.BRAKE_RELEASE, Scope.MODEL_APPROVE, Scope.TRADE_LIVE)

RULES: Final[dict[Action, Rule]] = {
    Action.READ: Rule(
        what="read figures and records", roles=_ALL, until_accounts=True, local=Local.UNTIL_ACCOUNTS, scopes=_scopes(Scope.READ)
    ),
    Action.READ_ACTS: Rule(what="read who did what", roles=_roles(Role.AUDITOR, Role.RISK, Role.ADMIN), scopes=_scopes(Scope.AUDIT_READ)),
    Action.HALT: Rule(
        what="halt trading",
        roles=_roles(Role.TRADER, Role.RESEARCHER, Role.RISK, Role.ADMIN),
        local=Local.ALWAYS,
        scopes=_scopes(Scope.BRAKE_ENGAGE),
    ),
    Action.RESUME: Rule(
        what="let trading go on",
        roles=_roles(Role.TRADER, Role.RISK, Role.ADMIN),
        local=Local.UNTIL_ACCOUNTS,
        step_up=True,
        scopes=_scopes(Scope.BRAKE_RELEASE),
    ),
    Action.FLATTEN: Rule(
        what="close every position", roles=_roles(Role.TRADER, Role.RISK), local=Local.ALWAYS, scopes=_scopes(Scope.BRAKE_ENGAGE)
    ),
    Action.BRAKE_ENGAGE: Rule(
        what="engage the brake",
        roles=_roles(Role.TRADER, Role.RISK, Role.ADMIN),
        local=Local.ALWAYS,
        scopes=_scopes(Scope.BRAKE_ENGAGE),
    ),
    Action.LIMITS_TIGHTEN: Rule(what="tighten a limit", roles=_roles(Role.TRADER, Role.RISK), scopes=_scopes(Scope.RISK_WRITE)),
    Action.PEOPLE_READ: Rule(
        what="see people and their roles",
        roles=_roles(Role.ADMIN, Role.RISK, Role.AUDITOR),
        scopes=_scopes(Scope.ADMIN, Scope.AUDIT_READ),
    ),
    Action.PEOPLE_MANAGE: Rule(
        what="invite, disable and restore people", roles=_roles(Role.ADMIN), step_up=True, scopes=_scopes(Scope.ADMIN)
    ),
    Action.ROLES_GRANT: Rule(what="change a person's roles", roles=_roles(Role.ADMIN), step_up=True, scopes=_scopes(Scope.ADMIN)),
    Action.SETUP_LINK: Rule(what="make a set-up link", roles=_roles(Role.ADMIN), local=Local.ALWAYS, step_up=True),
    Action.SETUP: Rule(what="set an account up by its link", open=True),
    Action.SIGN_IN: Rule(what="sign in", open=True),
    Action.SIGN_OUT: Rule(what="sign out"),
    Action.STEP_UP: Rule(what="prove one's identity again"),
    Action.ACCOUNT_READ: Rule(what="see one's own account", scopes=frozenset(Scope)),
    Action.ACCOUNT_EDIT: Rule(what="change one's displayed name"),
    Action.FACTORS_EDIT: Rule(what="change one's passkeys, password or codes", step_up=True),
    Action.SESSION_REVOKE: Rule(what="end one's sessions"),
    Action.TOKEN_MANAGE: Rule(what="make a token", roles=_ALL, step_up=True),
    Action.TOKEN_REVOKE: Rule(what="revoke one's tokens", scopes=frozenset(Scope)),
    Action.DEVICE_START: Rule(what="ask for a sign-in of the command line", open=True),
    Action.DEVICE_APPROVE: Rule(what="let a command line sign in", roles=_ALL, step_up=True),
    Action.APPROVAL_READ: Rule(what="see approvals", roles=_WORKING, scopes=_scopes(Scope.READ, Scope.AUDIT_READ)),
    Action.APPROVAL_REQUEST: Rule(what="ask for an approval", roles=_WORKING - {Role.AUDITOR}, scopes=_APPROVAL_SCOPES),
    Action.APPROVAL_WITHDRAW: Rule(what="withdraw one's request", roles=_WORKING - {Role.AUDITOR}, scopes=_APPROVAL_SCOPES),
    Action.APPROVAL_DECIDE: Rule(what="approve or refuse", roles=_WORKING - {Role.AUDITOR, Role.RESEARCHER}, step_up=True),
    Action.APPROVAL_USE: Rule(what="carry out what was approved", roles=_WORKING - {Role.AUDITOR}, step_up=True, scopes=_APPROVAL_SCOPES),
    Action.APPROVAL_EXPIRE: Rule(what="let a stale approval expire", system=True),
    Action.DRILL_HELD: Rule(what="record a drill of the brake", system=True),
    Action.DRILL_MISSED: Rule(what="alert of a missed drill", system=True),
}
"""Every act and what it takes. Approvals name narrower roles by their kind: see `governance.approval_kinds`."""

"""The nouns of who may do what: people's roles, where an act came from, who asks, and the record of an act."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

LOCAL_PREFIX = "local:"
"""Begins the id of somebody who sits at the machine and has not signed in: known to the system, not to us."""


class Role(StrEnum):
    """What a person is trusted with. Which pairs exclude each other stands in `governance.roles`."""

    VIEWER = "viewer"
    TRADER = "trader"
    RESEARCHER = "researcher"
    RISK = "risk"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token may be used for, never more than its owner's roles allow."""

    READ = "read"
    TRADE_PAPER = "trade:paper"
    TRADE_LIVE = "trade:live"
    RISK_WRITE = "risk:write"
    BRAKE_ENGAGE = "brake:engage"
    BRAKE_RELEASE = "brake:release"
    MODEL_APPROVE = "model:approve"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"


class Source(StrEnum):
    """Where an act came from."""

    BROWSER = "browser"
    TOKEN = "token"
    LOCAL = "local"
    SYSTEM = "system"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as proven.

    Attributes
    ----------
    person_id : str
        Of the account; `local:` and the system's user where nobody signed in.
    roles : tuple of Role
        Those in force now, sorted.
    ref : str
        Public id of the session or token; empty where there is none.
    scopes : tuple of Scope or None
        Of the token; None where the roles alone decide.
    step_up_wall_ns : int or None
        When the person last proved who they are; None where that never happened.
    """

    person_id: str
    name: str
    roles: tuple[Role, ...]
    source: Source
    ref: str = ""
    scopes: tuple[Scope, ...] | None = None
    step_up_wall_ns: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether this is somebody at the machine who did not sign in."""
        return self.person_id.startswith(LOCAL_PREFIX)


class Act(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="act", omit_defaults=True):
    """Something that somebody did, or was refused: a record of the journal of acts. It never holds a secret.

    Attributes
    ----------
    act_id : str
        Unique; an act that is written twice is the same act.
    action : str
        A word of `governance.roles.Action`.
    subject : str
        What it was done to: a person's id, an approval's, a command's.
    outcome : str
        'done' or 'refused'; of a refusal `code` says why.
    details : dict of str to str
        What an auditor needs besides, as text.
    """

    act_id: str
    wall_ns: int
    person_id: str
    name: str
    roles: tuple[Role, ...]
    source: Source
    action: str
    subject: str
    outcome: Literal["done", "refused"]
    ref: str = ""
    code: str = ""
    reason: str = ""
    correlation_id: str = ""
    details: dict[str, str] = {}

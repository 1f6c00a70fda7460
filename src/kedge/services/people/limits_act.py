"""Tightening limits, for people: the document and its act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedge.domain.people import Actor
from kedge.governance.actions import Action
from kedge.services.limits_store import LimitsStore
from kedge.services.limits_views import reference
from kedge.services.people.answers import Client
from kedge.services.people.desk import PeopleDesk


def tightened(
    desk: PeopleDesk, actor: Actor, client: Client, store: LimitsStore, changes: Mapping[str, str], *, reason: str, base_version: str
) -> dict[str, Any]:
    """Make a tighter document in somebody's name; the trader takes it within seconds.

    Raises
    ------
    Forbidden
        Some of it loosens, or the actor may not.
    Conflict
        Another document is in force than the one that was seen, or there is none yet.
    InvalidInput, InvalidConfig
        A name or value that is none, or nothing changes.
    """
    with desk.shared.doing(actor, Action.LIMITS_TIGHTEN, client, store.account) as doing:
        before = store.newest()
        made = store.tighten(changes, actor=actor.person_id, reason=reason, base_version=base_version)
        told = reference(made, before)
        desk.shared.done(doing, Action.LIMITS_TIGHTEN, made.version, client, reason=reason, **{"account": store.account, **told["changes"]})
    return {"number": made.number, "version": made.version, "supersedes": made.supersedes, "changes": told["changes"], "reason": reason,
            "at": told["made_at"]}  # fmt: skip

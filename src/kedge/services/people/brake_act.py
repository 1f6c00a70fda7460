"""The act of engaging the brake. It is told after the brake is on, and a store that cannot take it undoes nothing: the guard's own journal
holds who it was."""

from __future__ import annotations

from kedge.domain.people import Act, Actor
from kedge.governance.actions import Action
from kedge.services.guard_door import Engaged
from kedge.services.people.desk import PeopleDesk


def tell_engaged(desk: PeopleDesk, actor: Actor, engaged: Engaged, *, asked: str, correlation_id: str) -> None:
    """Journal that somebody engaged the brake; `asked` is the level asked for. The same correlation id is the same act.

    Raises
    ------
    RecordingFailed, Conflict
        The store takes nothing now.
    """
    act = Act(
        act_id=f"brake-{correlation_id}",
        wall_ns=desk.shared.wall_ns(),
        person_id=actor.person_id,
        name=actor.name,
        roles=actor.roles,
        source=actor.source,
        ref=actor.ref,
        action=Action.BRAKE_ENGAGE.value,
        subject="" if engaged.generation is None else f"generation {engaged.generation}",
        outcome="done",
        reason=engaged.reason,
        correlation_id=correlation_id,
        details={"asked": asked, "level": str(engaged.level), "via": engaged.via},
    )
    with desk.shared.writing() as tx:
        tx.act(act)

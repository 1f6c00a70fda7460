"""How a command gets into the inbox: with who gave it, from where, and its act. Light, so that a stop waits for no import.

Rules: who sits at the machine is known by the system's word, never by what they say of themselves.
"""

from __future__ import annotations

import os
import pwd
from typing import Final, NamedTuple

from kedge.domain.canonical import encode
from kedge.domain.events import Command
from kedge.domain.people import LOCAL_PREFIX, Act, Actor, Source
from kedge.governance.actions import Action
from kedge.services.inbox import Inbox, command_id_of

ACTIONS: Final = {Command.HALT: Action.HALT, Command.RESUME: Action.RESUME, Command.FLATTEN: Action.FLATTEN}
"""The commands that a person may give, and what each takes."""


class Left(NamedTuple):
    """A command in the inbox; `is_new` unless one of its id was there before."""

    command_id: str
    is_new: bool


def local_actor() -> Actor:
    """Whoever sits at this machine, by the system's word (not by a variable that anybody can set)."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        name = str(os.getuid())
    return Actor(person_id=f"{LOCAL_PREFIX}{name}", name=name, roles=(), source=Source.LOCAL)


def act_id_of(command_id: str) -> str:
    """The act's id of a command."""
    return f"command-{command_id}"


def plain(reason: str) -> str:
    """A reason as it is kept: what cannot be seen, or is no character at all, becomes a blank. A stop must not fail for it."""
    return "".join(character if character.isprintable() else " " for character in reason).strip()


def command_act(actor: Actor, command: Command, reason: str, command_id: str, wall_ns: int, correlation_id: str = "") -> Act:
    """The act of giving a command."""
    return Act(
        act_id=act_id_of(command_id),
        wall_ns=wall_ns,
        person_id=actor.person_id,
        name=actor.name,
        roles=actor.roles,
        source=actor.source,
        ref=actor.ref,
        action=ACTIONS[command].value,
        subject=command_id,
        outcome="done",
        reason=reason,
        correlation_id=correlation_id,
    )


def leave(
    inbox: Inbox, actor: Actor, command: Command, reason: str, *, wall_ns: int, command_id: str = "", correlation_id: str = ""
) -> Left:
    """Put a command into the inbox, with who gave it and its act."""
    reason = plain(reason)
    name = command_id or command_id_of(wall_ns, command.value, actor.person_id, reason)
    act = encode(command_act(actor, command, reason, name, wall_ns, correlation_id)).decode()
    new = inbox.add(name, command, actor.person_id, reason, wall_ns=wall_ns, roles=actor.roles, source=actor.source, act=act)
    return Left(name, new)

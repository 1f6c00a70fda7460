"""What people tell the trader: left in the durable inbox with who they are, and journalled as an act.

Rules: the inbox comes first, since a stop must not wait for anything else; its act lies beside the command in the same row until the
journal of acts has it, so no death in between loses it. The same person's key is the same command, for ever, whoever died when.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from kedge.domain.errors import IntegrityError, NotFound
from kedge.domain.events import Command
from kedge.domain.people import Act, Actor
from kedge.services.inbox import Inbox, InboxCommand, command_id_of
from kedge.services.people.shared import Shared
from kedge.services.people.telling import ACTIONS, act_id_of, leave, plain


class Given(NamedTuple):
    """A command that is durable. `repeated`: it was before; `fits`: it is the one that was asked for now."""

    command: InboxCommand
    repeated: bool
    fits: bool


class Commands:
    """The inbox of one account, for people.

    Parameters
    ----------
    path : Path
        Of the inbox; made with the first command.
    """

    def __init__(self, path: Path, shared: Shared) -> None:
        self._path, self._shared = path, shared

    def give(self, actor: Actor, command: Command, reason: str, *, key: str = "", correlation_id: str = "") -> Given:
        """Leave a command for the trader. Whoever calls has asked whether the actor may.

        Parameters
        ----------
        key : str
            Chosen by the asker; the same key is the same command. Empty: a new one.

        Raises
        ------
        InvalidInput
            No reason, or too long a one.
        RecordingFailed
            It could not be made durable.
        """
        name = command_id_of("key", actor.person_id, key) if key else self._shared.random_bytes(8).hex()
        with Inbox(self._path) as inbox:
            left = leave(inbox, actor, command, reason, wall_ns=self._shared.wall_ns(), command_id=name, correlation_id=correlation_id)
            kept = inbox.find(name)
            if kept is None:
                raise IntegrityError(
                    f"command {name} is not in {self._path}", why="it was just left there", fix="keep the file as evidence"
                )
            self._settle(inbox)
        return Given(kept, not left.is_new, kept.command is command and kept.reason == plain(reason))

    def get(self, command_id: str) -> InboxCommand:
        """One command.

        Raises
        ------
        NotFound
        """
        found = None
        if self._path.exists():
            with Inbox(self._path) as inbox:
                found = inbox.find(command_id)
        if found is None:
            raise NotFound(f"no command {command_id[:40]!r}", why="nobody gave it to this trader", fix="GET /api/v1/commands lists them")
        return found

    def newest(self, limit: int, before: int | None = None) -> list[InboxCommand]:
        """Commands, newest first, from before a number on."""
        if not self._path.exists():
            return []
        with Inbox(self._path) as inbox:
            return inbox.newest(limit, before)

    def settle(self) -> None:
        """Journal the acts of commands that came in otherwise: at the terminal, or just before a server died.

        Raises
        ------
        IntegrityError
            An act is none, or not of the command that it lies beside; all others are journalled.
        """
        if self._path.exists():
            with Inbox(self._path) as inbox:
                wrong = self._settle(inbox)
            if wrong:
                raise IntegrityError(
                    f"{len(wrong)} acts in {self._path} are not those of their commands",
                    why=f"the first is beside command {wrong[0]}",
                    fix="keep a copy of the file as evidence; it stays there, and all others are journalled",
                )

    def _settle(self, inbox: Inbox) -> list[str]:
        """Journal what is due; the ids of commands whose act cannot be."""
        due = [(command_id, _act_of(inbox.find(command_id), text)) for command_id, text in inbox.acts_due()]
        good = [(command_id, act) for command_id, act in due if act is not None]
        if good:
            with self._shared.writing() as tx:
                for _, act in good:
                    tx.act(act)
            for command_id, _ in good:
                inbox.act_recorded(command_id)
        return [command_id for command_id, act in due if act is None]


def _act_of(given: InboxCommand | None, text: str) -> Act | None:
    """The act that lies beside a command; None where it is none, or tells of something or somebody else: the journal would vouch for it."""
    try:
        act: Act = msgspec.json.decode(text, type=Act)
    except msgspec.MsgspecError:
        return None
    if given is None or given.command not in ACTIONS:
        return None
    told = (given.command_id, given.actor, given.roles, given.source, given.reason, given.put_wall_ns)
    same = (act.subject, act.person_id, act.roles, act.source, act.reason, act.wall_ns) == told
    is_its = act.act_id == act_id_of(given.command_id) and act.action == ACTIONS[given.command] and act.outcome == "done"
    return act if same and is_its else None

"""The API's documents of commands to the trader, and of acts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kedge.api.schemas_base import Cursor, Document, Seq, Time
from kedge.api.schemas_people import Said
from kedge.domain.people import Role, Source

CommandWord = Literal["halt", "resume", "flatten"]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="Why; stands in the journal.")]


class CommandBody(Said):
    """What the trader is told. `halt` adds no risk any more, `flatten` closes every position, `resume` lifts both."""

    command: CommandWord
    reason: Reason


class CommandLeft(Document):
    """A command that is durable: it reaches the trader even when that one, or this server, dies now."""

    id: str
    command: CommandWord
    reason: str
    person_id: str
    source: Source | None
    at: Time


class CommandRow(Document):
    """A command and whether a trader has taken it; `roles` are those that the person had when giving it."""

    id: str
    command: Literal["halt", "resume", "flatten", "cancel_all"]
    reason: str
    person_id: str = Field(description="`local:` and the system's user at the machine's own terminal.")
    roles: list[Role]
    source: Source | None = Field(description="null where an older Kedge took it.")
    at: Time
    state: Literal["waiting", "taken"]
    run_id: str | None = Field(description="The run that took it, or was about to.")


class CommandPage(Document):
    """Commands, newest first."""

    items: list[CommandRow]
    next_cursor: Cursor | None


class ActRow(Document):
    """Something that somebody did, or was refused."""

    seq: Seq
    recorded_at: Time
    act_id: str
    at: Time
    person_id: str
    name: str
    roles: list[Role]
    source: Source
    ref: str = Field(description="Public id of the session or token; empty where there was none.")
    action: str
    subject: str
    outcome: Literal["done", "refused"]
    code: str = Field(description="Of a refusal: why.")
    reason: str
    correlation_id: str
    details: dict[str, str]


class ActPage(Document):
    """Acts, newest first. With a filter a page may be empty and still have a next one."""

    items: list[ActRow]
    next_cursor: Cursor | None

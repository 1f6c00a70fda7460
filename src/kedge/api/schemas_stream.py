"""What is said over the WebSocket, by both sides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kedge.api.schemas_base import Document, Time

Topic = Literal["overview", "fills", "orders", "decisions", "predictions", "candles"]
TOPICS: tuple[Topic, ...] = ("overview", "fills", "orders", "decisions", "predictions", "candles")


class Subscribe(BaseModel):
    """What a client says first, and again whenever it wants other topics: the new list replaces the old one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    op: Literal["subscribe"]
    topics: Annotated[list[Topic], Field(min_length=1, max_length=len(TOPICS))]
    run: str | None = Field(default=None, max_length=100, description="The run that `after_seq` belongs to.")
    after_seq: int | None = Field(
        default=None, ge=0, lt=2**63, description="Resume after this sequence number; null begins with a snapshot."
    )


class Message(Document):
    """What the server says. `seq` is a journal record's number; a delta covers `(after_seq, seq]` of its topic, with no gap.

    `type` is `snapshot` (replaces what the client has), `delta` (adds to it), `heartbeat` (every second), or `problem`.
    """

    topic: Topic | Literal["heartbeat", "problem"]
    type: Literal["snapshot", "delta", "heartbeat", "problem"]
    run: str | None
    seq: int | None
    after_seq: int | None
    ts: Time
    data: dict[str, Any]

"""The API's documents of the brake: where it stands, how far each trigger is, what engaging would do, its history and drills."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kedge.api.schemas_base import Count, DecimalText, Document, Time
from kedge.api.schemas_people import Said
from kedge.api.schemas_risk import GuardSeen
from kedge.domain.brake import BrakeLevel

EngageLevel = Literal["reduce_only", "halted", "flattening"]


class BrakeTrigger(Document):
    """Something that engages the brake by itself."""

    name: str
    words: str
    level: BrakeLevel = Field(description="What it engages.")
    observed: str | None = Field(description="Measured by the guard, with its unit; null while unknown.")
    limit: str
    reversed: bool
    used: DecimalText | None = Field(description="How much of the way to it is gone: 1 is reached.")
    breached: bool
    instrument: str | None
    why: str


class WouldCancel(Document):
    """An open order that engaging would withdraw."""

    instrument: str
    client_order_id: str
    side: str
    leaves: str
    adds_risk: bool | None


class WouldClose(Document):
    """A position that a flatten would close, and what that is expected to cost at the depth assumed."""

    instrument: str
    side: Literal["long", "short"]
    qty: str
    notional: DecimalText
    fee: DecimalText
    spread: DecimalText | None = Field(description="Half the spread, where a quote is known.")
    slippage_max: DecimalText = Field(description="At most: the whole collar.")


class DryRun(Document):
    """What engaging would do now: nothing is sent for this."""

    as_of: Time | None
    source: Literal["trader", "none"]
    cancels: list[WouldCancel]
    closes: list[WouldClose]
    cost_min: DecimalText | None = Field(description="Fees and half the spreads.")
    cost_max: DecimalText | None = Field(description="Fees and the whole collar.")
    collar_bps: dict[str, int]
    why: str


class DrillRow(Document):
    """One drill, with the seconds it took."""

    drill_id: str
    at: Time
    scenario: str
    trigger: str | None
    outcome: str
    ok: bool
    block_s: float | None = Field(description="From the breach to the last permit.")
    cancels_s: float | None
    flat_s: float | None
    loss_frac: DecimalText | None
    notes: str


class DrillPage(Document):
    """Drills, newest first, and whether one is due."""

    items: list[DrillRow]
    due_at: Time | None
    missed: bool
    why: str


class BrakeStatus(Document):
    """Where the brake stands. While the guard is silent this is what it said last, and `guard.state` says so."""

    server_time: Time
    guard: GuardSeen
    level: BrakeLevel | None = Field(description="null where nobody can say: no guard has ever run here.")
    trigger: str | None
    reason: str
    observed: str
    limit: str
    actor_id: str
    actor: str = Field(description="The name behind it, where the person is known here.")
    source: str
    engaged_at: Time | None
    changed_at: Time | None
    generation: int | None
    account: str | None
    permits: bool | None = Field(description="Whether new risk is permitted now; null while unknown.")
    progress: str = Field(description="Where a flatten stands, in words; empty while none is under way.")
    triggers: list[BrakeTrigger]
    dry_run: DryRun
    last_drill: DrillRow | None
    guard_url: str | None = Field(description="Where the guard answers by itself, in plain HTML; null while none runs.")
    pending_requests: Count = Field(description="Requests in the folder that no guard has taken yet.")


class EngageBody(Said):
    """How hard, and why. Severity only rises: a milder level than the one in force changes nothing."""

    level: EngageLevel
    reason: Annotated[str, Field(max_length=500, description="Why; stands in the guard's journal.")] = ""


class Engaged(Document):
    """What became of it."""

    via: Literal["guard", "request"] = Field(
        description="`guard`: it answered after its file was on the disk; `request`: it did not answer, and finds the request when it does."
    )
    latched: bool = Field(description="Whether the guard has said that it holds.")
    level: BrakeLevel = Field(description="The level now, or the one asked for.")
    generation: int | None
    reason: str
    actor_id: str
    at: Time
    words: str


class BrakeEvent(Document):
    """One record of the guard's journal."""

    seq: Count
    at: Time
    kind: str
    level: BrakeLevel | None
    words: str
    fields: dict[str, str]


class BrakeHistory(Document):
    """The guard's records, newest first."""

    items: list[BrakeEvent]
    next_cursor: str | None
    why: str

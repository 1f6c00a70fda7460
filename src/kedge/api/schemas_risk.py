"""The API's documents of risk: measures against their limits, VaR and ES by method, stress scenarios, limits documents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kedge.api.schemas_base import Count, DecimalText, Document, Time
from kedge.api.schemas_people import Said
from kedge.domain.brake import BrakeLevel

Colour = Literal["green", "yellow", "red", "unknown"]
Freshness = Literal["fresh", "late", "stale", "absent"]
LimitName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z][a-z0-9_]*$", examples=["drawdown_soft"])]
LimitText = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[0-9A-Za-z.,: _-]+$", examples=["0.04"])]


class BrakeMark(Document):
    """Where the guard engages the brake by itself."""

    value: DecimalText
    level: BrakeLevel


class Reading(Document):
    """What somebody measured, and how old it is."""

    source: Literal["trader", "guard", "risk"] = Field(
        description="`trader`: the run's own books; `guard`: computed by it from the venue's truth; `risk`: by this server from the run."
    )
    value: DecimalText | None
    at: Time | None
    age_s: float | None
    state: Freshness
    why: str = Field(description="Why there is no value, or what to know about it; empty when nothing.")


class RiskMeasure(Document):
    """One row of the table of limits, with what is measured now. Fractions are of equity unless `words` says otherwise."""

    name: str = Field(examples=["drawdown"])
    words: str
    unit: Literal["frac", "multiple"]
    reversed: bool = Field(description="Less is worse, as of a distance.")
    instrument: str | None = Field(description="The instrument that is worst, where it is measured for each.")
    value: DecimalText | None = Field(description="The worst reading that is not stale, else the worst; null while nobody knows.")
    stale: bool = Field(description="Whether all that is known is too old to be believed.")
    target: DecimalText | None
    soft: DecimalText | None
    hard: DecimalText | None
    brake: list[BrakeMark]
    state: Literal["ok", "soft", "hard", "brake", "none", "unknown"] = Field(description="`none`: there is nothing to measure.")
    headroom: DecimalText | None = Field(description="From the value to the next level that it has not reached.")
    headroom_to: Literal["soft", "hard", "brake"] | None
    used: DecimalText | None = Field(description="Value / the first level that stops something; of a distance the other way round.")
    readings: list[Reading]


class Concentration(Document):
    """One open position as a part of the whole, and how far its liquidation is."""

    instrument: str
    side: Literal["long", "short"]
    notional: DecimalText
    equity_share: DecimalText | None
    gross_share: DecimalText
    sigma_daily: DecimalText | None = Field(description="Forecast standard deviation of a day's return.")
    liquidation_distance: DecimalText | None = Field(description="Move of the mark, as a fraction of it, that ends the account.")
    liquidation_price: DecimalText | None
    why: str


class GuardSeen(Document):
    """What is known of the guard."""

    state: Freshness
    age_s: float | None
    at: Time | None
    why: str


class RiskStatus(Document):
    """Every measure with its value, levels and headroom, where each value comes from and how old it is."""

    server_time: Time
    run_id: str | None
    as_of: Time | None = Field(description="Venue time of the books.")
    quote: str | None
    equity: DecimalText | None
    measures: list[RiskMeasure]
    concentration: list[Concentration]
    limits_number: int | None
    limits_version: str | None
    guard: GuardSeen
    budget_s: float = Field(description="A reading older than this is stale.")


class VarMethod(Document):
    """VaR and ES by one method. Losses are positive."""

    method: str = Field(examples=["fhs-garch-t"])
    chosen: bool = Field(description="Whether the limits act on this one.")
    convention: str
    var99: DecimalText | None
    es975: DecimalText | None
    var99_money: DecimalText | None
    es975_money: DecimalText | None
    n: Count = Field(description="Days of the sample.")
    standard_error: DecimalText | None
    flags: list[str]
    colour: Colour = Field(description="Traffic light of its daily backtest over the last 250 days.")
    exceptions: int | None
    expected: DecimalText | None
    days: int | None
    kupiec_p: DecimalText | None
    christoffersen_p: DecimalText | None


class RiskVar(Document):
    """VaR99 and ES97.5 of one day for the book as it stands, methods side by side."""

    server_time: Time
    run_id: str
    as_of: Time | None
    equity: DecimalText
    quote: str
    method: str | None = Field(description="The chosen one; null where there is no position.")
    methods: list[VarMethod]
    components: dict[str, DecimalText] = Field(description="Part of each position in the historical ES; they add up.")
    why: str


class StressRow(Document):
    """The book under one scenario. Fractions are of equity; a loss is positive."""

    scenario: str = Field(examples=["mar-2020"])
    title: str
    since: str | None
    until: str | None
    source: str
    loss: DecimalText | None
    loss_frac: DecimalText | None
    equity_after: DecimalText | None
    margin_ratio: DecimalText | None = Field(description="The worst on the way: maintenance / equity.")
    liquidated: bool
    funding: DecimalText | None
    exit_cost: DecimalText | None
    flags: list[str]


class ReverseStress(Document):
    """The smallest shock that breaches."""

    target: str = Field(description="What it breaches, in words.")
    shocks: dict[str, DecimalText] = Field(description="Move of each instrument, as a fraction of its mark.")
    distance: DecimalText | None = Field(description="Mahalanobis distance in daily standard deviations.")
    why: str


class RiskStress(Document):
    """What the book would lose under each scenario, liquidation-aware, and what it takes to breach."""

    server_time: Time
    run_id: str
    as_of: Time | None
    equity: DecimalText
    quote: str
    scenarios: list[StressRow]
    reverse: list[ReverseStress]
    why: str


class LimitRow(Document):
    """One limit as the document holds it."""

    name: str
    value: str = Field(description="In the unit named; as the configuration writes it.")
    unit: str
    owner: str
    tightens: Literal["down", "up", "more"] = Field(
        description="Which way is tighter: `more` names, of a list. 0 that may go down is absent."
    )
    minimum: str | None
    maximum: str | None
    control: str = Field(description="Of the catalogue of controls.", examples=["C-RISK-11"])


class LimitsRef(Document):
    """One version of the limits."""

    number: int
    version: str
    made_at: Time
    owner: str
    actor: str = Field(description="Id of who made it, or asked for it.")
    approver: str = Field(description="Id of the second person, of a loosening; else empty.")
    reason: str
    supersedes: str
    approval_id: str | None
    changes: dict[str, str] = Field(description="What differs from the version before: `old -> new`.")


class RiskLimits(Document):
    """The limits in force, and every version before."""

    server_time: Time
    account: str | None
    current: LimitsRef | None = Field(description="null while only the configuration holds: no trader has kept a document yet.")
    limits: list[LimitRow]
    history: list[LimitsRef]
    why: str


class TightenBody(Said):
    """New values of some limits, none looser than now."""

    changes: dict[LimitName, LimitText] = Field(min_length=1, max_length=60)
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="Why; stands in document and journal.")]
    base_version: Annotated[str, Field(max_length=64, description="The version that was seen; another one meanwhile is a conflict.")] = ""


class LimitsTightened(Document):
    """The new version: durable, on its way to the trader."""

    number: int
    version: str
    supersedes: str
    changes: dict[str, str]
    reason: str
    at: Time

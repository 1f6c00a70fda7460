"""The API's overview: what is shown everywhere, the books, risk, funnel, and the equity curve."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kedge.api.schemas_base import Count, DecimalText, Document, Sha256, Time
from kedge.api.schemas_rows import Order, Position, Prediction


class Badge(Document):
    """What kind of money this is, always visible. `label` is DEMO, SYNTHETIC, REPLAY, BACKTEST, PAPER, TESTNET or LIVE."""

    label: Literal["DEMO", "SYNTHETIC", "REPLAY", "BACKTEST", "PAPER", "TESTNET", "LIVE"]
    words: str = Field(description="The same for people.", examples=["paper money, synthetic market"])
    rung: str = Field(description="demo, bt (backtest), trial, paper, testnet or live.", examples=["paper"])
    source: str = Field(description="Where prices come from: synthetic, replay or live.", examples=["synthetic"])
    speed: str | None = Field(description="Factor of wall time, or `max`.", examples=["600"])


class Freshness(Document):
    """How old the data is. Ages are seconds of wall time; compare them with `budget_s`."""

    as_of: Time | None = Field(description="Venue time of the last record read.")
    bar_at: Time | None = Field(description="Venue time of the last bar's close.")
    bar_received_at: Time | None = Field(description="Wall time at which the last bar was seen here.")
    age_s: float | None = Field(description="Seconds since then; null while no bar is known.")
    late_after_s: float
    budget_s: float = Field(description="Older than this is stale: three bars' wall time, at least 10 s.")
    state: Literal["fresh", "late", "stale", "ended", "unknown"] = Field(
        description="`ended`: the run is over and nothing more is expected; `unknown`: no bar yet."
    )
    stale_since: Time | None
    why: str = Field(description="Why it is not fresh; empty when it is.")


class Following(Document):
    """How far the server has read the journal."""

    state: Literal["idle", "catching_up", "following", "ended", "failed"] = Field(
        description="`idle`: there is no run; `ended`: the journal is sealed and read to its end."
    )
    records_read: Count
    records_total: Count | None
    progress: float | None = Field(ge=0, le=1)
    problem: str | None
    fix: str | None


class Part(Document):
    """One part of the system, as its check saw it. `none` is a part that this system does not have."""

    name: str
    state: Literal["ok", "failed", "none"]
    needed: bool
    seen: str
    fix: str


class HealthOverview(Document):
    """All parts, as in `/health`."""

    status: Literal["ok", "degraded", "failing"]
    checked_at: Time
    parts: list[Part]


class RunInfo(Document):
    """What a run is, from its first record."""

    run_id: str
    rung: str
    source: str
    speed: str
    account: str
    strategy: str
    params: dict[str, str]
    instruments: list[str]
    interval_s: float
    started_at: Time = Field(description="Venue time.")
    seed: int
    engine_version: str
    code_sha256: str
    settings_sha256: str
    sealed: bool
    current: bool = Field(description="Whether this is the run that the server follows.")


class JournalInfo(Document):
    """Where the journal stands."""

    run_id: str
    rows: Count
    records: Count
    last_seq: int
    last_hash: str | None = Field(description="Chain hash of the last row read.")
    sealed: bool


class ModelRef(Document):
    """The model behind a run, or one in the store. Name, version and alias are null where it was never registered here."""

    sha256: Sha256
    name: str | None
    version: str | None
    alias: str | None


class Books(Document):
    """The account at the last marks."""

    quote: str = Field(examples=["USDT"])
    equity: DecimalText
    wallet: DecimalText
    unrealised: DecimalText
    realised: DecimalText = Field(description="Since the start, before fees and funding.")
    fees: DecimalText = Field(description="Paid since the start; negative is a rebate.")
    funding_paid: DecimalText = Field(description="Since the start; negative was received.")
    flows: DecimalText = Field(description="Deposits less withdrawals.")
    peak_equity: DecimalText
    drawdown_now: DecimalText = Field(description="Fraction below the peak.")
    drawdown_worst: DecimalText
    daily_loss: DecimalText = Field(description="Fraction below the day's start.")
    gross_notional: DecimalText
    net_notional: DecimalText
    leverage: DecimalText | None = Field(description="Gross notional / equity; null where equity is not positive.")


class DayResult(Document):
    """Profit and loss since 00:00 UTC (or the run's start on that day): total = price - funding_paid - fees."""

    since: Time
    start_equity: DecimalText
    total: DecimalText
    total_frac: DecimalText | None
    price: DecimalText = Field(description="Realised and unrealised.")
    funding_paid: DecimalText
    fees: DecimalText
    flows: DecimalText


class Gauge(Document):
    """One limit on the account: fractions."""

    name: str
    words: str
    value: DecimalText | None
    soft: DecimalText | None = Field(description="From here on a warning.")
    reduce: DecimalText | None = Field(description="From here on only reducing.")
    hard: DecimalText = Field(description="From here on halted; of leverage: nothing is added.")
    used: DecimalText | None = Field(description="value / hard.")


class RiskInfo(Document):
    """Whether trading is allowed, and how close to the limits that reduce or halt it."""

    state: str = Field(examples=["running"], description="running, reduce_only or halted")
    halt_code: str | None
    observed: str | None = Field(description="What was observed when it last changed.")
    limit: str | None
    changed_at: Time | None
    limits: list[Gauge]


class Funnel(Document):
    """Counts from bars to fills, so that 'no trades' is always explained."""

    bars: Count
    gaps: Count
    predictions: Count
    decisions: Count
    sized: Count
    vetoed: dict[str, int] = Field(description="Before sending, by code: signals and limits.")
    sent: Count
    refused: dict[str, int] = Field(description="By the venue, by code.")
    filled: Count
    round_trips: Count


class Overview(Document):
    """One screen: everything but the lists. Parts that need a run are null while there is none."""

    server_time: Time
    badge: Badge | None
    run: RunInfo | None
    following: Following
    freshness: Freshness
    books: Books | None
    day: DayResult | None
    positions: list[Position]
    open_orders: list[Order]
    risk: RiskInfo | None
    funnel: Funnel | None
    model: ModelRef | None
    last_prediction: Prediction | None
    journal: JournalInfo | None
    health: HealthOverview | None


class EquityPoint(Document):
    """Equity over one bucket that ends at `at`; drawdown is the worst in it, as a fraction."""

    at: Time
    equity: DecimalText = Field(description="The last one in the bucket.")
    low: DecimalText
    high: DecimalText
    drawdown: DecimalText


class EquitySeries(Document):
    """Equity over time, at the finest resolution that fits into the points asked for; oldest first."""

    run_id: str
    resolution_s: float
    start_equity: DecimalText
    items: list[EquityPoint]

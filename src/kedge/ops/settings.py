"""The configuration's shape: every key with its type, bounds, default and meaning.

The rules: unknown keys are refused, fractions and money are written as decimal text and never pass through a
float, rows of limits must rise, secrets are references. The engine's own parameter objects live in the pure
rooms; `engine_values` of a section gives plain integers under their names.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from kedge.domain.errors import InvalidConfig, InvalidInput
from kedge.domain.units import E8, NS_PER_MS, NS_PER_S, parse_decimal
from kedge.ops.folders import default_state_folder
from kedge.ops.secret_reference import check_reference

Profile = Literal["development", "staging", "production"]


def _decimal(value: object) -> Decimal:
    if not isinstance(value, (str, int, Decimal)):
        raise ValueError("write a decimal such as 0.15")
    try:
        return parse_decimal(value, field="value")
    except InvalidInput as error:
        raise ValueError(error.why) from None


Number = Annotated[Decimal, BeforeValidator(_decimal), Field(max_digits=28, decimal_places=8)]
Fraction = Annotated[Number, Field(gt=0, le=1)]
FractionOrNone = Annotated[Number, Field(ge=0, le=1)]
Sigmas = Annotated[Number, Field(ge=0, le=100, decimal_places=2)]
RestrictedName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.:-]{1,64}$")]
Seconds = Annotated[Number, Field(gt=0, le=604_800)]
Rate = Annotated[Number, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]
Name = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]


class Section(BaseModel):
    """A frozen, strict group of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Costs(Section):
    """What trading costs in backtests and the demo."""

    maker_rate_frac: Rate | None = Field(None, description="maker fee as a fraction of notional; null takes the instrument's own")
    taker_rate_frac: Rate | None = Field(None, description="taker fee as a fraction of notional; null takes the instrument's own")
    half_spread_ticks: int = Field(1, ge=0, le=1_000_000, description="ticks a taker pays beyond the bar's open")
    impact_bps: int = Field(20, ge=0, le=10_000, description="further cost of an order as large as the whole bar, linear below")
    participation_frac: Fraction = Field(Decimal("0.1"), description="largest share of a bar's volume all our orders may take")
    latency_ms: int = Field(50, ge=0, le=60_000, description="from leaving us to reaching the venue")

    def engine_values(self) -> dict[str, int]:
        """`half_spread_ticks`, `impact_bps`, `participation_e8`, `latency_ns`, and `maker_fee_e8`, `taker_fee_e8` where overridden."""
        values = {
            "half_spread_ticks": self.half_spread_ticks,
            "impact_bps": self.impact_bps,
            "participation_e8": to_e8(self.participation_frac),
            "latency_ns": self.latency_ms * NS_PER_MS,
        }
        for name, rate in (("maker_fee_e8", self.maker_rate_frac), ("taker_fee_e8", self.taker_rate_frac)):
            if rate is not None:
                values[name] = to_e8(rate)
        return values


class Limits(Section):
    """Pre-trade limits, and where the trader itself reduces or halts; 0 leaves a row out. Fractions are of flow-adjusted equity."""

    RISING_ROWS: ClassVar = (
        ("order_notional_frac_soft", "order_notional_frac_max", "position_notional_frac_max", "gross_leverage_max"),
        ("position_notional_frac_soft", "position_notional_frac_max"),
        ("gross_leverage_soft", "gross_leverage_max"),
        ("net_leverage_max", "gross_leverage_max"),
        ("var99_soft_frac", "var99_max_frac"),
        ("es975_soft_frac", "es975_max_frac"),
        ("margin_ratio_soft", "margin_ratio_max"),
        ("liquidation_distance_min_frac", "liquidation_distance_soft_frac"),
        ("liquidation_sigmas_min", "liquidation_sigmas_soft"),
        ("trade_risk_frac_soft", "trade_risk_frac_max"),
        ("manual_order_frac_soft", "order_notional_frac_max"),
        ("daily_loss_soft_frac", "daily_loss_reduce_frac", "daily_loss_halt_frac"),
        ("drawdown_soft_frac", "drawdown_reduce_frac", "drawdown_halt_frac"),
        ("open_orders_instrument_max", "open_orders_total_max"),
        ("orders_per_second_max", "orders_per_10s_max"),
    )

    order_notional_frac_soft: Fraction = Field(Decimal("0.10"), description="notional of one order: alert above")
    order_notional_frac_max: Fraction = Field(Decimal("0.15"), description="notional of one order: refused above")
    position_notional_frac_soft: FractionOrNone = Field(
        Decimal("0.20"), description="notional of one instrument, all open orders filled: alert above"
    )
    position_notional_frac_max: Fraction = Field(
        Decimal("0.25"), description="notional of one instrument, all open orders filled: refused above"
    )
    gross_leverage_soft: Number = Field(Decimal("1.2"), ge=0, le=100, description="sum of absolute notionals over equity: alert above")
    gross_leverage_max: Number = Field(Decimal("1.5"), gt=0, le=100, description="sum of absolute notionals over equity: refused above")
    net_leverage_max: Number = Field(Decimal("1.5"), gt=0, le=100, description="absolute sum of notionals over equity: refused above")
    daily_loss_soft_frac: Fraction = Field(Decimal("0.01"), description="loss of the UTC day: alert")
    daily_loss_reduce_frac: Fraction = Field(Decimal("0.015"), description="loss of the UTC day: reduce-only")
    daily_loss_halt_frac: Fraction = Field(Decimal("0.02"), description="loss of the UTC day: halt")
    drawdown_soft_frac: Fraction = Field(Decimal("0.05"), description="drawdown from the high-water mark: alert")
    drawdown_reduce_frac: Fraction = Field(Decimal("0.065"), description="drawdown from the high-water mark: reduce-only")
    drawdown_halt_frac: Fraction = Field(Decimal("0.08"), description="drawdown from the high-water mark: halt")
    var99_soft_frac: FractionOrNone = Field(Decimal("0.03"), description="one-day VaR at 99 %: alert above")
    var99_max_frac: FractionOrNone = Field(Decimal("0.035"), description="one-day VaR at 99 %: orders that add risk are refused above")
    es975_soft_frac: FractionOrNone = Field(Decimal("0.032"), description="one-day expected shortfall at 97.5 %: alert above")
    es975_max_frac: FractionOrNone = Field(
        Decimal("0.04"), description="one-day expected shortfall at 97.5 %: orders that add risk are refused above"
    )
    margin_ratio_soft: FractionOrNone = Field(Decimal("0.2"), description="maintenance margin over equity: alert above")
    margin_ratio_max: FractionOrNone = Field(Decimal("0.3"), description="maintenance margin over equity: refused above")
    liquidation_distance_soft_frac: FractionOrNone = Field(
        Decimal("0.30"), description="nearer to liquidation than this share of the mark: alert"
    )
    liquidation_distance_min_frac: FractionOrNone = Field(
        Decimal("0.20"), description="nearer to liquidation than this share of the mark: refused"
    )
    liquidation_sigmas_soft: Sigmas = Field(
        Decimal("6"), description="nearer to liquidation than so many daily standard deviations, where that is more: alert"
    )
    liquidation_sigmas_min: Sigmas = Field(
        Decimal("5"), description="nearer to liquidation than so many daily standard deviations, where that is more: refused"
    )
    trade_risk_frac_soft: FractionOrNone = Field(Decimal("0.01"), description="loss of a position at its stop: alert above")
    trade_risk_frac_max: FractionOrNone = Field(Decimal("0.02"), description="loss of a position at its stop: refused above")
    open_orders_instrument_max: Count = Field(20, description="open orders on one instrument")
    open_orders_total_max: Count = Field(100, description="open orders in all")
    orders_per_second_max: Count = Field(7, description="new orders in any second of venue time")
    orders_per_10s_max: Count = Field(50, description="new orders in any ten seconds of venue time")
    messages_per_3s_max: Count = Field(60, description="orders, amendments and cancels in any three seconds: halt above")
    messages_per_fill_max: Count = Field(100, description="messages for each fill: alert above")
    messages_window_min: Count = Field(200, description="messages before messages_per_fill_max is judged")
    decisions_max: int = Field(
        30, ge=0, le=100_000, description="decisions that a strategy may act on within decisions_window_s; then it only reduces"
    )
    decisions_window_s: int = Field(300, ge=1, le=604_800, description="span of venue time in which decisions are counted")
    duplicate_window_ms: int = Field(
        2_000, ge=1, le=3_600_000, description="a same order of the same decision and slice within this span is a duplicate"
    )
    fat_finger_multiple: Count = Field(20, description="an order this many times the usual size is refused")
    fat_finger_orders_min: Count = Field(10, description="orders before the usual size is known")
    fat_finger_volume_frac: Fraction = Field(Decimal("0.25"), description="an order above this share of a bar's volume is refused")
    fill_deviation_bps_max: int = Field(
        50, ge=0, le=10_000, description="mean distance of fills from the mark, on the bad side: orders that add risk are refused above"
    )
    fill_deviation_fills_min: Count = Field(20, description="fills before fill_deviation_bps_max is judged")
    fill_deviation_window_s: int = Field(86_400, ge=1, le=604_800, description="span of venue time in which fills are counted")
    manual_order_frac_soft: FractionOrNone = Field(
        Decimal("0.05"), description="notional of an order that a person gives: a second person is needed above"
    )
    position_age_max_s: int = Field(
        120, ge=0, le=86_400, description="books compared with the venue's longer ago: orders that add risk are refused"
    )
    quote_gap_max_s: int = Field(60, ge=0, le=86_400, description="best prices lost for longer: orders that add risk are refused")
    restricted: list[RestrictedName] = Field(
        default_factory=list, max_length=200, description="instruments, symbols or base currencies that may only be reduced"
    )
    stale_bars: Number = Field(Decimal("1.5"), gt=0, le=1_000, decimal_places=2, description="a price older than this many bars is stale")

    @model_validator(mode="after")
    def _rows_rise(self) -> Self:
        """An alert level that nobody configured keeps to its limit; every other row has to rise as it is written."""
        for row in self.RISING_ROWS:
            self._keep_alerts_within(row)
            names = [name for name in row if getattr(self, name)]
            values = [getattr(self, name) for name in names]
            if values != sorted(values):
                told = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))
                raise ValueError(f"a row must rise (target <= soft <= hard): {told}")
        return self

    def _keep_alerts_within(self, row: tuple[str, ...]) -> None:
        for low, high in zip(row, row[1:], strict=False):
            if 0 < getattr(self, high) < getattr(self, low):
                for name, other in ((low, high), (high, low)):
                    if "_soft" in name and name not in self.model_fields_set:
                        self.__dict__[name] = getattr(self, other)
                        break

    def engine_values(self) -> dict[str, int | tuple[str, ...]]:
        """Plain values under the names of the risk room's own `Limits`."""
        values: dict[str, int | tuple[str, ...]] = {}
        for name, value in self:
            if name == "duplicate_window_ms":
                values["duplicate_window_ns"] = value * NS_PER_MS
            elif name.endswith("_s") and isinstance(value, int):
                values[f"{name.removesuffix('_s')}_ns"] = value * NS_PER_S
            elif name == "restricted":
                values[name] = tuple(sorted(set(value)))
            elif name in ("stale_bars", "liquidation_sigmas_soft", "liquidation_sigmas_min"):
                values[f"{name}_e2"] = int(value * 100)
            elif isinstance(value, Decimal):
                kept = name if name.startswith(("order_notional", "position_notional", "fat_finger")) else name.removesuffix("_frac")
                values[f"{kept}_e8"] = to_e8(value)
            else:
                values[name] = value
        return values


class Execution(Section):
    """How targets become orders; docs/execution.md tells the styles."""

    style: Literal["market", "limit", "chase", "twap", "participation", "stop_entry"] | None = Field(
        None, description="market, limit, chase, twap, participation or stop_entry; unset: market, or what the command line says"
    )
    chase_ticks: int = Field(1, ge=1, le=1_000_000, description="a chasing order follows when the touch is so many ticks away")
    chase_every_s: Seconds = Field(Decimal("1"), description="seconds between two moves of a chasing order")
    chase_life_s: Seconds | None = Field(None, description="seconds from the decision until a chase is over; unset: one bar")
    chase_then: Literal["market", "stop"] = Field("market", description="what is left of a chase: market takes it, stop leaves it")
    chase_tries_max: int = Field(10, ge=1, le=100, description="post-only orders that would have taken until a chase is over")
    chase_exits: bool = Field(False, description="whether chase works reducing orders too; never when limits or people ask for less risk")
    quote_age_max_s: Seconds = Field(Decimal("5"), description="a quote sampled longer ago is as good as none")
    without_quote: Literal["last_close", "wait"] = Field("last_close", description="where passive orders rest while no whole book is known")
    twap_s: Seconds | None = Field(None, description="seconds over which twap slices; unset: ten bars")
    twap_slices: int = Field(10, ge=1, le=1_000, description="slices of one twap")
    slice_entry: Literal["market", "limit"] = Field("market", description="slices take at once, or rest first and cross after their life")
    slice_life_s: Seconds = Field(Decimal("10"), description="seconds a resting slice lives")
    participation_frac: Fraction = Field(Decimal("0.05"), description="largest share of the volume traded since the last slice")
    trigger_bps: int = Field(20, ge=1, le=10_000, description="stop_entry triggers when the mark has moved so far since the decision")

    def engine_values(self) -> dict[str, int | str | bool | None]:
        """Plain values under the names of the strategy room's `ExecutionPolicy`; what is unset is None."""
        values: dict[str, int | str | bool | None] = {}
        for name, value in self:
            if name.endswith("_s"):
                values[f"{name.removesuffix('_s')}_ns"] = None if value is None else int(value * NS_PER_S)
            elif name == "participation_frac":
                values["participation_e8"] = to_e8(value)
            else:
                values[name] = value
        return values


class PositionStops(Section):
    """The stop that lies at the exchange for every position of a live trader; docs/stops.md tells its rules."""

    distance_frac: Number = Field(
        Decimal("0.10"), ge=0, le=Decimal("0.9"), description="how far from its average price every position has its stop; 0 for none"
    )


class Sizing(Section):
    """Caps on what a strategy may ask for; docs/limits.md tells how they act. Fractions are of equity, of notional where it says so."""

    active: bool = Field(True, description="whether sizes are capped; switching it off is for play money: refused on testnet and live")
    trade_risk_frac: Annotated[Fraction, Field(le=Decimal("0.02"))] = Field(
        Decimal("0.02"), description="loss of one trade at its stop, gap and costs included: sizes are cut to it"
    )
    book_es_975_frac: Annotated[Fraction, Field(le=Decimal("0.10"))] = Field(
        Decimal("0.025"), description="expected shortfall of the book, 97.5 %, one day: sizes are cut to it"
    )
    leverage_max: Number = Field(Decimal("1.5"), gt=0, le=100, description="notional of one instrument over equity: sizes are cut to it")
    gap_frac: FractionOrNone = Field(Decimal("0.05"), description="of notional: how far beyond its stop a position is filled in a gap")
    cost_frac: FractionOrNone = Field(
        Decimal("0.0015"), description="of notional: fees and slippage of both sides; at least the instrument's taker fee twice"
    )

    def engine_values(self) -> dict[str, int]:
        """Plain integers under the names of the risk room's `SizingPolicy`, all but the distance of the stop."""
        return {f"{name}_e8": to_e8(value) for name, value in self if isinstance(value, Decimal)}


class StrategyChoice(Section):
    """Which strategy trades, and its parameters."""

    name: Name | None = Field(
        None, description="trend, mean_reversion or model; unset: the model in `kedge up`, trend in a backtest, demo or trader"
    )
    confidence_min: Number = Field(Decimal("0"), ge=0, le=1, description="signals that carry a lower calibrated confidence are vetoed")
    params: dict[str, str | int | bool | None] = Field(
        default_factory=dict, description="its parameters by name; checked by the strategy itself"
    )


class JournalSettings(Section):
    """How a run is recorded."""

    group_size: int = Field(
        1_000, ge=1, le=100_000, description="records that share one durable commit in backtests; live trading always commits each"
    )
    snapshot_every: int = Field(100_000, ge=1, le=100_000_000, description="records between snapshots of the engine's state")


class Demo(Section):
    """What `kedge up` plays."""

    market: str = Field("synthetic", pattern=r"^(synthetic|replay:.+)$", description="synthetic, or replay:FILE for recorded bars")
    speed: str = Field("600", pattern=r"^(max|[1-9][0-9]{0,5})$", description="max, or how many times faster than the clock")
    seed: int = Field(7, ge=0, le=2**63 - 1, description="seed of the synthetic market")
    instruments: list[Name] = Field(
        default_factory=lambda: ["BTCUSDT", "ETHUSDT"], min_length=1, max_length=64, description="symbols to trade"
    )


Distance = Annotated[Number, Field(ge=0, le=100)]


class GuardTriggers(Section):
    """When the guard brakes by itself; 0 switches a trigger off. Fractions are of flow-adjusted equity."""

    drawdown_halt_frac: Distance = Field(Decimal("0.08"), description="drawdown from the high-water mark: halt")
    drawdown_flatten_frac: Distance = Field(Decimal("0.10"), description="drawdown from the high-water mark: flatten")
    var99_flatten_frac: Distance = Field(Decimal("0.05"), description="one-day VaR at 99 %: flatten")
    day_loss_halt_frac: Distance = Field(Decimal("0.02"), description="loss of the UTC day: halt")
    day_loss_flatten_frac: Distance = Field(Decimal("0.03"), description="loss of the UTC day: flatten")
    gross_leverage_reduce: Distance = Field(Decimal("2.0"), description="sum of absolute notionals over equity: reduce-only")
    position_notional_reduce_frac: Distance = Field(Decimal("0.35"), description="notional of one instrument: reduce-only")
    margin_ratio_flatten: Distance = Field(Decimal("0.5"), description="maintenance margin over equity: flatten")
    liquidation_flatten_frac: Distance = Field(Decimal("0.15"), description="nearer to liquidation than this share of the mark: flatten")
    liquidation_sigmas: Distance = Field(Decimal("4"), description="nearer to liquidation than so many daily sigmas, where more: flatten")
    heartbeat_cancel_s: int = Field(10, ge=0, le=3_600, description="a trader unheard so long: its orders that add risk are cancelled")
    heartbeat_halt_s: int = Field(60, ge=0, le=86_400, description="a trader unheard so long with positions: halt")
    stop_missing_s: int = Field(15, ge=0, le=3_600, description="a position without a stop at the venue so long: reduce-only")
    books_differ_s: int = Field(10, ge=0, le=3_600, description="a wallet or position that nothing explains so long: halt")
    clock_halt_ms: int = Field(500, ge=0, le=60_000, description="this machine's clock so far from the venue's: halt")
    rejects_per_minute: int = Field(10, ge=0, le=10_000, description="more orders than these refused by the venue in a minute: halt")
    stale_halt_s: int = Field(10, ge=0, le=3_600, description="the venue unread so long with risk on: halt")

    @model_validator(mode="after")
    def _rows_rise(self) -> Self:
        for mild, hard in (("drawdown_halt_frac", "drawdown_flatten_frac"), ("day_loss_halt_frac", "day_loss_flatten_frac")):
            if 0 < getattr(self, hard) < getattr(self, mild):
                raise ValueError(f"a row must rise (halt <= flatten): {mild} {getattr(self, mild)}, {hard} {getattr(self, hard)}")
        return self

    def engine_values(self) -> dict[str, int]:
        """Plain integers under the names of `risk.brake.triggers.TriggerLimits`."""
        values: dict[str, int] = {}
        for name, value in self:
            if name == "liquidation_sigmas":
                values["liquidation_sigmas_e2"] = int(value * 100)
            elif isinstance(value, Decimal):
                values[f"{name.removesuffix('_frac')}_e8"] = to_e8(value)
            else:
                values[name] = value
        return values


class GuardSection(Section):
    """The guard: the emergency brake in a process of its own."""

    port: int = Field(8081, ge=0, le=65_535, description="its own page and door on this machine; 0 takes a free one")
    participation_frac: Fraction = Field(
        Decimal("0.25"), description="largest share of the visible depth within the collar that one closing slice takes"
    )
    collar_bps: int = Field(
        0, ge=0, le=5_000, description="how far from the mark a closing slice may trade, in basis points; 0 takes the instrument's own"
    )
    triggers: GuardTriggers = Field(default_factory=GuardTriggers, description="when it brakes by itself")
    drills: bool = Field(True, description="whether `kedge serve` holds the weekly drill of the brake by itself")


class Governance(Section):
    """Who decides."""

    solo_reason: str = Field(
        "",
        max_length=300,
        description="declares that one person works alone here, and why: approvals may then be one's own after 15 minutes, marked SOLO",
    )


class Settings(Section):
    """The whole configuration."""

    profile: Profile = Field(
        "development", description="development, staging or production; its section under `profiles` is laid over the file"
    )
    account: Name = Field("demo", description="alias of the account; stands in every order id")
    state_dir: str = Field(
        default_factory=lambda: str(default_state_folder()), min_length=1, description="folder of journals, keys and status; ~ is your home"
    )
    wallet: Number = Field(Decimal("100000"), gt=0, le=1_000_000_000, description="starting money of simulated accounts, in USDT")
    costs: Costs = Field(default_factory=Costs, description="trading costs in backtests and the demo")
    limits: Limits = Field(default_factory=Limits, description="pre-trade limits")
    execution: Execution = Field(default_factory=Execution, description="how targets become orders")
    stops: PositionStops = Field(default_factory=PositionStops, description="stops of positions at the exchange")
    sizing: Sizing = Field(default_factory=Sizing, description="caps on what a strategy may ask for")
    strategy: StrategyChoice = Field(default_factory=StrategyChoice, description="what trades")
    journal: JournalSettings = Field(default_factory=JournalSettings, description="how a run is recorded")
    demo: Demo = Field(default_factory=Demo, description="what `kedge up` plays")
    guard: GuardSection = Field(default_factory=GuardSection, description="the emergency brake")
    governance: Governance = Field(default_factory=Governance, description="who decides")
    secrets: dict[str, str] = Field(
        default_factory=dict, description="name to reference, env:NAME or file:PATH; values named here never reach journals or output"
    )

    @field_validator("secrets")
    @classmethod
    def _only_references(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        try:
            return {name: check_reference(text, field=f"secrets.{name}") for name, text in value.items()}
        except InvalidConfig as error:
            raise ValueError(f"{error.what}: {error.why}; {error.fix}") from None


def to_e8(value: Decimal) -> int:
    """A decimal of at most eight places in 1e-8, exactly."""
    return int(value * E8)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the configuration, for editors."""
    return Settings.model_json_schema()

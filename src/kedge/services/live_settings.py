"""What a live run is: the strategy and limits, and how the trader deals with its venue."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kedge.domain.instrument import InstrumentId
from kedge.domain.units import NS_PER_S
from kedge.risk.limits import Limits
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.heritage import Heritage
from kedge.services.live_stops import StopPace
from kedge.services.lookup import LookupPace
from kedge.services.reconcile import Foreign
from kedge.strategy.execution import ExecutionPolicy


class LivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to trade and how: everything here stands in the first record, but for the heritage, which is told in a step.

    Attributes
    ----------
    rung : str
        Where the money is: 'demo', 'paper', 'testnet', 'live'.
    source : str
        'live', 'replay' or 'synthetic': where the venue's prices come from.
    start_ts_ns : int or None
        Venue time now, as the exchange told it; None takes the wallet's timestamp.
    run_id : str
        The run's name where whoever composes it has one; '' names it by its content.
    begun_wall_ns : int
        When the run was begun, on the wall's clock: commands given before are another run's. 0 where nobody knows.
    history_bars : int
        Bars to fetch before the first one, so that features are warm sooner.
    limits_number : int
        Which document of the account the limits are; 0 where they are of no document.
    stop_distance_frac_e8 : int
        How far from its average price every position has a stop at the venue, as a fraction in 1e-8; 0 for no stops.
    sizing : SizingPolicy or None
        Caps on what the strategy may ask for; None sizes as it asks.
    heritage : Heritage or None
        The run that traded the account before, and since this one did; None where there is none.
    """

    account: str
    rung: str
    instruments: tuple[InstrumentId, ...]
    strategy: str
    params: dict[str, Any]
    interval_ns: Annotated[int, msgspec.Meta(ge=1)]
    limits: Limits = Limits()
    execution: ExecutionPolicy = ExecutionPolicy()
    confidence_min_e8: int = 0
    gap_bars_carried: int = 3
    stop_distance_frac_e8: Annotated[int, msgspec.Meta(ge=0, le=90_000_000)] = 0
    sizing: SizingPolicy | None = None
    source: str = "live"
    speed: str = "1"
    seed: int = 0
    engine_version: str = ""
    code_sha256: str = ""
    assumptions: dict[str, str] = {}
    start_ts_ns: int | None = None
    run_id: str = ""
    begun_wall_ns: int = 0
    history_bars: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    limits_number: Annotated[int, msgspec.Meta(ge=0)] = 0
    heritage: Heritage | None = None


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the loop behaves; none of it changes a decision, so none of it stands in the journal.

    Attributes
    ----------
    speed : int
        How many times faster than the wall venue time runs.
    foreign : Foreign
        Orders, trades and positions that are not ours: halt, or take over.
    reconcile_every_ns : int
        Venue time between two routine comparisons of the books.
    reconcile_wall_min_s : float
        At least this much wall time between them, so that a fast market is not spent asking.
    reading_gap_s : float
        Wall time between two readings of books that differ, growing with each.
    wallet_tolerance_e8 : int
        Largest unexplained difference of the wallet that is rounding, in 1e-8.
    instruments_every_s : float
        Wall time between two readings of the venue's rules and margin tiers, which are read at the start too.
    instruments_retry_s : float
        Wall time after which they are asked for again where they could not be had, or an instrument was missing.
    bars_wait_s : float
        In lock-step: how long released bars may take to arrive before history is asked.
    answers_wait_s : float
        In lock-step: how long one bar waits for unanswered orders before it is acknowledged all the same.
    """

    speed: Annotated[int, msgspec.Meta(ge=1)] = 1
    foreign: Foreign = Foreign.REFUSE
    reconcile_every_ns: Annotated[int, msgspec.Meta(ge=1)] = 30 * NS_PER_S
    reconcile_wall_min_s: float = 1.0
    reading_gap_s: float = 0.2
    wallet_tolerance_e8: Annotated[int, msgspec.Meta(ge=0)] = 0
    snapshot_every: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    instruments_every_s: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    instruments_retry_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    lookup: LookupPace = LookupPace()
    stops: StopPace = StopPace()
    bars_wait_s: float = 2.0
    answers_wait_s: float = 6.0
    inbox_every_s: float = 0.2
    retry_first_s: float = 0.2
    retry_max_s: float = 10.0

"""Outputs: everything the engine may want. Recorded with the event that caused them, then carried out.

The engine's `absorb` folds exactly these, so recovery needs no strategy: what was decided is read, not decided again.
"""

from __future__ import annotations

import msgspec

from kedge.domain.instrument import InstrumentId
from kedge.domain.orders import ApprovedOrder, ClientOrderId, OrderIntent


class _Output(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", omit_defaults=True):
    pass


class Decided(_Output, frozen=True, gc=False, tag="decided"):
    """A strategy changed its mind about one instrument.

    Attributes
    ----------
    exposure_e8 : int
        Wanted signed notional as a fraction of equity, in 1e-8; 10_000_000 is +10 %.
    target_lots : int
        The wanted position after sizing.
    code : str
        'OK', or why nothing is sized (then `observed` and `limit` say by how much).
    prediction_id : str
        The prediction behind it; empty where a rule or a person decided.
    mid2_ticks : int or None
        Best bid plus best ask when it was decided: twice the mid, exact; None where no whole book was at hand.
    bound_by : str
        Which cap on sizes was the smallest: 'signal' where none cut what was wanted, '' where none was asked.
    allowed_e8 : int or None
        The exposure that `target_lots` is after the caps; None where none was asked, or nothing was sized. Where a size is cut again it may
        stand above `exposure_e8`, by what the market has added to it.
    """

    decision_id: str
    strategy: str
    instrument: InstrumentId
    exposure_e8: int
    target_lots: int
    mark_ticks: int
    equity_e8: int
    confidence_e8: int | None = None
    expected_return_e8: int | None = None
    horizon_ns: int | None = None
    reason: str = ""
    code: str = "OK"
    observed: str = ""
    limit: str = ""
    prediction_id: str = ""
    mid2_ticks: int | None = None
    bound_by: str = ""
    allowed_e8: int | None = None


class Predicted(_Output, frozen=True, gc=False, tag="predicted"):
    """What a model said about one instrument at one bar, with all that is needed to compute it again.

    Attributes
    ----------
    prediction_id : str
        `<run_id>.p<n>`, counted from 1 in each run.
    model_sha256 : str
        The model document's hash, which is the model's name wherever it matters.
    features_sha256 : str
        Of the feature vector's bytes (float64, little-endian, in the model's order), kept as a blob beside the journal's rows.
    score_hex, probability_hex : str
        The model's raw score and the calibrated probability of a rise, as 16 hex digits of the float64, big-endian: exact to the bit.
    probability_e8, expected_return_e8 : int
        The same for people, rounded; the return is over `horizon_ns`, before costs.
    veto : str
        Why nothing new may follow from it, such as 'OUT_OF_DOMAIN'; empty where it may be acted upon.
    """

    prediction_id: str
    instrument: InstrumentId
    model_sha256: str
    features_sha256: str
    score_hex: str
    probability_hex: str
    probability_e8: int
    expected_return_e8: int
    horizon_ns: int
    veto: str = ""


class OrderSent(_Output, frozen=True, gc=False, tag="send"):
    """The limits approved this order; the gateway is to send it."""

    approved: ApprovedOrder


class OrderRefused(_Output, frozen=True, gc=False, tag="refused"):
    """The limits refused this order: the rule's code, what was observed, and the limit."""

    order: OrderIntent
    code: str
    observed: str
    limit: str
    limits_version: str


class CancelSent(_Output, frozen=True, gc=False, tag="cancel"):
    """The gateway is to cancel this order."""

    client_order_id: ClientOrderId
    reason: str


class AmendSent(_Output, frozen=True, gc=False, tag="amend"):
    """The gateway is to change this resting order's whole quantity or limit; None leaves it."""

    client_order_id: ClientOrderId
    qty_lots: int | None = None
    limit_ticks: int | None = None
    reason: str = ""


class StopWanted(_Output, frozen=True, gc=False, tag="want_stop"):
    """The gateway is to put a stop for the whole position at the venue, triggered by the mark; 0 takes it away.

    `position_lots` is the position that it is meant for.
    """

    instrument: InstrumentId
    stop_ticks: int
    position_lots: int
    reason: str = ""


class TimerSet(_Output, frozen=True, gc=False, tag="set_timer"):
    """Send `TimerFired(timer_id)` back at `due_ts_ns`."""

    timer_id: str
    due_ts_ns: int


class RiskStateChanged(_Output, frozen=True, gc=False, tag="risk_state"):
    """Trading moved between RUNNING, REDUCE_ONLY and HALTED; code, observed and limit say why."""

    state: str
    code: str
    observed: str
    limit: str


class AlertRaised(_Output, frozen=True, gc=False, tag="alert"):
    """A measure crossed its soft level, or a person has to look at something. Said once a crossing.

    Attributes
    ----------
    code : str
        The measure, such as 'DRAWDOWN' or 'GROSS_EXPOSURE'.
    severity : str
        'soft' where trading goes on, 'hard' where something is refused or stopped for it, 'over' where the measure is well below again.
    observed, limit : str
        For people, with units.
    instrument : str
        Empty where it is not about one.
    """

    code: str
    severity: str
    observed: str
    limit: str
    instrument: str = ""


Output = Decided | Predicted | OrderSent | OrderRefused | AmendSent | CancelSent | StopWanted | TimerSet | RiskStateChanged | AlertRaised

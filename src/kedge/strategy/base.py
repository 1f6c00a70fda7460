"""What a strategy is: declared features and one pure method `on_event(view) -> targets`.

A strategy holds no state of its own: memory lives in its features (folded from events) and in the position and
target that the view shows. That is what lets recovery fold recorded outputs without asking the strategy again.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.instrument import InstrumentId
from kedge.learning.feature import Feature


class Target(msgspec.Struct, frozen=True, gc=False):
    """What a strategy wants of one instrument from now on.

    Attributes
    ----------
    exposure_frac : float
        Signed notional as a fraction of equity; 0 is flat.
    confidence : float or None
        Calibrated probability in [0, 1] that the signal is right; None where the rule has no model behind it.
    expected_return_frac : float or None
        Expected return over `horizon_ns`, before costs.
    reason : str
        One short phrase for the decision log.
    """

    instrument: InstrumentId
    exposure_frac: float
    confidence: float | None = None
    expected_return_frac: float | None = None
    horizon_ns: int | None = None
    reason: str = ""


class View(Protocol):
    """What a strategy may look at when a bar of one instrument has closed. Read-only; valid during the call only."""

    @property
    def instrument(self) -> InstrumentId: ...
    @property
    def ts_ns(self) -> int: ...
    @property
    def features(self) -> Sequence[float]:
        """Declared features in order, as floats; meaningful once `ready`."""

    @property
    def ready(self) -> bool:
        """Whether every feature that needs no funding and no leader is a number; the others may be NaN."""

    @property
    def close(self) -> float:
        """Close of the bar in quote currency."""

    @property
    def exposure_frac(self) -> float:
        """What the strategy last asked for on this instrument; 0 at the start."""

    @property
    def position_lots(self) -> int: ...


NO_TARGETS: tuple[Target, ...] = ()


class Strategy(Protocol):
    """Declared features and a pure decision."""

    @property
    def name(self) -> str: ...
    @property
    def features(self) -> tuple[Feature, ...]: ...

    def on_event(self, view: View) -> Sequence[Target]:
        """Targets that should change now; `NO_TARGETS` to leave everything as it is. Called once per closed bar."""


OUT_OF_DOMAIN: Final = "OUT_OF_DOMAIN"
"""Too many features are far from what the model was trained on."""

NOT_FINITE: Final = "NOT_FINITE"
"""The model's answer is no number."""

MODEL_VETOES: Final = frozenset({OUT_OF_DOMAIN, NOT_FINITE})


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What a model says of one instrument at the bar that has just closed.

    Attributes
    ----------
    score : float
        The model's raw score (log odds), before calibration.
    probability : float
        Calibrated probability that the price rises by the label's rule.
    expected_return_frac : float
        Over `horizon_ns`, before costs; the sign is the direction.
    veto : str
        One of `MODEL_VETOES` where the model's word is not to be followed; then `observed` and `limit` say by how much.
    """

    instrument: InstrumentId
    score: float
    probability: float
    expected_return_frac: float
    horizon_ns: int
    veto: str = ""
    observed: str = ""
    limit: str = ""


class ModelStrategy(Strategy, Protocol):
    """A strategy with a model behind it: the engine records each prediction with its features, then asks what follows from it.

    Both methods are pure; `on_event` of such a strategy is `decide` after `predict`. A prediction with a veto is recorded too, and `decide`
    may only reduce on it: no targets, or flat.
    """

    @property
    def model_sha256(self) -> str: ...
    @property
    def interval_ns(self) -> int:
        """Length of the bars that the model was trained on."""

    def predict(self, view: View) -> Prediction | None:
        """The model's word on this bar; None until the view is ready."""

    def decide(self, view: View, prediction: Prediction) -> Sequence[Target]:
        """Targets that follow from the prediction."""


Params = TypeVar("Params", bound=msgspec.Struct)


def read_params(kind: type[Params], given: dict[str, Any], *, owner: str) -> Params:
    """Turn plain data into a typed, bounded parameter object; unknown names and bad values are refused by name."""
    known = [f.name for f in msgspec.structs.fields(kind)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise InvalidInput(
                f"{owner}: parameter {name!r} is unknown",
                why=f"it has {', '.join(known)}",
                fix=f"did you mean {near[0]!r}?" if near else "remove it",
            )
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{owner}: {error}", why=f"given {given}", fix="use a value inside the bounds") from None

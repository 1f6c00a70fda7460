"""The feature sets that ship, by name, and the hash that names a set in every record.

The hash covers what a set computes: names, operators, windows, leader, the version of each operator and the cells of the row.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Final

from kedge.domain.canonical import content_hash
from kedge.domain.errors import NotFound
from kedge.domain.instrument import InstrumentId
from kedge.learning.feature import Feature
from kedge.learning.model import FeatureSetSpec
from kedge.learning.operators import OPERATORS, ROW_CELLS, Operator

_CORE: Final = (
    Feature("return_1", Operator.MOMENTUM, 1),
    Feature("return_4", Operator.MOMENTUM, 4),
    Feature("return_scaled_4", Operator.SCALED_RETURN, 4, 96),
    Feature("return_scaled_16", Operator.SCALED_RETURN, 16, 96),
    Feature("return_scaled_96", Operator.SCALED_RETURN, 96, 96),
    Feature("ema_gap_8_24", Operator.EMA_GAP, 8, 24),
    Feature("ema_gap_24_96", Operator.EMA_GAP, 24, 96),
    Feature("rsi_14", Operator.RSI, 14),
    Feature("zscore_24", Operator.ZSCORE, 24),
    Feature("zscore_96", Operator.ZSCORE, 96),
    Feature("volatility_16", Operator.VOLATILITY, 16),
    Feature("volatility_ratio_8_96", Operator.VOLATILITY_RATIO, 8, 96),
    Feature("garman_klass_24", Operator.GARMAN_KLASS, 24),
    Feature("true_range_14", Operator.TRUE_RANGE, 14),
    Feature("range_position_24", Operator.RANGE_POSITION, 24),
    Feature("range_position_96", Operator.RANGE_POSITION, 96),
    Feature("body_4", Operator.BODY, 4),
    Feature("wicks_4", Operator.WICKS, 4),
    Feature("volume_ratio_24", Operator.VOLUME_RATIO, 24),
    Feature("volume_zscore_96", Operator.VOLUME_ZSCORE, 96),
    Feature("signed_volume_16", Operator.SIGNED_VOLUME, 16),
    Feature("funding_rate", Operator.FUNDING_RATE),
    Feature("funding_zscore_9", Operator.FUNDING_ZSCORE, 9),
    Feature("funding_hours_8", Operator.FUNDING_HOURS, 8),
    Feature("day_sin", Operator.DAY_SIN),
    Feature("day_cos", Operator.DAY_COS),
    Feature("week_sin", Operator.WEEK_SIN),
    Feature("week_cos", Operator.WEEK_COS),
)


def _led(leader: InstrumentId) -> tuple[Feature, ...]:
    return (
        Feature("leader_return_1", Operator.LEADER_RETURN, 1, of=leader),
        Feature("leader_return_4", Operator.LEADER_RETURN, 4, of=leader),
        Feature("relative_momentum_24", Operator.RELATIVE_MOMENTUM, 24, of=leader),
        Feature("leader_beta_96", Operator.LEADER_BETA, 96, of=leader),
    )


def _core(leader: InstrumentId) -> FeatureSetSpec:
    return FeatureSetSpec(name="core", version=1, features=(*_CORE, *(_led(leader) if leader else ())))


FEATURE_SETS: Final[Mapping[str, Callable[[InstrumentId], FeatureSetSpec]]] = {"core": _core}
"""Makers of sets by name; each takes the leader's id, or an empty one to leave the cross-instrument features out."""


def feature_set(name: str, leader: InstrumentId = "") -> FeatureSetSpec:
    """A shipped set, led by `leader`.

    Raises
    ------
    NotFound
        No set has this name.
    """
    if name not in FEATURE_SETS:
        near = difflib.get_close_matches(name, list(FEATURE_SETS), 1)
        raise NotFound(
            f"feature set {name!r} does not exist",
            why=f"there are {', '.join(FEATURE_SETS)}",
            fix=f"did you mean {near[0]!r}?" if near else "choose one of them",
        )
    return FEATURE_SETS[name](leader)


def feature_set_sha256(spec: FeatureSetSpec) -> str:
    """Hash of what the set computes."""
    used = sorted({f.operator for f in spec.features})
    versions = [(operator.name, OPERATORS[operator].version) for operator in used]
    return content_hash({"set": spec, "operators": versions, "row": ROW_CELLS})

"""The sets that ship: short warm-ups, one leader, and a hash over everything that changes a number."""

from __future__ import annotations

import msgspec
import pytest

from kedge.domain.errors import NotFound
from kedge.learning.feature_sets import FEATURE_SETS, feature_set, feature_set_sha256
from kedge.learning.features import FeatureSet
from kedge.learning.operators import OPERATORS, Operator

from .feature_examples import LEADER


def test_core_is_about_thirty_features_that_warm_up_in_a_day_of_quarter_hours() -> None:
    spec = feature_set("core", LEADER)
    features = FeatureSet(spec.features)
    assert (spec.name, spec.version) == ("core", 1)
    assert 28 <= len(spec.features) <= 34
    assert max(max(f.window, f.second) for f in spec.features) <= 96
    assert features.warmup_bars == 97
    assert (features.leader, features.uses_funding) == (LEADER, True)


def test_without_a_leader_its_features_are_left_out_and_nothing_else() -> None:
    alone, led = feature_set("core"), feature_set("core", LEADER)
    assert alone.features == tuple(f for f in led.features if not f.of)
    assert FeatureSet(alone.features).leader == ""
    assert {f.of for f in led.features} == {"", LEADER}


def test_a_set_survives_its_own_encoding() -> None:
    for make in FEATURE_SETS.values():
        spec = make(LEADER)
        again = msgspec.json.decode(msgspec.json.encode(spec), type=type(spec))
        assert again == spec
        assert feature_set_sha256(again) == feature_set_sha256(spec)


def test_the_hash_is_another_with_anything_that_changes_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = feature_set("core", LEADER)
    first, *rest = spec.features
    changed = [
        feature_set("core"),
        feature_set("core", "other:BTC"),
        msgspec.structs.replace(spec, version=2),
        msgspec.structs.replace(spec, features=(*rest, first)),
        msgspec.structs.replace(spec, features=(msgspec.structs.replace(first, window=2), *rest)),
        msgspec.structs.replace(spec, features=(msgspec.structs.replace(first, operator=Operator.EMA), *rest)),
    ]
    hashes = {feature_set_sha256(one) for one in (spec, *changed)}
    assert len(hashes) == 1 + len(changed)
    monkeypatch.setitem(OPERATORS, Operator.MOMENTUM, OPERATORS[Operator.MOMENTUM]._replace(version=2))
    assert feature_set_sha256(spec) not in hashes


def test_a_change_of_an_operator_that_is_not_used_leaves_the_hash() -> None:
    spec = feature_set("core")
    assert Operator.PARKINSON not in {f.operator for f in spec.features}
    before = feature_set_sha256(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATORS, Operator.PARKINSON, OPERATORS[Operator.PARKINSON]._replace(version=2))
        assert feature_set_sha256(spec) == before


@pytest.mark.parametrize(("name", "hint"), [("cor", "did you mean 'core'"), ("xyz", "choose one")])
def test_an_unknown_set_is_refused_by_name(name: str, hint: str) -> None:
    with pytest.raises(NotFound, match=name) as caught:
        feature_set(name)
    assert hint in caught.value.fix

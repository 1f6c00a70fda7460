"""Faults as they are described: what makes sense is taken, what does not is refused with its field, its value and a remedy."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from kedge.domain.errors import InvalidInput
from kedge.simulation.faults import AT_ONCE, DEFAULT_MS, FIELDS, LASTING, ON_ARRIVAL, RULES, Fault, Kind, checked, read_fault


def test_every_kind_has_its_rule_and_every_rule_a_kind_and_known_fields() -> None:
    assert set(RULES) == set(get_args(Kind))
    for rule in RULES.values():
        assert set(rule.fields) <= set(FIELDS)
        assert rule.words
    assert {*LASTING, *ON_ARRIVAL, *AT_ONCE} <= set(RULES)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_can_be_read_with_each_of_its_fields_and_survives_json(kind: str) -> None:
    values = {"count": 2, "for_ms": 5, "rate_bps": 200, "ms": 7, "code": 110007, "text": "no", "path": "/v5/order/create", "account": "1"}
    values |= {"symbol": "BTCUSDT", "stream": "public", "bps": 50}
    plain: dict[str, Any] = {"fault": kind, "after_ms": 3, **{name: values[name] for name in RULES[kind].fields}}
    fault = read_fault(plain)
    assert all(getattr(fault, name) == value for name, value in plain.items())
    assert msgspec.json.decode(msgspec.json.encode(fault), type=Fault) == fault
    assert checked(fault) is fault


@pytest.mark.parametrize(
    ("members", "what", "fix"),
    [
        ([], "a fault is not an object", "such as"),
        ({"fault": "cut", "colour": "red"}, "field 'colour' is unknown", "use fault, count"),
        ({"fault": "earthquake"}, "fault is 'earthquake'", "use one of reject, lose_request"),
        ({"count": 3}, "fault is None", "use one of"),
        ({"fault": ["cut"]}, "fault is ['cut']", "use one of"),
        ({"fault": "reject", "count": 0}, "count is 0", "give expected int >= 1"),
        ({"fault": "reject", "count": "3"}, "count is '3'", "give expected int, got str"),
        ({"fault": "drop_book", "rate_bps": 10_001}, "rate_bps is 10001", "<= 10000"),
        ({"fault": "cut", "stream": "river"}, "stream is 'river'", "use one of public, private, trade"),
        ({"fault": "cut", "code": 3}, "code is 3", "leave it out; it takes stream, account, fault, after_ms"),
        ({"fault": "ban", "for_ms": 3}, "for_ms is 3", "leave it out; it takes ms"),
        ({"fault": "delay_reply", "ms": -5}, "ms is -5", "give ms above 0"),
        ({"fault": "clock_skew"}, "ms is 0", "give the milliseconds"),
    ],
)
def test_what_makes_no_sense_is_refused_with_field_value_and_remedy(members: Any, what: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_fault(members)
    assert refused.value.what == what
    assert fix in refused.value.fix
    assert refused.value.why


def test_a_fault_made_in_process_is_held_to_the_same_rules() -> None:
    for wrong in (
        Fault("earthquake"),
        Fault("reject", count=0),
        Fault("cut", code=7),
        Fault("ban", ms=-1),
        Fault("reject", stream="public"),
    ):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            checked(wrong)


def test_a_kind_that_says_no_time_means_its_usual_one() -> None:
    assert Fault("ban").usual_ms == DEFAULT_MS["ban"] == 600_000
    assert Fault("ban", ms=5).usual_ms == 5
    assert Fault("reject").usual_ms == 0

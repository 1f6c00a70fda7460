"""What only a person can mend is told once, and again while it lasts."""

from __future__ import annotations

from kedge.domain.venue import ActionNeeded
from kedge.venues.bybit.troubles import AGAIN_NS, Troubles


def test_a_refusal_is_told_at_once_and_again_only_after_a_while_or_a_recovery() -> None:
    told: list[ActionNeeded] = []
    troubles = Troubles(told.append)
    troubles.refused("/v5/order/create", "10005", "Permission denied", 0)
    troubles.refused("/v5/order/create", "10005", "Permission denied", AGAIN_NS - 1)
    assert [one.code for one in told] == ["10005"]
    assert told[0].what == "/v5/order/create answered 10005 Permission denied"
    assert "permission" in told[0].fix
    troubles.refused("/v5/order/create", "10005", "", AGAIN_NS)
    troubles.refused("/v5/position/list", "33004", "", AGAIN_NS)
    assert [one.code for one in told] == ["10005", "10005", "33004"]
    troubles.answered("/v5/order/create")
    troubles.refused("/v5/order/create", "10005", "", AGAIN_NS + 1)
    troubles.refused("/v5/position/list", "33004", "", AGAIN_NS + 1)
    assert [one.code for one in told] == ["10005", "10005", "33004", "10005"]


def test_an_answer_without_any_trouble_changes_nothing() -> None:
    told: list[ActionNeeded] = []
    Troubles(told.append).answered("/v5/order/create")
    assert told == []

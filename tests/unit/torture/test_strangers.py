"""What the audit says of orders that somebody else sent with our keys."""

from __future__ import annotations

import pytest
from tests.torture.journal_checks import is_strange

ORPHAN = {"kind": "fill", "id": "f1", "seq": 7, "why": "no record sends its order abc"}


def test_a_fill_of_a_stranger_is_expected_to_come_from_nowhere() -> None:
    assert is_strange(ORPHAN, {"abc"})


@pytest.mark.parametrize("strangers", [(), ("abcd",), ("ab",)], ids=["nobody", "a longer name", "a shorter name"])
def test_any_other_orphan_counts(strangers: tuple[str, ...]) -> None:
    assert not is_strange(ORPHAN, strangers)


def test_a_strangers_broken_chain_of_another_kind_counts() -> None:
    assert not is_strange({**ORPHAN, "why": "no record takes its decision abc"}, {"abc"})

"""Three planted bugs are caught, and every one on the list still has its place in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.mutants import ALL, ROOT, Nursery, planted
from scripts.mutants_list import Mutant

TRIED = {"a time-out is a refusal": "BOOKED_REFUSED", "an order is sent twice": "SENT_TWICE", "the fee is left out": "BOOKS"}


def test_at_least_25_bugs_are_planted_each_where_its_text_stands_once() -> None:
    assert len({mutant.name for mutant in ALL}) == len(ALL) >= 25
    for mutant in ALL:
        sick = planted(ROOT / "src" / "kedge", mutant)
        assert all(source != (ROOT / "src" / "kedge" / file).read_text(encoding="utf-8") for file, source in sick.items())


def test_a_bug_whose_place_is_gone_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lost place"):
        planted(ROOT / "src" / "kedge", Mutant("lost place", "services/lookup.py", "no such text", ""))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TRIED))
def test_a_planted_bug_is_caught_by_its_rule(name: str, tmp_path: Path) -> None:
    (mutant,) = [one for one in ALL if one.name == name]
    found = Nursery(tmp_path).try_one(mutant, 5)
    assert found.rule == TRIED[name]
    assert found.days <= 5

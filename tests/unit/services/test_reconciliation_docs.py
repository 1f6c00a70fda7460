"""docs/reconciliation.md names every code, every word of the ledger, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from kedge.engine.fold_orders import VENUE_ACTED
from kedge.risk.states import STOP_UNCONFIRMED
from kedge.services.reconcile import DIFFERENCE_CODES
from kedge.venues.bybit.mapping_account import LEDGER_KINDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reconciliation.md").read_text()
TROUBLE = re.compile(r"_trouble\(\s*\"([A-Z_]+)\"")
REPORTS = re.compile(r"BooksDiffer\(\s*[^,]+,\s*([A-Z_]+)\s*,")
TESTS = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def of_rooms(pattern: re.Pattern[str]) -> set[str]:
    """What a pattern finds in engine and services."""
    files = [file for room in ("engine", "services") for file in sorted((ROOT / "src" / "kedge" / room).glob("*.py"))]
    return {name for file in files for name in pattern.findall(file.read_text())}


def test_every_code_of_a_difference_has_its_row():
    assert of_rooms(REPORTS) <= set(DIFFERENCE_CODES)
    for code in (*DIFFERENCE_CODES, *of_rooms(TROUBLE), *VENUE_ACTED.values(), STOP_UNCONFIRMED):
        assert f"`{code}`" in PAGE, code


def test_every_code_is_reported_somewhere():
    assert of_rooms(REPORTS) >= set(DIFFERENCE_CODES)


@pytest.mark.parametrize("word", sorted(LEDGER_KINDS))
def test_every_word_of_the_ledger_that_is_understood_is_told(word: str):
    assert word in PAGE or word in ("TRADE", "SETTLEMENT", "DELIVERY")


def test_every_test_that_the_page_names_is_there():
    named = TESTS.findall(PAGE)
    assert len(named) >= 9
    for file, name in named:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file}::{name}"

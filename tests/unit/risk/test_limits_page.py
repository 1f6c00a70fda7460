"""The page of limits names every code that can refuse or veto, and none that cannot."""

import re
from pathlib import Path

from kedge.engine.sizing import SIZING_CODES
from kedge.risk.gate_rules import RULES
from kedge.strategy.base import MODEL_VETOES

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([A-Z_0-9]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
BEFORE_THE_GATE = {"CONFIDENCE_LOW", "INVALID_TARGET", "NO_PRICE", "BELOW_MINIMUM"} | MODEL_VETOES | SIZING_CODES

SOURCES = ("engine/vetoes.py", "engine/fold.py", "engine/sizing.py", "strategy/base.py")


def test_every_rule_stands_on_the_page_with_its_control() -> None:
    for rule in RULES:
        for code in rule.codes:
            assert code in ROWS, code


def test_the_page_names_no_code_that_does_not_exist() -> None:
    known = {code for rule in RULES for code in rule.codes} | BEFORE_THE_GATE | {"GATE_FAILED"}
    assert set(ROWS) == known


def test_vetoes_before_the_gate_are_the_deciders_own() -> None:
    package = Path(__file__).parents[3] / "src/kedge"
    sources = "".join((package / name).read_text(encoding="utf-8") for name in SOURCES)
    for code in BEFORE_THE_GATE:
        assert f'"{code}"' in sources

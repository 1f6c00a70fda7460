"""The table of codes against the protocol reference: every code of it is there, under the same judgement."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.absent import absent
from tests.unit.venues.bybit.code_table import CODES, NAMED_BY_OTHER_CLIENTS

from kedge.venues.bybit.codes import is_known

REFERENCE_WORDS = {
    "R": "R", "C": "R", "L": "R", "A": "A", "F": "F", "B": "B", "N": "N", "G": "N", "D": "N",
}  # fmt: skip
STRICTER = {10014: "B", 110027: "B"}
"""Codes we judge otherwise than the reference's first word: a duplicate is looked up; the reference names 110027's own word later."""


@pytest.fixture(scope="session")
def table(repository: Path) -> str:
    """The code table of the protocol reference: KEDGE_TEST_REFERENCE, else `../shared/reference`."""
    folder = Path(os.environ.get("KEDGE_TEST_REFERENCE") or repository / ".." / "shared" / "reference").resolve()
    file = folder / "bybit-v5.md"
    if not file.is_file():
        absent("no protocol reference: set KEDGE_TEST_REFERENCE to a folder that holds bybit-v5.md")
    text = file.read_text(encoding="utf-8")
    return text[text.index("### 3.2 Codes") : text.index("Rules of thumb")]


def listed(table: str) -> dict[int, str]:
    """Codes of the reference and the first letter of its judgement."""
    found: dict[int, str] = {}
    for line in table.splitlines():
        cells = [cell.strip().replace("**", "") for cell in line.strip().strip("|").split("|")]
        if len(cells) < 4 or not re.match(r"-?\d", cells[0]) or cells[0] == "0":
            continue
        codes: list[int] = []
        for part in re.split(r"\s*/\s*|,\s*", cells[0]):
            first, _, last = part.replace("\N{HORIZONTAL ELLIPSIS}", "\N{EN DASH}").partition("\N{EN DASH}")
            codes += range(int(first), int(last or first) + 1)
        words = re.split(r"\s*/\s*", cells[-2])
        letters = [word.strip()[0] for word in words] if len(words) == len(codes) else [cells[-2][0]] * len(codes)
        found |= dict(zip(codes, letters, strict=True))
    return found


def test_the_table_of_codes_is_the_references(table: str) -> None:
    assert set(CODES) - NAMED_BY_OTHER_CLIENTS == set(listed(table))


def test_each_code_is_judged_as_the_reference_judges_it(table: str) -> None:
    ours = {code: STRICTER.get(code, REFERENCE_WORDS[CODES[code][0]]) for code in listed(table)}
    assert ours == listed(table)


def test_every_code_of_the_table_is_known_to_the_client() -> None:
    assert [code for code in CODES if not is_known(code)] == []

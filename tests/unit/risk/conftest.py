"""The quant reference, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.risk.var.reference import document


@pytest.fixture(scope="session")
def quant(repository: Path) -> dict[str, Any]:
    return document(repository)

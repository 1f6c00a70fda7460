"""The named scenarios, in order of their dates."""

from __future__ import annotations

from typing import Final

from kedge.risk.stress import (
    table_aug_2024,
    table_equities_2008,
    table_equities_2022,
    table_jun_2022,
    table_mar_2020,
    table_may_2021,
    table_may_2022,
    table_nov_2022,
    table_oct_2025,
)
from kedge.risk.stress.scenario import Scenario

_TABLES = (
    table_equities_2008,
    table_mar_2020,
    table_may_2021,
    table_equities_2022,
    table_may_2022,
    table_jun_2022,
    table_nov_2022,
    table_aug_2024,
    table_oct_2025,
)

SCENARIOS: Final[dict[str, Scenario]] = {table.SCENARIO.scenario_id: table.SCENARIO for table in _TABLES}
"""By id, such as `mar-2020`."""

"""The room's public names: each is what its module defines, imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kedge
from kedge import storage
from kedge.storage import journal_memory, journal_reader, journal_sqlite, journal_verify, keys

MODULES = (journal_memory, journal_reader, journal_sqlite, journal_verify, keys)


@pytest.mark.parametrize("name", storage.__all__)
def test_each_name_is_its_modules(name: str) -> None:
    found = getattr(storage, name)
    assert found in [getattr(module, name) for module in MODULES if getattr(module, "__name__", "") == found.__module__]


def test_an_unknown_name_is_refused_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'kedge.storage' has no attribute 'Nothing'"):
        _ = storage.Nothing  # type: ignore[attr-defined]


def test_the_room_alone_costs_neither_database_nor_cryptography() -> None:
    code = "import sys, kedge.storage; print(sorted({'sqlite3', 'cryptography'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(Path(kedge.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n"

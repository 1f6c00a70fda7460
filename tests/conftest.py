"""What all tests share: the folder of real market data, private state and cache folders, and Hypothesis profiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.measured import pytest_runtest_setup
from tests.standstill import pytest_report_teststatus, pytest_runtest_protocol, pytest_terminal_summary

__all__ = ["pytest_report_teststatus", "pytest_runtest_protocol", "pytest_runtest_setup", "pytest_terminal_summary"]

REPOSITORY = Path(__file__).resolve().parents[1]

# `quick` is for coverage with compilation off, where a law costs a hundred times more.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", parent=settings.get_profile("default"), max_examples=15)
settings.load_profile(os.environ.get("KEDGE_HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real market data: KEDGE_TEST_DATA, else `../shared/data`. Missing: a skip on a desk, a failure where CI=true."""
    folder = Path(os.environ.get("KEDGE_TEST_DATA") or REPOSITORY / ".." / "shared" / "data").resolve()
    if (folder / "ohlcv").is_dir():
        return folder
    message = "no real market data: set KEDGE_TEST_DATA to a folder that holds ohlcv/"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the reader's own state and configuration, and from KEDGE_* settings of the shell."""
    for name in [name for name in os.environ if name.startswith("KEDGE_") and name not in {"KEDGE_CACHE_DIR", "KEDGE_TEST_DATA"}]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))

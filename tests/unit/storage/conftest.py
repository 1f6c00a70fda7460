"""A key, a first record, and bars to put in journal files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kedge.domain.events import BarClosed
from kedge.domain.record import RunStarted
from kedge.storage import SigningKey, SqliteJournal
from kedge.storage.model_registry import MlflowRegistry

MINUTE_NS = 60_000_000_000


def bar(n: int) -> BarClosed:
    return BarClosed(n * MINUTE_NS, "bybit-linear:BTCUSDT", (n - 1) * MINUTE_NS, 600_000 + n, 600_500, 599_500, 600_100, 12 + n)


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    """One store for the session: making its tables takes seconds. Each test uses names of its own."""
    made = MlflowRegistry(tmp_path_factory.mktemp("registry") / "mlflow")
    made.prepare()
    return made


@pytest.fixture(scope="session")
def run_started() -> RunStarted:
    return RunStarted(
        run_id="run-1",
        account="demo",
        source="synthetic",
        speed="max",
        engine_version="0.1.0",
        code_sha256="0" * 64,
        settings_sha256="1" * 64,
        settings={"strategy": "trend"},
        instruments=(),
        data=(),
        assumptions={},
        seed=7,
        started_ts_ns=0,
    )


@pytest.fixture(scope="session")
def bars() -> list[BarClosed]:
    return [bar(n) for n in range(1, 41)]


@pytest.fixture
def write(tmp_path: Path, key: SigningKey, run_started: RunStarted, bars: list[BarClosed]) -> Callable[..., Path]:
    """A journal file with the first `steps` bars, closed."""

    def make(steps: int = 9, group_size: int = 3, snapshots: tuple[int, ...] = (), seal: bool = False, name: str = "run.journal") -> Path:
        journal = SqliteJournal(tmp_path / name, signer=key, source="backtest", group_size=group_size)
        journal.start(run_started)
        for n, event in enumerate(bars[:steps], 1):
            journal.commit(event, ())
            if n in snapshots:
                journal.save_snapshot(n, b"state %d" % n)
        journal.close(seal=seal)
        return journal.path

    return make

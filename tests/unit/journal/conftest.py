"""A key, a first record, and bars to put in journals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kedge.domain.events import BarClosed
from kedge.domain.record import RunStarted
from kedge.storage import MemoryJournal, SigningKey

MINUTE_NS = 60_000_000_000


def bar(n: int) -> BarClosed:
    return BarClosed(n * MINUTE_NS, "bybit-linear:BTCUSDT", (n - 1) * MINUTE_NS, 600_000 + n, 600_500, 599_500, 600_100, 12 + n)


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


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
def make_journal(key: SigningKey, run_started: RunStarted, bars: list[BarClosed]) -> Callable[..., MemoryJournal]:
    """A finished journal in memory with the first `steps` bars."""

    def make(steps: int = 9, group_size: int = 3, snapshot_after: int | None = None, signer: SigningKey | None = key) -> MemoryJournal:
        journal = MemoryJournal(signer=signer, source="backtest", group_size=group_size)
        journal.start(run_started)
        for n, event in enumerate(bars[:steps], 1):
            journal.commit(event, ())
            if n == snapshot_after:
                journal.save_snapshot(n, b"state %d" % n)
        journal.flush()
        return journal

    return make

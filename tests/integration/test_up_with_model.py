"""`kedge up` as a newcomer runs it: it trains, trades with what it trained, outlives the registry, and needs no second training."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .commands import kedge
from .test_system_up import System, books_agree

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    begun: list[System] = []

    def make(*arguments: object) -> System:
        begun.append(System(tmp_path / "state", *arguments, strategy=()))
        return begun[-1]

    yield make
    for system in begun:
        system.end()


def stopped(system: System) -> str:
    """Stop it; what it said on stderr."""
    system.process.send_signal(signal.SIGTERM)
    _, err = system.process.communicate(timeout=60)
    assert system.process.returncode == 0
    return err


def test_a_model_is_trained_trades_and_goes_on_without_its_registry(start: Callable[..., System]) -> None:
    system = start("--speed", "1200", "--bars", "6000")
    system.until(lambda: system.file("trader").get("fills", 0) >= 4 and system.health("/health")[1].get("status") == "ok")
    status = system.file("trader")
    assert (status["strategy"], status["model_version"]) == ("model", "demo-synthetic-1m/1")
    assert status["predictions"] > 0
    model = status["model"]

    shutil.move(system.state / "mlflow", system.state / "mlflow.gone")
    system.until(lambda: system.health("/health")[1].get("status") == "degraded")
    code, health = system.health("/health")
    assert (code, health["services"]["models"]) == (200, "failed")
    assert system.health("/health/ready")[0] == 200
    before = system.file("trader")
    system.until(lambda: system.file("trader")["fills"] > before["fills"] and system.file("trader")["bars"] > before["bars"] + 100)
    assert system.file("trader")["pid"] == before["pid"]
    assert "model: training demo-synthetic-1m: there is no demo-synthetic-1m@champion yet" in stopped(system)
    trader = books_agree(system, status["run_id"])
    trace = kedge("audit", "trace", trader["run_id"], "--state-dir", system.state, "--json")
    assert model in trace.out

    again = start("--speed", "1200", "--bars", "6000")
    again.until(lambda: again.file("trader").get("model") == model and again.file("trader").get("bars", 0) > 1_000)
    err = stopped(again)
    assert "the local copy of its aliases answered" in err
    assert f"model: demo-synthetic-1m/1 ({model[:12]}) from the local copy" in err
    assert "training" not in err

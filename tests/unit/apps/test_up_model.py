"""The model of `kedge up`: found where it is, trained where it is not, and never one that has seen what will be played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.apps.model_world import keep_model

from kedge.apps.model_job import Job
from kedge.apps.up_model import SEED_STEP, Chosen, Wanted, choose_model
from kedge.domain.errors import IntegrityError, InvalidInput, NotFound
from kedge.domain.units import NS_PER_S
from kedge.learning.dataset import Dataset
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.training import synthetic_dataset

MINUTE = 60 * NS_PER_S
START = 1_718_000_000 * NS_PER_S // MINUTE * MINUTE
ETHER, BITCOIN = f"{VENUE}:ETHUSDT", f"{VENUE}:BTCUSDT"
SEED = 7


def wanted(state: Path, **more: object) -> Wanted:
    known: dict[str, object] = {
        "state_folder": state,
        "kind": "synthetic",
        "interval_ns": MINUTE,
        "instruments": (ETHER,),
        "seed": SEED,
        "start_ts_ns": START,
    }
    return Wanted(**{**known, **more})  # type: ignore[arg-type]


def market(*symbols: str, seed: int = SEED + SEED_STEP, interval_ns: int = MINUTE) -> Dataset:
    specs = [CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in symbols or ("ETHUSDT",)]
    return synthetic_dataset(specs, seed=seed, bars=800, interval_ns=interval_ns, start_ts_ns=START)


def nobody(job: Job, say: Callable[[str], None]) -> None:
    raise AssertionError(f"a training of {job.name} was asked for")


@pytest.fixture
def said() -> list[str]:
    return []


def test_the_champion_of_the_markets_name_is_taken_as_it_is(tmp_path: Path, said: list[str]) -> None:
    sha256 = keep_model(tmp_path, market(), "demo-synthetic-1m", version=3)
    assert choose_model(wanted(tmp_path), None, said.append, nobody) == Chosen(sha256, "demo-synthetic-1m/3")
    assert said[-1] == f"model: demo-synthetic-1m/3 ({sha256[:12]}) from the local copy"


def test_a_registry_that_is_gone_is_said_and_the_local_copy_answers(tmp_path: Path, said: list[str]) -> None:
    keep_model(tmp_path, market(), "demo-synthetic-1m")
    choose_model(wanted(tmp_path), None, said.append, nobody)
    assert said[0].startswith("model: WARNING: no MLflow store in ")
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"not a database, not at all")
    choose_model(wanted(tmp_path), None, said.append, nobody)
    assert "cannot be used; the local copy of its aliases answered" in said[2]


def test_where_there_is_no_champion_one_is_trained_on_a_market_of_another_seed(tmp_path: Path, said: list[str]) -> None:
    jobs: list[Job] = []

    def train(job: Job, say: Callable[[str], None]) -> None:
        jobs.append(job)
        say("final fit")
        keep_model(tmp_path, market(seed=job.seed), job.name)

    chosen = choose_model(wanted(tmp_path), None, said.append, train)
    assert chosen.version == "demo-synthetic-1m/1"
    (job,) = jobs
    assert (job.name, job.alias, job.symbols, job.seed, job.start_ts_ns, job.files) == (
        "demo-synthetic-1m", "champion", ("ETHUSDT",), SEED + SEED_STEP, START, (),
    )  # fmt: skip
    assert said[0] == "model: training demo-synthetic-1m: there is no demo-synthetic-1m@champion yet"
    assert "model: final fit" in said
    assert any("trained in" in line for line in said)


@pytest.mark.parametrize(
    ("dataset", "more", "why"),
    [
        (lambda: market(seed=SEED), {}, "has learned from the very market that is played"),
        (lambda: market("BTCUSDT"), {}, "has learned from bybit-linear:BTCUSDT alone"),
        (lambda: market("BTCUSDT", "ETHUSDT"), {}, "follows bybit-linear:BTCUSDT, which is not traded here"),
        (market, {"kind": "replay"}, "has learned from a synthetic market"),
    ],
)
def test_a_champion_that_does_not_fit_is_trained_anew_with_the_reason(
    tmp_path: Path, said: list[str], dataset: Callable[[], Dataset], more: dict[str, object], why: str
) -> None:
    asked = wanted(tmp_path, **more)
    keep_model(tmp_path, dataset(), asked.name)

    class Enough(Exception):
        pass

    def train(job: Job, say: Callable[[str], None]) -> None:
        raise Enough

    with pytest.raises(Enough):
        choose_model(asked, None, said.append, train)
    assert f"{why}" in said[-1]


def test_a_model_of_other_bars_is_trained_anew_and_refused_when_it_is_named(tmp_path: Path, said: list[str]) -> None:
    keep_model(tmp_path, market(interval_ns=5 * MINUTE), "slow")
    with pytest.raises(InvalidInput, match="--model slow@champion does not fit this market") as told:
        choose_model(wanted(tmp_path), "slow@champion", said.append, nobody)
    assert "was trained on bars of 5m" in told.value.why


def test_a_training_that_does_not_give_a_fitting_model_is_no_endless_loop(tmp_path: Path, said: list[str]) -> None:
    def train(job: Job, say: Callable[[str], None]) -> None:
        keep_model(tmp_path, market(seed=SEED), job.name)

    with pytest.raises(IntegrityError, match="does not fit its own market"):
        choose_model(wanted(tmp_path), None, said.append, train)


def test_a_named_model_that_has_seen_the_market_is_used_and_pointed_out(tmp_path: Path, said: list[str]) -> None:
    sha256 = keep_model(tmp_path, market(seed=SEED), "mine")
    assert choose_model(wanted(tmp_path), sha256[:12], said.append, nobody).sha256 == sha256
    assert said[-1].startswith("model: WARNING: ")
    assert "has learned from the very market that is played" in said[-1]


def test_a_model_whose_data_set_is_gone_is_not_trusted_by_itself(tmp_path: Path, said: list[str]) -> None:
    sha256 = keep_model(tmp_path, market(), "mine")
    for path in (tmp_path / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    choose_model(wanted(tmp_path), sha256, said.append, nobody)
    assert "what it has seen is not known" in said[-1]


def test_a_model_that_does_not_exist_is_refused_by_name(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(NotFound, match="nothing@champion"):
        choose_model(wanted(tmp_path), "nothing@champion", said.append, nobody)


def test_a_replays_model_learns_from_the_files_up_to_where_play_begins(tmp_path: Path, said: list[str]) -> None:
    jobs: list[Job] = []

    class Enough(Exception):
        pass

    def train(job: Job, say: Callable[[str], None]) -> None:
        jobs.append(job)
        raise Enough

    bars, funding = tmp_path / "bars.parquet", tmp_path / "funding.csv"
    asked = wanted(tmp_path, kind="replay", interval_ns=60 * MINUTE, files=(bars,), funding=(funding,))
    with pytest.raises(Enough):
        choose_model(asked, None, said.append, train)
    (job,) = jobs
    assert (job.name, job.files, job.funding, job.until_ns, job.symbols) == (
        "demo-replay-1h", (str(bars),), (str(funding),), START, (),
    )  # fmt: skip

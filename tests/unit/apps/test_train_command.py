"""`kedge train` and `kedge model`: what they print, keep and refuse, as a person runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kedge.learning.model import model_sha256
from kedge.storage.model_store import ModelStore, Registered

from ..storage.models import a_model, a_record
from .market_files import Answer, bars_file, kedge

SMALL = ("--horizon", "4", "--folds", "2", "--kind", "logistic")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with one model, trained on a synthetic market of one instrument."""
    folder = tmp_path_factory.mktemp("state")
    config(folder)
    answer = train(folder)
    assert answer.code == 0, answer
    return folder


@pytest.fixture
def copied(state: Path, tmp_path: Path) -> Path:
    """A copy of it without MLflow's store."""
    shutil.copytree(state, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow"))
    return tmp_path / "copy"


def config(folder: Path) -> Path:
    path = folder / "kedge.yaml"
    path.write_text("demo:\n  instruments: [ETHUSDT]\n")
    return path


def train(state: Path, *more: object, bars: int = 760) -> Answer:
    market = ("--market", "synthetic", "--bars", bars, "--interval", "15m", "--seed", "3")
    return kedge("train", *market, *SMALL, *more, "--state-dir", state, "--config", state / "kedge.yaml")


def model(state: Path, *words: object) -> Answer:
    return kedge("model", *words, "--state-dir", state)


def test_training_prints_the_model_its_figures_and_honest_words(state: Path) -> None:
    answer = train(state, "--json")
    assert (answer.code, answer.err) == (0, "")
    found = answer.json
    assert found["schema"] == "kedge/train/v1"
    assert (found["name"], found["version_text"], found["aliases"]) == ("synthetic-15m", "synthetic-15m/1", ["champion"])
    assert (state / "models" / found["model_sha256"] / "model.json").is_file()
    assert found["data"]["instruments"] == "bybit-linear:ETHUSDT"
    assert found["settings"]["leader"] == ""
    assert set(found["figures"]) >= {"auc", "brier", "brier_base", "brier_skill", "log_loss", "hit_rate", "rows"}
    assert found["verdict"][0].split(" always")[0] in ("No better than", "A little better than")
    plain = train(state)
    assert all(sentence in plain.out for sentence in found["verdict"])
    assert "always the base rate" in plain.out
    assert found["model_sha256"] in plain.out
    assert "next: kedge model show synthetic-15m/1" in plain.out


def test_another_model_is_a_challenger_and_an_alias_can_be_named(state: Path) -> None:
    first = train(state, "--name", "other", "--json").json
    second = train(state, "--name", "other", "--barrier", "0.8", "--json").json
    third = train(state, "--name", "other", "--barrier", "0.9", "--alias", "champion", "--json").json
    assert [one["aliases"] for one in (first, second, third)] == [["champion"], ["challenger"], ["champion"]]
    assert [one["version"] for one in (first, second, third)] == [1, 2, 3]
    rows = {row["version"]: row["aliases"] for row in model(state, "list", "--json").json["models"] if row["version"]}
    assert (rows["other/1"], rows["other/2"], rows["other/3"]) == ([], ["challenger"], ["champion"])


def test_a_card_shows_all_that_is_known(state: Path) -> None:
    card = model(state, "show", "synthetic-15m@champion", "--json").json
    assert card["schema"] == "kedge/model/v1"
    assert card["warning"] is None
    assert card["mlflow_run"]
    assert len(card["features"]) > 20
    assert card["environment"]["numpy"]
    assert set(card["policy"]) == {"long_above", "short_below", "exit_at"}
    by_hash = model(state, "show", card["model_sha256"][:10], "--json").json
    assert {**by_hash, "warning": None} == card
    plain = model(state, "show", "synthetic-15m/1")
    assert plain.code == 0
    for words in (card["model_sha256"], card["dataset_sha256"], "calibration", "learned from", "return_1", *card["verdict"]):
        assert words in plain.out


def test_a_model_for_demonstrations_says_so_wherever_it_appears(state: Path) -> None:
    found = train(state, "--name", "demo", "--trade-without-skill", "--json").json
    words = "FOR DEMONSTRATION ONLY"
    assert found["trades_without_skill"]
    assert words in "".join(found["verdict"])
    rows = {row["model_sha256"]: row for row in model(state, "list", "--json").json["models"]}
    assert rows[found["model_sha256"]]["trades_without_skill"] is True
    assert [row["trades_without_skill"] for row in rows.values()].count(True) == 1
    line = next(line for line in model(state, "list").out.splitlines() if line.startswith(found["model_sha256"][:12]))
    assert "may trade without skill" in line
    assert words in model(state, "show", "demo/1").out
    traced = kedge("audit", "trace", found["model_sha256"], "--state-dir", state, "--json")
    assert words in traced.out


def test_list_and_show_import_neither_mlflow_nor_a_compiled_law(state: Path) -> None:
    program = """
import sys
from kedge.apps.cli import main
codes = [main(["model", *words.split(), "--state-dir", sys.argv[1]]) for words in ("list", "show synthetic-15m@champion")]
print(codes, [name for name in ("mlflow", "sqlalchemy", "numba", "lightgbm", "polars") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program, str(state)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[0, 0] []"


def test_versions_are_listed_in_the_order_of_their_numbers(copied: Path) -> None:
    store = ModelStore(copied / "models")
    names = [f"order/{n}" for n in range(1, 12)]
    for n, weight in enumerate(range(1, 12), 1):
        added = a_model("order", weight=weight / 10)
        store.put(added, a_record(added))
        store.set_registered(Registered(name="order", version=n, model_sha256=model_sha256(added), run_id=""))
    listed = [row["version"] for row in model(copied, "list", "--json").json["models"]]
    assert [one for one in listed if one in names] == names


def test_the_base_rates_own_hit_rate_stands_beside_the_models(state: Path) -> None:
    card = model(state, "show", "synthetic-15m@champion", "--json").json
    rate = float(card["figures"]["base_rate"])
    line = next(line for line in model(state, "show", "synthetic-15m@champion").out.splitlines() if line.startswith("hit rate"))
    assert line.endswith(f"\t{max(rate, 1 - rate):.6f}")


def test_progress_is_told_in_words(state: Path) -> None:
    answer = kedge(
        "--progress", "plain", "train", "--market", "synthetic", "--bars", 760, "--interval", "15m", "--seed", 3, *SMALL,
        "--state-dir", state, "--config", state / "kedge.yaml",
    )  # fmt: skip
    lines = answer.err.splitlines()
    assert (answer.code, len(lines)) == (0, 9), answer
    assert lines[0] == "training: 1/9 opening MLflow's store"
    assert "logistic: fold 2 of 2" in lines[4]
    assert lines[-1] == "training: 9/9 logging the run"


def test_without_mlflow_list_and_show_answer_from_the_local_copy_and_say_so(copied: Path) -> None:
    listed = model(copied, "list")
    assert listed.code == 0
    assert "champion" in listed.out
    assert "note: no MLflow store" in listed.out
    shown = model(copied, "show", "synthetic-15m@champion", "--json")
    assert shown.code == 0
    assert "local copy" in shown.json["warning"]
    assert "note: no MLflow store" in model(copied, "show", "synthetic-15m@champion").out


def test_a_damaged_model_keeps_its_line_in_the_list_with_exit_9(copied: Path) -> None:
    found = next((copied / "models").glob("*/model.json"))
    found.write_bytes(found.read_bytes().replace(b'"seed":3', b'"seed":4'))
    listed = model(copied, "list", "--json")
    assert listed.code == 9
    assert [row["damaged"] is not None for row in listed.json["models"]].count(True) == 1
    assert "other bytes than its name says" in model(copied, "list").out
    shown = model(copied, "show", found.parent.name[:8])
    assert shown.code == 1
    assert str(found) in shown.err


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    assert "no model was trained here yet" in model(tmp_path, "list").out
    assert model(tmp_path, "list", "--json").json["models"] == []
    refused = model(tmp_path, "show", "any@champion")
    assert refused.code == 3
    assert "kedge train" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no file was given"),
        (("FILE", "--market", "synthetic"), "files and --market synthetic together"),
        (("FILE", "--bars", "100"), "--bars is 100"),
        (("--market", "synthetic", "--funding", "FILE"), "--funding with a synthetic market"),
        (("FILE", "--interval", "1h"), "--interval is 1h"),
        (("FILE", "--train-frac", "1.5"), "train fraction '1.5'"),
        (("FILE", "--from", "yesterday"), "--from is 'yesterday'"),
        (("FILE", "--name", "no/such"), "model name 'no/such'"),
        (("FILE", "--leader", "XRPUSDT"), "leader 'XRPUSDT'"),
        (("FILE", "--folds", "1"), "folds is 1"),
        (("FILE",), "labelled rows"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    data = bars_file(tmp_path)
    given = [str(data) if word == "FILE" else word for word in arguments]
    answer = kedge("train", *given, "--state-dir", tmp_path / "state")
    assert answer.code == 4, answer
    assert words in answer.err
    assert not (tmp_path / "state" / "models").exists()


def test_a_symbol_without_a_shipped_record_is_refused(tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text("demo:\n  instruments: [NOSUCH]\n")
    answer = kedge("train", "--market", "synthetic", "--state-dir", tmp_path, "--config", path)
    assert answer.code == 4
    assert "NOSUCH" in answer.err


def test_a_span_is_learned_from_and_nothing_after_it(state: Path) -> None:
    cut = train(state, "--name", "cut", "--train-frac", "2/3", "--json", bars=1400).json
    whole = train(state, "--name", "whole", "--json", bars=1400).json
    assert int(cut["data"]["bars"]) == 1400 * 2 // 3
    span = ("--from", cut["data"]["first"], "--to", cut["data"]["last"])
    by_time = train(state, "--name", "time", *span, "--json", bars=1400).json
    assert by_time["dataset_sha256"] == cut["dataset_sha256"] != whole["dataset_sha256"]
    record = json.loads((state / "models" / cut["model_sha256"] / "training.json").read_bytes())
    assert record["data"]["last"] == cut["data"]["last"] < whole["data"]["last"]

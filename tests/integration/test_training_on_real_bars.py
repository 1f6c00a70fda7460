"""Training on the recorded Bybit files: the same model again, from another folder, another copy of the code and other thread settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def train(sources: Path, data: Path, state: Path, **environment: str) -> dict[str, Any]:
    """`kedge train` on the first two thirds of the hourly files, in a process of its own."""
    files = [str(data / f"bybit-linear-{symbol}-1h.parquet") for symbol in SYMBOLS]
    funding = [str(data / f"bybit-linear-{symbol}.parquet") for symbol in SYMBOLS]
    state.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from kedge.apps.cli import main; sys.exit(main())",
            "train",
            *files,
            "--funding",
            *funding,
            "--train-frac",
            "2/3",
            "--state-dir",
            str(state),
            "--json",
        ],
        cwd=state,
        env={**os.environ, **environment, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_clean_copy_of_the_code_in_another_folder_gives_the_same_model(repository: Path, data_folder: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        for symbol in SYMBOLS:
            shutil.copy(data_folder / "ohlcv" / f"bybit-linear-{symbol}-1h.parquet", folder)
            shutil.copy(data_folder / "funding" / f"bybit-linear-{symbol}.parquet", folder)
    shutil.copytree(repository / "src" / "kedge", tmp_path / "clone" / "src" / "kedge", ignore=shutil.ignore_patterns("__pycache__"))
    first = train(repository / "src", here, tmp_path / "one", PYTHONHASHSEED="0", OMP_NUM_THREADS="1")
    again = train(tmp_path / "clone" / "src", there, tmp_path / "two", PYTHONHASHSEED="4711", OMP_NUM_THREADS="4", OPENBLAS_NUM_THREADS="2")
    assert first["model_sha256"] == again["model_sha256"]
    assert first["dataset_sha256"] == again["dataset_sha256"]
    assert first["code_sha256"] == again["code_sha256"]
    assert first["figures"] == again["figures"]
    assert again["commit"] is None
    assert any("commit of the code is not known" in sentence for sentence in again["verdict"])
    assert first["rows"] > 10_000

"""A training in a process of its own: its answer, its progress, its errors as what they were, and its death."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest
from tests.unit.apps.model_world import QUICK

from kedge.apps import model_job
from kedge.apps.model_job import Done, Job, main, run_job, train_job
from kedge.domain.errors import InvalidInput, NotFound, RecordingFailed
from kedge.domain.units import NS_PER_S
from kedge.services.training import Stores, resolve

MINUTE = 60 * NS_PER_S
START = 1_718_000_000 * NS_PER_S // MINUTE * MINUTE


def job(state: Path, **more: object) -> Job:
    return msgspec.structs.replace(Job(state=str(state), name="small", settings=QUICK), **more)


def child(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Whatever is started now is this script."""
    script = folder / "child"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(model_job.sys, "executable", str(script))


def test_a_job_trains_registers_and_answers(tmp_path: Path) -> None:
    said: list[str] = []
    asked = job(tmp_path, symbols=("ETHUSDT",), seed=5, bars=800, interval_ns=MINUTE, start_ts_ns=START, alias="champion")
    done = train_job(asked, said.append)
    stores = Stores.of(tmp_path)
    assert resolve("small@champion", stores.models, stores.registry).sha256 == done.model_sha256
    assert (done.version_text, done.rows > 500, "final fit" in " ".join(said)) == ("small/1", True, True)
    assert stores.models.load(done.model_sha256).seed == QUICK.seed


def test_the_answer_and_the_progress_of_the_child_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Done(model_sha256="a" * 64, name="small", version=2, rows=9, seconds={"fit": "0.1"})
    child(tmp_path, monkeypatch, f"echo one >&2; echo two >&2; echo '{msgspec.json.encode(done).decode()}'")
    said: list[str] = []
    assert run_job(job(tmp_path), said.append) == done
    assert said == ["one", "two"]


def test_a_refusal_of_the_child_is_the_same_refusal_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = '{"code":"INVALID_INPUT","what":"too few rows","why":"3","fix":"more bars"}'
    child(tmp_path, monkeypatch, f"echo '{refused}'; exit 4")
    with pytest.raises(InvalidInput) as told:
        run_job(job(tmp_path), lambda _: None)
    assert (told.value.what, told.value.why, told.value.fix) == ("too few rows", "3", "more bars")


def test_a_child_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child(tmp_path, monkeypatch, "echo fitting >&2; echo 'out of memory' >&2; exit 137")
    with pytest.raises(RecordingFailed) as told:
        run_job(job(tmp_path), lambda _: None)
    assert "exit code 137" in told.value.what
    assert told.value.why == "fitting | out of memory"


def test_a_person_who_interrupts_ends_the_child_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child(tmp_path, monkeypatch, f"trap 'touch {tmp_path}/ended; exit 1' TERM; echo ready >&2; while true; do sleep 0.05; done")
    ready = threading.Event()

    def interrupted(*_: object) -> None:
        assert ready.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(model_job, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job(job(tmp_path), lambda _: ready.set())
    assert (tmp_path / "ended").exists()


def test_ctrl_c_at_the_terminal_does_not_reach_the_child_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = msgspec.json.encode(Done(model_sha256="a" * 64, name="small", version=2, rows=9, seconds={})).decode()
    child(tmp_path, monkeypatch, f"ps -o pgid= -p $$ >&2; echo '{done}'")
    said: list[str] = []
    run_job(job(tmp_path), said.append)
    assert int(said[0]) != os.getpgrp()


def test_the_childs_side_prints_the_refusal_and_leaves_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = job(tmp_path, files=(str(tmp_path / "none.csv"),))
    assert main(msgspec.json.encode(asked).decode()) == 3
    assert '"code":"NOT_FOUND"' in capsys.readouterr().out


def test_the_childs_side_prints_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = Done(model_sha256="a" * 64, name="small", version=2, rows=9, seconds={})
    monkeypatch.setattr(model_job, "train_job", lambda _, say: (say("fitting"), done)[1])
    assert main(msgspec.json.encode(job(tmp_path)).decode()) == 0
    out, err = capsys.readouterr()
    assert (msgspec.json.decode(out, type=Done), err) == (done, "fitting\n")


def test_a_real_child_brings_its_error_home(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.csv"):
        run_job(job(tmp_path, files=(str(tmp_path / "none.csv"),)), lambda _: None)

"""A training in a process of its own: what it needs (LightGBM, scikit-learn, MLflow) stays out of whoever waits for it.

Rules: the job is plain data on the command line, progress is lines on stderr, the answer one JSON line on stdout; the process ends with
whoever started it, and Ctrl-C reaches it through them alone. An error comes back as the error it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, Final

import msgspec

from kedge.apps import exit_codes
from kedge.apps.system_child import watch_parent
from kedge.domain import errors
from kedge.domain.errors import KedgeError, RecordingFailed
from kedge.market.catalogue import CATALOGUE, VENUE
from kedge.services.training.settings import TrainSettings

Say = Callable[[str], None]
LAST_LINES: Final = 5


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to learn from and how to call the result.

    Attributes
    ----------
    files, funding : tuple of str
        Recorded bars and settlements; without files the data are synthetic.
    until_ns : int
        Bars that close later are not learned from; 0 for all of them.
    symbols : tuple of str
        Of a synthetic market, as are `seed`, `bars` (of each instrument), `interval_ns` and `start_ts_ns`.
    settings : TrainSettings
        `leader` is chosen by the job where it is empty and there are several instruments.
    alias : str or None
        What the version is called; None for the registry's rule.
    """

    state: str
    name: str
    settings: TrainSettings
    files: tuple[str, ...] = ()
    funding: tuple[str, ...] = ()
    until_ns: int = 0
    symbols: tuple[str, ...] = ()
    seed: int = 0
    bars: int = 0
    interval_ns: int = 0
    start_ts_ns: int = 0
    alias: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a finished job."""

    model_sha256: str
    name: str
    version: int
    rows: int
    seconds: dict[str, str]

    @property
    def version_text(self) -> str:
        """For people: `name/3`."""
        return f"{self.name}/{self.version}"


class _Failed(msgspec.Struct, frozen=True):
    code: str
    what: str
    why: str
    fix: str


def run_job(job: Job, say: Say) -> Done:
    """Do it in a child process; `say` gets its progress.

    Raises
    ------
    KedgeError
        What the training refused, as the class that it was.
    RecordingFailed
        The process died without an answer.
    """
    command = [sys.executable, "-m", __name__, msgspec.json.encode(job).decode()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0) as process:
        assert process.stderr is not None
        lines: list[str] = []
        telling = Thread(target=_tell, args=(process.stderr, lines, say), daemon=True)
        telling.start()
        try:
            out, code = _answer(process)
        except BaseException:
            process.terminate()
            raise
        finally:
            telling.join()
    if code == exit_codes.OK:
        return msgspec.json.decode(out, type=Done)
    try:
        failed = msgspec.json.decode(out, type=_Failed)
    except msgspec.DecodeError:
        raise RecordingFailed(
            f"the training of {job.name} ended with exit code {code}",
            why=" | ".join(lines[-LAST_LINES:]) or "it said nothing",
            fix="run kedge train by itself; --debug shows more",
        ) from None
    kinds = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KedgeError)}
    raise kinds.get(failed.code, RecordingFailed)(failed.what, why=failed.why, fix=failed.fix)


def _answer(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    return process.stdout.read(), process.wait()


def _tell(stream: IO[str], lines: list[str], say: Say) -> None:
    for line in stream:
        lines.append(line.rstrip())
        say(line.rstrip())


def train_job(job: Job, say: Say) -> Done:
    """Do it here.

    Raises
    ------
    KedgeError
        The data cannot teach, or a store cannot be used.
    """
    from kedge.kernel.compiling import compile_all
    from kedge.services.training import Stores, dataset_of, default_leader, synthetic_dataset, train_and_register

    compile_all()
    if job.files:
        from kedge.services.market_data import load_market

        data = dataset_of(load_market([Path(name) for name in job.files], [Path(name) for name in job.funding]))
        data = data.take(None, job.until_ns) if job.until_ns else data
    else:
        listed = [CATALOGUE[f"{VENUE}:{symbol}"][-1] for symbol in job.symbols]
        data = synthetic_dataset(listed, seed=job.seed, bars=job.bars, interval_ns=job.interval_ns, start_ts_ns=job.start_ts_ns)
    settings = job.settings
    if not settings.leader:
        settings = msgspec.structs.replace(settings, leader=default_leader(data.instruments))
    stores = Stores.of(Path(job.state))
    trained, registered = train_and_register(data, settings, name=job.name, stores=stores, alias=job.alias, progress=say)
    record = trained.record
    return Done(
        model_sha256=trained.model_sha256, name=registered.name, version=registered.version, rows=record.rows, seconds=record.seconds
    )


def main(argument: str) -> int:
    """The child's side."""
    job = msgspec.json.decode(argument, type=Job)
    try:
        done = train_job(job, lambda words: print(words, file=sys.stderr, flush=True))
    except KedgeError as error:
        print(msgspec.json.encode(_Failed(error.code, error.what, error.why, error.fix)).decode())
        return exit_codes.exit_code_for(error)
    print(msgspec.json.encode(done).decode())
    return exit_codes.OK


if __name__ == "__main__":
    watch_parent(sys.stdin.fileno())
    sys.exit(main(sys.argv[1]))

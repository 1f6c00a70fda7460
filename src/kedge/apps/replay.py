"""`kedge replay`: decide a recorded run again and compare it with its journal, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit
from kedge.apps.strategy_choice import recorded_strategy
from kedge.ops.build import code_sha256
from kedge.ops.folders import state_folder
from kedge.ops.state_folder import journal_path
from kedge.services.recovery import replay as replay_run
from kedge.storage.journal_reader import SqliteJournalReader


def replay(
    run: str,
    /,
    *,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Step a fresh engine through a journal's events and compare every record with its own bytes; exit 9 when they differ.

    A run with a model is decided again with that model, loaded from the state folder by the hash that the run's first record names.

    Parameters
    ----------
    run
        A run id (its first letters are enough) or a journal file.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    state = state_folder(config, state_dir)
    with SqliteJournalReader(journal_path(state, run)) as journal:
        strategy = recorded_strategy(state, journal.run_started())
        found = replay_run(journal, code_sha256=code_sha256(), strategy=strategy)
    emit({"schema": "kedge/replay/v1", **msgspec.to_builtins(found)}, as_json)
    return exit_codes.OK if found.equal else exit_codes.FINDINGS

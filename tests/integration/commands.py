"""Runs `kedge` the way a person does, in this process (quick) or as one of its own (when signals, limits or the environment matter)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import kedge as kedge_package
from kedge.apps.cli import main

SOURCES = Path(kedge_package.__file__).resolve().parents[1]
"""Where this process found the package; one of its own finds the same."""

OURS = ("KEDGE_CACHE_DIR", "KEDGE_TEST_DATA")

WIDE = """\
limits:
  daily_loss_soft_frac: "0.90"
  daily_loss_reduce_frac: "0.95"
  daily_loss_halt_frac: "0.99"
  drawdown_soft_frac: "0.90"
  drawdown_reduce_frac: "0.95"
  drawdown_halt_frac: "0.99"
  var99_soft_frac: "0"
  var99_max_frac: "0"
  es975_soft_frac: "0"
  es975_max_frac: "0"
  decisions_max: 0
  fill_deviation_bps_max: 0
"""
"""A configuration that lets a losing strategy trade on, so that a run reaches the end of its data."""


class Answer(NamedTuple):
    """What a command left behind: exit code, and both streams as text."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def environment(**more: str) -> dict[str, str]:
    """The environment of a `kedge` of its own, without settings of the shell; finds the sources wherever it starts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_") or name in OURS}
    return {**kept, "PYTHONPATH": str(SOURCES), **more}


def kedge(*arguments: object) -> Answer:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEDGE_") or name in OURS}
    with patch.dict(os.environ, kept, clear=True), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def spawn(*arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, **options: Any) -> Answer:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "kedge.apps.cli", *map(str, arguments)],
        cwd=cwd,
        env=dict(env) if env is not None else environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    return Answer(done.returncode, done.stdout, done.stderr)

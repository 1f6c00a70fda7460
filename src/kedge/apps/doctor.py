"""`kedge doctor`: looks at this machine and this state folder, and says what to mend.

The rules: each check answers ok, warn, fail or skip with what it saw, never raises, touches no network and changes
nothing but a file of its own that it removes again. Failures make the exit code 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.machine_checks import MACHINE_CHECKS, Check, Result
from kedge.apps.output import emit, print_rows
from kedge.apps.state_checks import STATE_CHECKS
from kedge.domain.errors import KedgeError
from kedge.ops.config import Config, load_config

if TYPE_CHECKING:
    from rich.console import Console


def doctor(
    *,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Check Python, packages, disk, folders, configuration, clock, locks and the last journal; exit 9 with a failure.

    Parameters
    ----------
    config
        Check this configuration file.
    as_json
        Print JSON.
    """
    begun = perf_counter()
    results = examine(config)
    counts = {state: sum(result.state == state for result in results) for state in ("fail", "warn", "ok", "skip")}
    payload = {"schema": "kedge/doctor/v1", "ok": not counts["fail"], "counts": counts, "checks": [result._asdict() for result in results]}
    took_s = perf_counter() - begun
    emit(payload, as_json, lambda target: _draw(target, results, counts, took_s))
    return exit_codes.FINDINGS if counts["fail"] else exit_codes.OK


def examine(config_file: Path | None) -> list[Result]:
    """Run every check; those of the state folder are skipped when the configuration is broken."""
    results = [_guarded(name, check, Path()) for name, check in MACHINE_CHECKS]
    loaded, told = _configuration(config_file)
    results.append(told)
    if loaded is None:
        return results + [Result(name, "skip", "no valid configuration") for name, _ in STATE_CHECKS]
    return results + [_guarded(name, check, loaded.state_folder) for name, check in STATE_CHECKS]


def _configuration(file: Path | None) -> tuple[Config | None, Result]:
    try:
        loaded = load_config(file)
    except KedgeError as error:
        return None, Result("configuration", "fail", f"{error.what}: {error.why}", error.fix)
    return loaded, Result("configuration", "ok", f"{loaded.file or 'defaults, no file'}, profile {loaded.settings.profile}")


def _guarded(name: str, check: Check, folder: Path) -> Result:
    try:
        state, seen, fix = check(folder)
    except OSError as error:
        return Result(
            name, "fail", f"{error.filename or ''} {error.strerror or error}".strip(), "check the path, its permissions and the disk"
        )
    return Result(name, state, seen, fix)


def _draw(target: Console, results: Sequence[Result], counts: dict[str, int], took_s: float) -> None:
    rows = [(result.state.upper() if result.state == "fail" else result.state, result.name, result.seen, result.fix) for result in results]
    print_rows(target, ("state", "check", "seen", "fix"), rows)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    target.print(f"{told} in {took_s:.1f} s", markup=False)

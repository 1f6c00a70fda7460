"""What `kedge doctor` asks of the machine: Python, packages, clock, compiled-code folder."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from kedge import compiled_cache_folder

PYTHON_MIN = (3, 11)
KNOWN_SYSTEMS = ("Linux", "Darwin")
KNOWN_MACHINES = ("x86_64", "AMD64", "aarch64", "arm64")
PACKAGES = ("numpy", "numba", "pyarrow", "msgspec", "cryptography", "cyclopts", "rich", "pydantic", "PyYAML", "platformdirs")
EARLIEST_S = 1_735_689_600
"""2025-01-01 UTC: a clock before the first release is wrong."""
CLOCK_PROBE_S = 0.05
CLOCK_DRIFT_S_MAX = 0.02


class Result(NamedTuple):
    """One check's answer: `state` is ok, warn, fail or skip."""

    name: str
    state: str
    seen: str
    fix: str = ""


Answer = tuple[str, str, str]
Check = Callable[[Path], Answer]


def python_version(_: Path) -> Answer:
    """Python is at least 3.11."""
    state = "ok" if sys.version_info[:2] >= PYTHON_MIN else "fail"
    return state, platform.python_version(), "" if state == "ok" else "install Python 3.11 or later, then `make install`"


def system(_: Path) -> Answer:
    """A system and processor that the locked wheels exist for."""
    seen = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    known = platform.system() in KNOWN_SYSTEMS and platform.machine() in KNOWN_MACHINES
    return ("ok", seen, "") if known else ("warn", f"{seen}: not tried by us", "use Linux or macOS on x86-64 or ARM64")


def packages(_: Path) -> Answer:
    """Every runtime package is installed; looked up, not imported."""
    missing = [name for name in PACKAGES if not _installed(name)]
    if missing:
        return "fail", f"missing: {', '.join(missing)}", "make install"
    return "ok", f"{len(PACKAGES)} of {len(PACKAGES)} installed", ""


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def clock(_: Path) -> Answer:
    """The wall clock runs with the monotonic one and is not years behind."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_PROBE_S)
    drift_s = abs((time.time() - wall) - (time.monotonic() - steady))
    if wall < EARLIEST_S:
        return "fail", f"the wall clock says {time.strftime('%Y-%m-%d', time.gmtime(wall))}", "set the clock, enable time synchronisation"
    if drift_s > CLOCK_DRIFT_S_MAX:
        return "warn", f"the wall clock jumped {drift_s * 1000:.0f} ms while we looked", "check time synchronisation"
    return "ok", f"wall and monotonic agree within {CLOCK_DRIFT_S_MAX * 1000:.0f} ms", ""


def compiled_cache(_: Path) -> Answer:
    """Compiled laws can be kept, so that the next start is quick."""
    folder = compiled_cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return "fail", f"{folder} cannot be written", "set KEDGE_CACHE_DIR to a folder of yours"
    return "ok", f"{folder} ({sum(1 for _ in folder.rglob('*.nbc'))} compiled functions)", ""


MACHINE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", python_version),
    ("system", system),
    ("packages", packages),
    ("clock", clock),
    ("compiled code", compiled_cache),
)

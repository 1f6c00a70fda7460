"""What a training ran on, as the libraries and the system name themselves."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kedge.learning.training_record import Environment

CPUINFO = Path("/proc/cpuinfo")
UNKNOWN = "unknown"


def environment() -> Environment:
    """Versions of what computes, and the machine."""
    return Environment(
        python=platform.python_version(),
        numpy=_version("numpy"),
        numba=_version("numba"),
        lightgbm=_version("lightgbm"),
        scikit_learn=_version("scikit-learn"),
        platform=platform.platform(),
        cpu=_cpu(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN


def _cpu() -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine() or UNKNOWN

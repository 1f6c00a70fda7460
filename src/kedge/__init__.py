"""Kedge: a governed trading system for crypto perpetuals.

The one module outside the rooms. It names the folder of Numba's compiled code before anything can import Numba,
because Numba's own cache looks at the file of a function only: after an edit to a law in another file it would
serve callers the old law. The folder's name is a hash over every source that compiled code may come from or take
a constant from, over Numba itself and over the processor, so old code is never found.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import sys
from pathlib import Path

__all__ = ["__version__", "compiled_cache_folder"]

__version__ = "0.1.0"

COMPILED_ROOMS = ("domain", "kernel", "simulation", "learning", "research", "risk/var/laws")
"""Compiled functions live in these rooms, or folders of a room, only (a test holds it); `domain` gives them constants."""


def compiled_cache_folder() -> Path:
    """Where this version of the sources keeps its compiled code: `<cache>/numba/<hash>`.

    `<cache>` is KEDGE_CACHE_DIR, else the user's cache folder.
    """
    fingerprint = hashlib.sha256()
    for part in (_sources(), _numba_version(), _processor()):
        fingerprint.update(hashlib.sha256(part).digest())
    return _cache_root() / "numba" / fingerprint.hexdigest()[:20]


def _sources() -> bytes:
    here = Path(__file__).parent
    files = sorted(path for room in COMPILED_ROOMS for path in (here / room).rglob("*.py"))
    return b"\n".join(f"{path.relative_to(here)} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode() for path in files)


def _numba_version() -> bytes:
    # Read, not imported: importing Numba takes seconds, importlib.metadata 15 ms.
    spec = importlib.util.find_spec("numba")
    if spec is None or spec.origin is None:
        return b"absent"
    version = Path(spec.origin).with_name("_version.py")
    return version.read_bytes() if version.exists() else spec.origin.encode()


def _processor() -> bytes:
    named = f"{platform.machine()} {sys.platform} {sys.implementation.cache_tag}".encode()
    try:
        with open("/proc/cpuinfo", "rb") as cpuinfo:
            lines = cpuinfo.read(8192).split(b"\n\n")[0].splitlines()
    except OSError:
        return named
    steady = (b"model name", b"flags", b"Features", b"CPU part")
    return b"\n".join([named, *(line for line in lines if line.startswith(steady))])


def _cache_root() -> Path:
    if named := os.environ.get("KEDGE_CACHE_DIR"):
        return Path(named)
    if sys.platform == "darwin":
        return Path("~/Library/Caches/kedge").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path("~/AppData/Local").expanduser()) / "kedge" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "kedge"


def _name_cache_folder() -> None:
    folder = str(compiled_cache_folder())
    os.environ["NUMBA_CACHE_DIR"] = folder
    if (numba := sys.modules.get("numba")) is not None:
        numba.config.CACHE_DIR = folder


_name_cache_folder()

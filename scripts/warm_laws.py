"""Compile every law into the cache, so that the first command need not: silent, but for a line where it takes long.

Run by `make install` whenever a source of a compiled room has changed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from threading import Timer

import kedge

SLOW_S = 5.0


def main() -> int:
    """Import every module of the compiled rooms, which compiles its laws or finds them in the cache."""
    told = Timer(SLOW_S, lambda: print("compiling the laws, once for these sources and this processor (half a minute)", flush=True))
    told.daemon = True
    told.start()
    root = Path(kedge.__file__).parent
    try:
        for room in kedge.COMPILED_ROOMS:
            for source in sorted((root / room).glob("*.py")):
                import_module(f"kedge.{room.replace('/', '.')}.{source.stem}".removesuffix(".__init__"))
    finally:
        told.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())

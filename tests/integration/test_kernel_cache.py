"""An edit of a law's constant reaches every caller, also the ones in other files whose compiled code was cached."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CALLERS = """
import json
import numba, numpy as np
from kedge.kernel.account import book_fill, new_account
from kedge.kernel.fees import fee_e8
from kedge.kernel.funding import funding_paid_e8, funding_rate_e8
from kedge.kernel.margin import initial_margin_e8, maintenance_margin_e8
from kedge.kernel.compiling import LAWS

@numba.njit(cache=True)
def loop(n):
    total = 0
    for k in range(n):
        total += fee_e8(1000, 1_000_000)
    return total

tiers = np.array([[10**12, 0, 0]], dtype=np.int64)
print(json.dumps({
    "direct": fee_e8(1000, 1_000_000),
    "twin": fee_e8.py_func(1000, 1_000_000),
    "caller in another file": initial_margin_e8(1_000_000, 100, 0, 1_000_000) - 1_000_000,
    "caller of a caller": maintenance_margin_e8(1_000_000, 100, 0, 1_000_000, tiers),
    "compiled loop": loop(10),
    "another law": funding_rate_e8(10_000, 500_000, 10_000_000),
    "loaded": sum(bool(law.stats.cache_hits) for law in LAWS.values()),
    "laws": len(LAWS),
}))
"""


def run(package: Path, script: Path, cache: Path) -> dict[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": str(package), "KEDGE_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, int] = json.loads(done.stdout)
    return answers


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_an_edited_constant_reaches_every_caller(repository: Path, tmp_path: Path) -> None:
    package, script, cache = tmp_path / "src", tmp_path / "callers.py", tmp_path / "cache"
    shutil.copytree(repository / "src" / "kedge", package / "kedge", ignore=shutil.ignore_patterns("__pycache__"))
    script.write_text(CALLERS)

    first = run(package, script, cache)
    assert [first[name] for name in ("direct", "twin", "caller in another file", "caller of a caller", "compiled loop")] == [
        10, 10, 20_000, 20_000, 100
    ]  # fmt: skip
    assert first["another law"] == 450_000
    again = run(package, script, cache)
    assert again["loaded"] == again["laws"], "the second run compiles nothing, else this test proves nothing"
    assert {name: again[name] for name in again if name != "loaded"} == {name: first[name] for name in first if name != "loaded"}

    # One unit more on every fee, in one file; its callers' files stay as they are.
    edit(
        package / "kedge" / "kernel" / "fees.py",
        "return mul_div_ceil(notional_e8, rate_e8, E8)",
        "return mul_div_ceil(notional_e8, rate_e8, E8) + 1",
    )
    edited = run(package, script, cache)
    assert [edited[name] for name in ("direct", "twin", "caller in another file", "caller of a caller", "compiled loop")] == [
        11, 11, 20_001, 20_001, 110
    ]  # fmt: skip

    edit(package / "kedge" / "kernel" / "funding.py", "PREMIUM_BAND_E8: Final = 50_000", "PREMIUM_BAND_E8: Final = 40_000")
    assert run(package, script, cache)["another law"] == 460_000

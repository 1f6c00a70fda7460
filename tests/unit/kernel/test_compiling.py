"""The register, the seal on types, and the READY rule."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest

from kedge.domain.errors import InvalidInput
from kedge.kernel.account import mark_account, new_account
from kedge.kernel.compiling import LAWS, WrongType, compile_all
from kedge.kernel.fees import fee_e8
from kedge.kernel.positions import apply_fill

compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="types are checked by compiled code only")  # type: ignore[attr-defined]


def test_every_law_is_registered_under_its_name_with_a_plain_twin() -> None:
    assert compile_all() == len(LAWS)
    assert LAWS["kedge.kernel.positions.apply_fill"] is apply_fill
    assert all(callable(entry.py_func) for entry in LAWS.values())


@compiled
def test_every_law_of_the_kernel_is_compiled_once_on_import() -> None:
    compile_all()
    kernel = {name: entry for name, entry in LAWS.items() if name.startswith("kedge.kernel.")}
    assert {name: len(entry.overloads) for name, entry in kernel.items()} == dict.fromkeys(kernel, 1)


@compiled
@pytest.mark.parametrize("wrong", [1.0, float("nan"), True, "1", None, np.int32(1), np.float64(1), 2j])
def test_a_number_of_another_kind_is_refused_and_compiles_nothing(wrong: Any) -> None:
    with pytest.raises(WrongType, match="fee_e8") as refused:
        fee_e8(wrong, 55_000)
    assert isinstance(refused.value, InvalidInput)
    assert isinstance(refused.value, TypeError)
    assert "64-bit integers" in refused.value.fix
    assert len(LAWS["kedge.kernel.fees.fee_e8"].overloads) == 1


@compiled
def test_an_integer_past_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        fee_e8(2**63, 1)


@compiled
@pytest.mark.parametrize("lots", [np.zeros(4), np.zeros(4, dtype=np.int32), np.zeros(8, dtype=np.int64)[::2]])
def test_arrays_that_are_not_contiguous_int64_are_refused(lots: Any) -> None:
    row = np.zeros(4, dtype=np.int64)
    with pytest.raises(WrongType):
        mark_account(new_account(), 0, 1, 0, lots, row, row, row)


@compiled
def test_a_compiled_caller_cannot_slip_a_float_in() -> None:
    @numba.njit
    def caller(notional: float) -> int:
        return fee_e8(notional, 1)

    with pytest.raises((WrongType, numba.TypingError), match="float64"):
        caller(1.5)


READY = """
import numba
from kedge.kernel import compiling
print(compiling.late_compilations())
compiling.compile_all()
compiling.mark_ready()
from kedge.kernel.fees import fee_e8
fee_e8(1, 1)
print(compiling.late_compilations())
numba.njit(lambda a: a)(1)
@compiling.law("int64(int64)")
def late_law(a): return a
print(compiling.late_compilations())
compiling.mark_ready()
print(compiling.late_compilations())
"""


@compiled
def test_a_compilation_after_ready_is_listed(tmp_path: Any) -> None:
    script = tmp_path / "ready.py"
    script.write_text(READY)
    before, ready, late, again = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert before == ready == again == "[]"
    assert late == "['__main__.<lambda>', '__main__.late_law']"

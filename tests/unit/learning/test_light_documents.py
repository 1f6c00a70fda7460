"""Documents are read without what computes with them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["feature", "model", "dataset_manifest"])
def test_a_document_is_read_without_arrays_and_compiled_laws(module: str) -> None:
    code = f"import sys, kedge.learning.{module}; print([name for name in ('numpy', 'numba', 'sklearn', 'polars') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"

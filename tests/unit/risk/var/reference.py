"""The vectors of the quant reference, and their rule of passing: |got - expected| <= abs + rel * |expected|."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from tests.absent import absent


def document(repository: Path) -> dict[str, Any]:
    """KEDGE_TEST_REFERENCE, else `../shared/reference`."""
    folder = Path(os.environ.get("KEDGE_TEST_REFERENCE") or repository / ".." / "shared" / "reference").resolve()
    file = folder / "quant_vectors.json"
    if not file.is_file():
        absent("no quant reference: set KEDGE_TEST_REFERENCE to a folder that holds quant_vectors.json")
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told


def vector(told: dict[str, Any], name: str) -> dict[str, Any]:
    """One vector with its series in place of their references."""
    (found,) = (one for one in told["vectors"] if one["id"] == name)
    filled: dict[str, Any] = {**found, "inputs": _filled(found["inputs"], told["datasets"])}
    return filled


def _filled(value: Any, datasets: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$ref"}:
            series = datasets[value["$ref"]]
            return series["values"] if isinstance(series, dict) and "values" in series else series
        return {key: _filled(part, datasets) for key, part in value.items()}
    return [_filled(part, datasets) for part in value] if isinstance(value, list) else value


def differences(got: Any, expected: Any, absolute: float, relative: float, path: str = "") -> list[str]:
    """Where `got` leaves `expected`; every key that is expected must be got."""
    if isinstance(expected, dict):
        missing = [f"{path}.{key} is missing" for key in expected if key not in got]
        return missing + [
            line for key in expected if key in got for line in differences(got[key], expected[key], absolute, relative, f"{path}.{key}")
        ]
    if isinstance(expected, list):
        if len(got) != len(expected):
            return [f"{path}: {len(got)} of {len(expected)}"]
        pairs = enumerate(zip(got, expected, strict=True))
        return [line for n, (one, other) in pairs for line in differences(one, other, absolute, relative, f"{path}[{n}]")]
    if isinstance(expected, bool | str) or expected is None:
        return [] if got == expected else [f"{path}: {got!r}, expected {expected!r}"]
    far = not math.isfinite(got) or abs(got - expected) > absolute + relative * abs(expected)
    return [f"{path}: {got!r}, expected {expected!r}"] if far else []

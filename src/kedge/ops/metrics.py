"""Figures for monitoring in the text form that Prometheus reads: kept in a process, left in a file, joined for one answer.

Rules: every process has a registry of its own, never the library's global one; each writes its text about every second, and a text
whose writer is gone or silent is not shown, since an old figure is not a figure. The library is imported when the first registry is
made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedge.ops.atomic_file import replace_content
from kedge.ops.health_file import STALE_AFTER_S, is_alive

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SUFFIX: Final = ".prom"
_PID: Final = "# kedge_pid "


class PrometheusMetrics:
    """See `domain.ports.Metrics`; a figure that is made a second time is the first one."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self.registry: CollectorRegistry = CollectorRegistry()
        self._made: dict[str, _Figure] = {}

    def counter(self, name: str, what: str, labels: Sequence[str]) -> _Figure:
        from prometheus_client import Counter

        return self._figure(name, lambda: Counter(name, what, labels, registry=self.registry))

    def gauge(self, name: str, what: str, labels: Sequence[str]) -> _Figure:
        from prometheus_client import Gauge

        return self._figure(name, lambda: Gauge(name, what, labels, registry=self.registry))

    def histogram(self, name: str, what: str, buckets: Sequence[float], labels: Sequence[str]) -> _Figure:
        from prometheus_client import Histogram

        return self._figure(name, lambda: Histogram(name, what, labels, buckets=tuple(buckets), registry=self.registry))

    def text(self) -> str:
        """All figures now."""
        from prometheus_client import generate_latest

        return str(generate_latest(self.registry).decode())

    def _figure(self, name: str, make: Any) -> _Figure:
        if name not in self._made:
            self._made[name] = _Figure(make())
        return self._made[name]


class _Figure:
    """One figure with its labels; a row of labels is looked up once."""

    __slots__ = ("_figure", "_rows")

    def __init__(self, figure: Any) -> None:
        self._figure = figure
        self._rows: dict[tuple[str, ...], Any] = {}

    def add(self, amount: float, *labels: str) -> None:
        self._row(labels).inc(amount)

    def set(self, value: float, *labels: str) -> None:
        self._row(labels).set(value)

    def observe(self, value: float, *labels: str) -> None:
        self._row(labels).observe(value)

    def _row(self, labels: tuple[str, ...]) -> Any:
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = self._figure.labels(*labels) if labels else self._figure
        return row


def metrics_path(state_folder: Path, name: str) -> Path:
    """Where the process of that name leaves its figures."""
    return state_folder / f"{name}{_SUFFIX}"


def write_metrics(state_folder: Path, name: str, text: str) -> None:
    """Leave a process's figures, whole or not at all."""
    state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_content(metrics_path(state_folder, name), f"{_PID}{os.getpid()}\n{text}".encode())


def read_metrics(state_folder: Path, now: datetime) -> dict[str, str]:
    """The figures of every process that lives and wrote lately, by its name."""
    found: dict[str, str] = {}
    for path in sorted(state_folder.glob(f"*{_SUFFIX}")):
        try:
            age_s = now.timestamp() - path.stat().st_mtime
            first, _, text = path.read_text(encoding="utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            continue
        pid = first.removeprefix(_PID)
        if first.startswith(_PID) and pid.isdigit() and is_alive(int(pid)) and abs(age_s) < STALE_AFTER_S:
            found[path.stem] = text
    return found


def joined(texts: Mapping[str, str]) -> str:
    """Several processes' figures as one text: each family's lines together and once described, each sample with its `process`."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                _, word, name, *_ = [*line.split(" ", 3), "", ""]
                if word == "HELP":
                    family = name
                    heads.setdefault(family, [])
                if line not in heads.setdefault(family, []) and len(heads[family]) < 2:
                    heads[family].append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, process))
    return "".join(f"{line}\n" for family, head in heads.items() for line in (*head, *samples.get(family, ())))


def _labelled(line: str, process: str) -> str:
    """A sample with one label more."""
    name, brace, rest = line.partition("{")
    if brace and " " not in name:
        return f'{name}{{process="{process}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{process="{process}"}} {value}'

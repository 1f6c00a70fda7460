"""Figures for monitoring: one registry a process, files that are shown while their writer lives, one text for all."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from kedge.ops.metrics import PrometheusMetrics, joined, metrics_path, read_metrics, write_metrics


def figures(used: float) -> str:
    metrics = PrometheusMetrics()
    metrics.gauge("kedge_used_ratio", "Use.", ("group",)).set(used, "a b")
    metrics.counter("kedge_asked_total", "Requests.", ()).add(2)
    metrics.histogram("kedge_wait_seconds", "Waits.", (0.1, 1.0), ()).observe(0.5)
    return metrics.text()


def test_figures_are_read_back_by_the_fields_own_parser() -> None:
    found = {family.name: family for family in text_string_to_metric_families(figures(0.25))}
    assert found["kedge_used_ratio"].samples[0].value == 0.25
    assert found["kedge_used_ratio"].samples[0].labels == {"group": "a b"}
    assert next(one.value for one in found["kedge_asked"].samples if one.name.endswith("_total")) == 2
    assert {one.labels.get("le"): one.value for one in found["kedge_wait_seconds"].samples if one.name.endswith("_bucket")} == {
        "0.1": 0, "1.0": 1, "+Inf": 1,
    }  # fmt: skip


def test_a_figure_made_twice_is_the_first_one_and_registries_share_nothing() -> None:
    metrics, other = PrometheusMetrics(), PrometheusMetrics()
    metrics.counter("kedge_x_total", "X.", ()).add(1)
    metrics.counter("kedge_x_total", "X.", ()).add(1)
    other.counter("kedge_x_total", "X.", ())
    assert "kedge_x_total 2.0" in metrics.text()
    assert "kedge_x_total 0.0" in other.text()
    assert "kedge_x" not in prometheus_client.generate_latest().decode()


def test_the_library_is_not_imported_before_the_first_registry() -> None:
    code = "import sys, kedge.ops.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


def test_a_file_is_shown_while_its_writer_lives_and_writes(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert read_metrics(tmp_path / "none", now) == {}
    write_metrics(tmp_path / "state", "trader", "x 1\n")
    assert read_metrics(tmp_path / "state", now) == {"trader": "x 1\n"}
    assert read_metrics(tmp_path / "state", now + timedelta(seconds=6)) == {}
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    metrics_path(tmp_path / "state", "guard").write_text(f"# kedge_pid {dead.pid}\ny 1\n")
    metrics_path(tmp_path / "state", "strange").write_text("z 1\n")
    metrics_path(tmp_path / "state", "bytes").write_bytes(b"\xff\xfe")
    assert list(read_metrics(tmp_path / "state", now)) == ["trader"]


def test_several_processes_are_one_text_with_every_family_described_once() -> None:
    text = joined({"trader": figures(0.25), "guard": figures(0.5)})
    assert text.count("# HELP kedge_used_ratio ") == 1
    assert text.count("# TYPE kedge_used_ratio ") == 1
    families = list(text_string_to_metric_families(text))
    assert len(families) == len({family.name for family in families})
    used = next(family for family in families if family.name == "kedge_used_ratio")
    assert {one.labels["process"]: one.value for one in used.samples} == {"trader": 0.25, "guard": 0.5}
    asked = next(family for family in families if family.name == "kedge_asked")
    assert {one.labels["process"] for one in asked.samples} == {"trader", "guard"}
    assert joined({}) == ""

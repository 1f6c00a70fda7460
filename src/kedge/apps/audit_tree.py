"""Draws a trace as an indented tree: each node once, its facts below it, what is missing at the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kedge.domain.units import NS_PER_S
from kedge.governance.lineage import Node, NodeKind, Recomputed, Trace

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_FACTS: Final[dict[NodeKind, tuple[str, ...]]] = {
    NodeKind.FILL: ("fee", "slippage", "role", "cause"),
    NodeKind.ORDER: ("status", "filled", "limit price", "trigger", "time in force", "venue order id"),
    NodeKind.RISK: ("order notional", "share of equity", "allowed per order", "limits of the run"),
    NodeKind.STOP: ("trigger", "position", "reason"),
    NodeKind.DECISION: ("equity", "mark", "mid", "confidence", "expected return", "reason", "compliance id"),
    NodeKind.PREDICTION: ("score", "probability, exact", "expected return", "bar"),
    NodeKind.MODEL: ("version", "aliases at registration", "foresees", "thresholds"),
    NodeKind.TRAINING: ("kind", "rows", "seed", "environment", "MLflow run"),
    NodeKind.COMMIT: ("sources", "code of the run"),
    NodeKind.DATASET: ("interval",),
    NodeKind.RAW_FILE: ("sha256",),
    NodeKind.RUN: ("source", "strategy", "predictions", "decisions", "orders", "fills", "first and last prediction"),
}
"""Facts shown in the tree; all of them are in the JSON. Features show every value."""

HISTORY_MAX: Final = 20
RECOMPUTED_MAX: Final = 20
"""Comparisons shown one by one."""


def draw_trace(target: Console, found: Trace) -> None:
    """Print the tree, then notes, what was recomputed, and what is missing."""

    def line(text: str, depth: int = 0) -> None:
        target.print("  " * depth + text, markup=False, highlight=False, soft_wrap=True)

    for text, depth in tree_lines(found):
        line(text, depth)
    for note in found.notes:
        line(f"note: {note}")
    for text in recomputed_lines(found.recomputed):
        line(text)
    for gap in found.missing:
        line(f"missing: {gap.kind} {gap.id[:16]}: {gap.why}")
    line("the chain is complete" if found.complete else "the chain is NOT complete")


def recomputed_lines(steps: Sequence[Recomputed]) -> list[str]:
    """Each comparison; of many only those that differ, and how many are equal."""
    equal = [step for step in steps if step.equal]
    shown = steps if len(steps) <= RECOMPUTED_MAX else [step for step in steps if not step.equal][:RECOMPUTED_MAX]
    lines = []
    for step in shown:
        verdict = f"equal, {step.recorded}" if step.equal else f"DIFFERS, recorded {step.recorded}, computed {step.computed or 'nothing'}"
        lines.append(f"recomputed {step.step} of {step.prediction_id} from {step.source}: {verdict}{_after(step.detail)}")
    if steps:
        lines.append(f"recomputed {len(steps)} figures: {len(equal)} equal to the bit, {len(steps) - len(equal)} different")
    return lines


def tree_lines(found: Trace) -> list[tuple[str, int]]:
    """The tree from its root along the links, each node once: text and depth."""
    lines: list[tuple[str, int]] = []
    seen: set[str] = set()
    below: dict[str, list[tuple[str, str]]] = {}
    for link in found.links:
        below.setdefault(link.source, []).append((link.target, link.relation))

    def walk(key: str, depth: int, how: str) -> None:
        node = found.node(key)
        if node is None or key in seen:
            return
        seen.add(key)
        lines.extend((text, depth + shift) for text, shift in _node_lines(node, how))
        for target, relation in below.get(key, ()):
            walk(target, depth + 1, relation)

    walk(found.root, 0, "")
    for node in found.nodes:  # what came of the root: it points to what is drawn already
        if node.key not in seen:
            known = [f"{relation} it" for target, relation in below.get(node.key, ()) if target in seen]
            walk(node.key, 1, known[-1] if known else "")
    return lines


def _node_lines(node: Node, how: str) -> list[tuple[str, int]]:
    when = f", {utc_text(node.at_ts_ns)}" if node.at_ts_ns is not None and node.seq is not None else ""
    lines = [(f"{f'{how}: ' if how else ''}{_name(node.kind)} {node.id}{when}: {node.title}", 0)]
    shown = node.facts if node.kind is NodeKind.FEATURES else {n: node.facts[n] for n in SHOWN_FACTS.get(node.kind, ()) if n in node.facts}
    lines += [(f"{label}: {text}", 2) for label, text in shown.items()]
    lines += [(f"{utc_text(one.at_ts_ns)} {one.what}: {one.text}", 2) for one in node.history[:HISTORY_MAX]]
    if len(node.history) > HISTORY_MAX:
        lines.append((f"and {len(node.history) - HISTORY_MAX} more moments", 2))
    if node.proof is not None:
        sealed = f", under the head in row {node.proof.head_row}" if node.proof.head_row is not None else ", not sealed by a head yet"
        lines.append((f"journal row {node.proof.row}, hash {node.proof.row_hash}{sealed}", 2))
    return lines


def utc_text(ts_ns: int) -> str:
    """A moment in UTC, to the millisecond where it has any."""
    seconds, rest = divmod(ts_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{rest // 1_000_000:03d} UTC" if rest else f"{text} UTC"


def _name(kind: NodeKind) -> str:
    return kind.replace("_", " ")


def _after(detail: str) -> str:
    return f" ({detail})" if detail else ""

"""`kedge audit verify`: is this journal whole, in order, and signed by the key we trust?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows
from kedge.journal import ACTS_PREFIX, WATCH_PREFIX
from kedge.ops.folders import state_folder
from kedge.ops.state_folder import journal_path, keys_folder
from kedge.storage.journal_files import seal_path
from kedge.storage.journal_verify import verify_journal
from kedge.storage.keys import PublicKey, load_public_key

if TYPE_CHECKING:
    from rich.console import Console


NO_END = "the run has no end: it is running, was killed, or its tail was cut back to an older signed head"
NEVER_ENDS = "such a journal has no end: whether its tail was cut back to an older signed head shows by a last hash that was kept elsewhere"


def verify(
    run: str,
    /,
    *,
    public_key: str | None = None,
    state_dir: str | None = None,
    config: Annotated[Path | None, Parameter(name=["--config", "-c"])] = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Check a journal's chain, signatures, snapshots, tail and seal; name every defect and its place; exit 9 with findings.

    Parameters
    ----------
    run
        A run id (its first letters are enough) or a journal file.
    public_key
        The key to trust, as `ed25519:...`; this state folder's own by default.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    state = state_folder(config, state_dir)
    path = journal_path(state, run)
    key = PublicKey.from_text(public_key) if public_key else load_public_key(keys_folder(state))
    report = verify_journal(path, key)
    findings = [{"seq": f.seq, "kind": str(f.kind), "detail": f.detail} for f in report.findings]
    payload = {
        "schema": "kedge/audit-verify/v1",
        "ok": report.ok,
        "journal": str(path),
        "records": report.records,
        "key_id": key.key_id,
        "findings": findings,
        "notes": [
            *report.notes,
            *([] if report.ended else [NEVER_ENDS if report.run_id.startswith((ACTS_PREFIX, WATCH_PREFIX)) else NO_END]),
        ],
        "ended": report.ended,
        "sealed": seal_path(path).is_file(),
        "last_hash": report.last_hash,
    }
    emit(payload, as_json, lambda target: _draw(target, payload))
    return exit_codes.OK if report.ok else exit_codes.FINDINGS


def _draw(target: Console, payload: dict[str, Any]) -> None:
    whole = "whole: chain, signatures and seal hold" if payload["sealed"] else "whole as far as it goes: chain and signatures hold, no seal"
    verdict = whole if payload["ok"] else f"{len(payload['findings'])} findings"
    print_rows(target, ("journal", "records", "key", "verdict"), [(payload["journal"], payload["records"], payload["key_id"], verdict)])
    if payload["findings"]:
        print_rows(target, ("seq", "kind", "detail"), [(f["seq"], f["kind"], f["detail"]) for f in payload["findings"]])
    for note in payload["notes"]:
        target.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    target.print(
        f"last hash {payload['last_hash']}: keep it elsewhere to prove later that nothing was cut", highlight=False, soft_wrap=True
    )

"""`kedge data import|validate|show`: files of bars or funding into the store, and what they are worth.

Rules: nothing is lost (a bad row is quarantined and shown), nothing is hidden (what one file cannot show is listed), and a file
with findings answers with exit code 9.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows, progress
from kedge.domain.errors import InvalidInput, NotFound
from kedge.feeds.bar_files import read_bars
from kedge.feeds.funding_files import is_funding, read_funding
from kedge.feeds.mapping import ColumnMapping, parse_mapping
from kedge.market.compare import compare
from kedge.market.findings import Finding, QuarantinedRow, count_by_code
from kedge.market.intervals import interval_text, parse_interval, utc_text
from kedge.market.quality import Quality, quality, summary_text
from kedge.market.validation import Validated
from kedge.market.validation import validate as validate_bars
from kedge.ops.config import load_config
from kedge.ops.state_folder import data_folder
from kedge.storage.snapshots import Manifest, SnapshotMeta, SnapshotStore

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, Parameter(name="--json")]
Maps = Annotated[list[str] | None, Parameter(name="--map", consume_multiple=True, negative="")]

ROWS_SHOWN = 20
STEPS = 3


def import_(
    file: Path,
    /,
    *,
    symbol: str | None = None,
    interval: str | None = None,
    map_: Maps = None,
    tz: str | None = None,
    store: Path | None = None,
    keep_outliers: bool = False,
    as_json: Json = False,
) -> int:
    """Validate a file of bars and keep it as a snapshot, addressed by its content.

    Parameters
    ----------
    file
        CSV (also .gz), Parquet, Feather or freqtrade JSON.
    symbol
        The instrument's label; needed when the file holds several.
    interval
        Length of a bar, such as 5m; worked out from the file when not given.
    map_
        KEY=VALUE for columns that are not recognised, such as volume=5 or format=%d/%m/%Y.
    tz
        Zone of times that name none, such as UTC+3.
    store
        Folder of snapshots; the user's state folder when not given.
    keep_outliers
        Report bars that jump away and back instead of quarantining them.
    as_json
        Print JSON.
    """
    mapping = _mapping(map_, tz)
    if is_funding(file, mapping):
        raise InvalidInput(
            f"{file.name} holds funding rates",
            why="snapshots keep bars",
            fix="pass it to a run with --funding; check it with `kedge data validate`",
        )
    with progress(f"importing {file.name}", STEPS) as advance:
        source = read_bars(file, mapping=mapping, symbol=symbol, interval_ms=_interval_ms(interval))
        advance(1)
        validated = validate_bars(source.raw, as_of_ms=_now_ms(), keep_outliers=keep_outliers)
        advance(1)
        found = {finding.code.value: finding.count for finding in validated.findings}
        meta = SnapshotMeta(source=source.label, source_sha256=source.sha256, source_rows=validated.rows, findings=found)
        manifest = SnapshotStore(store or _default_store()).put(validated.accepted, validated.quarantine, meta)
        advance(1)
    result = quality(validated)
    payload = {"schema": "kedge/data-import/v1", **_manifest_dict(manifest), "quality": result.as_dict()}
    emit(payload, as_json, lambda target: _render_import(target, manifest, result, validated))
    return exit_codes.OK


def validate(
    file: Path,
    /,
    *,
    against: Path | None = None,
    symbol: str | None = None,
    interval: str | None = None,
    map_: Maps = None,
    tz: str | None = None,
    keep_outliers: bool = False,
    as_json: Json = False,
) -> int:
    """Report every defect of a file of bars or funding rates; exit code 9 when there is one.

    Parameters
    ----------
    file
        CSV (also .gz), Parquet, Feather or freqtrade JSON.
    against
        A second source of the same series: finds switched venues, partial bars and wrong prices.
    symbol
        The instrument's label; needed when the file holds several.
    interval
        Length of a bar, such as 5m; worked out from the file when not given.
    map_
        KEY=VALUE for columns that are not recognised.
    tz
        Zone of times that name none, such as UTC+3.
    keep_outliers
        Report bars that jump away and back instead of quarantining them.
    as_json
        Print JSON.
    """
    mapping = _mapping(map_, tz)
    if is_funding(file, mapping):
        return _validate_funding(file, mapping, symbol, as_json)
    with progress(f"validating {file.name}", STEPS) as advance:
        source = read_bars(file, mapping=mapping, symbol=symbol, interval_ms=_interval_ms(interval))
        advance(1)
        validated = validate_bars(source.raw, as_of_ms=_now_ms(), keep_outliers=keep_outliers)
        advance(1)
        comparison = compare(validated.accepted, _other(against)) if against else None
        advance(1)
    result = quality(validated, comparison)
    payload = {
        "schema": "kedge/data-validation/v1",
        "ok": not (result.findings or validated.quarantine),
        "file": source.label,
        "sha256": source.sha256,
        **_span(validated),
        **result.as_dict(),
        "quarantine": [row.as_dict() for row in validated.quarantine],
        "against": {"file": against.name, **comparison.as_dict()} if against and comparison else None,
    }
    emit(payload, as_json, lambda target: _render_quality(target, source.label, result, validated))
    return exit_codes.OK if payload["ok"] else exit_codes.FINDINGS


def show(name: str, /, *, store: Path | None = None, tz: str | None = None, map_: Maps = None, as_json: Json = False) -> int:
    """Span, rows, gaps and quality of a file, or of a snapshot in the store.

    Parameters
    ----------
    name
        A file, or a snapshot's hash (its first 8 digits are enough).
    store
        Folder of snapshots; the user's state folder when not given.
    tz
        Zone of a file's times that name none.
    map_
        KEY=VALUE for a file's columns that are not recognised.
    as_json
        Print JSON.
    """
    if Path(name).is_file():
        source = read_bars(Path(name), mapping=_mapping(map_, tz))
        validated, label, head = validate_bars(source.raw, as_of_ms=_now_ms()), source.label, {"sha256": source.sha256}
    else:
        if "." in name or "/" in name:
            raise NotFound(f"no file {name}", why="nothing is there", fix="check the path, or give a snapshot's hash")
        snapshot = SnapshotStore(store or _default_store()).get(name)
        validated, head = _as_validated(snapshot.bars, snapshot.quarantine, snapshot.manifest), _manifest_dict(snapshot.manifest)
        label = f"snapshot {snapshot.manifest.sha256[:12]} of {snapshot.manifest.meta.source}"
    result = quality(validated, as_of_ms=_now_ms())
    payload = {"schema": "kedge/data-show/v1", "name": label, **head, **_span(validated), **result.as_dict()}
    payload["coverage_by_day"] = [{"day": day, "coverage_frac": part} for day, part in result.days]
    emit(payload, as_json, lambda target: _render_quality(target, label, result, validated))
    return exit_codes.OK


def _as_validated(bars: Any, quarantine: tuple[QuarantinedRow, ...], manifest: Manifest) -> Validated:
    from kedge.market.series_checks import series_findings

    return Validated(bars, quarantine, tuple(series_findings(bars)), manifest.meta.source_rows)


def _mapping(items: list[str] | None, tz: str | None) -> ColumnMapping:
    return parse_mapping(items or []).with_tz(tz)


def _interval_ms(text: str | None) -> int | None:
    return None if text is None else parse_interval(text)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _default_store() -> Path:
    return data_folder(load_config().state_folder)


def _other(against: Path) -> Any:
    return validate_bars(read_bars(against).raw, as_of_ms=_now_ms(), keep_outliers=True).accepted


def _span(validated: Validated) -> dict[str, Any]:
    table = validated.accepted
    first = utc_text(int(table.ts_ms[0])) if len(table) else None
    last = utc_text(int(table.ts_ms[-1])) if len(table) else None
    return {"symbol": table.symbol, "interval": interval_text(table.interval_ms), "rows": len(table), "first": first, "last": last}


def _manifest_dict(manifest: Manifest) -> dict[str, Any]:
    return {
        "sha256": manifest.sha256,
        "data_sha256": manifest.data_sha256,
        "symbol": manifest.symbol,
        "interval": interval_text(manifest.interval_ms),
        "rows": manifest.rows,
        "first": utc_text(manifest.first_ts_ms),
        "last": utc_text(manifest.last_ts_ms),
        "gaps": [{"start": utc_text(start), "start_ms": start, "count": count} for start, count in manifest.gaps],
        "quarantine_rows": manifest.quarantine_rows,
        "source": {"label": manifest.meta.source, "sha256": manifest.meta.source_sha256, "rows": manifest.meta.source_rows},
    }


def _validate_funding(file: Path, mapping: ColumnMapping, symbol: str | None, as_json: bool) -> int:
    source = read_funding(file, mapping=mapping, symbol=symbol)
    funding = source.funding
    ok = not (funding.findings or funding.quarantine)
    times = funding.accepted.ts_ms
    payload = {
        "schema": "kedge/funding-validation/v1",
        "ok": ok,
        "file": source.label,
        "sha256": source.sha256,
        "symbol": funding.accepted.symbol,
        "rows": funding.rows,
        "accepted": len(funding.accepted),
        "first": utc_text(int(times[0])) if len(times) else None,
        "last": utc_text(int(times[-1])) if len(times) else None,
        "quarantined": count_by_code(funding.quarantine),
        "quarantine": [row.as_dict() for row in funding.quarantine],
        "findings": [finding.as_dict() for finding in funding.findings],
    }

    def render(target: Console) -> None:
        target.print(f"{source.label}: {len(funding.accepted)} settlements, {len(funding.quarantine)} quarantined", markup=False)
        _render_findings(target, funding.findings, funding.quarantine)

    emit(payload, as_json, render)
    return exit_codes.OK if ok else exit_codes.FINDINGS


def _render_import(target: Console, manifest: Manifest, result: Quality, validated: Validated) -> None:
    target.print(f"snapshot {manifest.sha256}", markup=False)
    _render_quality(target, manifest.meta.source, result, validated)


def _render_quality(target: Console, label: str, result: Quality, validated: Validated) -> None:
    span = _span(validated)
    target.print(f"{label}: {summary_text(result, validated.accepted.interval_ms)}", markup=False)
    target.print(f"{span['symbol']} from {span['first']} to {span['last']} UTC", markup=False)
    _render_findings(target, result.findings, validated.quarantine)
    for code, why in result.not_detectable.items():
        target.print(f"not detectable from one file: {code}: {why}", markup=False)


def _render_findings(target: Console, findings: tuple[Finding, ...], quarantine: tuple[QuarantinedRow, ...]) -> None:
    if findings:
        print_rows(target, ("finding", "count", "what"), ((f.code.value, f.count, f.text) for f in findings))
    if quarantine:
        shown = ((row.row_number, row.first_code.value, " ".join(row.values)) for row in quarantine[:ROWS_SHOWN])
        print_rows(target, ("row", "rule", "values"), shown, title="quarantine")
    if len(quarantine) > ROWS_SHOWN:
        target.print(f"and {len(quarantine) - ROWS_SHOWN} more rows; --json lists all", markup=False)

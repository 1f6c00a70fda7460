"""`kedge model list|show`: what was trained, and what is known of one model.

Rules: the registry is asked every time, through its tables, so neither MLflow nor a compiled law is imported; every document is checked
against its hash, none is loaded to be run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.model_view import SHORT, draw_card, model_payload, trained_text
from kedge.apps.output import emit, print_rows
from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_MS
from kedge.market.intervals import interval_text
from kedge.ops.config import load_config
from kedge.ops.state_folder import models_folder, registry_folder
from kedge.services.training.references import aliases_now, known_as, resolve
from kedge.storage.model_store import Aliases, ModelStore
from kedge.storage.registry_reader import RegistryReader

if TYPE_CHECKING:
    from rich.console import Console

ConfigFile = Annotated[Path | None, Parameter(name=["--config", "-c"])]
Json = Annotated[bool, Parameter(name="--json")]

COLUMNS = ("model", "version", "aliases", "kind", "interval", "rows", "auc", "brier_skill", "trained", "note")
WITHOUT_SKILL = "demo: may trade without skill"


def list_(*, state_dir: str | None = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """List the trained models with version, aliases and out-of-fold figures; exit 9 when one of them is damaged.

    Parameters
    ----------
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    models, registry = _stores(config, state_dir)
    names = models.list()
    aliases, warning = aliases_now(models, registry) if names else (models.aliases(), "")
    rows = sorted((_row(models, sha256, aliases) for sha256 in names), key=_by_version)
    payload = {"schema": "kedge/model-list/v1", "models": rows, "warning": warning or None}
    emit(payload, as_json, lambda target: _draw_list(target, payload))
    return exit_codes.FINDINGS if any(row["damaged"] for row in rows) else exit_codes.OK


def show(reference: str, /, *, state_dir: str | None = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Show a model's card: data, figures, calibration, thresholds, features, code and machine.

    Parameters
    ----------
    reference
        NAME@ALIAS, NAME/VERSION, or the first 8 digits or more of its hash.
    state_dir
        Use this state folder instead of the configured one.
    config
        Read this configuration file.
    as_json
        Print JSON.
    """
    models, registry = _stores(config, state_dir)
    found = resolve(reference, models, registry)
    registered = models.registered(found.sha256)
    payload = {
        "schema": "kedge/model/v1",
        **model_payload(found.sha256, models.load(found.sha256), models.training(found.sha256)),
        "version": found.version,
        "version_text": found.version_text or None,
        "aliases": list(found.aliases),
        "mlflow_run": registered.run_id if registered else None,
        "warning": found.warning or None,
    }
    emit(payload, as_json, lambda target: _draw_show(target, payload))
    return exit_codes.OK


def _stores(config: Path | None, state_dir: str | None) -> tuple[ModelStore, RegistryReader]:
    state = load_config(config, flags={"state_dir": state_dir}).state_folder
    return ModelStore(models_folder(state)), RegistryReader(registry_folder(state))


def _row(models: ModelStore, sha256: str, aliases: Aliases) -> dict[str, Any]:
    """One line of the list; a model whose files are damaged keeps its line and says so."""
    row: dict[str, Any] = {"model_sha256": sha256, "version": None, "aliases": [], "damaged": None}
    try:
        model, record = models.load(sha256), models.training(sha256)
        registered = known_as(models, aliases, sha256)
    except KedgeError as error:
        return {**row, "damaged": str(error)}
    if registered is not None:
        row |= {"version": registered.version_text, "aliases": list(registered.aliases)}
    return {
        **row,
        "kind": record.kind,
        "interval": interval_text(model.interval_ns // NS_PER_MS),
        "rows": record.rows,
        "auc": record.figures.get("auc"),
        "brier_skill": record.figures.get("brier_skill"),
        "trained": trained_text(record),
        "trades_without_skill": record.trades_without_skill,
    }


def _by_version(row: dict[str, Any]) -> tuple[str, int, str]:
    name, _, number = (row["version"] or "").rpartition("/")
    return name, int(number or 0), row["model_sha256"]


def _draw_list(target: Console, payload: dict[str, Any]) -> None:
    if not payload["models"]:
        target.print("no model was trained here yet: kedge train FILE..., or kedge train --market synthetic", markup=False)
        return
    cells = (
        (
            row["model_sha256"][:SHORT],
            row["version"],
            ", ".join(row["aliases"]) or None,
            *(row.get(name) for name in ("kind", "interval", "rows", "auc", "brier_skill", "trained")),
            row["damaged"] or (WITHOUT_SKILL if row["trades_without_skill"] else None),
        )
        for row in payload["models"]
    )
    print_rows(target, COLUMNS, cells)
    _warn(target, payload["warning"])


def _draw_show(target: Console, payload: dict[str, Any]) -> None:
    _warn(target, payload["warning"])
    draw_card(target, payload)


def _warn(target: Console, warning: str | None) -> None:
    if warning:
        target.print(f"note: {warning}", markup=False, highlight=False)

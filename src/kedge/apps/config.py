"""`kedge config show|validate|schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kedge.apps import exit_codes
from kedge.apps.output import emit, print_rows
from kedge.ops.config import load_config
from kedge.ops.settings import json_schema

Json = Annotated[bool, Parameter(name="--json")]
ConfigFile = Annotated[Path | None, Parameter(name=["--config", "-c"])]


def show(*, origin: bool = False, profile: str | None = None, config: ConfigFile = None, as_json: Json = False) -> int:
    """Print the configuration in force. Secrets are shown as references, never as values.

    Parameters
    ----------
    origin
        Also print where each value comes from: default, file and line, env or flag.
    profile
        Look at development, staging or production.
    config
        Read this file instead of ./kedge.yaml or the user's own.
    as_json
        Print JSON.
    """
    loaded = load_config(config, flags={"profile": profile})
    values = loaded.shown()
    payload = {"schema": "kedge/config/v1", "file": str(loaded.file) if loaded.file else None, "values": values}
    rows = [[key, value] for key, value in values.items()]
    columns = ["key", "value"]
    if origin:
        payload["origins"] = loaded.origins
        columns.append("origin")
        rows = [[key, value, loaded.origins[key]] for key, value in rows]
    emit(payload, as_json, lambda target: print_rows(target, columns, rows))
    return exit_codes.OK


def validate(file: Path | None = None, /, *, as_json: Json = False) -> int:
    """Check a configuration file: keys, types, bounds, rows of limits, every profile's section.

    Parameters
    ----------
    file
        The file; without it the one that a run would read.
    as_json
        Print JSON.
    """
    from kedge.apps.wiring import check_guarded, check_use  # needs the strategies, which the other commands of this module do not

    loaded = load_config(file)
    check_use(loaded)
    check_guarded(loaded)
    given = sum(origin != "default" for origin in loaded.origins.values())
    name = str(loaded.file) if loaded.file else None
    payload = {"schema": "kedge/config-validation/v1", "ok": True, "file": name, "profile": loaded.settings.profile, "keys_given": given}
    emit(payload, as_json, lambda target: target.print(f"ok  {name or 'defaults, no file'}: {given} keys given", markup=False))
    return exit_codes.OK


def schema() -> int:
    """Print the JSON schema of kedge.yaml, which editors use to complete and check keys."""
    emit(json_schema(), as_json=True)
    return exit_codes.OK

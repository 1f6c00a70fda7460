"""docs/errors.md from the registry of codes, and docs/openapi.json from the routes."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kedge.domain.problems import KINDS

HEAD = """# Errors

{made}

Every error has one of these codes, wherever it is told: in a problem object of the API (`code`, and `type` as the address `/errors/...` of
the server), as the last line of a command that failed, and in the acts of what was refused. A code is stable; the words around it
may improve. "again" says whether the very same request may succeed later. A status of 0 is never sent over HTTP. The exit codes of
`kedge` are explained in [cli.md](cli.md).

| code | status | exit | again | what it means | what to do |
|---|---|---|---|---|---|
"""


def errors_page(made: str) -> str:
    """The reference of every code."""
    rows = (
        f"| `{kind.code}` | {kind.status} | {kind.exit_code} | {'yes' if kind.retryable else 'no'} | {kind.title} | {kind.fix} |"
        for kind in sorted(KINDS)
    )
    return HEAD.format(made=made) + "\n".join(rows) + "\n"


def openapi_document() -> dict[str, Any]:
    """The API's description, without what changes from release to release."""
    from kedge.api.server import ApiServer

    with TemporaryDirectory() as folder:
        document: dict[str, Any] = ApiServer(Path(folder)).app.openapi()
    return {**document, "info": {**document["info"], "version": "v1"}}


def openapi_page() -> str:
    """The API's description as a file."""
    return json.dumps(openapi_document(), indent=1, sort_keys=True, ensure_ascii=True) + "\n"

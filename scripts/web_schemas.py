"""Print the API's documents as one OpenAPI file, for the dashboard's types: `python -m scripts.web_schemas > openapi.json`."""

from __future__ import annotations

import inspect
import json

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kedge.api import schemas, schemas_approvals, schemas_brake, schemas_commands, schemas_people, schemas_risk

MODULES = (schemas, schemas_people, schemas_approvals, schemas_commands, schemas_risk, schemas_brake)
BASES = (BaseModel, schemas_people.Said)


def main() -> None:
    """Every document of the API, by name."""
    members = {name: model for module in MODULES for name, model in inspect.getmembers(module, inspect.isclass)}
    found = [model for _, model in sorted(members.items()) if issubclass(model, BaseModel) and model not in BASES]
    _, components = models_json_schema([(model, "serialization") for model in found], ref_template="#/components/schemas/{model}")
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Kedge", "version": "v1"},
        "paths": {},
        "components": {"schemas": components["$defs"]},
    }
    print(json.dumps(document, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()

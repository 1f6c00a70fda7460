"""Print the API's documents as one OpenAPI file, for the dashboard's types: `python -m scripts.web_schemas > openapi.json`."""

from __future__ import annotations

import inspect
import json

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kedge.api import schemas


def main() -> None:
    """Every model of `kedge.api.schemas`, by name."""
    found = [model for _, model in inspect.getmembers(schemas, inspect.isclass) if issubclass(model, BaseModel) and model is not BaseModel]
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

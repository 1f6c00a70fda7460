"""What a client would miss in a newer description of the API: `python -m scripts.openapi_diff OLD.json NEW.json` fails and names it.

Rules: a path, method, answer or answered field that goes is a break; so is a parameter or field of a request that comes to be required,
goes, or takes fewer values; and an answered value of another type. What is added to an answer or may be left out is none. A description
of another version may break: that is what versions are for. Then the breaks are told, and the exit code is 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")
TYPE_KEYS = ("type", "format", "const", "$ref")


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Every break, by the place where it stands."""
    found = []
    for path, methods in old["paths"].items():
        for method in METHODS:
            if method not in methods:
                continue
            name, now = f"{method.upper()} {path}", new["paths"].get(path, {}).get(method)
            found += [f"{name} is gone"] if now is None else _operation(name, methods[method], now)
    schemas, now_schemas = old["components"]["schemas"], new["components"]["schemas"]
    asked, now_asked = _asked(old), _asked(new)
    for name, schema in schemas.items():
        if name not in now_schemas:
            found.append(f"schema {name} is gone")
        else:
            found += _schema(name, schema, now_schemas[name], asked=name in asked or name in now_asked)
    return found


def _operation(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = [f"{name} no longer answers {status}" for status in old["responses"] if status < "400" and status not in new["responses"]]
    before = {(one["in"], one["name"]): one for one in old.get("parameters", ())}
    after = {(one["in"], one["name"]): one for one in new.get("parameters", ())}
    found += [f"{name}: parameter {key[1]} is gone" for key in before if key not in after]
    for key, one in after.items():
        if one.get("required") and not before.get(key, {}).get("required"):
            found.append(f"{name}: parameter {key[1]} is now required")
        if key in before:
            found += _value(f"{name}: parameter {key[1]}", before[key]["schema"], one["schema"], asked=True)
    if "requestBody" in new and "requestBody" not in old:
        found.append(f"{name} now takes a body")
    for status in old["responses"]:
        if status in new["responses"] and status < "400":
            found += _content(f"{name} {status}", old["responses"][status], new["responses"][status])
    if old.get("x-kedge-action") != new.get("x-kedge-action"):
        found.append(f"{name} takes another right: {old.get('x-kedge-action')} became {new.get('x-kedge-action')}")
    return found


def _content(name: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    for kind, one in old.get("content", {}).items():
        if kind not in new.get("content", {}):
            found.append(f"{name} is no longer {kind}")
        else:
            found += _value(name, one.get("schema", {}), new["content"][kind].get("schema", {}), asked=False)
    return found


def _asked(document: dict[str, Any]) -> set[str]:
    """Names of the schemas that requests are made of."""
    schemas = document["components"]["schemas"]
    waiting = [method["requestBody"] for path in document["paths"].values() for method in path.values() if "requestBody" in method]
    names: set[str] = set()
    while waiting:
        new = _named(waiting.pop()) - names
        names |= new
        waiting += [schemas[name] for name in new if name in schemas]
    return names


def _named(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"].rsplit("/", 1)[1]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_named(one) for one in value.values()))
    return set().union(*(_named(one) for one in value)) if isinstance(value, list) else set()


def _schema(name: str, old: dict[str, Any], new: dict[str, Any], *, asked: bool) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{name}.{field} is gone" for field in before if field not in after]
    if asked:
        required = set(new.get("required", ())) - set(old.get("required", ()))
        found += [f"{name}.{field} is now required" for field in sorted(required)]
    else:
        optional = set(old.get("required", ())) - set(new.get("required", ()))
        found += [f"{name}.{field} may now be absent" for field in sorted(optional & set(after))]
    for field in before:
        if field in after:
            found += _value(f"{name}.{field}", before[field], after[field], asked=asked)
    return found + _enum(name, old, new, asked=asked)


def _value(name: str, old: dict[str, Any], new: dict[str, Any], *, asked: bool) -> list[str]:
    one, other = _kinds(old), _kinds(new)
    gone, come = one - other, other - one
    if asked and gone:
        return [f"{name} no longer takes {', '.join(sorted(gone))}"]
    if not asked and come:
        return [f"{name} may now be {', '.join(sorted(come))}"]
    return _enum(name, old, new, asked=asked)


def _kinds(schema: dict[str, Any]) -> set[str]:
    inner = schema.get("anyOf") or schema.get("oneOf")
    if inner:
        return set().union(*(_kinds(one) for one in inner))
    items = _kinds(schema["items"]) if isinstance(schema.get("items"), dict) else {""}
    told = " ".join(str(schema[key]) for key in TYPE_KEYS if key in schema)
    return {f"{told} of {item}" if item else told for item in items}


def _enum(name: str, old: dict[str, Any], new: dict[str, Any], *, asked: bool) -> list[str]:
    before, after = _choices(old), _choices(new)
    if asked and after and (gone := before - after):
        return [f"{name} no longer takes {', '.join(sorted(gone))}"]
    return []


def _choices(schema: dict[str, Any]) -> set[str]:
    inner = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {str(value) for one in inner for value in one.get("enum", ())}


def main(arguments: list[str]) -> int:
    """Compare two files."""
    old, new = (json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments)
    found = breaks(old, new)
    for line in found:
        print(f"breaks clients: {line}", file=sys.stderr)
    return 1 if found and old["info"]["version"] == new["info"]["version"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

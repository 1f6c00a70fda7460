"""Write the pages of docs/ that the code tells (PAGES), or with --check fail when they differ from it."""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path
from typing import Any

from kedge.apps import exit_codes
from kedge.apps.cli import app_of
from kedge.apps.commands import COMMANDS, GLOBAL_OPTIONS, Command
from kedge.ops.config import FREE_SECTIONS, known_keys
from kedge.ops.settings import Settings
from scripts.docs_errors import errors_page, openapi_page
from scripts.docs_lifecycle import lifecycle_page
from scripts.docs_people import people_page
from scripts.docs_stress import stress_page

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make docs` from the code; edit the code. -->"

CLI_HEAD = """# Command line

{made}

Answers go to stdout, everything else to stderr. On a terminal an answer is drawn, through a pipe the same rows come as
tab-separated text, with `--json` as one versioned JSON document (money and prices as text, times in UTC). An error is four lines:
what, why, fix and a stable code; with `--json` it is an RFC 9457 problem object.
"""

CONFIG_HEAD = """# Configuration

{made}

YAML. The file is the one named by `--config` or `KEDGE_CONFIG`, else `kedge.yaml` in the working folder, else `kedge.yaml` in the
user's configuration folder; without any, the defaults hold. Later wins:

1. defaults
2. the file
3. the file's section `profiles.<profile>` for the profile in force (`development`, `staging`, `production`)
4. variables `KEDGE_SECTION__KEY`, such as `KEDGE_LIMITS__GROSS_LEVERAGE_MAX=1.2`; lists are comma-separated
5. flags of a command

```yaml
profile: development
wallet: 100000
limits:
  gross_leverage_max: 1.2
strategy:
  name: trend
  params: {{fast: 20, slow: 100}}
secrets:
  venue_key: env:VENUE_KEY
profiles:
  production:
    state_dir: ${{STATE_DIR:-/var/lib/kedge}}
    limits:
      gross_leverage_max: 1.0
```

Only `true`, `false`, `null` and plain integers are more than text, so `0.15` keeps its digits and `no` stays a word. `${{NAME}}` and
`${{NAME:-default}}` are taken from the environment. An unknown or doubled key is refused with its line and its nearest neighbour. Rows
of limits must rise: target <= soft <= hard. Every profile's section is checked, whichever is in force. Secrets are references
(`env:NAME`, `file:PATH`), never values. `kedge config show --origin` says where each value comes from, `kedge config validate FILE`
checks a file, `kedge config schema` prints the JSON schema for editors.

| key | default | meaning |
|---|---|---|
"""


def cli_page() -> str:
    """The reference of every command and option."""
    parts = [CLI_HEAD.format(made=MADE), "## Options of every command\n", "| option | meaning |", "|---|---|"]
    parts += [f"| `{name}` | {text} |" for name, text in GLOBAL_OPTIONS]
    parts += ["", "## Exit codes\n", "| code | meaning |", "|---|---|"]
    parts += [f"| {code} | {text} |" for code, text in exit_codes.MEANINGS.items()]
    for command in COMMANDS:
        parts += ["", _command_section(command)]
    return "\n".join(parts) + "\n"


def _command_section(command: Command) -> str:
    app = app_of(command)
    about = inspect.cleandoc(str(app.help))
    arguments = [
        argument
        for argument in app.assemble_argument_collection(parse_docstring=True)
        if argument.parameter.parse is not False and argument.names
    ]
    lines = [f"## kedge {command.name}\n", about.split("\n\nParameters")[0]]
    if arguments:
        lines += ["", "| argument | default | meaning |", "|---|---|---|"]
        lines += [f"| {_names(argument)} | {_default(argument)} | {_cell(argument.parameter.help or '')} |" for argument in arguments]
    return "\n".join(lines)


def _names(argument: Any) -> str:
    return ", ".join(f"`{name}`" for name in argument.names)


def _default(argument: Any) -> str:
    value = argument.field_info.default
    if argument.required:
        return "required"
    return "" if value is None or value is argument.field_info.empty or value == () else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def configuration_page() -> str:
    """The reference of every configuration key."""
    rows = [
        f"| `{'.'.join(path)}{'.<name>' if path in FREE_SECTIONS else ''}` | {_key_default(path)} | {_about(path)} |"
        for path in known_keys()
    ]
    return CONFIG_HEAD.format(made=MADE) + "\n".join(rows) + "\n"


def _field(path: tuple[str, ...]) -> Any:
    model: Any = Settings
    for part in path[:-1]:
        model = model.model_fields[part].annotation
    return model.model_fields[path[-1]]


def _key_default(path: tuple[str, ...]) -> str:
    if path == ("state_dir",):
        return "the user's state folder"
    value = _field(path).get_default(call_default_factory=True)
    return {None: "null", "{}": ""}.get(value if value is None else str(value), f"`{value}`")


def _about(path: tuple[str, ...]) -> str:
    return _cell(_field(path).description or "")


PAGES = {
    "docs/cli.md": cli_page,
    "docs/configuration.md": configuration_page,
    "docs/errors.md": lambda: errors_page(MADE),
    "docs/lifecycle.md": lambda: lifecycle_page(MADE),
    "docs/openapi.json": openapi_page,
    "docs/people.md": lambda: people_page(MADE),
    "docs/stress.md": lambda: stress_page(MADE),
}


def main(arguments: list[str]) -> int:
    """Write the pages, or only compare them."""
    stale = [name for name, make in PAGES.items() if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != make()]
    if arguments == ["--check"]:
        for name in stale:
            print(f"{name} differs from the code; run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))

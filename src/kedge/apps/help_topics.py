"""Help that is more than a command's options: exit codes, shell completion."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from kedge.apps import exit_codes as codes
from kedge.apps.cli import app_of
from kedge.apps.commands import COMMANDS, NOUNS
from kedge.apps.output import emit, print_rows


def exit_codes(*, as_json: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Print what each exit code means.

    Parameters
    ----------
    as_json
        Print JSON.
    """
    payload = {"schema": "kedge/exit-codes/v1", "exit_codes": [{"code": code, "meaning": text} for code, text in codes.MEANINGS.items()]}
    emit(payload, as_json, lambda target: print_rows(target, ("code", "meaning"), codes.MEANINGS.items()))
    return codes.OK


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a completion script, to be sourced by the shell: `source <(kedge completion bash)`.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    print(whole_app().generate_completion(shell=shell))
    return codes.OK


def whole_app() -> App:
    """Every command in one cyclopts app: what completion and the reference are generated from."""
    app = App(name="kedge", help_format="plaintext", default_parameter=Parameter(negative=()))
    nouns = {noun: App(name=noun) for noun in NOUNS}
    for noun in nouns.values():
        app.command(noun)
    for command in COMMANDS:
        parent = nouns.get(command.path[0], app)
        parent.command(app_of(command), name=command.path[-1])
    return app

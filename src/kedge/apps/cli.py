"""The command line: finds the command in the table, runs it, turns errors into four lines and an exit code.

The rules: help, version and a mistyped command are answered from the table alone (cyclopts, NumPy and the rest are
imported for the command that runs), nothing here touches the network, a traceback is shown only with `--debug`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kedge import __version__
from kedge.apps import exit_codes
from kedge.apps.commands import COMMANDS, GLOBAL_OPTIONS, NOUNS, Command
from kedge.apps.exit_codes import UsageError
from kedge.apps.output import PROGRESS_MODES, fail, progress_mode, speak_any_encoding

if TYPE_CHECKING:
    from cyclopts import App


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `kedge` with these arguments (the process's own by default); returns the exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    as_json, debug = _has(tokens, "--json"), _has(tokens, "--debug")
    speak_any_encoding()
    try:
        code = _dispatch(_take_globals(tokens))
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        return exit_codes.exit_code_for(error)
    except BrokenPipeError:
        # The reader of our pipe has what it wanted; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK
    except Exception as error:
        if debug:
            traceback.print_exc()
        return fail(error, as_json=as_json)
    return code


def _has(tokens: list[str], flag: str) -> bool:
    return flag in _before_separator(tokens)


def _before_separator(tokens: list[str]) -> list[str]:
    return tokens[: tokens.index("--")] if "--" in tokens else tokens


def _take_globals(tokens: list[str]) -> list[str]:
    """Act on the global options and return the tokens without them; after `--` nothing is an option."""
    ours = _before_separator(tokens)
    kept: list[str] = []
    if ours[:1] == ["--json"]:
        ours = [*ours[1:], "--json"]
    waiting = iter(ours)
    for token in waiting:
        name, given, value = token.partition("=")
        if token == "--no-color":
            os.environ["NO_COLOR"] = "1"
        elif name == "--progress":
            progress_mode.set(_progress(value if given else next(waiting, "")))
        elif token != "--debug":
            kept.append(token)
    return kept + tokens[len(ours) :]


def _progress(mode: str) -> str:
    if mode not in PROGRESS_MODES:
        raise UsageError(f"--progress is {mode!r}", why=f"it is one of {', '.join(PROGRESS_MODES)}", fix="--progress plain")
    return mode


def _dispatch(tokens: list[str]) -> int:
    if tokens and tokens[0] == "help" and tokens[1:2] != ["exit-codes"]:
        tokens = [*tokens[1:], "--help"]
    if tokens in (["--version"], ["version"]):
        print(__version__)
        return exit_codes.OK
    words = [token for token in tokens if token not in ("--help", "-h", "--json")]
    if not words:
        print(overview())
        return exit_codes.OK
    if len(words) == 1 and words[0] in NOUNS:
        print(overview(words[0]))
        return exit_codes.OK
    command = find(tokens)
    return _run(command, tokens[len(command.path) :])


def overview(noun: str | None = None) -> str:
    """The help text of `kedge`, or of one noun such as `data`."""
    chosen = [command for command in COMMANDS if noun in (None, command.path[0])]
    width = max(len(name) for name, _ in [*((command.name, "") for command in COMMANDS), *GLOBAL_OPTIONS]) + 2
    lines = [f"usage: kedge {noun or '<command>'} {'<verb> ' if noun else ''}[options]", ""]
    lines += [f"  {command.name:<{width}}{command.help}" for command in chosen]
    lines += ["", *(f"  {name:<{width}}{text}" for name, text in GLOBAL_OPTIONS)]
    return "\n".join([*lines, "", "kedge <command> --help tells its options; kedge help exit-codes what a script can rely on."])


def find(tokens: Sequence[str]) -> Command:
    """The command that these words name.

    Raises
    ------
    UsageError
        No such command; the nearest one is offered.
    """
    for command in COMMANDS:
        if tuple(tokens[: len(command.path)]) == command.path:
            return command
    import difflib  # only a mistyped command needs it

    depth = 2 if tokens[0] in NOUNS else 1
    typed = " ".join(tokens[:depth])
    names = [command.name for command in COMMANDS]
    heads = {name.split()[0]: name.split()[0] for name in names}
    near = difflib.get_close_matches(" ".join(tokens[:2]), names, 1, 0.7) or difflib.get_close_matches(typed, [*names, *heads], 1, 0.6)
    raise UsageError(
        f"unknown command {typed!r}",
        why="kedge has no such command",
        fix=f"did you mean `kedge {near[0]}`?" if near else "kedge --help lists the commands",
    )


def _run(command: Command, tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    try:
        answer = app_of(command)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(_one_line(error), why=f"it does not fit `kedge {command.name}`", fix=f"kedge {command.name} --help") from error
    return answer if isinstance(answer, int) else exit_codes.OK


def _one_line(error: Any) -> str:
    error.verbose = False
    return " ".join(str(error).split()) or type(error).__name__


def app_of(command: Command) -> App:
    """The cyclopts app of one command; importing its module happens here."""
    from cyclopts import App, Parameter

    app = App(
        name=f"kedge {command.name}",
        help_format="plaintext",
        version_flags=[],
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    app.default(target_of(command))
    return app


def target_of(command: Command) -> Callable[..., int]:
    """Import the function behind a command."""
    from importlib import import_module

    module, _, name = command.target.partition(":")
    function: Callable[..., int] = getattr(import_module(module), name)
    return function


if __name__ == "__main__":
    sys.exit(main())

"""What a command prints: data on stdout, everything else on stderr.

The rules: with `--json` stdout holds exactly one JSON document, versioned by the `schema` its command gives it;
on a terminal a rendering, through a pipe the same rows as tab-separated text without colour. Progress never
reaches stdout. Not-a-number is never printed: an unknown figure is `null`.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any

from kedge.apps.exit_codes import exit_code_for
from kedge.domain.errors import InvalidInput, KedgeError

if TYPE_CHECKING:
    from rich.console import Console

Payload = Mapping[str, Any] | Sequence[Any]
Render = Callable[["Console"], None]
Advance = Callable[[int], None]

PROGRESS_MODES = ("auto", "plain", "none")
PLAIN_STEPS = 10
"""How many lines a plain progress report has."""
PIPE_WIDTH = 10_000
"""A pipe has no width; lines must not be folded for one."""

PLAIN_SIGNS = {"\u00b7": "-", "\u2026": "..."}
"""What stands for a sign that the reader's encoding does not have; anything else becomes a question mark."""

progress_mode: ContextVar[str] = ContextVar("progress_mode", default="auto")
"""Set once from `--progress` before the command runs."""


def speak_any_encoding() -> None:
    """Let what a terminal or pipe cannot show become a plain sign, so that no middle dot ever ends a command."""
    codecs.register_error("kedge-plain", _plain_sign)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="kedge-plain")


def _plain_sign(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def emit(payload: Payload, as_json: bool, render: Render | None = None) -> None:
    """Print a command's answer on stdout.

    Parameters
    ----------
    payload : mapping or sequence
        Plain data, Structs, dataclasses, `Decimal` (printed as text) and UTC times. A mapping carries
        `"schema": "kedge/<name>/v1"`.
    as_json : bool
        Print one JSON document instead of the rendering.
    render : callable taking a rich Console, optional
        Draws the answer for a person; without it a mapping is drawn as two columns and a sequence of mappings as a table.

    Raises
    ------
    InvalidInput
        A number in the payload is not finite.
    """
    if as_json:
        print(to_json(payload, indent=2 if sys.stdout.isatty() else None))
        return
    target = console()
    if render is not None:
        render(target)
    elif isinstance(payload, Mapping):
        print_rows(target, ("field", "value"), ((key, value) for key, value in payload.items() if key != "schema"))
    else:
        _print_records(target, payload)


def to_json(payload: Payload, *, indent: int | None = None) -> str:
    """One JSON document, on one line unless indented."""
    import msgspec  # kept out of `kedge --help`

    plain = msgspec.to_builtins(payload, str_keys=True)
    try:
        return json.dumps(plain, allow_nan=False, ensure_ascii=False, indent=indent)
    except ValueError as error:
        raise InvalidInput(
            f"the answer holds a number that is not finite: {error}", why="JSON has none", fix="report this as a defect"
        ) from None


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr: coloured on a terminal unless NO_COLOR is set, plain and unfolded in a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, highlight=False, color_system=None, width=PIPE_WIDTH, soft_wrap=True)


def print_rows(target: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print rows as a table on a terminal and as tab-separated text, header first, in a pipe."""
    texts = [[_cell(value) for value in row] for row in rows]
    if not target.is_terminal:
        for row in [list(columns), *texts]:
            print("\t".join(row), file=target.file)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, box=None, pad_edge=False, header_style="bold")
    for row in texts:
        table.add_row(*(Text(text) for text in row))
    target.print(table)


def _print_records(target: Console, records: Sequence[Any]) -> None:
    columns = list(dict.fromkeys(key for record in records for key in record)) if records else []
    if columns:
        print_rows(target, columns, ([record.get(column) for column in columns] for record in records))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, (Mapping, list, tuple)):
        return to_json(value)
    return str(value).replace("\t", " ").replace("\n", " ")


@contextmanager
def progress(description: str, total: int | None, mode: str | None = None) -> Iterator[Advance]:
    """Report the progress of a long job on stderr; yields `advance(count)`.

    Parameters
    ----------
    description : str
        What is being done, such as "reading bars".
    total : int or None
        How many units there are; None when unknown.
    mode : {"auto", "plain", "none"}, optional
        `auto` draws a bar on a terminal and nothing elsewhere; `plain` prints a line per tenth. Default: `--progress`.
    """
    chosen = mode or progress_mode.get()
    if chosen == "plain":
        yield _plain_progress(description, total)
    elif chosen == "auto" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.progress import Progress

        with Progress(console=console(stderr=True), transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda count: bars.advance(task, count)
    else:
        yield lambda count: None


@contextmanager
def steps(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Report the steps of a long job on stderr, each in words; yields `begin(words)`. Modes as `progress` has them.

    `total` is how many steps there are; `auto` draws a bar with the step's words on a terminal, `plain` prints a line per step.
    """
    chosen = progress_mode.get()
    if chosen == "plain":
        numbers = count(1)
        yield lambda words: print(f"{description}: {next(numbers)}/{total} {words}", file=sys.stderr, flush=True)
    elif chosen == "auto" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from rich.markup import escape
        from rich.progress import Progress

        with Progress(console=console(stderr=True), transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda words: bars.update(task, advance=1, description=f"{description}: {escape(words)}")
    else:
        yield lambda words: None


def _plain_progress(description: str, total: int | None) -> Advance:
    step = max(1, (total or 0) // PLAIN_STEPS)
    done = next_line = 0
    size = str(total) if total is not None else "?"

    def advance(count: int) -> None:
        nonlocal done, next_line
        done += count
        if done >= next_line:
            print(f"{description}: {done}/{size}", file=sys.stderr, flush=True)
            next_line = (done // step + 1) * step if total else max(done * 2, 1)

    return advance


def fail(error: BaseException, *, as_json: bool = False) -> int:
    """Print an error as `what / why / fix / code` on stderr, or as a problem object on stdout; return its exit code."""
    code = exit_code_for(error)
    report = problem(error, status=code)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return code
    lines = [f"error  {report['title']}"]
    lines += [f"{name:<6} {report[name]}" for name in ("why", "fix") if report[name]]
    lines += [f"code   {report['code']} (exit {code})"]
    print("\n".join(lines), file=sys.stderr)
    return code


def problem(error: BaseException, *, status: int) -> dict[str, Any]:
    """The RFC 9457 problem object of an error; `status` is the exit code, since there is no HTTP here."""
    if isinstance(error, KedgeError):
        what, why, fix, code = error.what, error.why, error.fix, error.code
    elif isinstance(error, OSError):
        what, why, fix, code = _os_error(error)
    else:
        what, why, code = f"{type(error).__name__}: {error}", "a defect of ours: this error was not foreseen", "DEFECT"
        fix = "run it again with --debug and report the traceback"
    return {
        "schema": "kedge/problem/v1",
        "type": f"urn:kedge:error:{code.lower().replace('_', '-')}",
        "title": what,
        "status": status,
        "detail": "; ".join(part for part in (why, fix) if part),
        "code": code,
        "why": why,
        "fix": fix,
    }


def _os_error(error: OSError) -> tuple[str, str, str, str]:
    name = f"{error.filename}: " if error.filename else ""
    what = f"{name}{error.strerror or error}"
    code = "NOT_FOUND" if isinstance(error, FileNotFoundError) else "SYSTEM_ERROR"
    return what, "the operating system refused", "check the path, its permissions and the free disk space", code

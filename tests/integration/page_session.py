"""A documentation page as a session in one shell: every command is run, and the output that the page shows is compared.

What a page may hold: blocks fenced as `console`. A line that begins with `$ ` is a command, the lines after it are what it prints, where
`...` in a line stands for any characters and `...` alone for any lines; a command without lines after it may print anything. Spaces count
as one, since tables are padded on a terminal only. A comment before the fence says where a block differs: `<!-- by hand: WHY -->` is never
run, `<!-- needs: WHAT -->` only by a test that brings it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from .commands import environment

BY_HAND = "by hand"
NEEDS = "needs"
MARK = "kedge-page-command-ended"
COMMAND_S_MAX = 240.0
"""More than any command takes on a machine that is busy with others."""

_FENCE = re.compile(r"^(?:<!-- (?P<why>[^\n]*) -->\n)?```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_WHY = re.compile(rf"({BY_HAND}|{NEEDS}): (\S.*)")


class Command(NamedTuple):
    """A command, the line of the page it stands on, and what the page shows of its output."""

    line: int
    text: str
    shown: tuple[str, ...]


class Block(NamedTuple):
    """A fenced block; `kind` is '' for one that is always run, else `by hand` or `needs`, and `about` says why or what."""

    line: int
    kind: str
    about: str
    commands: tuple[Command, ...]


class PageError(AssertionError):
    """The page is not as it may be, or does not do what it says."""


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page.

    Raises
    ------
    PageError
        A block that no rule covers: nothing on a page is silently left out.
    """
    return list(_blocks(page))


def _blocks(page: str) -> Iterator[Block]:
    if page.count("```") != 2 * len(list(_FENCE.finditer(page))):
        raise PageError("a fence of the page has no end, or does not begin its line")
    for found in _FENCE.finditer(page):
        line = page.count("\n", 0, found.start("body")) + 1
        if found["language"] != "console":
            raise PageError(f"line {line - 1}: a block is fenced as {found['language']!r}; only `console` is read")
        why = found["why"]
        marked = _WHY.fullmatch(why) if why is not None else None
        if why is not None and marked is None:
            raise PageError(f"line {line - 2}: {why!r} is neither `{BY_HAND}: WHY` nor `{NEEDS}: WHAT`")
        kind, about = (marked[1], marked[2]) if marked else ("", "")
        yield Block(line, kind, about, tuple(_commands(found["body"], line)))


def _commands(body: str, first: int) -> Iterator[Command]:
    command: tuple[int, str] | None = None
    shown: list[str] = []
    for line, text in enumerate(body.splitlines(), first):
        if text.startswith("$ "):
            if command:
                yield Command(*command, tuple(shown))
            command, shown = (line, text[2:]), []
        elif command is None:
            raise PageError(f"line {line}: output before any command")
        else:
            shown.append(text)
    if command is None:
        raise PageError(f"line {first}: a block without a command")
    yield Command(*command, tuple(shown))


def shows(shown: tuple[str, ...], printed: str) -> bool:
    """Whether what a command printed is what the page shows of it."""
    if not shown:
        return True
    parts = [r"(?:[^\n]*\n)*?" if line.strip() == "..." else _line(line) for line in shown]
    return re.fullmatch("".join(parts), "".join(f"{_plain(line)}\n" for line in printed.splitlines() if line.strip())) is not None


def _first_missing(shown: tuple[str, ...], printed: str) -> str:
    """The first line of the page that what was printed does not have in its place."""
    last = next((n for n in range(1, len(shown) + 1) if not shows((*shown[:n], "..."), printed)), None)
    return (
        "; there is more of it than the page shows"
        if last is None
        else f"; line {last} of what the page shows is not there: {shown[last - 1]}"
    )


def _line(shown: str) -> str:
    return re.escape(_plain(shown)).replace(re.escape("..."), r"[^\n]*?") + "\n"


def _plain(line: str) -> str:
    return " ".join(line.split())


class Session:
    """One `bash`, in a folder of its own, with `kedge` on its path and nothing of the settings of the shell that runs the tests."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        programs = folder / "programs"
        programs.mkdir()
        (programs / "kedge").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m kedge.apps.cli "$@"\n')
        (programs / "kedge").chmod(0o755)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment(), "PATH": path, "LC_ALL": "C.UTF-8", **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bash.communicate()

    def run(self, command: Command) -> str:
        """What it printed, on both streams.

        Raises
        ------
        PageError
            It failed, took too long, or printed something else than the page shows.
        """
        printed, code = self._answer(command.text)
        if code == 0 and shows(command.shown, printed):
            return printed
        what = "printed something else" if code == 0 else "ended the shell, or took too long" if code is None else f"ended with code {code}"
        wrong = _first_missing(command.shown, printed) if code == 0 else ""
        raise PageError(f"line {command.line}: `{command.text}` {what}{wrong}\nit printed:\n{printed}")

    def _answer(self, text: str) -> tuple[str, int | None]:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        late = threading.Timer(COMMAND_S_MAX, os.killpg, (self._bash.pid, signal.SIGKILL))
        late.start()
        try:
            self._bash.stdin.write(f"{{ {text}\n}} < /dev/null\nprintf '\\n{MARK} %s\\n' $?\n")
            self._bash.stdin.flush()
            lines: list[str] = []
            for line in self._bash.stdout:
                if line.startswith(f"{MARK} "):
                    return "".join(lines), int(line.split()[1])
                lines.append(line)
        finally:
            late.cancel()
        return "".join(lines), None

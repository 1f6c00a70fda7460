from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kedge import __version__
from kedge.apps import cli, commands, output
from kedge.apps.commands import COMMANDS, NOUNS, Command
from kedge.domain.errors import IntegrityError

HEAVY = ("numpy", "numba", "pyarrow", "pydantic", "cyclopts", "rich", "msgspec", "cryptography", "yaml", "sqlite3", "asyncio")
OURS_MAX = 12
"""Modules of ours that help may load; `make bench` prints the milliseconds."""


def boom() -> int:
    raise IntegrityError("row 3 is wrong", why="hash", fix="keep it")


def defect() -> int:
    raise ZeroDivisionError("division by zero")


def interrupt() -> int:
    raise KeyboardInterrupt


def closed_pipe() -> int:
    raise BrokenPipeError


def count(number: int) -> int:
    """Return the number."""
    return number


@pytest.fixture
def toy_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = {"boom": boom, "defect": defect, "interrupt": interrupt, "count": count}
    table = tuple(Command((name,), f"toy:{name}", "a toy") for name in functions)
    monkeypatch.setattr(cli, "COMMANDS", table)
    monkeypatch.setattr(cli, "target_of", lambda command: functions[command.path[0]])


def test_help_is_light_and_names_every_command(repository: Path) -> None:
    code = f"import sys; from kedge.apps.cli import main; main(['--help']); print([n for n in {HEAVY!r} if n in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(repository / "src")}
    ).stdout
    assert out.splitlines()[-1] == "[]"
    for command in COMMANDS:
        assert f"  {command.name} " in out


def test_help_loads_few_modules_of_ours(repository: Path) -> None:
    code = "import sys; from kedge.apps.cli import main; main(['--help']); print(sum(n.split('.')[0] == 'kedge' for n in sys.modules))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(repository / "src")}
    ).stdout
    assert int(out.splitlines()[-1]) <= OURS_MAX


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_exists_and_helps(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command.path, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"kedge {command.name}" in out
    assert (cli.target_of(command).__doc__ or "").strip()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"], ["--json"]])
def test_alone_it_prints_its_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    assert "usage: kedge <command>" in capsys.readouterr().out


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun != "help"])
def test_a_noun_lists_its_verbs(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([noun]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ") and not line.startswith("  --")]
    assert [line.split()[0] for line in shown] == [noun] * sum(command.path[0] == noun for command in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["statsu"], "kedge status"),
        (["config", "shwo"], "kedge config show"),
        (["conifg", "show"], "kedge config show"),
        (["backtst", "run"], "kedge backtest run"),
        (["docter"], "kedge doctor"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(typed) == 2
    assert f"did you mean `{meant}`?" in capsys.readouterr().err


def test_a_word_like_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zzzzzzzz"]) == 2
    assert "kedge --help lists" in capsys.readouterr().err


def test_an_unknown_option_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "show", "--orgin"]) == 2
    err = capsys.readouterr().err
    assert "--orgin" in err
    assert "--origin" in err
    assert len(err.splitlines()) == 4


def test_a_word_where_a_number_belongs(toy_commands: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "many"]) == 2
    assert "many" in capsys.readouterr().err
    assert cli.main(["count"]) == 2


def test_the_command_gives_the_exit_code(toy_commands: None) -> None:
    assert cli.main(["count", "9"]) == 9


def test_errors_are_four_lines_without_traceback(toy_commands: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["boom"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "error  row 3 is wrong"
    assert "Traceback" not in err


def test_debug_shows_the_traceback(toy_commands: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["defect", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_errors_with_json_are_problem_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "config", "shwo"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "USAGE"
    assert err == ""


def test_interrupt_is_130(toy_commands: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["interrupt"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_stops_reading_is_no_error(repository: Path) -> None:
    ours = f"{sys.executable} -m kedge.apps.cli config schema"
    environment = {"PYTHONPATH": str(repository / "src"), "PATH": "/usr/bin:/bin"}
    script = f"{ours} | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "{0\n"
    assert done.stderr == ""


def test_a_full_disk_on_stdout_is_told(repository: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.fail("this system has no /dev/full to try it on")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kedge.apps.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(repository / "src")},
            check=False,
        )
    assert done.returncode != 0
    assert "No space left" in done.stderr


@pytest.mark.parametrize("form", [["--progress", "plain"], ["--progress=plain"]])
def test_progress_mode_is_taken_anywhere(form: list[str]) -> None:
    token = output.progress_mode.set("auto")
    try:
        assert cli.main([*form, "--version"]) == 0
        assert output.progress_mode.get() == "plain"
    finally:
        output.progress_mode.reset(token)


@pytest.mark.parametrize("form", [["--progress", "fancy"], ["--progress"]])
def test_progress_mode_is_checked(form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version", *form]) == 2
    assert "auto, plain, none" in capsys.readouterr().err


def test_no_color_sets_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert cli.main(["--no-color", "--version"]) == 0
    assert cli.os.environ["NO_COLOR"] == "1"


def test_after_two_dashes_nothing_is_an_option() -> None:
    assert cli._take_globals(["x", "--", "--debug", "--no-color"]) == ["x", "--", "--debug", "--no-color"]


def test_the_table_has_no_command_twice() -> None:
    names = [command.name for command in commands.COMMANDS]
    assert len(set(names)) == len(names)


def test_exit_codes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "exit-codes", "--json"]) == 0
    assert [row["code"] for row in json.loads(capsys.readouterr().out)["exit_codes"]] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 130]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "doctor" in out
    assert "backtest" in out

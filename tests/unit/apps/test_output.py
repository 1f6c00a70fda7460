from __future__ import annotations

import io
import json
import sys
from decimal import Decimal

import pytest

from kedge.apps import output
from kedge.domain.errors import InvalidInput, NotFound


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_is_one_document_with_text_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"schema": "kedge/x/v1", "equity": Decimal("1.50"), "gone": None}, as_json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == {"schema": "kedge/x/v1", "equity": "1.50", "gone": None}
    assert out.count("\n") == 1


def test_json_is_indented_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    output.emit({"a": 1}, as_json=True)
    assert screen.getvalue().splitlines() == ["{", '  "a": 1', "}"]


def test_an_empty_list_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([], as_json=True)
    assert capsys.readouterr().out == "[]\n"
    output.emit([], as_json=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_not_finite_is_never_printed_as_a_number(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput, match="not finite"):
        output.emit({"var": value}, as_json=True)
    assert capsys.readouterr().out == ""


def test_a_pipe_gets_tab_separated_rows_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([{"a": 1, "b": None}, {"a": "x\ty", "c": [1]}], as_json=False)
    assert capsys.readouterr().out == "a\tb\tc\n1\t-\t-\nx y\t-\t[1]\n"


def test_a_mapping_is_drawn_without_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"schema": "kedge/x/v1", "fills": 3}, as_json=False)
    assert capsys.readouterr().out == "field\tvalue\nfills\t3\n"


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    output.print_rows(output.console(), ("name", "value"), [("fills", 3), ("[bold]", "x")])
    assert "fills" in screen.getvalue()
    assert "[bold]" in screen.getvalue()
    assert "\t" not in screen.getvalue()


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("reading", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_plain_progress_prints_tenths_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("reading", 1000, mode="plain") as advance:
        for _ in range(1000):
            advance(1)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "reading: 1000/1000"


def test_plain_progress_of_unknown_size(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("reading", None, mode="plain") as advance:
        for _ in range(100):
            advance(1)
    assert 5 < len(capsys.readouterr().err.splitlines()) < 20


def test_steps_are_told_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    token = output.progress_mode.set("plain")
    try:
        with output.steps("training", 2) as begin:
            begin("freezing 7 bars")
            begin("final fit")
    finally:
        output.progress_mode.reset(token)
    assert capsys.readouterr() == ("", "training: 1/2 freezing 7 bars\ntraining: 2/2 final fit\n")
    with output.steps("training", 2) as begin:
        begin("nobody watches")
    assert capsys.readouterr() == ("", "")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with output.steps("training", 2) as begin:
        begin("final [fit]")
    assert "final [fit]" in screen.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with output.progress("reading bars", 10) as advance:
        advance(10)
    assert "reading bars" in screen.getvalue()


def test_an_error_is_what_why_fix_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.fail(NotFound("no run 7", why="the folder is empty", fix="kedge up")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["error  no run 7", "why    the folder is empty", "fix    kedge up", "code   NOT_FOUND (exit 3)"]


def test_an_error_as_json_is_a_problem_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.fail(NotFound("no run 7", why="because", fix="kedge up"), as_json=True) == 3
    out, err = capsys.readouterr()
    problem = json.loads(out)
    assert err == ""
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["code"] == "NOT_FOUND"
    assert problem["type"] == "urn:kedge:error:not-found"
    assert problem["title"] == "no run 7"


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (PermissionError(13, "Permission denied", "/x"), "SYSTEM_ERROR", "/x: Permission denied"),
        (FileNotFoundError(2, "No such file", "/y"), "NOT_FOUND", "/y"),
        (ZeroDivisionError("division"), "DEFECT", "ZeroDivisionError"),
    ],
)
def test_foreign_errors_are_told_in_the_same_form(error: Exception, code: str, word: str) -> None:
    problem = output.problem(error, status=1)
    assert problem["code"] == code
    assert word in problem["title"]
    assert problem["fix"]


def test_signs_that_a_reader_does_not_have_become_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.speak_any_encoding()
    print("a \u00b7 b \u2026 \u0142", flush=True)
    assert raw.getvalue() == b"a - b ... ?\n"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", errors="kedge-plain")

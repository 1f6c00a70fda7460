"""The tutorial does what it says: each of its commands is run, in order, in one shell, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from .page_session import BY_HAND, NEEDS, Block, PageError, Session, blocks_of, shows

TRIAL_BARS = 1_500
"""An hourly file's last two months: 1,000 bars to learn from, which the training wants, and 500 to trade."""


@pytest.fixture
def blocks(repository: Path) -> list[Block]:
    return blocks_of((repository / "docs" / "tutorial.md").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_every_command_of_the_tutorial_works_as_shown(blocks: list[Block], tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        for block in blocks:
            for command in block.commands if not block.kind else ():
                session.run(command)


@pytest.mark.slow
def test_the_trial_of_the_tutorial_works_on_recorded_bars(blocks: list[Block], data_folder: Path, tmp_path: Path) -> None:
    name = "bybit-linear-BTCUSDT-1h.parquet"
    pl.read_parquet(data_folder / "ohlcv" / name).tail(TRIAL_BARS).write_parquet(tmp_path / name)
    with Session(tmp_path, {"BARS": name, "KEDGE_STATE_DIR": "state"}) as session:
        (block,) = (block for block in blocks if (block.kind, block.about) == (NEEDS, "bars"))
        told = "".join(session.run(command) for command in block.commands)
    assert "500 bars, " in told


def test_what_the_tutorial_leaves_to_a_person_is_what_cannot_end_by_itself(blocks: list[Block]) -> None:
    assert [command.text for block in blocks if block.kind == BY_HAND for command in block.commands] == [
        "make install",
        "export PATH=$PWD/.venv/bin:$PATH",
        "kedge up --model first@champion --seed 8 --speed 600",
    ]
    assert {block.about for block in blocks if block.kind == NEEDS} == {"bars"}


PAGE = r"""# Title

```console
$ NAME=world
$ echo hello $NAME
hello moon
$ false
$ printf 'a\nb\n'
a
$ exit 3
```
"""


def test_a_page_that_promises_something_else_fails_with_its_line_and_the_output(tmp_path: Path) -> None:
    name, hello, false, more, leave = blocks_of(PAGE)[0].commands
    with Session(tmp_path) as session:
        assert session.run(name).strip() == ""
        with pytest.raises(
            PageError, match=r"line 5: `echo hello \$NAME` printed something else; line 1 .*: hello moon\nit printed:\nhello world"
        ):
            session.run(hello)
        with pytest.raises(PageError, match="line 7: `false` ended with code 1"):
            session.run(false)
        with pytest.raises(PageError, match="line 8: .* there is more of it than the page shows"):
            session.run(more)
        with pytest.raises(PageError, match="line 10: `exit 3` ended the shell"):
            session.run(leave)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("```bash\nkedge up\n```\n", "line 1: a block is fenced as 'bash'"),
        ("```console\nkedge up\n```\n", "line 2: output before any command"),
        ("```console\n```\n", "line 2: a block without a command"),
        ("```console\n$ kedge up\n", "has no end"),
        ("<!-- skipped -->\n```console\n$ kedge up\n```\n", "line 1: 'skipped' is neither"),
    ],
)
def test_no_block_of_a_page_is_left_out_in_silence(page: str, why: str) -> None:
    with pytest.raises(PageError, match=why):
        blocks_of(page)


@pytest.mark.parametrize(
    ("shown", "printed", "is_so"),
    [
        ((), "anything", True),
        (("a b", "c"), "a\tb\n\n  c\n", True),
        (("a b",), "a b\nc\n", False),
        (("a", "..."), "a\nb\nc\n", True),
        (("a", "..."), "a\n", True),
        (("...", "c"), "a\nb\nc\n", True),
        (("...", "c"), "a\nc\nb\n", False),
        (("...", "b", "...", "a", "..."), "a\nb\nc\n", False),
        (("fill ...: sold",), "fill f7: sold\n", True),
        (("fill ...: sold",), "fill f7\n: sold\n", False),
        (("2+2 (4)",), "2+2 (4)\n", True),
        (("2.5",), "205\n", False),
    ],
)
def test_output_is_compared_line_by_line(shown: tuple[str, ...], printed: str, is_so: bool) -> None:
    assert shows(shown, printed) is is_so

"""Runs named by their content, and what recovery and replay make of their journals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError
from kedge.domain.record import RunStarted, Step
from kedge.services.backtest import assumptions_of, first_record, plain_params
from kedge.services.recovery import first_of, recover, replay
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.storage import SigningKey, SqliteJournal, SqliteJournalReader

from ...builders import AAA, BBB, ListJournal, a_run, fundings, instrument, run_spec, settings, walk

PARAMS = {"fast": 2, "slow": 5, "exposure_frac": 0.2}


class Stored:
    """A finished run as recovery reads it; `tamper` changes one record's outputs."""

    def __init__(self, journal: ListJournal, tamper: int = 0) -> None:
        assert journal.started is not None
        steps = [Step(seq=n, source="engine", event=e, outputs=o) for n, (e, o) in enumerate(journal.steps, 1)]
        if tamper:
            steps[tamper - 1] = msgspec.structs.replace(steps[tamper - 1], outputs=())
        self.all: list[RunStarted | Step] = [journal.started, *steps]
        self.snapshots = [_Snapshot(seq, body) for seq, body in journal.snapshots]

    def records(self, *, start_seq: int = 0) -> Iterator[RunStarted | Step]:
        return iter(self.all[start_seq:])

    def latest_snapshot(self, at_or_before: int | None = None) -> _Snapshot | None:
        fitting = [s for s in self.snapshots if at_or_before is None or s.seq <= at_or_before]
        return fitting[-1] if fitting else None


class _Snapshot(msgspec.Struct, frozen=True):
    seq: int
    body: bytes


def finished() -> tuple[ListJournal, bytes]:
    journal = ListJournal()
    run = a_run(
        walk(5, 80, (AAA, BBB)), journal, fundings(5, (AAA, BBB)), instruments=[instrument(), instrument(BBB)],
        engine=settings(run_id="", params=PARAMS), snapshot_every=25,
    )  # fmt: skip
    run.drive()
    assert run.result()["fills"] > 20
    return journal, run.engine.snapshot()


def test_equal_inputs_give_equal_journals() -> None:
    one, two = finished(), finished()
    assert one[0].started == two[0].started
    assert encode(one[0].steps) == encode(two[0].steps)
    assert one[1] == two[1]


def test_a_run_is_named_by_its_content() -> None:
    first = first_record(run_spec(), "bt")
    assert first.run_id.startswith("bt-")
    assert first == first_record(run_spec(), "bt")
    others = [
        run_spec(seed=8),
        run_spec(engine=settings(run_id="", params={"fast": 3})),
        run_spec(costs=BarCosts(impact_bps=1)),
        run_spec(matcher="book"),
    ]
    assert len({first.run_id, *(first_record(spec, "bt").run_id for spec in others)}) == 5
    assert first.settings["engine"]["run_id"] == first.run_id


def test_no_float_reaches_a_record() -> None:
    assert plain_params({"a": 0.1, "b": 3, "c": True, "d": "x"}) == {"a": "0.1", "b": 3, "c": True, "d": "x"}
    body = encode(first_record(run_spec(engine=settings(run_id="", params=PARAMS)), "bt"))

    def floats(plain: object) -> bool:
        parts = plain.values() if isinstance(plain, dict) else plain if isinstance(plain, list) else ()
        return isinstance(plain, float) or any(floats(part) for part in parts)

    assert not floats(msgspec.json.decode(body))
    assert floats({"a": [0.5]}), "the search finds one"


@pytest.mark.parametrize("at", [None, 30, 60, 0])
def test_recovery_from_a_snapshot_and_from_none(at: int | None) -> None:
    journal, end = finished()
    assert len(journal.snapshots) > 3
    assert recover(Stored(journal), at_or_before=at).snapshot() == end
    assert recover(Stored(journal), from_snapshot=False).snapshot() == end


def test_a_snapshot_of_an_earlier_version_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    journal, at_the_end = finished()
    stored = Stored(journal)
    for n, one in enumerate(stored.snapshots):
        plain = msgspec.json.decode(one.body)
        del plain["leader_closes"], plain["scalars"]["predictions"]
        stored.snapshots[n] = one.__class__(one.seq, encode({**plain, "format": "kedge/snapshot/v1"}))
    assert recover(stored).snapshot() == at_the_end
    [said] = caplog.messages
    assert said.startswith(f"the snapshot of record {stored.snapshots[-1].seq} is not of this version, all records are folded instead")


def test_replay_equals_and_names_the_first_difference() -> None:
    journal, _ = finished()
    found = replay(Stored(journal), code_sha256="c0de")
    assert (found.equal, found.differs_at, found.same_code, found.records) == (True, None, True, 1 + len(journal.steps))
    assert not replay(Stored(journal), code_sha256="other").same_code
    spoiled = next(n for n, (_, outputs) in enumerate(journal.steps, 1) if len(outputs) > 1)
    found = replay(Stored(journal, spoiled), code_sha256="c0de")
    assert (found.equal, found.differs_at, found.recorded) == (False, spoiled, "[]")
    assert '"type":"decided"' in found.recomputed


def test_a_journal_without_its_beginning_is_refused() -> None:
    empty = Stored(finished()[0])
    empty.all = empty.all[1:]
    with pytest.raises(IntegrityError, match="first record"):
        first_of(empty)
    empty.all = []
    with pytest.raises(IntegrityError, match="first record"):
        recover(empty)


def test_a_run_through_a_journal_file_recovers_and_replays(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    with SqliteJournal(path, signer=SigningKey.generate(), source="replay", group_size=100) as journal:
        run = a_run(walk(6, 60), journal, fundings(3), engine=settings(run_id="", params=PARAMS), snapshot_every=20)
        run.drive()
    with SqliteJournalReader(path) as reader:
        assert replay(reader, code_sha256="c0de").equal
        assert recover(reader).snapshot() == recover(reader, from_snapshot=False).snapshot() == run.engine.snapshot()


def test_assumptions_are_printed_for_either_matcher() -> None:
    bar, book = (assumptions_of(BarCosts(), VenueSettings(wallet_e8=1), name) for name in ("bar", "book"))
    assert bar["latency"] == "50 ms from decision to venue"
    assert "1 tick half spread" in bar["fills"]
    assert "order book" in book["fills"]
    assert set(bar) >= {"mark", "funding", "liquidation", "capacity", "resting"}

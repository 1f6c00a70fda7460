"""The engine's whole state as canonical bytes, and back.

Float cells (features) travel as the hex of their little-endian bytes, so a restored engine equals the old one to the
bit; everything else is integers and text. A snapshot without a field that the state has, or with one more, is refused.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from kedge.domain.brake import BrakeLevel
from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError
from kedge.domain.events import OverrideGranted
from kedge.domain.instrument import Instrument
from kedge.engine.orders import OrderState
from kedge.engine.state import EngineState, Slot
from kedge.risk.limits import Limits
from kedge.risk.states import RiskState

FORMAT = "kedge/snapshot/v4"
_ARRAYS = ("account", "lots", "costs", "marks", "tick_values")
_SCALARS = (
    "halt_code", "halt_day", "drawdown_accepted", "ts_ns", "decisions", "predictions", "round_trips", "differences", "last_trouble",
    "slippage2_mid_e8", "slippage2_mark_e8", "arrival2_mid_e8", "arrival2_mark_e8", "unfilled2_e8",
    "limits_number", "brake_generation", "brake_reason", "books_ts_ns", "alerts",
)  # fmt: skip
_SLOT_SCALARS = (
    "ts_ns", "mark_ts_ns", "ready", "warm_bars", "volume_avg_lots", "exposure_e8",
    "target_lots", "decision_id", "leg", "attempt", "blocked", "refused",
    "begun_ts_ns", "begun_lots", "begun_ticks", "moved_ts_ns", "seen_lots", "tries", "arrival2_ticks", "arrival_is_mid",
    "bid_ticks", "ask_ticks", "quote_ts_ns", "stop_wanted_ticks", "stop_placed_ticks", "stop_lots", "stop_failed",
    "quote_lost_ts_ns", "only_reduces",
)  # fmt: skip
_SLOT_NAMES = {*_SLOT_SCALARS, "close", "memory", "out", "settlements", "days", "day_end_ts_ns"}
_GATE = {"sent_ns", "messages_ns", "fills_ns", "recent", "sizes", "decisions", "deviations", "overrides", "used"}
_FUNNEL = ("bars", "gaps", "decisions", "sized", "sent", "filled", "vetoed", "refused")


class _Snapshot(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    format: str
    arrays: dict[str, list[int]]
    scalars: dict[str, Any]
    risk_state: RiskState
    limits: Limits
    brake_level: BrakeLevel
    slots: dict[str, dict[str, Any]]
    specs: dict[str, Instrument]
    funnel: dict[str, Any]
    live: list[OrderState]
    finished: list[OrderState]
    strange: list[str]
    timers: dict[str, int]
    leader_closes: list[tuple[int, str]]
    gate: dict[str, Any]


def dump_state(state: EngineState) -> bytes:
    """Canonical bytes of a state; equal states give equal bytes."""
    orders, gate = state.orders, state.gate
    return encode(
        _Snapshot(
            format=FORMAT,
            arrays={name: getattr(state, name).tolist() for name in _ARRAYS},
            scalars={name: getattr(state, name) for name in _SCALARS},
            risk_state=state.risk_state,
            limits=state.limits,
            brake_level=state.brake_level,
            slots={slot.instrument: _dump_slot(slot) for slot in state.by_index},
            specs={slot.instrument: slot.spec for slot in state.by_index},
            funnel={name: getattr(state.funnel, name) for name in _FUNNEL},
            live=[order for slot in state.by_index for order in orders.of(slot.instrument).values()],
            finished=[orders.by_id[client_id] for client_id in orders.finished],
            strange=list(orders.strange),
            timers=state.timers,
            leader_closes=[(ts_ns, _hex(np.array([close]))) for ts_ns, close in state.leader_closes.items()],
            gate={
                "sent_ns": list(gate.sent_ns),
                "messages_ns": list(gate.messages_ns),
                "fills_ns": list(gate.fills_ns),
                "recent": gate.recent,
                "sizes": {name: list(sizes) for name, sizes in gate.sizes.items()},
                "decisions": list(gate.decisions),
                "deviations": list(gate.deviations),
                "overrides": list(gate.overrides.values()),
                "used": list(gate.used),
            },
        )
    )


def load_state(state: EngineState, data: bytes) -> None:
    """Fill a fresh state from a snapshot.

    Raises
    ------
    IntegrityError
        The bytes are not a snapshot of this format, or of other instruments or features.
    """
    try:
        snapshot = msgspec.json.decode(data, type=_Snapshot)
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"snapshot: {error}", why="not a snapshot of this version", fix="recover from an older one, or from none"
        ) from None
    if snapshot.format != FORMAT or list(snapshot.slots) != [slot.instrument for slot in state.by_index]:
        raise IntegrityError(
            f"snapshot of {list(snapshot.slots)} in {snapshot.format}",
            why=f"this engine trades {[slot.instrument for slot in state.by_index]}",
            fix="use the snapshot of the same run",
        )
    _check_names(snapshot, state)
    for name in _ARRAYS:
        getattr(state, name)[:] = snapshot.arrays[name]
    for name in _SCALARS:
        setattr(state, name, snapshot.scalars[name])
    state.risk_state, state.limits, state.brake_level = snapshot.risk_state, snapshot.limits, snapshot.brake_level
    for slot in state.by_index:
        slot.describe(snapshot.specs[slot.instrument])
        _load_slot(slot, snapshot.slots[slot.instrument])
    for name in _FUNNEL:
        setattr(state.funnel, name, snapshot.funnel[name])
    state.timers = snapshot.timers
    state.leader_closes.clear()
    state.leader_closes.update((ts_ns, float(_floats(close, 1)[0])) for ts_ns, close in snapshot.leader_closes)
    _load_orders(state, snapshot)
    _load_gate(state, snapshot.gate)


def _check_names(snapshot: _Snapshot, state: EngineState) -> None:
    pairs: list[tuple[str, Any, Any]] = [
        ("arrays", {name: len(values) for name, values in snapshot.arrays.items()}, {name: len(getattr(state, name)) for name in _ARRAYS}),
        ("scalars", snapshot.scalars.keys(), set(_SCALARS)),
        ("specs", list(snapshot.specs), list(snapshot.slots)),
        ("funnel", snapshot.funnel.keys(), set(_FUNNEL)),
        ("gate", snapshot.gate.keys(), _GATE),
        *((f"slot {name}", plain.keys(), _SLOT_NAMES) for name, plain in snapshot.slots.items()),
    ]
    for part, found, wanted in pairs:
        if found != wanted:
            raise IntegrityError(
                f"snapshot: {part} are {found}", why=f"this version keeps {wanted}", fix="recover from an older one, or from none"
            )


def _dump_slot(slot: Slot) -> dict[str, Any]:
    plain = {name: getattr(slot, name) for name in _SLOT_SCALARS}
    floats = {"close": _hex(np.array([slot.close])), "memory": _hex(slot.memory), "out": _hex(slot.out)}
    return {**plain, **floats, "settlements": slot.settlements, "days": slot.days.closes, "day_end_ts_ns": slot.days.end_ts_ns}


def _load_slot(slot: Slot, plain: dict[str, Any]) -> None:
    for name in _SLOT_SCALARS:
        setattr(slot, name, plain[name])
    slot.exposure_frac = slot.exposure_e8 / 100_000_000
    slot.close = float(_floats(plain["close"], 1)[0])
    slot.memory[:] = _floats(plain["memory"], len(slot.memory))
    slot.out[:] = _floats(plain["out"], len(slot.out))
    slot.settlements = [(int(ts_ns), int(rate_e8)) for ts_ns, rate_e8 in plain["settlements"]]
    slot.days.load(plain["days"])
    slot.days.end_ts_ns = int(plain["day_end_ts_ns"])


def _load_orders(state: EngineState, snapshot: _Snapshot) -> None:
    for order in snapshot.live:
        state.orders.by_id[order.order.client_order_id] = order
        state.orders.live.setdefault(order.order.instrument, {})[order.order.client_order_id] = order
    for order in snapshot.finished:
        state.orders.by_id[order.order.client_order_id] = order
        state.orders.finished.append(order.order.client_order_id)
        if order.untold_lots:
            state.orders.untold.setdefault(order.order.instrument, {})[order.order.client_order_id] = order
    for slot in state.by_index:
        state.orders.touched(slot.instrument)
    state.orders.strange.extend(snapshot.strange)


def _load_gate(state: EngineState, plain: dict[str, Any]) -> None:
    gate = state.gate
    gate.sent_ns, gate.messages_ns, gate.fills_ns = (deque(plain[name]) for name in ("sent_ns", "messages_ns", "fills_ns"))
    gate.recent = plain["recent"]
    gate.sizes = {name: deque(sizes, maxlen=50) for name, sizes in plain["sizes"].items()}
    gate.decisions = deque((int(ts_ns), str(name)) for ts_ns, name in plain["decisions"])
    gate.deviations = deque((int(ts_ns), int(bps_e2)) for ts_ns, bps_e2 in plain["deviations"])
    gate.overrides = {one.approval_id: one for one in msgspec.convert(plain["overrides"], list[OverrideGranted])}
    gate.used.extend(plain["used"])


def _hex(values: npt.NDArray[np.float64]) -> str:
    return values.astype("<f8").tobytes().hex()


def _floats(text: str, length: int) -> npt.NDArray[np.float64]:
    values = np.frombuffer(bytes.fromhex(text), "<f8")
    if len(values) != length:
        raise IntegrityError(
            f"snapshot holds {len(values)} feature cells", why=f"these features need {length}", fix="use the recorded settings"
        )
    return values

"""The brake as plain pages: no script, no font, no file beside them, so that any browser shows them when everything else is gone.

Rules: one heading of the first order on a page, a label for every field, words beside every colour, and colours that are at least seven
times apart in lightness on both a light and a dark screen; what is not known is said to be unknown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Final

from kedge.domain.brake import BrakeLevel, Latch, permits_risk
from kedge.domain.errors import KedgeError
from kedge.domain.units import NS_PER_S
from kedge.risk.brake.triggers import Reading, in_words
from kedge.services.guard.status import GuardStatus

RENEW_S: Final = 2
LEVEL_WORDS: Final = {
    BrakeLevel.RUNNING: "the brake is off: the trader may add risk while the guard permits it",
    BrakeLevel.REDUCE_ONLY: "only orders that reduce a position pass",
    BrakeLevel.HALTED: "the trader sends nothing; resting orders are cancelled, position stops stay",
    BrakeLevel.FLATTENING: "the guard cancels all orders and closes every position",
    BrakeLevel.HALTED_FLAT: "no position and no order is left; the trader sends nothing",
}
CHOICES: Final = (
    ("reduce-only", "reduce-only: nothing that adds risk"),
    ("halt", "halt: nothing at all; cancel resting orders"),
    ("flatten", "flatten: cancel all orders and close every position"),
)
_STYLE: Final = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:60rem;color:#111;background:#fff}
table{border-collapse:collapse;width:100%}
caption{text-align:left;font-weight:bold;padding:.5rem 0}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #777;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}
.level{font-size:1.4rem;font-weight:bold;border:3px solid #111;padding:.5rem .8rem}
.on{border-color:#8a0000;color:#8a0000}
label,legend{display:block;font-weight:bold;margin-top:.8rem}
.choice{font-weight:normal;margin:.3rem 0}
input[type=password],textarea{width:100%;box-sizing:border-box;font:inherit;padding:.4rem;border:2px solid #555;background:#fff;color:#111}
button{font:inherit;font-weight:bold;margin-top:1rem;padding:.7rem 1.2rem;border:2px solid #8a0000;background:#8a0000;color:#fff}
:focus-visible{outline:3px solid #0b57d0;outline-offset:2px}
iframe{width:100%;height:32rem;border:1px solid #777}
a{color:#0b3d91}
@media (prefers-color-scheme:dark){
body{color:#eee;background:#111}.level{border-color:#eee}.on{border-color:#ffb4a8;color:#ffb4a8}a{color:#a8c7fa}
input[type=password],textarea{background:#111;color:#eee;border-color:#aaa}:focus-visible{outline-color:#a8c7fa}
button{background:#ffb4a8;color:#111;border-color:#ffb4a8}
}
"""


def front_page(status: GuardStatus) -> str:
    """Where the brake stands, and the form that engages it."""
    choices = "".join(
        f'<label class="choice"><input type="radio" name="level" value="{value}" required> {escape(words)}</label>'
        for value, words in CHOICES
    )
    form = f"""<h2>Engage the brake</h2>
<p>One person is enough to engage, and a milder level than the one in force changes nothing. Letting go takes a reason, a second person and
clean books, and is not offered here: <code>kedge brake release</code>.</p>
<form method="post" action="/engage">
<fieldset><legend>Level</legend>{choices}</fieldset>
<label for="reason">Reason</label><textarea id="reason" name="reason" rows="2" maxlength="500" required></textarea>
<label for="token">Operator token</label>
<input id="token" name="token" type="password" autocomplete="off" required aria-describedby="where">
<p id="where">It lies in the file <code>guard/operator.token</code> of the state folder, readable by its owner alone.</p>
<button type="submit">Engage now</button>
</form>"""
    live = '<h2>Now</h2><iframe src="/now" title="The brake now, renewed by itself"></iframe>'
    return _page("The brake", f"<h1>The brake of {escape(status.account)}</h1>{_level(status)}{form}{live}")


def now_page(status: GuardStatus) -> str:
    """Where the brake stands, and how far each trigger is; renews itself."""
    body = f"<h1>The brake now</h1>{_level(status)}{_facts(status)}{_readings(status.readings)}{_positions(status)}"
    return _page("The brake now", body, renew=True)


def engaged_page(asked: BrakeLevel, latch: Latch, *, is_durable: bool) -> str:
    """What became of the form."""
    kept = (
        "It is on the disk." if is_durable else "Its file could not be written: it holds in the guard's memory, and the guard tries again."
    )
    milder = "" if latch.level is asked else f"<p>Asked for was {escape(asked)}; the brake was on harder already, and stays so.</p>"
    body = f"""<h1>The brake is engaged</h1>
<p class="level on" role="status">{_name(latch.level)}</p>
<p>{escape(LEVEL_WORDS[latch.level])}. {kept}</p>{milder}
<dl><dt>Since</dt><dd>{_time(latch.engaged_wall_ns)}</dd><dt>By</dt><dd>{escape(latch.actor_id)}</dd>
<dt>Reason</dt><dd>{escape(latch.reason)}</dd><dt>Generation</dt><dd>{latch.generation}</dd></dl>
<p><a href="/">The brake</a></p>"""
    return _page("The brake is engaged", body)


def problem_page(error: KedgeError) -> str:
    """Why a page could not be had."""
    body = f"""<h1>Not done</h1><p role="alert">{escape(error.what)}</p><dl><dt>Why</dt><dd>{escape(error.why)}</dd>
<dt>What to do</dt><dd>{escape(error.fix)}</dd></dl><p><a href="/">The brake</a></p>"""
    return _page("Not done", body)


def _level(status: GuardStatus) -> str:
    latch = status.latch
    off = permits_risk(latch.level)
    told = "" if off else _who(latch)
    return f'<p class="level{"" if off else " on"}">{_name(latch.level)}</p><p>{escape(LEVEL_WORDS[latch.level])}.</p>{told}'


def _who(latch: Latch) -> str:
    trigger = escape(latch.trigger) if latch.trigger else "unknown"
    seen = f": {escape(latch.observed)}, limit {escape(latch.limit)}" if latch.observed else ""
    return (
        f"<dl><dt>Trigger</dt><dd>{trigger}{seen}</dd><dt>Reason</dt><dd>{escape(latch.reason) or 'none was given'}</dd>"
        f"<dt>By</dt><dd>{escape(latch.actor_id) or 'unknown'}</dd><dt>Since</dt><dd>{_time(latch.engaged_wall_ns)}</dd></dl>"
    )


def _facts(status: GuardStatus) -> str:
    rows = (
        ("As of", _time(status.wall_ns)),
        ("Guard", f"{escape(status.guard)}, since {_time(status.started_wall_ns)}"),
        ("Venue read", "never" if status.view_age_ns is None else f"{_seconds(status.view_age_ns)} ago"),
        ("Permits", escape(status.permits) or "granted"),
        ("Trader", "never heard" if status.heartbeat_age_ns is None else f"heard {_seconds(status.heartbeat_age_ns)} ago"),
        ("Latch file", "on the disk" if status.latch_is_durable else "could not be written: the level holds in memory"),
        ("Guard's journal", escape(status.journal) or "takes records"),
        ("Books", escape(status.books) or "agree"),
        ("Equity", _money(status.equity_e8)),
        ("Orders", f"{status.orders.resting} resting, {status.orders.conditional} conditional, {status.orders.stops} stops"),
        ("Calls for a person", escape("; ".join(status.pages)) or "none"),
    )
    body = "".join(f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in rows)
    return f'<div class="wide"><table><caption>The guard</caption><tbody>{body}</tbody></table></div>'


def _readings(readings: tuple[Reading, ...]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Trigger", "Instrument", "Now", "Limit", "Room", "Engages"))
    rows = "".join(_reading(one) for one in readings)
    none = "" if readings else "<p>Nothing was measured yet.</p>"
    table = f"<table><caption>How far each trigger is</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide">{table}</div>{none}'


def _reading(one: Reading) -> str:
    room = "breached" if one.is_breached else f"{one.room_e8 / 1e6:.0f} %"
    numbers = "".join(f'<td class="n">{escape(text)}</td>' for text in (in_words(one, one.observed), in_words(one, one.limit), room))
    return f'<tr><th scope="row">{escape(one.trigger)}</th><td>{escape(one.instrument)}</td>{numbers}<td>{_name(one.level)}</td></tr>'


def _positions(status: GuardStatus) -> str:
    if not status.positions:
        return "<p>No open position.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Position", "Lots", "Notional", "Stop", "Closing"))
    rows = "".join(
        f'<tr><th scope="row">{escape(one.instrument)}</th><td class="n">{one.lots}</td><td class="n">{_money(one.notional_e8)}</td>'
        f"<td>{'at the venue' if one.stop_ticks else 'none'}</td><td>{escape(one.waits)}</td></tr>"
        for one in status.positions
    )
    return f'<div class="wide"><table><caption>Positions</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _name(level: BrakeLevel) -> str:
    return escape(str(level).replace("_", " ").upper())


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if wall_ns else "unknown"


def _seconds(age_ns: int) -> str:
    return f"{age_ns / NS_PER_S:.1f} s"


def _money(value_e8: int | None) -> str:
    return "unknown" if value_e8 is None else f"{value_e8 / 1e8:,.2f}"


def _page(title: str, body: str, *, renew: bool = False) -> str:
    meta = f'<meta http-equiv="refresh" content="{RENEW_S}">' if renew else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{meta}<title>{escape(title)} - Kedge</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )

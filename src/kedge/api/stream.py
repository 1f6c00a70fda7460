"""The WebSocket `/ws/v1`: snapshots, then deltas by journal sequence, and a heartbeat every second.

Rules: nothing is queued for a client: each remembers how far it was told and is given what the replica's rows hold after that, at most four
times a second, so that a slow reader costs one unsent message and a fast market costs no memory. Who does not read for five seconds is
disconnected and resumes later. What a client says is read strictly.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from kedge.api.documents import Desk, encode, now_text, raw
from kedge.api.problems import kedge_answer, problem, problem_body
from kedge.api.schemas import Subscribe, Topic
from kedge.api.stream_access import Lasting, Tickets, admit
from kedge.domain.errors import KedgeError

PACE_S: Final = 0.25
HEARTBEAT_S: Final = 1.0
SLOW_S: Final = 5.0
SNAPSHOT_ROWS: Final = 200
DELTA_ROWS: Final = 2000
CLIENTS_MAX: Final = 64
WORDS_MAX_BYTES: Final = 4096
MISTAKES_MAX: Final = 20
TRY_AGAIN_LATER: Final = 1013
POLICY_VIOLATION: Final = 1008


class Streams:
    """All connected clients; refuses more than `CLIENTS_MAX`, and who may not read."""

    def __init__(self, desk: Desk, tickets: Tickets) -> None:
        self._desk, self._tickets = desk, tickets
        self.count = 0

    async def serve(self, websocket: WebSocket) -> None:
        """One client, until it leaves."""
        if self.count >= CLIENTS_MAX:
            await websocket.send_denial_response(problem(503, "TOO_MANY_CLIENTS", f"{CLIENTS_MAX} clients listen already", "close a page"))
            return
        self.count += 1
        try:
            try:
                lasts = await admit(websocket, self._tickets)
            except KedgeError as error:
                await websocket.send_denial_response(kedge_answer(error, websocket.url.path))
                return
            await websocket.accept()
            await Stream(websocket, self._desk, lasts).run()
        finally:
            self.count -= 1


class Stream:
    """One client's view: topics, and up to which record of which run each was told."""

    def __init__(self, websocket: WebSocket, desk: Desk, lasts: Lasting) -> None:
        self._socket, self._desk, self._follower, self._lasts = websocket, desk, desk.follower, lasts
        self._news = asyncio.Event()
        self._told: dict[Topic, int | None] = {}
        self._run: str | None = None
        self._mistakes = 0
        self._overview_key: tuple[Any, ...] = ()
        self._overview_s = float("-inf")

    async def run(self) -> None:
        """Listen and tell until either side ends it."""
        self._follower.listeners.add(self._news)
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tell())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self._close(TRY_AGAIN_LATER)
        finally:
            self._follower.listeners.discard(self._news)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError, TimeoutError):
            async with asyncio.timeout(PACE_S):
                await self._socket.close(code)

    # what the client says ----------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while self._mistakes < MISTAKES_MAX:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._understand(message.get("text"))
        await self._close(POLICY_VIOLATION)

    async def _understand(self, text: str | None) -> None:
        try:
            if text is None:
                raise ValueError("a message is text")
            said = Subscribe.model_validate_json(text)
        except ValueError as error:
            self._mistakes += 1
            errors = []
            if isinstance(error, ValidationError):
                errors = [{"where": "/" + "/".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors(include_url=False)]
            title = errors[0]["what"] if errors else str(error)
            body = problem_body(422, "INVALID_INPUT", title, "see docs/api.md for what may be said", errors=errors)
            await self._send("problem", "problem", body)
            return
        seq = said.after_seq
        goes_on = seq is not None and said.run == self._follower.run_id is not None and seq <= self._follower.seq
        self._run = self._follower.run_id
        self._told = dict.fromkeys(said.topics, seq if goes_on else None)
        self._overview_s, self._overview_key = float("-inf"), ()
        self._news.set()

    # what the client is told -------------------------------------------------------------------------------

    async def _tell(self) -> None:
        beat_s = asked_s = time.monotonic()
        while True:
            if time.monotonic() - asked_s >= HEARTBEAT_S:
                asked_s = time.monotonic()
                if not await self._lasts():
                    return await self._end()
            self._news.clear()
            seq = await self._flush()
            now_s = time.monotonic()
            if now_s >= beat_s and self._told:
                beat_s = now_s + HEARTBEAT_S
                data = {"freshness": self._follower.freshness(), "following": self._follower.following()}
                await self._send("heartbeat", "heartbeat", data, seq=seq)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(beat_s, now_s + HEARTBEAT_S) - time.monotonic())):
                    await self._news.wait()
            await asyncio.sleep(max(0.0, now_s + PACE_S - time.monotonic()))

    async def _end(self) -> None:
        """Say that the session or token is worth nothing any more, and go."""
        body = problem_body(401, "NOT_SIGNED_IN", "the session or token that opened this stream has ended", "sign in, then connect again")
        await self._send("problem", "problem", body)
        await self._close(POLICY_VIOLATION)

    async def _flush(self) -> int:
        """Tell every topic's news; gives the record up to which all of them were told."""
        seq = self._follower.seq
        if self._run != self._follower.run_id:
            self._run = self._follower.run_id
            self._told = dict.fromkeys(self._told)
        for topic in list(self._told):
            if topic == "overview":
                await self._overview()
            elif self._follower.reading is not None:
                await self._rows(topic)
        return min(seq, self._follower.seq)  # smaller where another run came meanwhile

    async def _overview(self) -> None:
        follower = self._follower
        key = (follower.run_id, follower.seq, follower.state)
        if key == self._overview_key and time.monotonic() - self._overview_s < SLOW_S:
            return
        self._overview_key, self._overview_s = key, time.monotonic()
        await self._send("overview", "snapshot", self._desk.overview(), seq=follower.seq)

    async def _rows(self, topic: Topic) -> None:
        if topic not in self._told:
            return  # the client chose other topics while the one before was sent
        reading, seq, told = self._desk.reading(), self._follower.seq, self._told[topic]
        if told == seq:
            return
        rows = None if told is None or told > seq else reading.after(topic, told, DELTA_ROWS)
        if rows is None:
            self._told[topic] = seq
            await self._send(topic, "snapshot", {"items": raw(reading.newest(topic, SNAPSHOT_ROWS))}, seq=seq)
        elif rows:
            self._told[topic] = seq
            await self._send(topic, "delta", {"items": raw(rows)}, seq=seq, after_seq=told)

    async def _send(self, topic: str, type_: str, data: dict[str, Any], *, seq: int | None = None, after_seq: int | None = None) -> None:
        run = self._follower.run_id
        head = {
            "topic": topic,
            "type": type_,
            "run": run,
            "seq": seq if run is not None else None,
            "after_seq": after_seq,
            "ts": now_text(),
        }
        async with asyncio.timeout(SLOW_S):
            await self._socket.send_text(encode({**head, "data": data}).decode())

"""A disk that may lose its power: what was written, named and synchronised, in order, and the files that a cut may leave behind.

Rules, those of POSIX and no kinder: bytes are on the disk when their file was synchronised after they were written, a name when its folder
was. Whatever was not may be there, be missing or, of one write, be there to any byte, each apart from all others; a rename happens whole
or not at all. Bytes outside a write's range are never harmed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = 0


class Write(NamedTuple):
    """Bytes put into a file at an offset."""

    inode: int
    offset: int
    body: bytes


class Truncate(NamedTuple):
    inode: int
    size: int


class Link(NamedTuple):
    """A name that appears in a folder, or now means another file."""

    folder: int
    name: str
    inode: int
    is_folder: bool


class Unlink(NamedTuple):
    folder: int
    name: str


class Rename(NamedTuple):
    """A name that moves; it is the folder it moves to that has to be synchronised."""

    source: int
    old: str
    folder: int
    name: str
    inode: int
    is_folder: bool


class Sync(NamedTuple):
    """Everything about this file or folder so far is on the disk when this returns."""

    inode: int


class Told(NamedTuple):
    """What the store has promised by now, as the test counts it."""

    value: int


Op = Write | Truncate | Link | Unlink | Rename | Sync | Told
Unsynced = Write | Truncate | Link | Unlink | Rename
Choice = Callable[[list[Unsynced]], list[Unsynced]]


@dataclass
class Disk:
    """Files and folders by number; number 0 is the folder that everything lies in."""

    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})

    def apply(self, op: Unsynced) -> None:
        """Let one operation happen."""
        if isinstance(op, Write):
            body = self.files.setdefault(op.inode, bytearray())
            body.extend(bytes(max(0, op.offset - len(body))))
            body[op.offset : op.offset + len(op.body)] = op.body
        elif isinstance(op, Truncate):
            body = self.files.setdefault(op.inode, bytearray())
            body.extend(bytes(max(0, op.size - len(body))))
            del body[op.size :]
        elif isinstance(op, Link):
            self._name(op)
        elif isinstance(op, Unlink):
            self.folders.setdefault(op.folder, {}).pop(op.name, None)
        else:
            self.folders.setdefault(op.source, {}).pop(op.old, None)
            self._name(op)

    def _name(self, op: Link | Rename) -> None:
        self.folders.setdefault(op.folder, {})[op.name] = op.inode
        if op.is_folder:
            self.folders.setdefault(op.inode, {})

    def under(self, prefix: str = "", folder: int = ROOT) -> Iterator[tuple[str, bytes | None]]:
        """Every path with its bytes, folders with None, in order."""
        for name, inode in sorted(self.folders.get(folder, {}).items()):
            if inode in self.folders:
                yield prefix + name, None
                yield from self.under(f"{prefix}{name}/", inode)
            else:
                yield prefix + name, bytes(self.files.get(inode, b""))


@dataclass
class Image:
    """What a cut left behind: `value` was promised before it."""

    at: int
    how: str
    value: int
    paths: list[tuple[str, bytes | None]]

    def write_to(self, folder: Path) -> None:
        """Make these files."""
        for path, body in self.paths:
            if body is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(body)

    def key(self) -> bytes:
        """The same for the same files and the same promise."""
        return hashlib.sha256(repr((self.value, self.paths)).encode()).digest()

    def __str__(self) -> str:
        return f"cut after {self.at} operations, {self.how}, {self.value} promised"


class Trace:
    """The operations of one run, and the disks that a cut after any of them may leave."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def told(self, value: int) -> None:
        """The store has just promised this much."""
        self.ops.append(Told(value))

    def images(self, ways: dict[str, Choice], cuts: Callable[[int], bool] = lambda at: True) -> Iterator[Image]:
        """Every different image of every cut that is wanted, each way."""
        disk, waiting, value, seen = Disk(), list[Unsynced](), 0, set[bytes]()
        for at in range(len(self.ops) + 1):
            if at:
                value = self._step(self.ops[at - 1], disk, waiting, value)
            if not cuts(at):
                continue
            for how, choose in ways.items():
                left = deepcopy(disk)
                for op in choose(waiting):
                    left.apply(op)
                image = Image(at, how, value, list(left.under()))
                if (key := image.key()) not in seen:
                    seen.add(key)
                    yield image

    @staticmethod
    def _step(op: Op, disk: Disk, waiting: list[Unsynced], value: int) -> int:
        if isinstance(op, Told):
            return op.value
        if not isinstance(op, Sync):
            waiting.append(op)
            return value
        for one in [one for one in waiting if op.inode == (one.inode if isinstance(one, Write | Truncate) else one.folder)]:
            disk.apply(one)
            waiting.remove(one)
            if isinstance(one, Rename):  # the old name, were it still to come, is no more
                waiting[:] = [two for two in waiting if not (isinstance(two, Link) and two[:2] == (one.source, one.old))]
        return value


def lost(waiting: list[Unsynced]) -> list[Unsynced]:
    """Nothing that was not synchronised is there."""
    return []


def kept(waiting: list[Unsynced]) -> list[Unsynced]:
    """All of it is: the machine stopped, the disk did not."""
    return list(waiting)


def torn(waiting: list[Unsynced]) -> list[Unsynced]:
    """All of it but half of the last write."""
    last = max((place for place, op in enumerate(waiting) if isinstance(op, Write)), default=-1)
    return [half(op, len(op.body) // 2) if place == last and isinstance(op, Write) else op for place, op in enumerate(waiting)]


def names_lost(waiting: list[Unsynced]) -> list[Unsynced]:
    """Bytes are there, and no name."""
    return [op for op in waiting if isinstance(op, Write | Truncate)]


def bytes_lost(waiting: list[Unsynced]) -> list[Unsynced]:
    """Names are there, and no bytes."""
    return [op for op in waiting if not isinstance(op, Write | Truncate)]


def drawn(seed: int) -> Choice:
    """Any part of it, some writes to any byte."""
    rng = random.Random(seed)

    def choose(waiting: list[Unsynced]) -> list[Unsynced]:
        chosen = [op for op in waiting if rng.random() < 0.6]
        return [half(op, rng.randint(0, len(op.body))) if isinstance(op, Write) and rng.random() < 0.3 else op for op in chosen]

    return choose


def half(op: Write, size: int) -> Write:
    """The beginning of a write."""
    return op._replace(body=op.body[:size])


PLAIN: dict[str, Choice] = {"all lost": lost, "all kept": kept, "torn": torn, "names lost": names_lost, "bytes lost": bytes_lost}

"""Watches a process write files below one folder, its own and SQLite's, and keeps the trace of them.

The process's own files are watched where it names and synchronises them (the functions of `os`), with their bytes compared to those before.
SQLite's are watched by a VFS that hands each call on to the one that SQLite has and is registered beside it through the C library
that Python itself uses.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.absent import absent
from tests.unit.storage.power_cut import ROOT, Link, Rename, Sync, Trace, Truncate, Unlink, Write

_OK = 0
_CREATES_LOG = 0x00000800 | 0x00004000 | 0x00080000
"""SQLITE_OPEN_MAIN_JOURNAL, SUPER_JOURNAL and WAL: files whose folder SQLite synchronises with their first bytes."""


NEVER_READ = ".lock"
"""What nobody relies on after a cut."""


class Watch:
    """Files below one folder as they are now, and the trace of how they came to be."""

    def __init__(self, root: Path) -> None:
        self.root, self.trace = root.resolve(), Trace()
        self._folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._bodies: dict[int, bytes] = {}
        self._new_log: set[int] = set()
        self._next = 1

    def relative(self, path: str) -> tuple[str, ...] | None:
        """The path's parts below the folder; None for a file elsewhere."""
        whole = Path(os.path.abspath(path))
        return whole.relative_to(self.root).parts if whole.is_relative_to(self.root) else None

    def inode(self, path: str, *, is_folder: bool = False) -> int | None:
        """The number of a file or folder, given to it now where it is new; None for one elsewhere."""
        parts = self.relative(path)
        if parts is None:
            return None
        at = ROOT
        for place, name in enumerate(parts):
            names = self._folders[at]
            if name not in names:
                names[name], self._next = self._next, self._next + 1
                if is_folder or place < len(parts) - 1:
                    self._folders[names[name]] = {}
                self.trace.ops.append(Link(at, name, names[name], names[name] in self._folders))
            at = names[name]
        return at

    def place(self, path: str) -> tuple[int, str] | None:
        """Folder and name of a path; None for one elsewhere."""
        folder = self.inode(os.path.dirname(os.path.abspath(path)), is_folder=True)
        return None if folder is None else (folder, os.path.basename(path))

    def compare(self, path: str) -> int | None:
        """Note what has changed in a file that nobody else watches; its number."""
        inode = self.inode(path)
        if inode is None:
            return None
        before, now = self._bodies.get(inode, b""), Path(path).read_bytes()
        same = next((at for at, (one, other) in enumerate(zip(before, now, strict=False)) if one != other), min(len(before), len(now)))
        if now[same:]:
            last = len(now)
            while len(before) == len(now) and last > same and before[last - 1] == now[last - 1]:
                last -= 1
            if last > same:
                self.trace.ops.append(Write(inode, same, now[same:last]))
        if len(now) < len(before):
            self.trace.ops.append(Truncate(inode, len(now)))
        self._bodies[inode] = now
        return inode

    # what the process does ---------------------------------------------------------------------------------------------

    def synced(self, path: str) -> None:
        """A file or folder is about to be synchronised."""
        inode = self.inode(path, is_folder=True) if os.path.isdir(path) else self.compare(path)
        if inode is not None:
            self.trace.ops.append(Sync(inode))

    def renamed(self, old: str, new: str) -> None:
        """A file or folder is about to move."""
        if self.relative(old) is None:
            return
        if not os.path.isdir(old):
            self.compare(old)
        source, target = self.place(old), self.place(new)
        if source is not None and target is not None:
            moved = self._folders[source[0]].pop(source[1])
            self.trace.ops.append(Rename(*source, *target, moved, moved in self._folders))
            self._folders[target[0]][target[1]] = moved

    def unlinked(self, path: str) -> None:
        """A file is about to go."""
        place = self.place(path)
        if place is not None and place[1] in self._folders[place[0]]:
            del self._folders[place[0]][place[1]]
            self.trace.ops.append(Unlink(*place))

    # what SQLite does --------------------------------------------------------------------------------------------------

    def opened(self, path: str, flags: int, *, is_new: bool) -> int | None:
        """SQLite has opened a file."""
        inode = self.inode(path)
        if inode is not None and is_new and flags & _CREATES_LOG:
            self._new_log.add(inode)
        return inode

    def file_synced(self, inode: int, path: str) -> None:
        """SQLite has synchronised a file, and with a new log its folder."""
        self.trace.ops.append(Sync(inode))
        if inode in self._new_log:
            self._new_log.discard(inode)
            place = self.place(path)
            if place is not None:
                self.trace.ops.append(Sync(place[0]))

    def deleted(self, path: str, *, is_synced: bool) -> None:
        """SQLite has removed a file."""
        self.unlinked(path)
        place = self.place(path)
        if place is not None and is_synced:
            self.trace.ops.append(Sync(place[0]))


@contextmanager
def watched(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Watch everything that is written below a folder, which must be empty."""
    watch = Watch(root)
    with monkeypatch.context() as patch, _sqlite_watched(watch):
        _watch_os(watch, patch)
        yield watch


def _watch_os(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    def path_of(fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def sync_with(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            if stat.S_ISREG(mode := os.fstat(fd).st_mode) or stat.S_ISDIR(mode):
                watch.synced(path_of(fd))
            real(fd)

        return sync

    def rename_with(real: Callable[..., None]) -> Callable[..., None]:
        def rename(old: Any, new: Any, **more: Any) -> None:
            watch.renamed(os.fspath(old), os.fspath(new))
            real(old, new, **more)

        return rename

    def pwrite(fd: int, body: bytes, offset: int, real: Callable[[int, bytes, int], int] = os.pwrite) -> int:
        done = real(fd, body, offset)
        if watch.relative(path := path_of(fd)) and not path.endswith(NEVER_READ):
            watch.compare(path)
        return done

    def unlink(path: Any, *, dir_fd: int | None = None, real: Callable[..., None] = os.unlink) -> None:
        if dir_fd is None:
            watch.unlinked(os.fspath(path))
        real(path, dir_fd=dir_fd)

    def mkdir(path: Any, *mode: Any, real: Callable[..., None] = os.mkdir, **more: Any) -> None:
        real(path, *mode, **more)
        watch.inode(os.fspath(path), is_folder=True)

    patch.setattr("kedge.storage.journal_head._sync_data", sync_with(os.fdatasync))
    for name in ("fsync", "fdatasync"):
        patch.setattr(os, name, sync_with(getattr(os, name)))
    for name in ("rename", "replace"):
        patch.setattr(os, name, rename_with(getattr(os, name)))
    patch.setattr(os, "pwrite", pwrite)
    patch.setattr(os, "unlink", unlink)
    patch.setattr(os, "mkdir", mkdir)


# SQLite's interface to the operating system, as sqlite3.h declares it -----------------------------------------------------


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.c_void_p)]


# the name is handed on as a pointer: SQLite keeps it, and parameters stand behind it
_Open = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_Put = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_Cut = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_Flush = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("path_max", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", _Open),
        ("delete", _Delete),
        *(
            (name, ctypes.c_void_p)
            for name in ("access", "full", "dlopen", "dlerror", "dlsym", "dlclose", "random", "sleep", "time", "error")
        ),
        *((name, ctypes.c_void_p) for name in ("time64", "set_call", "get_call", "next_call")),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("close", ctypes.c_void_p),
        ("read", ctypes.c_void_p),
        ("write", _Put),
        ("truncate", _Cut),
        ("sync", _Flush),
        *((name, ctypes.c_void_p) for name in ("size", "lock", "unlock", "reserved", "control", "sector", "traits")),
        *((name, ctypes.c_void_p) for name in ("shm_map", "shm_lock", "shm_barrier", "shm_unmap", "fetch", "unfetch")),
    ]


def sqlite_library() -> ctypes.CDLL | None:
    """The library that Python's own module uses; None where it hides what is needed here."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    if not (sys.platform == "linux" and hasattr(library, "sqlite3_vfs_find") and hasattr(library, "sqlite3_vfs_register")):
        return None
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.c_void_p]
    return library


_alive: list[object] = []
"""What SQLite may still call."""


@contextmanager
def _sqlite_watched(watch: Watch) -> Iterator[None]:
    library = sqlite_library()
    if library is None:
        absent("the SQLite of this Python hides the functions by which its writes can be watched")
    real = library.sqlite3_vfs_find(None)
    ours = _Vfs()
    ctypes.memmove(ctypes.byref(ours), real, ctypes.sizeof(_Vfs))
    ours.name = b"watched"
    ours.open, ours.delete = _openings(watch, real), _deletions(watch, real)
    _alive.append(ours)
    library.sqlite3_vfs_register(ctypes.byref(ours), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(ours))
        library.sqlite3_vfs_register(real, 1)


def _openings(watch: Watch, real: Any) -> Any:
    known: dict[int, tuple[int, str]] = {}
    methods: dict[int, _Methods] = {}

    @_Open
    def opened(_vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        is_new = bool(path) and not os.path.exists(path)
        code: int = real.contents.open(ctypes.addressof(real.contents), name, file, flags, out)
        inode = watch.opened(path, flags, is_new=is_new) if code == _OK and path else None
        known.pop(file, None)
        if inode is not None:
            known[file] = inode, path
            at = _File.from_address(file)
            if at.methods not in methods:
                methods[at.methods] = _methods(watch, known, _Methods.from_address(at.methods))
            at.methods = ctypes.addressof(methods[at.methods])
        return code

    _alive.append((opened, methods))
    return opened


def _methods(watch: Watch, known: dict[int, tuple[int, str]], real: _Methods) -> _Methods:
    def write(file: int, body: int, size: int, offset: int) -> int:
        watch.trace.ops.append(Write(known[file][0], offset, ctypes.string_at(body, size)))
        return int(real.write(file, body, size, offset))

    def truncate(file: int, size: int) -> int:
        watch.trace.ops.append(Truncate(known[file][0], size))
        return int(real.truncate(file, size))

    def sync(file: int, flags: int) -> int:
        code = int(real.sync(file, flags))
        watch.file_synced(*known[file])
        return code

    ours = _Methods()
    ctypes.memmove(ctypes.byref(ours), ctypes.byref(real), ctypes.sizeof(_Methods))
    ours.write, ours.truncate, ours.sync = _Put(write), _Cut(truncate), _Flush(sync)
    return ours


def _deletions(watch: Watch, real: Any) -> Any:
    @_Delete
    def deleted(_vfs: int, name: bytes, is_synced: int) -> int:
        code: int = real.contents.delete(ctypes.addressof(real.contents), name, is_synced)
        if code == _OK:
            watch.deleted(os.fsdecode(name), is_synced=bool(is_synced))
        return code

    return deleted

"""Small files that others read while we write them: the old content or the new, never half of either, and for their owner alone."""

from __future__ import annotations

import os
from pathlib import Path


def replace_content(path: Path, content: bytes) -> None:
    """Put `content` in place of a file, or make it, with mode 0600. The folder must exist; nothing is synchronised to the disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)

"""What a test needs and this machine does not have: a skip on a desk, a failure where CI=true, so that no proof goes missing in silence."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(message: str) -> NoReturn:
    """End the test, saying what is missing and how to get it."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)

"""Projects to work on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.moving_clock import MovingClockLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], MovingClockLoop]]:
    """Loops in real time, unless a test puts the clock forward."""
    return {"moving clock": MovingClockLoop}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small folder, with a secret beside it that nothing may reach."""
    (tmp_path / "outside.txt").write_text("outside-content\n")
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "app.py").write_text("def add(a, b):\n    return a - b\n")
    (root / "README").write_text("read me\n")
    return root

"""Projects to work on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small folder, with a secret beside it that nothing may reach."""
    (tmp_path / "outside.txt").write_text("outside-content\n")
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "src" / "app.py").write_text("def add(a, b):\n    return a - b\n")
    (root / "README").write_text("read me\n")
    return root

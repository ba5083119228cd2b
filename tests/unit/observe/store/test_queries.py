from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from composite_llm import TraceStore
from composite_llm.observe.store import StoreUnavailable


def test_a_store_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"traces\.db: there is no such file"):
        TraceStore(tmp_path / "traces.db").runs(since=datetime(2026, 11, 1, tzinfo=UTC))

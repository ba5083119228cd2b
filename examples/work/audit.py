"""A security audit of a small folder: rules first, a cheap model sorts, a dear one says what to do.

Needs OPENAI_API_KEY.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from composite_llm.work import Executor, markdown, run_workflow

CODE = """\
import sqlite3


def find(db: sqlite3.Connection, name: str) -> list[tuple[object, ...]]:
    return db.execute(f"SELECT * FROM users WHERE name = '{name}'").fetchall()
"""


def main() -> None:
    """Write the folder, audit it, print the page."""
    executor = Executor("openai/gpt-4.1", tiers={"cheap": "openai/gpt-4.1-mini", "premium": "openai/gpt-4.1"})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "db.py").write_text(CODE, encoding="utf-8")
        result = asyncio.run(run_workflow("security-audit", folder, executor=executor, max_cost_usd=0.50))
    print(markdown("security-audit", result.findings, result.notes, {"cost": result.used.cost_usd}))


if __name__ == "__main__":
    main()

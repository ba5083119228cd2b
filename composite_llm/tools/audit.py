"""The audit of tool calls: one JSON object per line, appended, secrets masked."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from composite_llm.engine.tools import ToolContext
from composite_llm.masking import masked

AuditSink = Callable[[dict[str, Any]], object]


@dataclass(slots=True)
class AuditEntry:
    """One tool call.

    Attributes:
        time: When it was asked for, UTC, ISO 8601.
        run: The run's id.
        node: The final node that asked.
        call: The model's id of the call.
        tool: Its name.
        arguments: As asked, what looks like a secret masked.
        approval: `allowed`, `approved` or `refused`; None if the decision was never made.
        result_digest: SHA-256 of what the model was given.
        result_bytes: Its length in UTF-8.
        error: Class of what was raised.
        seconds: Approval included.
    """

    time: str
    run: str
    node: str
    call: str
    tool: str
    arguments: Any
    approval: str | None = None
    result_digest: str | None = None
    result_bytes: int | None = None
    error: str | None = None
    seconds: float = 0.0

    @classmethod
    def opened(cls, tool: str, arguments: dict[str, Any], context: ToolContext) -> AuditEntry:
        """The entry of a call that was just asked for."""
        return cls(
            time=datetime.now(UTC).isoformat(),
            run=context.run_id,
            node=context.node,
            call=context.call_id,
            tool=tool,
            arguments=masked(arguments),
        )

    def note_result(self, result: str) -> None:
        """Add what came of it."""
        data = result.encode("utf-8", errors="replace")
        self.result_digest = hashlib.sha256(data).hexdigest()
        self.result_bytes = len(data)

    def as_mapping(self) -> dict[str, Any]:
        """For a sink."""
        return asdict(self)


def audit_sink(audit: str | os.PathLike[str] | AuditSink | None) -> AuditSink | None:
    """The sink that a guard's `audit` means."""
    if audit is None or callable(audit):
        return audit
    return _AuditFile(Path(audit))


class _AuditFile:
    """Appends whole lines, also when several processes write the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def __call__(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        with self._lock:
            # One write of an append-only descriptor is one piece of the file, whoever else writes.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode("utf-8", errors="replace"))
            finally:
                os.close(descriptor)

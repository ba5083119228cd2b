"""The audit of tool calls: one JSON object per line, appended, secrets masked."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from composite_llm.engine.tools import ToolContext
from composite_llm.model.errors import InvalidOption
from composite_llm.model.masking import masked

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
        approval: `allowed`, `approved` or `refused`; None if the decision was never made, as for arguments that are no JSON.
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
    def opened(cls, tool: str, arguments: dict[str, Any] | str, context: ToolContext) -> AuditEntry:
        """The entry of a call that was just asked for."""
        try:
            shown = masked(arguments)
        except RecursionError:
            shown = "(nested too deep to be shown)"
        return cls(
            time=datetime.now(UTC).isoformat(),
            run=context.run_id,
            node=context.node,
            call=masked(context.call_id),
            tool=masked(tool),
            arguments=shown,
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
    """The sink that a guard's `audit` means.

    Raises:
        InvalidOption: It is neither a path that can be written nor a sync callable.
    """
    if inspect.iscoroutinefunction(audit) or not (
        audit is None or callable(audit) or isinstance(audit, str | os.PathLike)
    ):
        raise InvalidOption("audit", f"is a {type(audit).__name__}", allowed="a path or a sync callable", value=audit)
    if audit is None or callable(audit):
        return audit
    return _AuditFile(Path(audit))


class _AuditFile:
    """Appends whole lines, also when several processes write the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            os.close(self._opened())
        except OSError as error:
            # Told now: later on a tool would have run already.
            reason = f"{str(path)!r} cannot be written: {error.strerror}"
            raise InvalidOption("audit", reason, allowed="a path that can be appended to") from None

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def __call__(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        with self._lock:
            # One write of an append-only descriptor is one piece of the file, whoever else writes.
            descriptor = self._opened()
            try:
                os.write(descriptor, line.encode("utf-8", errors="replace"))
            finally:
                os.close(descriptor)

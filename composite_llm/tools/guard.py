"""A guard around a tool executor: approval, time limits, output caps and an audit."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal

from composite_llm.engine.tools import ToolContext, ToolExecutor, call_beside, executor_of
from composite_llm.model.errors import InvalidOption
from composite_llm.model.messages import as_text, modality
from composite_llm.model.tool_results import ToolContent, tool_content
from composite_llm.tools.audit import AuditEntry, AuditSink, audit_sink

Approval = Callable[[str, dict[str, Any]], bool | Awaitable[bool]]
Decision = Literal["allowed", "approved", "refused"]

_log = logging.getLogger("composite_llm")


class ToolRefused(Exception):  # told to the model, not a fault of the program
    """A tool call that was not allowed."""


class ToolRaised(Exception):  # told to the model
    """A tool failed with a message longer than the guard lets through."""


class ToolGuard:
    """A tool executor that asks before it runs a tool, and keeps an audit.

    Args:
        executor: As for `tool_executor`: a callable or a mapping of functions.
        mode: `manual`: `approve` is asked about every tool that is not in `allow`. `trust`: the same, but without
            `allow` everything runs.
        allow: Names of tools that run without asking.
        approve: `(name, arguments) -> bool`, sync or async. Without it, or when it raises or returns anything but True,
            the call is refused. A sync one runs in a thread and is asked one question at a time, so it may wait for a
            person.
        timeout_s: Seconds for one tool. A sync tool cannot be stopped: it is left behind on its thread.
        max_output_bytes: UTF-8 bytes of a result that the model sees; the rest is cut and marked as cut.
        audit: Path of a JSON-lines file to append to, or a callable that gets each entry as a mapping.

    Raises:
        InvalidOption: One of the arguments cannot be used.
    """

    def __init__(
        self,
        executor: Callable[..., Any] | Mapping[str, Callable[..., Any]],
        *,
        mode: Literal["manual", "trust"] = "manual",
        allow: Collection[str] | None = None,
        approve: Approval | None = None,
        timeout_s: float | None = None,
        max_output_bytes: int | None = None,
        audit: str | os.PathLike[str] | Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        checked = executor_of(executor, {})
        if checked is None:
            raise InvalidOption("executor", "is missing", allowed="a callable or a mapping of functions")
        if mode not in ("manual", "trust"):
            raise InvalidOption("mode", f"got {mode!r}", allowed="manual or trust", value=mode)
        named = isinstance(allow, Collection) and not isinstance(allow, str | bytes)
        if allow is not None and not (named and all(isinstance(name, str) for name in allow)):
            raise InvalidOption("allow", f"got {allow!r}", allowed="a list of tool names", value=allow)
        if approve is not None and not callable(approve):
            raise InvalidOption("approve", f"is a {type(approve).__name__}", allowed="a callable", value=approve)
        _check_positive("timeout_s", timeout_s, int | float)
        _check_positive("max_output_bytes", max_output_bytes, int)
        self._executor: ToolExecutor = checked
        self._mode = mode
        self._allow = frozenset(allow or ())
        self._allows_all = mode == "trust" and allow is None
        self._approve = approve
        self._asking = threading.Lock()
        self._timeout_s = timeout_s
        self._max_output_bytes = max_output_bytes
        self._audit: AuditSink | None = audit_sink(audit)

    def __deepcopy__(self, _memo: Any) -> ToolGuard:
        # Frameworks and LiteLLM's Router copy options; a guard holds what cannot be copied, and must stay one guard.
        return self

    def covers(self, names: Collection[str]) -> bool:
        """Whether the executor inside has every one of these tools."""
        return self._executor.covers(list(names))

    async def __call__(self, name: str, arguments: dict[str, Any]) -> Any:
        """Run one tool under guard, asked by nobody in particular; its result as text, or as content parts."""
        return await self.run_tool(name, arguments, ToolContext("", "", ""))

    async def run_tool(self, name: str, arguments: dict[str, Any], context: ToolContext) -> Any:
        """Run one tool under guard; its result as text, or as content parts where it holds pictures, sounds or files.

        Raises:
            ToolRefused: It was not allowed.
            TimeoutError: It took too long.
            Exception: Whatever the tool raises.
        """
        entry = AuditEntry.opened(name, arguments, context)
        started = time.perf_counter()
        try:
            entry.approval = await self._decision(name, arguments)
            if entry.approval == "refused":
                message = f"the call of {name} was not approved"
                raise ToolRefused(message)
            result = self._capped_content(await self._in_time(name, arguments, context))
            entry.note_result(result if isinstance(result, str) else as_text(result))
        except BaseException as error:
            entry.error = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            if isinstance(error, Exception) and self._capped(text := str(error)) is not text:
                raise ToolRaised(f"{entry.error}: {self._capped(text)}") from None
            raise
        else:
            return result
        finally:
            entry.seconds = time.perf_counter() - started
            self._write(entry)

    def note_unreadable(self, name: str, arguments: str, context: ToolContext) -> None:
        """Write down a call that was not run, since its arguments are no JSON object."""
        entry = AuditEntry.opened(name, arguments, context)
        entry.error = "MalformedArguments"
        self._write(entry)

    async def _decision(self, name: str, arguments: dict[str, Any]) -> Decision:
        if self._allows_all or name in self._allow:
            return "allowed"
        if self._approve is None:
            return "refused"
        try:
            approved = await call_beside(self._asked, name, arguments)
        except Exception:  # noqa: BLE001  # who cannot decide has not approved
            _log.exception("the approval callback failed; the call of %s is refused", name)
            return "refused"
        return "approved" if approved is True else "refused"

    async def _in_time(self, name: str, arguments: dict[str, Any], context: ToolContext) -> ToolContent:
        tool = asyncio.ensure_future(self._executor.run(name, arguments, context))
        try:
            await asyncio.wait({tool}, timeout=self._timeout_s)
            if tool.done():
                return tool_content(tool.result())
            message = f"{name} did not finish within {self._timeout_s:g} s"
            raise TimeoutError(message)
        finally:
            # Not waited for: a tool may refuse to be cancelled.
            tool.cancel()
            tool.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def _asked(self, name: str, arguments: dict[str, Any]) -> Any:
        """Two sync questions at once would be answered in each other's place."""
        with self._asking:
            assert self._approve is not None
            return self._approve(name, arguments)

    def _capped_content(self, content: ToolContent) -> ToolContent:
        """Content under the cap: a part that would go over it becomes a note, since half a picture is none."""
        if isinstance(content, str) or self._max_output_bytes is None:
            return self._capped(content) if isinstance(content, str) else content
        kept: list[dict[str, Any]] = []
        left = self._max_output_bytes
        for part in content:
            size = len(as_text(part).encode("utf-8", errors="replace"))
            note = {"type": "text", "text": f"[{modality(part) or 'text'} of {size} bytes left out]"}
            kept.append(part if size <= left else note)
            left -= size if size <= left else 0
        return kept

    def _capped(self, result: str) -> str:
        data = result.encode("utf-8", errors="replace")
        if self._max_output_bytes is None or len(data) <= self._max_output_bytes:
            return result
        kept = data[: self._max_output_bytes].decode("utf-8", errors="ignore")
        return f"{kept}\n[… cut: {len(data)} bytes in all, {self._max_output_bytes} shown]"

    def _write(self, entry: AuditEntry) -> None:
        if self._audit is None:
            return
        try:
            self._audit(entry.as_mapping())
        except Exception:  # noqa: BLE001  # the tool has run; failing its call now would not undo it
            _log.exception("the audit entry of %s could not be written", entry.tool)


def _check_positive(name: str, value: Any, kind: Any) -> None:
    if value is not None and not (isinstance(value, kind) and not isinstance(value, bool) and value > 0):
        what = "a whole number" if kind is int else "a number"
        raise InvalidOption(name, f"got {value!r}", allowed=f"{what} above 0", value=value)

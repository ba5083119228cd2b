"""Where a trace stays between the run and the caller who asks for it."""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar, overload

from composite_llm.backend import compat
from composite_llm.model.trace import Trace

_KEY = "composite_trace"
_T = TypeVar("_T")


class _Required:
    """Stands for a default that was not given, None being one."""


_REQUIRED = _Required()


class _TraceBox:
    """Holds a trace, or makes it when asked. LiteLLM deep-copies responses; a trace need not be."""

    def __init__(self, source: Any) -> None:
        self._source = source

    @property
    def trace(self) -> Trace | None:
        trace: Trace | None = self._source if isinstance(self._source, Trace) else self._source.trace
        return trace

    def __deepcopy__(self, _memo: Any) -> _TraceBox:
        return self

    def __copy__(self) -> _TraceBox:
        return self

    def __repr__(self) -> str:
        return "<composite trace>"


def leave_on_response(response: Any, trace: Trace) -> None:
    """Attach a trace to a response."""
    response._hidden_params[_KEY] = _TraceBox(trace)  # LiteLLM's place for what is not the client's


def attach_trace(logging_obj: Any, run: Any) -> None:
    """Attach a run to LiteLLM's logging object, which the stream's wrapper shares."""
    with contextlib.suppress(AttributeError):  # a class with slots has no room for it
        setattr(logging_obj, _KEY, _TraceBox(run))


@overload
def get_trace(x: Any) -> Trace: ...


@overload
def get_trace(x: Any, default: _T) -> Trace | _T: ...


def get_trace(x: Any, default: _T | _Required = _REQUIRED) -> Trace | _T:
    """Get the trace of a response, of a stream (also one that broke off or was closed early), or of an error.

    Args:
        x: What `litellm.completion` or `acompletion` of a composite returned or raised.
        default: Returned where there is no trace, because another model or LiteLLM's response cache answered.

    Raises:
        ValueError: There is no trace and no `default`, or the stream has not started.
    """
    for holder in _holders(x):
        box = holder.get(_KEY) if isinstance(holder, dict) else getattr(holder, _KEY, None)
        if isinstance(box, _TraceBox) and box.trace is not None:
            return box.trace
        trace = getattr(holder, "trace", None) if isinstance(holder, BaseException) else None
        if isinstance(trace, Trace):
            return trace
    if not isinstance(default, _Required):
        return default
    raise ValueError(_none_on(x))


def _none_on(x: Any) -> str:
    hidden = getattr(x, "_hidden_params", None)
    if isinstance(hidden, dict) and hidden.get("cache_hit"):
        return "no composite trace: LiteLLM answered from its response cache, so nothing ran"
    return f"no composite trace on this {type(x).__name__}"


def _holders(x: Any) -> list[Any]:
    holders = [x] if isinstance(x, BaseException) else []
    original = getattr(x, "original_exception", None)
    if original is not None:
        holders.append(original)
    attached = [getattr(x, name, None) for name in ("_hidden_params", "litellm_logging_obj")]
    attached += [compat.STREAM_LOGGING.of(stream) for stream in (x, compat.STREAM_SOURCE.of(x))]
    return [*holders, *(holder for holder in attached if holder is not None)]

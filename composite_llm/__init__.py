"""Several language models that answer as one, behind LiteLLM: `composite/moa/<model>` and `composite/council/<model>`.

Importing this package loads nothing of LiteLLM; `register()` does, and so does touching `handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composite_llm.model.trace_renderer import TraceRenderer, register_renderer
from composite_llm.model.version import __version__ as __version__

if TYPE_CHECKING:
    from composite_llm.evaluate.replaying import replay
    from composite_llm.model.errors import (
        BudgetExceeded,
        CompositeError,
        ContextWindowExceeded,
        FinalCallFailed,
        InvalidConfig,
        InvalidOption,
        InvalidOutput,
        OptionNotAllowed,
        QuorumNotMet,
        RunTimeout,
        UnknownProfile,
        UnknownStrategy,
    )
    from composite_llm.model.execution_context import ExecutionContext
    from composite_llm.model.masking import masked as mask_secrets
    from composite_llm.model.trace import Trace
    from composite_llm.observe.store import TraceStore
    from composite_llm.provider.traces import get_trace
    from composite_llm.runtime import breakers, explain, flush, handler, register, reset_breakers
    from composite_llm.runtime import check_models as check
    from composite_llm.tools.guard import ToolGuard
    from composite_llm.tools.mcp import mcp_executor

_LOADED_LATE = {
    "handler": "composite_llm.runtime",
    "register": "composite_llm.runtime",
    "breakers": "composite_llm.runtime",
    "reset_breakers": "composite_llm.runtime",
    "explain": "composite_llm.runtime",
    "check": "composite_llm.runtime",
    "flush": "composite_llm.runtime",
    "get_trace": "composite_llm.provider.traces",
    "replay": "composite_llm.evaluate.replaying",
    "mask_secrets": "composite_llm.model.masking",
    "ExecutionContext": "composite_llm.model.execution_context",
    "TraceStore": "composite_llm.observe.store",
    "ToolGuard": "composite_llm.tools.guard",
    "mcp_executor": "composite_llm.tools.mcp",
    "Trace": "composite_llm.model.trace",
    "BudgetExceeded": "composite_llm.model.errors",
    "CompositeError": "composite_llm.model.errors",
    "ContextWindowExceeded": "composite_llm.model.errors",
    "FinalCallFailed": "composite_llm.model.errors",
    "InvalidConfig": "composite_llm.model.errors",
    "InvalidOption": "composite_llm.model.errors",
    "InvalidOutput": "composite_llm.model.errors",
    "OptionNotAllowed": "composite_llm.model.errors",
    "QuorumNotMet": "composite_llm.model.errors",
    "RunTimeout": "composite_llm.model.errors",
    "UnknownProfile": "composite_llm.model.errors",
    "UnknownStrategy": "composite_llm.model.errors",
}
"""Also what is light: pydantic alone is half of the time that `composite --help` may take."""


def _picture() -> TraceRenderer:
    from composite_llm import picture

    return picture


register_renderer(_picture)

# `register(check=True)` has a parameter of that name.
_NAMED_OTHERWISE = {"check": "check_models", "mask_secrets": "masked"}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    module = importlib.import_module(_LOADED_LATE[name])
    if name == "handler":
        # A proxy's config only names the handler and never calls `register`.
        module.install()
    return getattr(module, _NAMED_OTHERWISE.get(name, name))


__all__ = [
    "BudgetExceeded",
    "CompositeError",
    "ContextWindowExceeded",
    "ExecutionContext",
    "FinalCallFailed",
    "InvalidConfig",
    "InvalidOption",
    "InvalidOutput",
    "OptionNotAllowed",
    "QuorumNotMet",
    "RunTimeout",
    "ToolGuard",
    "Trace",
    "TraceStore",
    "UnknownProfile",
    "UnknownStrategy",
    "breakers",
    "check",
    "explain",
    "flush",
    "get_trace",
    "handler",
    "mask_secrets",
    "mcp_executor",
    "register",
    "replay",
    "reset_breakers",
]

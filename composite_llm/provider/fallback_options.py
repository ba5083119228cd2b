"""Keeps a composite's options to itself where LiteLLM has another model answer in its place.

LiteLLM's `fallbacks`, at a call or of a Router, send the failed call's keyword arguments to the next model, and providers in
OpenAI's form put what they do not know into the body: nodes with their keys would travel to whoever is asked instead.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from composite_llm.backend import compat
from composite_llm.backend.litellm_error_classes import PROVIDER
from composite_llm.config.registry import ALL_OPTIONS
from composite_llm.model.model_strings import is_composite_model

_Hook = Callable[..., Awaitable[dict[str, Any]]]

_NESTED = ("extra_body", "optional_params")
_LITELLMS_TOO = frozenset({"seed"})
"""Options of ours that are parameters of every model."""
_WORDS_OF_OURS = {"reasoning": frozenset({"summary", "full", "off"})}
"""Options whose name others use too, for something else."""
_REMEMBERED = 1000


def install_fallback_options() -> None:
    """Look at each call before LiteLLM does; once."""
    seen: _Seen = OrderedDict()
    # LiteLLM's hook before each asynchronous call, and what prepares each synchronous one.
    for name, around in ((compat.BEFORE_CALL, _around_hook), (compat.FUNCTION_SETUP, _around_setup)):
        original = name.get()
        if original is None or getattr(original, "keeps_composites_options", False):
            continue
        replaced: Any = around(original, seen)
        replaced.keeps_composites_options = True
        name.put(replaced)
    if compat.BEFORE_CALL.get() is None and not any(isinstance(callback, _Keeper) for callback in litellm.callbacks):
        litellm.callbacks.append(_Keeper())


def _around_hook(original: _Hook, seen: _Seen) -> _Hook:
    @functools.wraps(original)
    async def before_call(kwargs: Any, *args: Any, **more: Any) -> dict[str, Any]:
        return await original(_without_options(kwargs, seen), *args, **more)

    return before_call


def _around_setup(original: Callable[..., Any], seen: _Seen) -> Callable[..., Any]:
    @functools.wraps(original)
    def set_up(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        match found:
            case (logging_obj, arguments):
                return logging_obj, _without_options(arguments, seen)
            case _:
                return found

    return set_up


_Seen = OrderedDict[str, frozenset[str]]


class _Keeper(CustomLogger):
    """The same by LiteLLM's public hook, for which it records every call."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: _Seen = OrderedDict()

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """LiteLLM asks it before each call."""
        return _without_options(kwargs, self._seen)  # type: ignore[no-any-return]


def _without_options(kwargs: Any, seen: _Seen) -> Any:
    if not isinstance(kwargs, Mapping):
        return kwargs
    if _is_composite(kwargs):
        _remember(kwargs, seen)
        return kwargs
    options = _of_the_failed_one(kwargs, seen)
    return _stripped(kwargs, options) if options else kwargs


def _is_composite(kwargs: Mapping[str, Any]) -> bool:
    model = kwargs.get("model")
    # LiteLLM's bridge from the Responses API asks with the provider beside the model.
    named = isinstance(model, str) and is_composite_model(model)
    return named or kwargs.get("custom_llm_provider") == PROVIDER


def _remember(kwargs: Mapping[str, Any], seen: _Seen) -> None:
    names = {name for holder in _holders(kwargs) for name in holder if _is_option(name, holder[name])}
    if not names:
        return
    for identifier in _identifiers(kwargs):
        seen[identifier] = frozenset(names)
        seen.move_to_end(identifier)
    while len(seen) > _REMEMBERED:
        seen.popitem(last=False)


def _of_the_failed_one(kwargs: Mapping[str, Any], seen: _Seen) -> frozenset[str]:
    if not seen or "composite_run" in (kwargs.get("metadata") or ()):
        # A run's own call, whose node may have a parameter of such a name.
        return frozenset()
    return frozenset().union(*(seen.get(identifier, ()) for identifier in _identifiers(kwargs)))


def _identifiers(kwargs: Mapping[str, Any]) -> list[str]:
    """What a call has in common with the one that it stands in for: LiteLLM's id of both, or a Router's trace id."""
    ids = (kwargs.get("litellm_call_id"), kwargs.get("litellm_trace_id"))
    return [identifier for identifier in ids if isinstance(identifier, str)]


def _holders(kwargs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [kwargs, *(kwargs[key] for key in _NESTED if isinstance(kwargs.get(key), Mapping))]


def _is_option(name: str, value: Any) -> bool:
    if name in _WORDS_OF_OURS:
        return isinstance(value, str) and value in _WORDS_OF_OURS[name]
    return name in ALL_OPTIONS and name not in _LITELLMS_TOO


def _stripped(kwargs: Mapping[str, Any], options: frozenset[str]) -> dict[str, Any]:
    def without(holder: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in holder.items() if name not in options or not _is_option(name, value)}

    kept = without(kwargs)
    for key in _NESTED:
        if isinstance(kept.get(key), Mapping):
            kept[key] = without(kept[key])
            if not kept[key]:
                del kept[key]
    return kept

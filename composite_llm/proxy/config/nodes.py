"""The nodes of a composite as they are written, and whether LiteLLM can ask them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import litellm

from composite_llm.config.problems import Problem
from composite_llm.config.registry import STRATEGIES
from composite_llm.model.model_strings import is_composite_model, split_composite
from composite_llm.model.near_misses import nearest
from composite_llm.proxy.config.file import Setting

_CHOSEN_LATER = ("tier/", "task/")
"""Models that are chosen by the registry of the configuration."""


@dataclass(frozen=True, slots=True)
class Written:
    """A node as it is written.

    Attributes:
        key: Its path below the options, `proposers.1`.
        place: Where its model stands.
        params: All that it says; just the model for a plain name.
    """

    key: str
    model: str
    place: Setting
    params: Mapping[str, Any]


def chosen_later(model: str) -> bool:
    """Whether the registry of the configuration chooses the model, request by request."""
    return model.startswith(_CHOSEN_LATER)


def final_of(model: str) -> str:
    """The model that a composite model string ends in; blank for a profile, whose nodes stand elsewhere."""
    while is_composite_model(model):
        kind, model = split_composite(model)
        if kind == "profile":
            return ""
    return model


def profiles_in_model(model: str) -> Iterator[str]:
    """The profiles that a composite model string names, however deep."""
    while is_composite_model(model):
        kind, model = split_composite(model)
        if kind == "profile":
            yield model
            return


def written_nodes(options: Setting) -> Iterator[Written]:
    """Every node in a mapping of options, those of nested composites and fallbacks included."""
    for key in STRATEGIES.node_options():
        value = options.value.get(key)
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            path = (key,) if index is None else (key, str(index))
            yield from _of(item, ".".join(path), options.inside(*path, value=item))


def _of(item: Any, key: str, place: Setting) -> Iterator[Written]:
    if isinstance(item, str):
        yield Written(key, item, place, {"model": item})
        return
    if not isinstance(item, Mapping):
        return
    model = item.get("model")
    if isinstance(model, str):
        yield Written(key, model, place.inside("model", value=model), item)
    for index, fallback in enumerate(_list(item.get("fallbacks"))):
        inside = place.inside("fallbacks", str(index), value=fallback)
        yield from _of(fallback, f"{key}.fallbacks.{index}", inside)
    # A nested composite has its own options among the node's parameters.
    for written in written_nodes(place):
        yield Written(f"{key}.{written.key}", written.model, written.place, written.params)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def unreachable(node: Written, names: Iterable[str]) -> Iterator[Problem]:
    """Whether LiteLLM would not know whom to ask."""
    leaf = final_of(node.model)
    if not can_ask(node, names):
        near = ", ".join(nearest(leaf, {name for name in names if "*" not in name}))
        problem = f"{leaf!r} is not a model of this proxy, and of no provider that LiteLLM knows"
        yield node.place.problem(f"{node.key}: {problem}; nearest of the proxy's: {near or 'none, it has no others'}")


def can_ask(node: Written, names: Iterable[str]) -> bool:
    """Whether a node is a model of the proxy, or one of a provider."""
    model = final_of(node.model)
    if not model or chosen_later(model) or any(fnmatch.fnmatchcase(model, name) for name in names):
        return True
    provider = node.params.get("custom_llm_provider")
    try:
        litellm.get_llm_provider(model, custom_llm_provider=provider if isinstance(provider, str) else None)
    except Exception:  # noqa: BLE001  # LiteLLM's own errors differ by version
        return False
    return True

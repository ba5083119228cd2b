"""Entries in LiteLLM's model table, so that frameworks find a composite to be a normal model."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.backend.interface import ModelFacts
from composite_llm.backend.litellm_error_classes import PROVIDER
from composite_llm.backend.litellm_table import row_of, split
from composite_llm.config.node import Node
from composite_llm.config.plan import Plan, make_plan, nodes_of
from composite_llm.config.profiles import Profiles
from composite_llm.model.errors import CompositeError, InvalidOption
from composite_llm.model.model_strings import COMPOSITE_PREFIX, PROFILE_PREFIX, is_composite_model
from composite_llm.provider.open_names import install_open_names
from composite_llm.provider.worst_prices import worst_prices

_REMEMBERED = 1000
_DEFAULT_WINDOW = 128_000
_DEFAULT_OUTPUT = 16_384
_MODALITIES = {"supports_vision": "image", "supports_audio_input": "audio", "supports_pdf_input": "file"}
_TOOLS_AND_SCHEMAS = (
    "supports_function_calling",
    "supports_parallel_function_calling",
    "supports_tool_choice",
    "supports_response_schema",
)
_TOLD_OF_NAMES = (*_MODALITIES, *_TOOLS_AND_SCHEMAS, "supports_reasoning", "supports_prompt_caching")
_NOT_FOLLOWED = frozenset({"supports_assistant_prefill"})
"""What the final model may be able to, and a composite is not: its members' view of a conversation ends with the user."""
_ASKS_A_SERVER = frozenset({"huggingface", "ollama", "ollama_chat"})
"""Providers about whose models `litellm.get_model_info` asks a server, and waits for it."""

_GENERAL: dict[str, Any] = {
    "litellm_provider": PROVIDER,
    "mode": "chat",
    **dict.fromkeys(_TOOLS_AND_SCHEMAS, True),
    "supports_system_messages": True,
    "supports_reasoning": True,
    "supports_native_streaming": True,
}


def model_info(
    model: str, facts: ModelFacts, profiles: Profiles, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The `model_info` of a proxy's deployment of a composite: what its nodes can, and worst-case prices per token.

    Args:
        model: A composite model string.
        facts: Where the prices come from; without a price for each node the block has none.
        profiles: What the string may name.
        options: A deployment's own.

    Raises:
        CompositeError: The model string, its options, or what it names, cannot be used.
    """
    plan = make_plan(model, options or {}, profiles)
    prices = worst_prices(plan, facts)
    entry = {key: value for key, value in _entry(plan, facts).items() if key != "litellm_provider"}
    if prices is not None:
        entry |= {"input_cost_per_token": prices.input, "output_cost_per_token": prices.output}
    return entry


def install_capabilities(profiles: Profiles, facts: ModelFacts) -> None:
    """Entries for every profile, rows for every other composite model string, and a rule where the rows get lost."""
    rows = _Rows(profiles, facts)
    install_open_names(rows)
    litellm.register_model(
        {name: row for name in (PROFILE_PREFIX + name for name in profiles.by_name) if (row := rows(name)) is not None}
    )
    _install_rule()


def register_models(models: Iterable[str | Mapping[str, Any]], profiles: Profiles, facts: ModelFacts) -> None:
    """Entries for composites that are named beforehand, with the options that they will be called with.

    Args:
        models: Composite model strings, or mappings with `model` and options.
        profiles: What the strings may name.
        facts: What is known of their nodes' models.

    Raises:
        CompositeError: One of them cannot be used.
    """
    entries: dict[str, dict[str, Any]] = {}
    for given in models:
        options = {"model": given} if isinstance(given, str) else dict(given)
        model = options.pop("model", None)
        if not isinstance(model, str) or not is_composite_model(model):
            raise InvalidOption(
                "models", "is not a composite model string", allowed=f"{COMPOSITE_PREFIX}…", value=model
            )
        entries[model] = _entry(make_plan(model, options, profiles), facts)
    litellm.register_model(entries)


class _Rows:
    """The row of any composite model string, remembered for as long as those of its models stay as they are."""

    def __init__(self, profiles: Profiles, facts: ModelFacts) -> None:
        self._profiles = profiles
        self._facts = facts
        self._remembered: OrderedDict[str, tuple[dict[str, Any] | None, Mapping[str, Any]]] = OrderedDict()

    def __call__(self, model: str) -> dict[str, Any] | None:
        known = self._remembered.get(model)
        if known is None or any(row_of(name) != row for name, row in known[1].items()):
            known = self._made(model)
            # Of a Router's names there is no row that could tell of a change.
            if all(known[1].values()):
                self._remember(model, known)
        row, _ = known
        return None if row is None else dict(row)

    def _remember(self, model: str, known: tuple[dict[str, Any] | None, Mapping[str, Any]]) -> None:
        self._remembered[model] = known
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _made(self, model: str) -> tuple[dict[str, Any] | None, Mapping[str, Any]]:
        plan = _plan(model, self._profiles)
        if plan is None:
            return None, {}
        followed = {node.model: row_of(node.model) for node in (plan.final, *nodes_of(plan))}
        return _entry(plan, self._facts, chosen=model.startswith(PROFILE_PREFIX)), followed


def _plan(model: str, profiles: Profiles) -> Plan | None:
    try:
        return make_plan(model, {}, profiles)
    except CompositeError:
        # No composite; or it names an environment variable that is not set yet. Calling it will say so.
        return None


def _entry(plan: Plan, facts: ModelFacts, *, chosen: bool = True) -> dict[str, Any]:
    final = _row(plan.final, facts)
    longest = final.get("max_output_tokens") or _DEFAULT_OUTPUT
    return {
        **_GENERAL,
        "max_input_tokens": min((_window(node, facts) for node in nodes_of(plan)), default=_DEFAULT_WINDOW),
        "max_output_tokens": longest,
        "max_tokens": longest,
        **dict.fromkeys(_MODALITIES, False),
        "supports_prompt_caching": False,
        **_followed(final, chosen=chosen),
    }


def _followed(final: Mapping[str, Any], *, chosen: bool) -> dict[str, Any]:
    """What the final model can, as far as anything is known of it.

    Args:
        final: Its row.
        chosen: Whether somebody has chosen it for this name; of open-ended names tools and schemas are promised always.
    """
    known = {
        key: bool(value)
        for key, value in final.items()
        if key.startswith("supports_") and value is not None and key not in _NOT_FOLLOWED
    }
    if not known:
        return {}
    followed = {
        "supports_reasoning": False,
        **known,
        "supports_system_messages": True,
        "supports_native_streaming": True,
    }
    return {**followed, **{flag: known.get(flag, False) if chosen else True for flag in _TOOLS_AND_SCHEMAS}}


def _window(node: Node, facts: ModelFacts) -> int:
    window = node.context_window or _row(node, facts).get("max_input_tokens") or _DEFAULT_WINDOW
    return int(window)


def _row(node: Node, facts: ModelFacts) -> dict[str, Any]:
    """What is known of a node's model; LiteLLM's own look-up does not know a Router's names."""
    row = row_of(node.model)
    if row:
        return row
    bare, provider, _ = split(node.model)
    if provider not in _ASKS_A_SERVER:
        with contextlib.suppress(Exception):  # LiteLLM raises a bare Exception for a model it does not know
            return dict(litellm.get_model_info(bare, custom_llm_provider=provider))
    return {
        "max_input_tokens": facts.context_window(node.model),
        "max_output_tokens": facts.max_output_tokens(node.model),
        **{flag: facts.takes(node.model, flag) for flag in _TOLD_OF_NAMES},
    }


def _install_rule() -> None:
    """LiteLLM's own mechanism for open-ended names; internal and absent from older versions, so best effort."""
    get_rules, set_rules = compat.GET_RULES.get(), compat.SET_RULES.get()
    if get_rules is None or set_rules is None:
        return
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        kept = [rule for rule in get_rules() if rule.get("name") != PROVIDER]
        limits = {
            "max_input_tokens": _DEFAULT_WINDOW,
            "max_output_tokens": _DEFAULT_OUTPUT,
            "max_tokens": _DEFAULT_OUTPUT,
        }
        info = {**_GENERAL, **limits}
        # LiteLLM puts in the provider that it asks for, and from 1.109 on refuses a rule that names it.
        del info["litellm_provider"]
        rule = {"name": PROVIDER, "pattern": f"^{COMPOSITE_PREFIX}", "model_info": info}
        set_rules([*kept, rule])

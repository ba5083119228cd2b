"""Entries in LiteLLM's model table, so that frameworks find a composite to be a normal model."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import litellm

from composite_llm.backend.interface import ModelFacts
from composite_llm.backend.litellm_raised import PROVIDER
from composite_llm.config.node import COMPOSITE_PREFIX, Node
from composite_llm.config.plan import Plan, make_plan, nodes_of
from composite_llm.config.profiles import Profiles
from composite_llm.errors import CompositeError
from composite_llm.provider.worst_prices import worst_prices

_DEFAULT_WINDOW = 128_000
_DEFAULT_OUTPUT = 16_384
_MODALITIES = {"supports_vision": "image", "supports_audio_input": "audio", "supports_pdf_input": "file"}
_FLAGS = (*_MODALITIES, "supports_prompt_caching")

_GENERAL: dict[str, Any] = {
    "litellm_provider": PROVIDER,
    "mode": "chat",
    "supports_function_calling": True,
    "supports_parallel_function_calling": True,
    "supports_tool_choice": True,
    "supports_response_schema": True,
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
    """Entries for every profile, and a rule for every other composite model string."""
    litellm.register_model(
        {
            f"{COMPOSITE_PREFIX}profile/{name}": entry
            for name in profiles.by_name
            if (entry := _profile_entry(f"{COMPOSITE_PREFIX}profile/{name}", profiles, facts)) is not None
        }
    )
    _install_rule()


def _profile_entry(model: str, profiles: Profiles, facts: ModelFacts) -> dict[str, Any] | None:
    try:
        plan = make_plan(model, {}, profiles)
    except CompositeError:
        # It names an environment variable that is not set yet, perhaps; calling it will say so.
        return None
    return _entry(plan, facts)


def _entry(plan: Plan, facts: ModelFacts) -> dict[str, Any]:
    final = _row(plan.final, facts)
    return {
        **_GENERAL,
        "max_input_tokens": min((_window(node, facts) for node in nodes_of(plan)), default=_DEFAULT_WINDOW),
        "max_output_tokens": final.get("max_output_tokens") or _DEFAULT_OUTPUT,
        **{flag: bool(final.get(flag)) for flag in _FLAGS},
    }


def _window(node: Node, facts: ModelFacts) -> int:
    window = node.context_window or _row(node, facts).get("max_input_tokens") or _DEFAULT_WINDOW
    return int(window)


def _row(node: Node, facts: ModelFacts) -> dict[str, Any]:
    """What is known of a node's model; LiteLLM's own look-up does not know a Router's names."""
    with contextlib.suppress(Exception):  # LiteLLM raises a bare Exception for a model it does not know
        return dict(litellm.get_model_info(node.model))
    return {
        "max_input_tokens": facts.context_window(node.model),
        "max_output_tokens": facts.max_output_tokens(node.model),
        **{flag: facts.takes(node.model, modality) for flag, modality in _MODALITIES.items()},
    }


def _install_rule() -> None:
    """LiteLLM's own mechanism for open-ended names; internal and absent from older versions, so best effort."""
    with contextlib.suppress(ImportError, AttributeError, TypeError, ValueError):
        from litellm.litellm_core_utils import fallback_generalizations as rules

        kept = [rule for rule in rules.get_fallback_generalization_rules() if rule.get("name") != PROVIDER]
        info = {**_GENERAL, "max_input_tokens": _DEFAULT_WINDOW, "max_output_tokens": _DEFAULT_OUTPUT}
        # LiteLLM puts in the provider that it asks for, and from 1.109 on refuses a rule that names it.
        del info["litellm_provider"]
        rule = {"name": PROVIDER, "pattern": f"^{COMPOSITE_PREFIX}", "model_info": info}
        rules.set_fallback_generalizations([*kept, rule])

"""A run's reply as LiteLLM's `ModelResponse`."""

from __future__ import annotations

from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.backend.interface import Choice, Reply
from composite_llm.model.summary import summary
from composite_llm.model.trace import Trace
from composite_llm.model.usage import Usage
from composite_llm.provider.traces import leave_on_response

_COST_HEADER = "llm_provider-x-litellm-response-cost"


def response_id(run_id: str) -> str:
    """The id of a run's response, and of each of its chunks."""
    return f"chatcmpl-{run_id}"


def response_of(
    reply: Reply, trace: Trace, usage: litellm.Usage, cost_usd: float | None, *, reasoning: str, shown: Trace
) -> litellm.ModelResponse:
    """A new response: the final call's own choices, the whole run's usage and cost.

    Args:
        reply: The final call's.
        trace: The run's.
        usage: To be booked.
        cost_usd: To be charged; None when it is unknown.
        reasoning: `summary`, `full` or `off`.
        shown: The same run as the caller may see it.
    """
    response = litellm.ModelResponse(
        id=response_id(trace.id),
        model=trace.model,
        choices=[_choice(choice, shown, reasoning) for choice in reply.choices],
        usage=usage,
    )
    for name, value in reply.extra.items():
        if name != "provider_specific_fields":
            setattr(response, name, value)
    set_cost(response._hidden_params, cost_usd)  # the documented place for a custom provider's cost
    leave_on_response(response, trace)
    return response


def cut_off_response(
    run_id: str, model: str, usage: litellm.Usage, cost_usd: float | None, *, text: str | None = None
) -> litellm.ModelResponse:
    """What is in the books of a stream whose client has gone: the answer as far as it came, and what was spent until then."""
    message = litellm.Message(role="assistant", content=text)
    choices = [litellm.Choices(index=0, finish_reason="stop", message=message)]
    response = litellm.ModelResponse(id=response_id(run_id), model=model, choices=choices, usage=usage)
    set_cost(response._hidden_params, cost_usd)  # as above
    return response


def answer_so_far(trace: Trace) -> str | None:
    """What the final model has said."""
    said = [call.content for call in trace.children(None) if call.final and call.content]
    return said[-1] if said else None


def set_cost(hidden_params: dict[str, Any], cost_usd: float | None) -> None:
    """Tell LiteLLM the cost in the two places that count: callbacks read the first, `/v1/completions` the second."""
    hidden_params["response_cost"] = cost_usd
    if cost_usd is not None:
        hidden_params.setdefault("additional_headers", {})[_COST_HEADER] = cost_usd


def mark_cost_unknown(logging_obj: Any, trace: Trace) -> None:
    """Tell LiteLLM that a cost is unknown: it prices models of its table that have no price, ours among them, at 0."""
    if trace.cost_usd is None:
        set_calculated_cost(logging_obj, None)


def set_calculated_cost(logging_obj: Any, cost_usd: float | None) -> None:
    """Have LiteLLM's own calculation of what a call costs say so."""
    for name in compat.COST_CALCULATOR.names:
        if getattr(logging_obj, name, None) is not None:
            setattr(logging_obj, name, lambda *_, **__: cost_usd)


REASONING_FIELDS = frozenset({"reasoning_content", "thinking_blocks", "reasoning_items", "reasoning_details"})
"""Where a message holds what its model thought."""


def _choice(choice: Choice, trace: Trace, reasoning: str) -> litellm.Choices:
    own_reasoning = choice.message.get("reasoning_content")
    left_out = {"provider_specific_fields", *(REASONING_FIELDS if reasoning == "off" else {"reasoning_content"})}
    message = {key: value for key, value in choice.message.items() if key not in left_out}
    shown = own_reasoning if choice.index and reasoning != "off" else None
    if choice.index == 0:
        shown = reasoning_text(trace, reasoning, own_reasoning)
    if shown:
        message["reasoning_content"] = shown
    if fields := specific_fields(choice, trace):
        message["provider_specific_fields"] = fields
    logprobs: dict[str, Any] = {"logprobs": choice.logprobs} if choice.logprobs is not None else {}
    return litellm.Choices(
        index=choice.index,
        finish_reason=choice.finish_reason or "stop",
        message=litellm.Message(**message),
        **logprobs,
    )


def reasoning_text(trace: Trace, reasoning: str, own: str | None) -> str | None:
    """`reasoning_content` in the form the caller asked for."""
    if reasoning == "off":
        return None
    return summary(trace, full=reasoning == "full", final_reasoning=own)


def specific_fields(choice: Choice, trace: Trace) -> dict[str, Any]:
    """The provider's own, a refusal where LiteLLM's responses hold one, and what a program should be able to read."""
    theirs = choice.message.get("provider_specific_fields") or {}
    shown = {name: value for name, value in theirs.items() if name not in ("reasoning", *REASONING_FIELDS)}
    return {**shown, **own_fields(choice, trace)}


def own_fields(choice: Choice, trace: Trace) -> dict[str, Any]:
    """The same without the provider's own, which a stream has passed on as they came."""
    fields: dict[str, Any] = {}
    if choice.message.get("refusal"):
        fields["refusal"] = choice.message["refusal"]
    composite: dict[str, Any] = {}
    if trace.degraded:
        composite["degraded"] = [str(reason) for reason in trace.degraded]
    if trace.analysis is not None:
        composite["analysis"] = trace.analysis.model_dump()
    if choice.index == 0 and composite:
        fields["composite"] = composite
    return fields


def litellm_usage(trace: Trace, cost_usd: float | None = None) -> litellm.Usage:
    """The run's tokens in OpenAI's form: what earlier stages generated counts as reasoning."""
    return usage_object(trace.usage, reasoning_tokens(trace), cost_usd)


def reasoning_tokens(trace: Trace) -> int:
    """What all but the final call generated, and the final call's own reasoning."""
    final: set[str | None] = {None}
    reasoning = 0
    for call in trace.calls:
        # A final call that is a composite has a final call of its own, recorded after it.
        if call.final and call.parent_id in final:
            final.add(call.id)
            reasoning += call.usage.reasoning_tokens
        else:
            reasoning += call.usage.completion_tokens
    return reasoning


def usage_object(usage: Usage, reasoning: int, cost_usd: float | None = None) -> litellm.Usage:
    """LiteLLM's usage object.

    Args:
        usage: Tokens.
        reasoning: How many of the completion tokens the user does not see as the answer.
        cost_usd: The only place from which LiteLLM takes a stream's cost, and what is left of a response that was stored
            as JSON.
    """
    counted = litellm.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        **_details(usage, reasoning),
    )
    if cost_usd is not None:
        counted.cost = cost_usd
    return counted


def _details(usage: Usage, reasoning: int) -> dict[str, Any]:
    of_completion, of_prompt = compat.COMPLETION_TOKENS.get(), compat.PROMPT_TOKENS.get()
    if of_completion is None or of_prompt is None:
        return {}
    return {
        "completion_tokens_details": of_completion(
            reasoning_tokens=reasoning, audio_tokens=usage.audio_output_tokens or None
        ),
        "prompt_tokens_details": of_prompt(
            cached_tokens=usage.cached_tokens,
            cache_creation_tokens=usage.cache_creation_tokens or None,
            audio_tokens=usage.audio_input_tokens or None,
        ),
    }

"""What an attempt has spent, and who counts it: the one place that says so.

An attempt that was answered by a composite, whatever it was called by, has spent nothing itself: the composite's own
attempts are in the record. Everything else counts what its provider told, or, where that was not told, what can be
counted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm.backend.interface import AttemptRequest, Message, ModelFacts, Reply
from composite_llm.engine.cost_bounds import schemas_of
from composite_llm.model.messages import text_of
from composite_llm.model.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and money of one attempt.

    Attributes:
        usage: Its tokens.
        cost_usd: Their price; None when that is unknown.
        estimated: Whether the tokens were counted here.
        nested: Whether a composite answered, whose own attempts have spent it all.
    """

    usage: Usage = NO_USAGE
    cost_usd: float | None = 0.0
    estimated: bool = False
    nested: bool = False


NOTHING = Spent()
BY_NESTED = Spent(nested=True)


def spent_on_answer(facts: ModelFacts, request: AttemptRequest, reply: Reply) -> Spent:
    """What a whole answer has cost."""
    if reply.nested:
        return BY_NESTED
    if reply.usage_reported:
        return Spent(reply.usage, reply.cost_usd)
    return _counted(facts, request, reply)


def spent_on_part(facts: ModelFacts, request: AttemptRequest, part: Reply, *, accepted: bool) -> Spent:
    """What an answer has cost that broke off, or is still being written.

    Args:
        facts: Tokens and prices.
        request: What was asked.
        part: What has come of the answer.
        accepted: Whether the provider is known to work on it: its prompt counts before the first token has come.
    """
    if part.nested:
        return BY_NESTED
    if part.usage_reported:
        return Spent(part.usage, part.cost_usd)
    if accepted or _generated(part):
        return _counted(facts, request, part)
    return NOTHING


def _counted(facts: ModelFacts, request: AttemptRequest, reply: Reply) -> Spent:
    prompt = facts.count_tokens(request.model, _sent(request))
    completion = _text_tokens(facts, request.model, _generated(reply))
    usage = Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    return Spent(usage, facts.price(request.model, prompt, completion, request.params), estimated=True)


def _text_tokens(facts: ModelFacts, model: str, text: str) -> int:
    """Tokens of a text by itself, without those of the message around it."""
    said, around = ([{"role": "assistant", "content": content}] for content in (text, ""))
    return facts.count_tokens(model, said) - facts.count_tokens(model, around) if text else 0


def _sent(request: AttemptRequest) -> Sequence[Message]:
    schemas = schemas_of(request.params)
    return [*request.messages, {"role": "system", "content": schemas}] if schemas else request.messages


def _generated(reply: Reply) -> str:
    """All that the model wrote, over all choices."""
    return "".join(_written(choice.message) for choice in reply.choices)


def _written(message: Mapping[str, Any]) -> str:
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    if message.get("function_call"):
        calls.append(message["function_call"])
    text = "".join(text_of(message.get(key)) for key in ("content", "reasoning_content", "refusal"))
    return text + "".join(f" {call.get('name') or ''} {call.get('arguments') or ''}" for call in calls)

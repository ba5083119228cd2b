"""A complete answer, before it is written as one body or as a stream."""

from dataclasses import dataclass, field
from typing import Any

from fake_server.answers import default_texts, digest_of, fill
from fake_server.book import Turn
from fake_server.logprobs import make_logprobs
from fake_server.request import ChatRequest
from fake_server.scenario import ToolCallSpec
from fake_server.tokens import CHARS_PER_TOKEN, count_tokens
from fake_server.usage import Usage, make_usage
from fake_server.wire_json import json_text

# A constant: the time of day would make two runs differ.
CREATED = 1_735_689_600
FINGERPRINT = "fp_fake"


@dataclass(slots=True)
class Choice:
    """One choice of an answer."""

    index: int
    content: str | None
    finish_reason: str
    reasoning: str | None = None
    refusal: str | None = None
    thinking_blocks: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    top_logprobs: int | None = None

    def logprobs(self, text: str) -> dict[str, Any] | None:
        """Return the logprobs of a part of the content, if they are to be sent."""
        return None if self.top_logprobs is None else make_logprobs(text, self.top_logprobs)


@dataclass(slots=True)
class Completion:
    """An answer with all its choices."""

    id: str
    model: str
    choices: list[Choice]
    usage: Usage

    def envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the object around choices, of the given kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": CREATED,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }


def compose(request: ChatRequest, turn: Turn, number: int) -> Completion:
    """Return the answer to a request."""
    scenario = turn.scenario
    choices = [_choice(request, turn, index, text) for index, text in enumerate(_texts(request, turn))]
    reasoning = sum(count_tokens(choice.reasoning) for choice in choices if choice.reasoning)
    completion = sum(_choice_tokens(choice) for choice in choices)
    return Completion(
        id=f"chatcmpl-{number:08d}",
        model=request.model,
        choices=choices,
        usage=make_usage(request.prompt_tokens(), completion, reasoning, scenario.usage),
    )


def _texts(request: ChatRequest, turn: Turn) -> list[str | None]:
    scenario = turn.scenario
    if scenario.refusal is not None:
        return [None] * request.n
    if scenario.blank:
        return [""] * request.n
    templates = turn.take_texts(request.n)
    if templates is None and scenario.text is not None:
        templates = [scenario.text] * request.n
    if templates is not None:
        return [fill(template, request, index) for index, template in enumerate(templates)]
    return [None] * request.n if scenario.tool_calls else [*default_texts(request)]


def _choice(request: ChatRequest, turn: Turn, index: int, text: str | None) -> Choice:
    scenario = turn.scenario
    asked = request.wants_logprobs if scenario.logprobs is None else scenario.logprobs
    choice = Choice(index, text, "stop", refusal=scenario.refusal, top_logprobs=request.top_logprobs if asked else None)
    if scenario.reasoning is not None:
        choice.reasoning = fill(scenario.reasoning, request, index)
    if scenario.tool_calls:
        digest = digest_of(request, index)
        choice.tool_calls = [_tool_call(spec, f"call_{digest[:16]}{at}") for at, spec in enumerate(scenario.tool_calls)]
        choice.finish_reason = "tool_calls"
    if request.limit is not None:
        _cut(choice, request.limit)
    choice.finish_reason = scenario.finish_reason or choice.finish_reason
    _sign(choice, request, turn)
    return choice


def _sign(choice: Choice, request: ChatRequest, turn: Turn) -> None:
    """Put signatures where the scenario names them, and where its rules will want them back."""
    scenario, signatures, rules = turn.scenario, turn.signatures, turn.scenario.rules or ()
    signed = request.format == "anthropic" or "anthropic_signatures" in rules or scenario.thinking_signature is not None
    if choice.reasoning and signed:
        signature = signatures.give(choice.reasoning, scenario.thinking_signature)
        choice.thinking_blocks.append({"type": "thinking", "thinking": choice.reasoning, "signature": signature})
    if scenario.redacted_thinking is not None:
        data = signatures.give("", scenario.redacted_thinking)
        choice.thinking_blocks.append({"type": "redacted_thinking", "data": data})
    for at, (call, spec) in enumerate(zip(choice.tool_calls, scenario.tool_calls or (), strict=True)):
        # Of calls made at once only the first is signed.
        if spec.signature is not None or ("gemini_signatures" in rules and at == 0):
            signature = signatures.give(json_text(call), spec.signature)
            call["extra_content"] = {"google": {"thought_signature": signature}}


def _cut(choice: Choice, limit: int) -> None:
    if choice.reasoning:
        kept = choice.reasoning[: limit * CHARS_PER_TOKEN]
        _mark_if_cut(choice, kept, choice.reasoning)
        choice.reasoning = kept
        limit -= count_tokens(kept)
    if choice.content:
        kept = choice.content[: limit * CHARS_PER_TOKEN]
        _mark_if_cut(choice, kept, choice.content)
        choice.content = kept


def _mark_if_cut(choice: Choice, kept: str, whole: str) -> None:
    if len(kept) < len(whole):
        choice.finish_reason = "length"


def _tool_call(spec: ToolCallSpec, default_id: str) -> dict[str, Any]:
    arguments = spec.arguments if isinstance(spec.arguments, str) else json_text(spec.arguments)
    return {
        "id": default_id if spec.id is None else spec.id,
        "type": "function",
        "function": {"name": spec.name, "arguments": arguments},
    }


def _choice_tokens(choice: Choice) -> int:
    texts = [choice.reasoning, choice.content, choice.refusal]
    for call in choice.tool_calls:
        texts += [call["function"]["name"], call["function"]["arguments"]]
    return max(1, sum(count_tokens(text) for text in texts if text))

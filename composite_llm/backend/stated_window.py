"""A context window as the refusal of a prompt names it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from composite_llm.model.errors import StatedWindow

_LONGEST_READ = 2_000

# `L` the limit, `P` the tokens of the prompt, `A` those kept for the answer, `T` both together.
_FORMS: tuple[str, ...] = (
    # OpenAI, vLLM, DeepSeek, OpenRouter
    r"maximum context length is L tokens.{0,80}?requested (?:about )?T tokens \([^)]{0,120}?(?<!\d)A in the (?:completion|output)",
    r"maximum context length is L tokens.{0,80}?requested (?:about )?T tokens",
    r"maximum context length is L tokens.{0,80}?resulted in P tokens",
    r"maximum context length is L tokens.{0,80}?(?:request has|contains at least|prompt contains) P (?:input )?tokens",
    # vLLM
    r"passed P input tokens and requested A output tokens.{0,80}?context length is (?:only )?L tokens",
    r"prompt \((?:total )?length P\).{0,60}?(?:maximum model length of|context length) L",
    # SGLang
    r"maximum context length of L tokens.{0,40}?total of T tokens: P tokens from the input messages and A",
    r"input \(P tokens\) is longer than the model's context length \(L tokens\)",
    # Anthropic
    r"prompt is too long: P tokens > L maximum",
    r"input length and `?max_tokens`? exceed context limit: P \+ A > L",
    # Gemini
    r"input token count \(P\) exceeds the maximum number of tokens allowed \(L\)",
    r"input token count is P but model only supports up to L",
    # llama.cpp
    r"request \(P tokens\) exceeds the available context size \(L tokens\)",
    # Mistral
    r"prompt contains P tokens.{0,60}?too large for model with L maximum context length",
    # Cohere
    r"tokens in the prompt cannot exceed L - received P",
    # Text Generation Inference, Together
    r"tokens`? \+ `?max_new_tokens`? must be <= L\. Given: P `?inputs`? tokens and A",
    r"must have less than L tokens\. Given: P",
    # Fireworks
    r"prompt is too long: P, model maximum context length: L",
    # xAI
    r"maximum prompt length is L but the request contains P tokens",
    # LM Studio
    r"first P tokens when context the overflows.{0,80}?context length of (?:only )?L tokens",
    # Cerebras
    r"current length is P while limit is L",
    # Databricks
    r"input length P exceeds (?:the )?max(?:imum)? length L",
    # DashScope
    r"range of input length should be \[\d+, L\]",
    # Moonshot, Azure's GitHub Models
    r"exceeded model token limit: L",
    r"max size: L tokens",
)
_NUMBER = r"\d{1,3}(?:[,_]\d{3})+|\d{1,9}"
# Whatever names the limit alone; other refusals have such words too.
_VAGUE_FORMS: tuple[str, ...] = (
    r"(?:maximum )?context (?:length|window|size|limit)[^.\d]{0,40}L tokens",
    r"L tokens? (?:context|limit|maximum)",
)
_NAMES = {"L": "limit", "P": "prompt", "A": "answer", "T": "total"}


def _compiled(form: str) -> re.Pattern[str]:
    named = re.sub(r"(?<![A-Za-z\\])([LPAT])(?![A-Za-z])", lambda found: f"(?P<{_NAMES[found[1]]}>{_NUMBER})", form)
    return re.compile(named, re.IGNORECASE | re.DOTALL)


_PATTERNS = tuple(map(_compiled, _FORMS))
_VAGUE_PATTERNS = tuple(map(_compiled, _VAGUE_FORMS))
_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size|limit)|too (?:long|many (?:input )?tokens)|input is too long"
    r"|exceeds? (?:the |max |maximum )*(?:available )?(?:context|token|prompt|input|length)"
    r"|(?:length|tokens?|input|prompt|context)\b[^.\n]{0,60}\bexceed|reduce the length of"
    r"|longer than the (?:model's )?(?:context|maximum)|range of input length",
    re.IGNORECASE,
)
_SOMETHING_ELSE = re.compile(
    r"deadline|per (?:minute|hour|day)|\bquota\b|rate.?limit"
    r"|\A\W*max_(?:completion_|output_)?tokens\W{0,4}(?:is|must|should|cannot)[^.]*(?:\.|\Z)(?!.*context)",
    re.IGNORECASE | re.DOTALL,
)
_CODES = ("context_length_exceeded", "exceed_context_size_error", "string_above_max_length")


def stated_window(sentence: str, body: Mapping[str, Any] | None) -> StatedWindow | None:
    """What a refusal says of the model's window; None if it is no refusal of a prompt that was too long.

    Args:
        sentence: The provider's.
        body: Its JSON, where there was one: llama.cpp has the numbers in fields.
    """
    sentence = sentence[:_LONGEST_READ]
    fields = _fields(body)
    if (limit := _whole(fields.get("n_ctx"))) is not None:
        return StatedWindow(limit, _whole(fields.get("n_prompt_tokens")))
    if (told := _first(_PATTERNS, sentence)) is not None:
        return told
    coded = fields.get("code") in _CODES or fields.get("type") in _CODES
    if not coded and (_TOO_LONG.search(sentence) is None or _SOMETHING_ELSE.search(sentence) is not None):
        return None
    return _first(_VAGUE_PATTERNS, sentence) or StatedWindow()


def _first(patterns: Iterable[re.Pattern[str]], sentence: str) -> StatedWindow | None:
    first = next((match for pattern in patterns if (match := pattern.search(sentence))), None)
    return _told(first) if first is not None else None


def _fields(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    error = (body or {}).get("error")
    return error if isinstance(error, Mapping) else body or {}


def _told(match: re.Match[str]) -> StatedWindow:
    said = {name: int(re.sub(r"[,_]", "", value)) for name, value in match.groupdict().items() if value}
    answer = said.get("answer", 0)
    prompt = said["total"] - answer if "total" in said else said.get("prompt")
    return StatedWindow(said["limit"] or None, prompt or None, answer)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

"""What strict providers refuse: one small function per rule, answering with the provider's own sentence and shape."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from fake_server.request import ChatRequest
from fake_server.rules.content import (
    clean_text,
    no_audio,
    no_files,
    no_images,
    no_tool_images,
    string_content,
)
from fake_server.rules.parameters import known_parameters, no_json_schema, no_response_format, no_tools, one_choice
from fake_server.rules.refusal import Refusal, Rule
from fake_server.rules.roles import (
    alternate,
    alternate_except_tools,
    last_user,
    no_developer,
    no_system,
    one_system_message,
    system_first,
)
from fake_server.rules.signatures import Signatures
from fake_server.rules.thinking import anthropic_signatures, deepseek_reasoning, gemini_signatures, kimi_reasoning
from fake_server.rules.tool_turns import tool_pairs

RuleName = Literal[
    "deepseek_reasoning",
    "kimi_reasoning",
    "anthropic_signatures",
    "gemini_signatures",
    "one_system_message",
    "system_first",
    "no_system",
    "no_developer",
    "alternate",
    "alternate_except_tools",
    "last_user",
    "no_images",
    "no_tool_images",
    "no_audio",
    "no_files",
    "string_content",
    "clean_text",
    "tool_pairs",
    "no_tools",
    "no_response_format",
    "no_json_schema",
    "one_choice",
    "known_parameters",
]

RULES: Mapping[RuleName, Rule] = {
    "deepseek_reasoning": deepseek_reasoning,
    "kimi_reasoning": kimi_reasoning,
    "anthropic_signatures": anthropic_signatures,
    "gemini_signatures": gemini_signatures,
    "one_system_message": one_system_message,
    "system_first": system_first,
    "no_system": no_system,
    "no_developer": no_developer,
    "alternate": alternate,
    "alternate_except_tools": alternate_except_tools,
    "last_user": last_user,
    "no_images": no_images,
    "no_tool_images": no_tool_images,
    "no_audio": no_audio,
    "no_files": no_files,
    "string_content": string_content,
    "clean_text": clean_text,
    "tool_pairs": tool_pairs,
    "no_tools": no_tools,
    "no_response_format": no_response_format,
    "no_json_schema": no_json_schema,
    "one_choice": one_choice,
    "known_parameters": known_parameters,
}
assert set(RULES) == set(get_args(RuleName))

__all__ = ["RULES", "Refusal", "RuleName", "Signatures", "refusal_of"]


def refusal_of(names: Iterable[RuleName], request: ChatRequest, signatures: Signatures) -> Refusal | None:
    """Return what the first rule that the request breaks answers, or None when it breaks none."""
    return next((found for name in names if (found := RULES[name](request, signatures)) is not None), None)

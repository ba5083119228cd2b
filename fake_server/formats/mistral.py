"""Mistral's chat completions: https://docs.mistral.ai/api."""

from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from fake_server.completion import Completion
from fake_server.formats.format import Chunk, ErrorFacts
from fake_server.formats.openai import OpenAIFormat
from fake_server.formats.openai_body import plain_body
from fake_server.formats.openai_stream import make_chunks
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario


class MistralFormat(OpenAIFormat):
    """Usage comes with the last chunk, asked for or not; thoughts are parts of the content."""

    @override
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        body = plain_body(completion, scenario)
        for choice in body["choices"]:
            message = choice["message"]
            thoughts = message.pop(scenario.reasoning_field, None)
            if thoughts:
                message["content"] = [_thinking(thoughts), {"type": "text", "text": message["content"] or ""}]
        return body

    @override
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        chunks = make_chunks(completion, scenario, include_usage=False)
        for chunk in chunks:
            delta = chunk.choice["delta"]
            thoughts = delta.pop(scenario.reasoning_field, None)
            if thoughts:
                delta["content"] = [_thinking(thoughts)]
        if not scenario.no_usage:
            chunks[-1].payload["usage"] = None if scenario.null_usage else completion.usage
        return chunks

    @override
    def error(self, facts: ErrorFacts) -> Any:
        if facts.status == 401:
            return {"detail": "Unauthorized"}
        kind = facts.kind or ("invalid_request_error" if facts.status < 500 else "internal_server_error")
        return {"object": "error", "message": facts.message, "type": kind, "param": facts.param, "code": facts.code}


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

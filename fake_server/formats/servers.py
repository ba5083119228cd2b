"""Chat completions as the server that a scenario names serves them."""

from collections.abc import Mapping

from typing_extensions import override

from fake_server.formats.format import Format
from fake_server.formats.mistral import MistralFormat
from fake_server.formats.openai import (
    GoogleFormat,
    HuggingFaceFormat,
    LlamaCppFormat,
    LmStudioFormat,
    OpenAIFormat,
    OpenRouterFormat,
    VllmFormat,
)
from fake_server.scenario import Scenario, ServedBy

_SERVERS: Mapping[ServedBy, Format] = {
    "openai": OpenAIFormat(),
    "vllm": VllmFormat(),
    "llama_cpp": LlamaCppFormat(),
    "lm_studio": LmStudioFormat(),
    "huggingface": HuggingFaceFormat(),
    "openrouter": OpenRouterFormat(),
    "google": GoogleFormat(),
    "mistral": MistralFormat(),
}


class ChatCompletions(OpenAIFormat):
    """OpenAI's form until the scenario is known."""

    @override
    def served_by(self, scenario: Scenario) -> Format:
        return _SERVERS[scenario.served_by]

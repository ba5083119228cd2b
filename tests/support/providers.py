"""The providers that the project names, each at the fake server in its own wire format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fake_server import ThreadedServer
from tests.support.asking import KEY


@dataclass(frozen=True)
class Provider:
    """Where a provider is, and what is known of its model.

    Attributes:
        model: LiteLLM's model string.
        path: What its address has behind the server's.
        scenario: What its server does by itself.
        price: Where its cost comes from: LiteLLM's table, nothing to pay, or nobody knows.
    """

    model: str
    path: str = "/v1"
    scenario: dict[str, Any] = field(default_factory=dict)
    price: str = "table"

    @property
    def listed(self) -> str:
        """The model's name in LiteLLM's table."""
        return self.model.replace("/responses/", "/")

    @property
    def served_as(self) -> str:
        """The model's name at the server."""
        return self.listed.split("/", 1)[1]

    def at(self, server: ThreadedServer, **settings: Any) -> dict[str, Any]:
        """A node on this provider."""
        return {"model": self.model, "api_base": server.url + self.path, "api_key": KEY, **settings}

    def says(self, **scenario: Any) -> dict[str, Any]:
        """A scenario of its model."""
        return {**self.scenario, **scenario}


PROVIDERS = {
    "openai": Provider("openai/gpt-4o-mini"),
    "openai's Responses": Provider("openai/responses/gpt-5"),
    "anthropic": Provider("anthropic/claude-haiku-4-5", path=""),
    "gemini": Provider("gemini/gemini-2.5-flash", path="/v1beta"),
    "deepseek": Provider("deepseek/deepseek-chat"),
    "mistral": Provider("mistral/mistral-small-latest", scenario={"served_by": "mistral"}),
    "moonshot": Provider("moonshot/kimi-on-trial", price="unknown"),
    "openrouter": Provider(
        "openrouter/maker/on-trial",
        scenario={"served_by": "openrouter", "reasoning_field": "reasoning"},
        price="unknown",
    ),
    "huggingface": Provider(
        "huggingface/together/maker/on-trial",
        path="/together/v1",
        scenario={"served_by": "huggingface"},
        price="unknown",
    ),
    "hosted_vllm": Provider("hosted_vllm/on-trial", scenario={"served_by": "vllm"}, price="unknown"),
    "lm_studio": Provider("lm_studio/on-trial", scenario={"served_by": "lm_studio"}, price="unknown"),
    "llamafile": Provider("llamafile/on-trial", scenario={"served_by": "llama_cpp"}, price="unknown"),
    "ollama_chat": Provider("ollama_chat/on-trial", path="", price="free"),
    "ollama": Provider("ollama/on-trial", path="", price="free"),
}

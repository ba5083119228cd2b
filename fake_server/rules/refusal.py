"""A rule's answer to a request that breaks it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_server.request import ChatRequest
from fake_server.rules.signatures import Signatures


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a provider answers."""

    message: str
    status: int = 400
    body: Any = None
    """The whole JSON body; None is the usual one of the request's wire format."""


Rule = Callable[[ChatRequest, Signatures], Refusal | None]


def openai_refusal(message: str, *, param: str | None = None, code: str | None = None) -> Refusal:
    """Return a refusal as OpenAI and most that follow it write it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(message, body={"error": error})


def vllm_refusal(message: str) -> Refusal:
    """Return a refusal as vLLM writes it."""
    return Refusal(message, body={"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})

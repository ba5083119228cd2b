"""A context window that is enforced, in the words of different servers."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal, vllm_refusal

Wording = Literal["openai", "vllm", "llama_cpp", "lm_studio", "anthropic", "gemini"]


_WORDINGS: Mapping[str, Wording] = {
    "vllm": "vllm",
    "llama_cpp": "llama_cpp",
    "lm_studio": "lm_studio",
    "google": "gemini",
}


class WindowSpec(BaseModel):
    """How long a request may be, and how the model says that it is longer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    tokens: Annotated[int, Field(ge=1, le=1_000_000_000)]
    factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The model's own count is this server's, so many times."""
    wording: Wording | None = None
    """As the server words it that the scenario names, or the request's format."""


def usual_wording(request: ChatRequest, served_by: str) -> Wording:
    """Return how the server that a request went to words it."""
    match request.format:
        case "anthropic" | "gemini":
            return request.format
        case "ollama":
            return "llama_cpp"
        case "responses":
            return "openai"
        case "openai":
            return _WORDINGS.get(served_by, "openai")


def too_long(spec: WindowSpec, request: ChatRequest, served_by: str) -> Refusal | None:
    """Return the refusal of a request that does not fit, or None."""
    wording = spec.wording or usual_wording(request, served_by)
    prompt = math.ceil(request.prompt_tokens() * spec.factor)
    # llama.cpp lets an answer end where the window does; the others want its whole length to fit.
    answer = 0 if wording in ("llama_cpp", "lm_studio") else request.limit or 0
    return None if prompt + answer <= spec.tokens else refusal(spec, wording, prompt, answer)


def refusal(spec: WindowSpec, wording: Wording, prompt: int, answer: int) -> Refusal:
    """Return what a model says to so many tokens of prompt and answer."""
    window = spec.tokens
    match wording:
        case "openai":
            return openai_refusal(
                f"This model's maximum context length is {window} tokens. However, "
                + (
                    f"you requested {prompt + answer} tokens ({prompt} in the messages, {answer} in the completion). "
                    "Please reduce the length of the messages or completion."
                    if answer
                    else f"your messages resulted in {prompt} tokens. Please reduce the length of the messages."
                ),
                param="messages",
                code="context_length_exceeded",
            )
        case "vllm":
            return vllm_refusal(
                f"This model's maximum context length is {window} tokens. However, you requested {prompt + answer} "
                f"tokens ({prompt} in the messages, {answer} in the completion). Please reduce the length of the "
                "messages or completion."
            )
        case "llama_cpp":
            message = (
                f"request ({prompt} tokens) exceeds the available context size ({window} tokens), try increasing it"
            )
            error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
            return Refusal(message, body={"error": {**error, "n_prompt_tokens": prompt, "n_ctx": window}})
        case "lm_studio":
            message = (
                f"Trying to keep the first {prompt} tokens when context the overflows. However, the model is loaded with "
                f"context length of only {window} tokens, which is not enough. Try to load the model with a larger "
                "context length, or provide a shorter input"
            )
            return Refusal(message, body={"error": message})
        case "anthropic":
            return Refusal(
                f"input length and `max_tokens` exceed context limit: {prompt} + {answer} > {window}, decrease input "
                "length or `max_tokens` and try again"
                if prompt <= window
                else f"prompt is too long: {prompt} tokens > {window} maximum"
            )
        case "gemini":
            return Refusal(
                f"The input token count ({prompt + answer}) exceeds the maximum number of tokens allowed ({window})."
            )

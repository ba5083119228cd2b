"""Rules on the parameters beside the messages."""

from fake_server.request import ChatRequest
from fake_server.rules.refusal import Refusal, openai_refusal
from fake_server.rules.signatures import Signatures

# https://platform.openai.com/docs/api-reference/chat/create
_KNOWN = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)


def known_parameters(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """OpenAI: a parameter that its documentation does not have."""
    unknown = sorted(request.body.keys() - _KNOWN)
    if not unknown:
        return None
    plural = "s" if len(unknown) > 1 else ""
    return openai_refusal(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")


def one_choice(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """llama.cpp: one choice per request."""
    if request.n == 1:
        return None
    message = "Field 'n': Value must be between 1 <= value <= 1"
    return Refusal(message, body={"error": {"code": 400, "message": message, "type": "invalid_request_error"}})


def no_tools(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """vLLM, started without a parser for tool calls."""
    if not request.body.get("tools"):
        return None
    return openai_refusal('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')


def no_response_format(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """DeepSeek's wording; here for both forms that force JSON."""
    return _no_format(request, "json_object", "json_schema")


def no_json_schema(request: ChatRequest, _signatures: Signatures) -> Refusal | None:
    """DeepSeek: JSON may be asked for, a schema not."""
    return _no_format(request, "json_schema")


def _no_format(request: ChatRequest, *kinds: str) -> Refusal | None:
    asked = request.body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") not in kinds:
        return None
    return openai_refusal("This response_format type is unavailable now", code="invalid_request_error")

"""What a provider answered when it refused: its own sentence, and what that asks of the next try.

The sentence may quote prompts and keys: it is masked, kept apart from our own words, and never enters an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import openai

from composite_llm.backend.litellm_evidence import chain, error_event
from composite_llm.backend.stated_window import stated_window
from composite_llm.model.errors import FailureKind, Restriction, StatedWindow
from composite_llm.model.masking import masked_text
from composite_llm.model.wellformed import well_formed

MAX_CHARACTERS = 500
_LONGEST_READ = 20_000
"""Characters of a body that are looked at; some servers answer with a whole page."""
_DEEPEST = 4

# What LiteLLM puts before it: "litellm.BadRequestError: OpenAIException - ", "GeminiException BadRequestError - ".
_LITELLMS_PREFIX = re.compile(r"\A[^\n]{0,300}?\b\w{1,60}Exception(?: \w{1,60}Error)? - ")


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """What a provider's refusal says.

    Attributes:
        sentence: For people who may see a provider's own words; masked, and cut.
        window: Of the model, where the prompt was too long for it.
        restriction: What the request has to do without.
    """

    sentence: str | None = None
    window: StatedWindow | None = None
    restriction: Restriction | None = None

    def kind(self, kind: FailureKind) -> FailureKind:
        """What the failure is, by what the exception's class and status say and by these words."""
        if kind not in ("rejected", "unavailable"):
            return kind
        if self.window is not None:
            return "context_window"
        # A template that cannot be rendered is a 500 in llama.cpp; it says nothing about the server's health.
        return "rejected" if self.restriction is not None else kind


def provider_message_of(error: BaseException) -> ProviderMessage:
    """What the provider answered, by the exception of a LiteLLM call; nothing where none answered."""
    answer = _answer(error)
    if answer is None:
        return ProviderMessage()
    sentence = _sentence(answer)
    return ProviderMessage(
        _shown(sentence),
        stated_window(sentence or "", answer if isinstance(answer, Mapping) else None),
        _restriction(sentence or ""),
    )


def _answer(error: BaseException) -> Any:
    """The body that came with an HTTP status or within a stream, parsed; None where no provider answered."""
    if (event := error_event(error)) is not None:
        return event
    text, quoted = None, True
    for link in chain(error):
        if isinstance(link, openai.APIConnectionError | httpx.TransportError | OSError):
            return None
        if isinstance(link, httpx.HTTPStatusError | openai.APIStatusError) and (body := _text(link)):
            return _parsed(body)
        # An answer that could not be read is no refusal; what LiteLLM quotes then is Python's.
        quoted = quoted and not isinstance(link, ValueError | TypeError | LookupError | AttributeError)
        text = text or _litellms_quotation(link)
    return _parsed(text) if text is not None and quoted else None


def _text(link: BaseException) -> str:
    try:
        return str(link.response.text)[:_LONGEST_READ]  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  # a stream that nobody has read; some of LiteLLM's have no response
        return ""


def _litellms_quotation(error: BaseException) -> str | None:
    """What LiteLLM quotes in its own message: an error within a stream comes with no other body."""
    message = str(getattr(error, "message", error))[:_LONGEST_READ]
    match = _LITELLMS_PREFIX.match(message)
    return message[match.end() :] if match else None


def _parsed(text: str) -> Any:
    text = text.strip()
    if text[:2] in ("b'", 'b"'):
        text = text[2:-1].replace("\\n", "\n").replace("\\'", "'")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


_SENTENCE_KEYS = ("message", "error", "detail", "error_message", "errors", "msg", "error_description", "title")


def _sentence(answer: Any, depth: int = 0) -> str | None:
    """The sentence in a body: OpenAI's, Anthropic's and Gemini's `error.message`, and other places it has been seen in."""
    if isinstance(answer, str):
        return answer.strip() or None
    if depth > _DEEPEST:
        return None
    if isinstance(answer, list):
        return next((sentence for item in answer[:3] if (sentence := _sentence(item, depth + 1))), None)
    if isinstance(answer, Mapping):
        values = (answer[key] for key in _SENTENCE_KEYS if key in answer)
        return next((sentence for value in values if (sentence := _sentence(value, depth + 1))), None)
    return None


def _shown(sentence: str | None) -> str | None:
    if sentence is None:
        return None
    # Masked before it is cut: half a key no longer looks like one.
    shown = " ".join(masked_text(well_formed(sentence)).split())
    return shown if len(shown) <= MAX_CHARACTERS else shown[: MAX_CHARACTERS - 1] + "…"


# "System role not supported" (Gemma 2), "Only user and assistant roles are supported!" (Mistral 7B), "'messages[0].role'
# does not support 'system'" (OpenAI), "This model doesn't support system messages" (Bedrock), "Developer instruction is
# not enabled for …" (Gemma at Google).
_NO_SYSTEM_ROLE = (
    r"\b(?:system|developer)['\"`]? (?:role|message|prompt|instruction)s?\b[^.,\n]{0,40}\b"
    r"(?:not (?:yet |currently )?|un)(?:supported|enabled|allowed|accepted)"
    r"|(?:n['\u2019]t|\bnot) (?:support|accept|allow)s? (?:\w+ ){0,3}['\"`]?(?:system|developer)\b"
    r"|\bonly ['\"`]?user['\"`]?(?:,? and |, |/)['\"`]?(?:assistant|model)\b"
    r"|\b(?:unknown|invalid|unexpected|unsupported) (?:message )?role:? ['\"`]?(?:system|developer)\b"
)
# "Conversation roles must alternate user/assistant/…" (many templates), "roles must alternate between "user" and
# "assistant", but found multiple "user" roles in a row" (Anthropic), "multiturn requests alternate between user and model"
# (Gemini), "does not support successive user or assistant messages" (DeepSeek), "A conversation must start with a user
# message" (Bedrock), "user or tool message(s) should alternate with assistant message(s)" (Perplexity).
_STRICT_TURNS = (
    r"\balternat(?:e|es|ing)\b[^\n]{0,120}\b(?:user|assistant|model|roles?|turns?)\b"
    r"|\b(?:user|assistant|roles?|messages?|turns?|conversations?)\b[^\n]{0,80}\balternat(?:e|es|ing)\b"
    r"|\bsuccessive (?:user|assistant)\b|\binterleave the user/assistant\b"
    r"|\b(?:consecutive|multiple|two)\b[^.\n]{0,40}\b(?:user|assistant)\b[^.\n]{0,40}\b(?:messages|roles|turns)\b"
    r"|\b(?:start|begin)s? with (?:a |an )?['\"`]?user\b"
    r"|\bfirst (?:\w+[- ]){0,3}message must (?:be|have|use)\b[^.\n]{0,40}\buser\b"
)
_NO_RESPONSE_FORMAT = r"\b(?:response_format|json_schema|json_object|guided_json|json mode|structured outputs?)\b"
# "Missing `reasoning_content` field in the assistant message at message index 1" (DeepSeek), "thinking is enabled but
# reasoning_content is missing in assistant tool call message" (Kimi), "The reasoning_content in the thinking mode must be
# passed back to the API", "Expected `thinking` or `redacted_thinking`, but found `tool_use`" (Anthropic).
_REASONING = r"(?:reasoning[_ ]content|reasoning[_ ]details|`?thinking`?[_ ]blocks?|thinking blocks?)"
_WANTING = r"(?:missing|required|must|expected|lacks?|absent|passed back|provide)"
_REASONING_REQUIRED = (
    rf"\b{_WANTING}\b[^\n]{{0,80}}{_REASONING}|{_REASONING}[^\n]{{0,80}}\b{_WANTING}\b|\bexpected `thinking`"
)
# "Function call is missing a thought_signature in functionCall parts" (Gemini 3).
_SIGNATURES_REQUIRED = r"\b(?:missing|without|requires?)\b[^\n]{0,60}\bthought[_ ]?signature"
# "Invalid `signature` in `thinking` block" (Anthropic), "Thought signature is not valid" (Gemini).
_OTHER_SIGNATURES = (
    r"\b(?:invalid|unknown|corrupted)\b[^\n]{0,40}\bsignature|\bsignature\b[^\n]{0,40}\b(?:invalid|not valid|mismatch)"
)
# "property 'reasoning_content' is unsupported" (Groq, Cerebras), "messages.1.reasoning_content: Extra inputs are not
# permitted" (Mistral), "Unrecognized key(s) in object: 'reasoning_content'".
_UNKNOWN = r"(?:unsupported|not supported|not permitted|not allowed|unexpected|unknown|unrecognized|extra|forbidden)"
_NO_REASONING = (
    rf"\b{_UNKNOWN}\b[^\n]{{0,80}}(?:{_REASONING}|['\"`]reasoning['\"`])"
    rf"|(?:{_REASONING}|['\"`.]reasoning['\"`:])[^\n]{{0,80}}\b{_UNKNOWN}\b"
)
# "Invalid content type. image_url is only supported by certain models." (OpenAI), "… is not a multimodal model" (vLLM),
# "image input is not supported - hint: … you may need to provide the mmproj" (llama.cpp), "unknown variant `image_url`,
# expected `text`" (DeepSeek), "No endpoints found that support image input" (OpenRouter), "Image URLs are only allowed for
# messages with role 'user'" (OpenAI, of a tool's).
_NO_MEDIA = (
    r"\b(?:image_url|input_audio|video_url|image|vision|audio|video|multi-?modal|attachment)s?\b[^.\n]{0,60}"
    r"\b(?:only (?:supported|allowed)|not (?:yet |currently )?(?:supported|allowed|accepted)|unsupported|not available)"
    r"|(?:n['\u2019]t|\bnot) (?:support|accept|allow|take)s? (?:\w+ ){0,2}(?:image|vision|audio|video|multi-?modal)"
    r"|\bnot a multi-?modal model\b|\bunknown variant [`'\"](?:image_url|input_audio|video_url|file)"
    r"|\bno endpoints? (?:found )?that support (?:image|audio|video)|\bmmproj\b|\bonly supports? text\b"
)
_RESTRICTIONS: tuple[tuple[re.Pattern[str], Restriction], ...] = (
    (re.compile(_SIGNATURES_REQUIRED, re.IGNORECASE), "signatures_required"),
    (re.compile(_OTHER_SIGNATURES, re.IGNORECASE), "other_signatures"),
    (re.compile(_NO_REASONING, re.IGNORECASE), "no_reasoning"),
    (re.compile(_REASONING_REQUIRED, re.IGNORECASE), "reasoning_required"),
    (re.compile(_NO_SYSTEM_ROLE, re.IGNORECASE), "no_system_role"),
    (re.compile(_STRICT_TURNS, re.IGNORECASE), "strict_turns"),
    (re.compile(_NO_MEDIA, re.IGNORECASE), "no_media"),
    (re.compile(_NO_RESPONSE_FORMAT, re.IGNORECASE), "no_response_format"),
)


def _restriction(sentence: str) -> Restriction | None:
    """What the request has to do without, by the sentence that refused it."""
    return next((kind for pattern, kind in _RESTRICTIONS if pattern.search(sentence)), None)

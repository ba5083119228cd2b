"""Plain answers in the form in which LiteLLM reads the SDK's."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.completion_usage import CompletionTokensDetails, CompletionUsage, PromptTokensDetails
from pydantic import BaseModel

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.exchange import Received

if TYPE_CHECKING:
    from openai._legacy_response import LegacyAPIResponse
else:
    LegacyAPIResponse = compat.RAW_RESPONSE.required()


class RawAnswer(LegacyAPIResponse[Any]):
    """A plain answer with the headers that it came with.

    Args:
        client: The SDK's.
        received: The answer, read.
    """

    def __init__(self, client: AsyncOpenAI, received: Received) -> None:
        # Not the SDK's: it keeps an httpx response, which is made here only for the few that need one.
        self._sdk = client
        self._received = received
        # Whoever asks what an error proves looks for a response under this name.
        self._response = received.raw

    @property
    def headers(self) -> Any:
        """By their names in lower case."""
        return self._received.headers

    def parse(self, *, to: Any = None) -> Any:  # the SDK's signature
        """The completion; text or another value as it is, which LiteLLM then refuses.

        Raises:
            ValueError: The body is said to be JSON and is not.
        """
        try:
            data = json.loads(self._received.content())
        except ValueError:
            if self._received.headers.get("content-type", "*").partition(";")[0].endswith("json"):
                raise
            return self._received.as_httpx().text
        if _is_plain(data):
            return Body.of(data)
        process = compat.PROCESS_DATA.read(self._sdk)
        return process(data=data, cast_to=ChatCompletion, response=self._received.as_httpx())


class Body(BaseModel):
    """A chat completion as plain JSON. LiteLLM asks a pydantic model from 1.110 on for what was sent alone."""

    __slots__ = ("given",)

    @classmethod
    def of(cls, given: dict[str, Any]) -> Body:
        """The completion that was sent."""
        body = cls.__new__(cls)
        object.__setattr__(body, "given", given)
        return body

    def model_dump(self, *, exclude_unset: bool = False, **_: Any) -> dict[str, Any]:
        """The completion as LiteLLM reads it, in the order in which the SDK's types write it.

        Args:
            exclude_unset: Without the fields that those types have and the server left out.
        """
        given: dict[str, Any] = object.__getattribute__(self, "given")
        completed = _ordered(given, ChatCompletion, exclude_unset)
        completed["choices"] = [_choice(choice, exclude_unset) for choice in completed["choices"]]
        usage = completed.get("usage")
        if usage is not None:
            completed["usage"] = counted = _ordered(usage, CompletionUsage, exclude_unset)
            for name, kind in _DETAILS.items():
                if counted.get(name) is not None:
                    counted[name] = _ordered(counted[name], kind, exclude_unset)
        return completed


def _choice(given: dict[str, Any], exclude_unset: bool) -> dict[str, Any]:
    choice = _ordered(given, Choice, exclude_unset)
    choice["message"] = _ordered(choice["message"], ChatCompletionMessage, exclude_unset)
    return choice


def _is_plain(data: Any) -> bool:
    """Whether an answer is but text and counts, so that the SDK's types would leave everything as it is."""
    if not isinstance(data, dict) or not _has_scalars(data, ChatCompletion, ("choices", "usage")):
        return False
    choices, usage = data.get("choices"), data.get("usage")
    if not isinstance(choices, list) or not (usage is None or _is_plain_usage(usage)):
        return False
    return all(map(_is_plain_choice, choices))


def _is_plain_choice(choice: Any) -> bool:
    if not isinstance(choice, dict) or not _has_scalars(choice, Choice, ("message",)):
        return False
    message = choice.get("message")
    if not isinstance(message, dict) or message.get("annotations"):
        return False
    return _has_scalars(message, ChatCompletionMessage, ("annotations",))


def _is_plain_usage(usage: Any) -> bool:
    if not isinstance(usage, dict) or not _has_scalars(usage, CompletionUsage, _DETAILS):
        return False
    for name, kind in _DETAILS.items():
        details = usage.get(name)
        if details is not None and not (isinstance(details, dict) and _has_scalars(details, kind, ())):
            return False
    return True


_DETAILS: Mapping[str, type[BaseModel]] = {
    "prompt_tokens_details": PromptTokensDetails,
    "completion_tokens_details": CompletionTokensDetails,
}


def _has_scalars(values: dict[str, Any], kind: type[BaseModel], others: Collection[str]) -> bool:
    """Whether the fields of the type hold neither lists nor objects, but for some."""
    known = _ABSENT[kind]
    for name, value in values.items():
        if value.__class__ in _CONTAINERS and name in known and name not in others:
            return False
    return True


_CONTAINERS = (dict, list)


def _ordered(given: dict[str, Any], kind: type[BaseModel], exclude_unset: bool) -> dict[str, Any]:
    completed = {**_ABSENT[kind], **given}
    return {name: completed[name] for name in completed if name in given} if exclude_unset else completed


_ABSENT: dict[type[BaseModel], dict[str, Any]] = {
    kind: dict.fromkeys(kind.model_fields)
    for kind in (
        ChatCompletion,
        Choice,
        ChatCompletionMessage,
        CompletionUsage,
        PromptTokensDetails,
        CompletionTokensDetails,
    )
}

"""What a scenario may say, and the parser that turns anything else into one typed error."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from fake_server.rules import RuleName
from fake_server.rules.window import WindowSpec

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Chars = Annotated[int, Field(ge=1, le=1_000_000_000)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]
FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]
ServedBy = Literal["openai", "vllm", "llama_cpp", "lm_studio", "huggingface", "openrouter", "google", "mistral"]
Capability = Literal["completion", "tools", "vision", "thinking", "insert", "embedding"]
Drop = Literal["before", "headers", "body", "mid_stream"]

# What decides which answer a request gets, and whether it gets one.
_CHOOSING = frozenset({"by_content", "sequence", "says", "rules", "context_window"})
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})


class ScenarioError(ValueError):
    """A scenario that cannot be understood; the message names the keys."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ErrorSpec(_Strict):
    """An error to answer with."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    retry_after: Seconds | HeaderValue | None = None
    context_window: bool = False
    body: str | None = None


class UsageSpec(_Strict):
    """Token counts that replace the counted ones, and what the server says that the answer cost."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    cache_creation_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    completion_audio_tokens: Count | None = None
    cost: float | None = None


class ToolCallSpec(_Strict):
    """A tool call to answer with; raw string arguments are sent as they are, valid JSON or not."""

    name: str
    arguments: dict[str, JsonValue] | str = ""
    id: str | None = None
    signature: str | None = None


class ShowSpec(_Strict):
    """What Ollama's ``/api/show`` tells of a model."""

    latency_s: Seconds = 0.0
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    context_length: Count = 8192
    capabilities: list[Capability] = ["completion", "tools"]


class Scenario(_Strict):
    """How a model answers; the keys are documented in :mod:`fake_server`."""

    latency_s: Seconds = 0.0
    first_token_s: Seconds = 0.0
    time_per_token_s: Seconds = 0.0
    hang: bool = False
    hang_after_chunks: Count | None = None

    text: str | None = None
    texts: Annotated[list[str], Field(min_length=1)] | None = None
    reasoning: str | None = None
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    thinking_signature: str | None = None
    redacted_thinking: str | None = None
    tool_calls: Annotated[list[ToolCallSpec], Field(min_length=1)] | None = None
    refusal: str | None = None
    blank: bool = False
    finish_reason: FinishReason | None = None
    logprobs: bool | None = None
    usage: UsageSpec | None = None
    no_usage: bool = False
    null_usage: bool = False
    headers: dict[HeaderName, HeaderValue] | None = None
    raw_body: str | None = None
    raw_events: list[str] | None = None

    served_by: ServedBy = "openai"
    show: ShowSpec | None = None
    rules: list[RuleName] | None = None
    context_window: WindowSpec | None = None

    error: ErrorSpec | None = None
    error_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    drop: Drop | None = None
    drop_after_chunks: Count = 1
    malformed_json: bool = False
    error_after_chunks: Count | None = None

    ignore_stream: bool = False
    chunk_chars: Chars | Annotated[list[Chars], Field(min_length=1)] = 4
    tool_argument_chars: Chars = 16
    interleaved_tool_deltas: bool = False
    usage_on_last_content_chunk: bool = False
    empty_first_chunk: bool = False
    split_utf8: bool = False
    comment_keepalive: bool = False

    by_content: "list[ContentRule] | None" = None
    sequence: "Annotated[list[Scenario], Field(min_length=1)] | None" = None
    says: "Annotated[list[Scenario], Field(min_length=1)] | None" = None

    _steps: "tuple[Scenario, ...]" = PrivateAttr(default=())

    @property
    def steps(self) -> "tuple[Scenario, ...]":
        """The scenarios of `says`, each completed by what this one says of all of them."""
        return self._steps

    @field_validator("headers")
    @classmethod
    def _leave_framing_alone(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        framing = sorted(name for name in headers or () if name.lower() in _FRAMING_HEADERS)
        if framing:
            message = f"the server sets {', '.join(framing)} itself"
            raise ValueError(message)
        return headers

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.text is not None and self.texts is not None:
            message = "text and texts exclude each other"
            raise ValueError(message)
        beside = sorted(self.model_fields_set - {"sequence", "by_content"})
        if self.sequence is not None and beside:
            message = f"beside sequence only by_content is allowed, not {', '.join(beside)}"
            raise ValueError(message)
        self._complete_steps()
        return self

    def _complete_steps(self) -> None:
        shared = {name: getattr(self, name) for name in self.model_fields_set - {"says", "by_content"}}
        steps = []
        for number, step in enumerate(self.says or ()):
            choosing = sorted(step.model_fields_set & _CHOOSING)
            if choosing:
                message = f"says.{number}: {', '.join(choosing)} belongs beside says, not into it"
                raise ValueError(message)
            steps.append(step.model_copy(update={**shared, **{n: getattr(step, n) for n in step.model_fields_set}}))
        self._steps = tuple(steps)


class ContentRule(_Strict):
    """A scenario for requests whose messages contain a text."""

    contains: str
    then: Scenario


Scenario.model_rebuild()


def parse_scenario(value: object, name: str = "scenario") -> Scenario:
    """Return the scenario a mapping describes.

    Raises:
        ScenarioError: for everything that is not one; no other exception leaves this function.
    """
    try:
        return Scenario.model_validate(dict(value) if isinstance(value, Mapping) else value)
    except ValidationError as error:
        raise ScenarioError(f"{name}: " + "; ".join(_complaints(error))) from None


def parse_scenarios(value: object) -> dict[str, Scenario]:
    """Return the scenarios of a mapping from model names; nothing at all is an empty mapping.

    Raises:
        ScenarioError: when it is no such mapping, or a scenario in it is wrong.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = "scenarios must be a mapping from model names to scenarios"
        raise ScenarioError(message)
    for name in value:
        if not isinstance(name, str) or not name:
            message = f"a model name must be a text that is not empty, not {type(name).__name__}"
            raise ScenarioError(message)
    return {name: parse_scenario(scenario, name) for name, scenario in value.items()}


def _complaints(error: ValidationError) -> Iterable[str]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"unknown key {item['loc'][-1]!r} (at {where})"
        else:
            yield f"{where}: {item['msg']}" if where else item["msg"]

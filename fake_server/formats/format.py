"""What a wire format has to say."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fake_server.completion import Completion
from fake_server.request import ChatRequest
from fake_server.scenario import Scenario


@dataclass(slots=True)
class Chunk:
    """One piece of a stream and the tokens of text it carries."""

    payload: Any
    tokens: int = 0

    @property
    def choice(self) -> dict[str, Any]:
        """The one choice of a chunk of chat completions that has choices."""
        found: dict[str, Any] = self.payload["choices"][0]
        return found


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """An error before it is put into a format; what a format has no place for is left out."""

    status: int
    message: str
    kind: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None


class Format(ABC):
    """A provider's form of requests, answers, streams and errors."""

    stream_type = "text/event-stream; charset=utf-8"
    """The content type of streams."""
    end = b""
    """What follows the last chunk of a stream."""
    keepalive = b": keep-alive\n\n"
    """What a stream may hold between chunks, to be passed over."""

    def served_by(self, scenario: Scenario) -> "Format":
        """Return the variant of this format that the scenario's server speaks."""
        return self

    @abstractmethod
    def key(self, http: web.Request) -> str | None:
        """Return the key that came with a request."""

    @abstractmethod
    def read(self, http: web.Request, body: object) -> ChatRequest:
        """Return the request in a JSON body.

        Raises:
            RequestError: 400 in the provider's words.
        """

    @abstractmethod
    def body(self, completion: Completion, scenario: Scenario) -> Any:
        """Return a plain answer."""

    @abstractmethod
    def chunks(self, request: ChatRequest, completion: Completion, scenario: Scenario) -> Iterable[Chunk]:
        """Return the chunks of a streamed answer, in order."""

    def frame(self, payload: Any, data: bytes) -> bytes:
        """Return a chunk's JSON as it stands in a stream."""
        return b"data: " + data + b"\n\n"

    @abstractmethod
    def message(self, status: int) -> str:
        """Return what the provider says when a scenario names a status only."""

    @abstractmethod
    def error(self, facts: ErrorFacts) -> Any:
        """Return the body of an error."""

    def stream_error(self, facts: ErrorFacts, completion: Completion) -> Any:
        """Return the chunk that tells of an error in the midst of a stream."""
        return self.error(facts)

    @abstractmethod
    def wrong_key(self, given: str | None) -> ErrorFacts:
        """Return the error for a key that is missing or wrong."""

"""Reads the text of a stream ahead of LiteLLM's wrapper, which takes a tenth of a millisecond for each token.

The wrapper sees the first chunks of each form. What it made of two that differ in nothing but their text is copied for
those that follow, with their text. It gets that text in one piece before the next chunk of another form, and so ends with
the same answer, tokens, price and errors.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

import litellm
from litellm.types.utils import ModelResponseStream

from composite_llm.backend import compat
from composite_llm.backend.fast_openai.chunks import chunk_of
from composite_llm.backend.fast_openai.streams import Chunks
from composite_llm.backend.litellm_raw_chunks import Tap

Piece = dict[str, Any]
"""One event of a provider's stream, as JSON."""

END = object()

_log = logging.getLogger("LiteLLM")
_TEXTS = ("content", "reasoning_content", "reasoning")


def read_ahead(wrapper: Any, tap: Tap | None, params: Mapping[str, Any]) -> Any:
    """LiteLLM's chunks of a stream.

    Args:
        wrapper: LiteLLM's stream.
        tap: On it.
        params: The call's LiteLLM parameters.
    """
    source = None if tap is None else tap.source
    if tap is None or not isinstance(source, Chunks) or not _is_plain(wrapper, source, params):
        return wrapper
    feed = _Feed(source)
    tap.read_from(feed)
    return _Ahead(wrapper, feed)


def _is_plain(wrapper: Any, source: Chunks, params: Mapping[str, Any]) -> bool:
    """Whether LiteLLM does nothing to a text but pass it on."""
    return (
        not _log.isEnabledFor(logging.DEBUG)
        and type(wrapper) is litellm.CustomStreamWrapper
        and compat.STREAM_PROVIDER.of(wrapper) == "openai"
        and not source.response.headers.get("content-type", "").startswith("application/json")
        and compat.REPEATED_LIMIT.get() is not None
        and compat.stream_time_limit() is None
        and litellm.cache is None
        and not litellm.post_call_rules
        and not params.get("merge_reasoning_content_in_choices")
    )


class _Feed:
    """What the wrapper reads: pieces that are given to it, then the provider's stream.

    Attributes:
        given: Those that wait, and whether what the wrapper makes of each has been seen already.
        taken: The last one that the wrapper took since it was asked; None if it took none.
    """

    def __init__(self, source: Chunks) -> None:
        self._pieces = source.as_json()
        self._end: Exception | None = None
        self.given: deque[tuple[Piece, bool]] = deque()
        self.taken: tuple[Piece, bool] | None = None

    async def ahead(self) -> Any:
        """The next piece, which the wrapper does not see unless it is given to it; `END` at the end, of which it is told."""
        try:
            return await anext(self._pieces)
        except Exception as error:  # noqa: BLE001  # the wrapper's to understand
            self._end = error
            return END

    def __aiter__(self) -> _Feed:
        return self

    async def __anext__(self) -> Any:
        if self.given:
            self.taken = self.given.popleft()
        elif self._end is not None:
            raise self._end
        else:
            self.taken = (await anext(self._pieces), False)
        return chunk_of(self.taken[0])

    async def aclose(self) -> None:
        """End the connection."""
        await self._pieces.aclose()


class _Ahead:
    """LiteLLM's chunks, each as soon as it can be known."""

    def __init__(self, wrapper: Any, feed: _Feed) -> None:
        self._wrapper = wrapper
        self._feed = feed
        self._forms: dict[Any, _Form] = {}
        self._held: list[tuple[_Form, list[str]]] = []
        self._repeated = 0
        self._last = ""
        self._ended = False

    def __aiter__(self) -> _Ahead:
        return self

    async def __anext__(self) -> Any:
        while True:
            if self._feed.given or self._ended:
                chunk = await self._by_litellm()
                if chunk is not None:
                    return chunk
                continue
            piece = await self._feed.ahead()
            if piece is END:
                self._ended = True
                self._release()
                continue
            # LiteLLM ends a stream that goes round in circles, if it sees the circles.
            in_circles = self._repeated >= compat.REPEATED_LIMIT.get()
            form = None if in_circles else self._forms.get(_signature(piece))
            made = None if form is None else form.chunk_of(piece)
            if form is not None and made is not None:
                self._hold(form, form.text_of(piece))
                return made
            self._release(one_by_one=in_circles)
            self._feed.given.append((piece, False))

    async def _by_litellm(self) -> Any:
        """The wrapper's next chunk; None where its text was seen already."""
        self._feed.taken = None
        chunk = await anext(self._wrapper)
        if self._feed.taken is None:
            return chunk
        piece, seen = self._feed.taken
        if seen:
            return None
        self._learn(piece, chunk)
        return chunk

    def _learn(self, piece: Piece, chunk: Any) -> None:
        signature = _signature(piece)
        form = _Form.of(piece, chunk)
        if form is not None:
            self._count(form.text_of(piece))
            known = self._forms.get(signature)
            # The first chunk of a stream is not like the others.
            form.is_certain = known is not None and known.foresaw(piece, chunk)
            self._forms[signature] = form

    def _hold(self, form: _Form, text: str) -> None:
        if not self._held or self._held[-1][0] is not form:
            self._held.append((form, []))
        self._held[-1][1].append(text)
        self._count(text)

    def _count(self, text: str) -> None:
        self._repeated = self._repeated + 1 if text == self._last and len(text) > 2 else 1
        self._last = text

    def _release(self, *, one_by_one: bool = False) -> None:
        for form, texts in self._held:
            for text in texts if one_by_one else ["".join(texts)]:
                self._feed.given.append((form.piece_with(text), True))
        self._held.clear()


def _signature(piece: Any) -> Any:
    """What pieces of the same form have in common; None for one that holds anything but a piece of text."""
    choices = piece.get("choices") if isinstance(piece, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or piece.get("usage") is not None:
        return None
    choice = choices[0]
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not delta or not isinstance(delta, dict) or choice.get("finish_reason") is not None:
        return None
    return tuple(piece), tuple(choice), tuple(delta)


class _Form:
    """A piece, and the chunk that LiteLLM made of it.

    Attributes:
        is_certain: The chunk was foreseen from the one before.
    """

    def __init__(self, piece: Piece, chunk: ModelResponseStream, key: str, targets: list[str]) -> None:
        self._piece = piece
        self._choice: dict[str, Any] = piece["choices"][0]
        self._delta: dict[str, Any] = self._choice["delta"]
        self._chunk = chunk
        self._key = key
        self._targets = targets
        self._passed_on = _fields(chunk)
        self.is_certain = False

    @classmethod
    def of(cls, piece: Any, chunk: Any) -> _Form | None:
        """The form of a piece that holds one text; None if it does not."""
        if _signature(piece) is None or not isinstance(chunk, ModelResponseStream) or len(chunk.choices) != 1:
            return None
        delta = piece["choices"][0]["delta"]
        keys = [key for key in _TEXTS if delta.get(key)]
        others = [value for key, value in delta.items() if key not in keys and value is not None]
        if len(keys) != 1 or not all(isinstance(value, str) for value in (*others, delta[keys[0]])):
            return None
        text = delta[keys[0]]
        targets = [name for name, value in _fields(chunk.choices[0].delta).items() if value == text]
        return cls(piece, chunk, keys[0], targets) if targets and text not in others else None

    def text_of(self, piece: Piece) -> str:
        """Its text."""
        text: str = piece["choices"][0]["delta"][self._key]
        return text

    def piece_with(self, text: str) -> Piece:
        """The same with another text."""
        return {**self._piece, "choices": [{**self._choice, "delta": {**self._delta, self._key: text}}]}

    def chunk_of(self, piece: Piece) -> ModelResponseStream | None:
        """What LiteLLM would make of a piece of the same signature; None where that is not certain."""
        return self._made(piece) if self.is_certain else None

    def foresaw(self, piece: Piece, chunk: ModelResponseStream) -> bool:
        """Whether the chunk is what was to be expected, but for the moment in which it was made."""
        made = self._made(piece)
        if made is None:
            return False
        made.created = chunk.created
        expected: Any = made
        got: Any = chunk
        return bool(expected.model_dump() == got.model_dump())

    def _made(self, piece: Piece) -> ModelResponseStream | None:
        choice = piece["choices"][0]
        delta = choice["delta"]
        text = delta[self._key]
        if not text or text.__class__ is not str:
            return None
        for name, value in delta.items():
            if name != self._key and value != self._delta[name]:
                return None
        for name, value in choice.items():
            if name != "delta" and value != self._choice[name]:
                return None
        update: dict[str, Any] = {}
        for name, value in piece.items():
            known = self._piece[name]
            if name == "choices" or value == known:
                continue
            if name not in self._passed_on:
                continue
            if self._passed_on[name] != known or value.__class__ not in (str, int):
                return None
            update[name] = value
        made = self._chunk.choices[0]
        said = made.delta.model_copy(update=dict.fromkeys(self._targets, text))
        update["choices"] = [made.model_copy(update={"delta": said})]
        return self._chunk.model_copy(update=update)


def _fields(model: Any) -> dict[str, Any]:
    extra = model.model_extra
    return {**vars(model), **extra} if extra else vars(model)

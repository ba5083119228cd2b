"""What a model says, cleaned in one place for plain replies and streams alike: well-formed text, thoughts apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from composite_llm.backend.inline_reasoning import Said, ThoughtSplitter, is_closing_mark, split_thoughts
from composite_llm.backend.interface import ChoiceDelta, Message
from composite_llm.model.messages import with_well_formed_arguments
from composite_llm.model.wellformed import REPLACEMENT, ends_in_half, well_formed, well_formed_value

_TEXTS = frozenset({"content", "reasoning_content", "refusal"})


def cleaned_message(message: Message) -> Message:
    """A whole message; the same object where there is nothing to clean."""
    mended: Message = well_formed_value(message)
    calls = mended.get("tool_calls") or ()
    mended_calls = [with_well_formed_arguments(call) for call in calls]
    if any(new is not old for new, old in zip(mended_calls, calls, strict=True)):
        mended = {**mended, "tool_calls": mended_calls}
    content = mended.get("content")
    if not isinstance(content, str) or not content:
        return mended
    told = mended.get("reasoning_content")
    # LiteLLM takes a pair of marks with nothing between them out itself, and leaves what separated it from the answer.
    said = split_thoughts(content, after_reasoning=bool(told) or (told == "" and content.startswith("\n")))
    if said.answer == content:
        return mended
    reasoning = (mended.get("reasoning_content") or "") + said.thoughts
    answer = said.answer or ("" if not calls else None)
    return {**mended, "content": answer, **({"reasoning_content": reasoning} if reasoning else {})}


class StreamCleaner:
    """The same for an answer that comes in chunks.

    Args:
        unopened: Whether the model is known to begin with thoughts that nothing marks.
    """

    def __init__(self, *, unopened: bool = False) -> None:
        self._unopened = unopened
        self._choices: dict[int, _ChoiceCleaner] = {}

    @property
    def unopened(self) -> bool:
        """Whether the answer began with thoughts that nothing marked; known at its end."""
        return any(choice.unopened for choice in self._choices.values())

    def clean(self, deltas: tuple[ChoiceDelta, ...]) -> tuple[ChoiceDelta, ...]:
        """One chunk's deltas; the same object where there is nothing to clean."""
        cleaned = [self._choice(delta.index).clean(delta) for delta in deltas]
        if all(new is old for new, old in zip(cleaned, deltas, strict=True)):
            return deltas
        return tuple(cleaned)

    def rest(self) -> tuple[ChoiceDelta, ...]:
        """What was still held back when the stream ended."""
        rests = ((index, choice.rest()) for index, choice in self._choices.items())
        return tuple(ChoiceDelta(index, fields) for index, fields in rests if fields)

    def _choice(self, index: int) -> _ChoiceCleaner:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _ChoiceCleaner(self._unopened)
        return choice


class _ChoiceCleaner:
    def __init__(self, unopened: bool) -> None:
        self._splitter = ThoughtSplitter(unopened=unopened)
        self._expected = unopened
        self._end_seen = False
        self._halves: dict[Any, str] = {}
        # Nothing is held back and the answer has begun: most of a stream.
        self._at_rest = False

    @property
    def unopened(self) -> bool:
        return self._splitter.found if self._expected else self._end_seen

    def clean(self, delta: ChoiceDelta) -> ChoiceDelta:
        fields = delta.delta
        text = fields.get("content")
        if delta.logprobs is not None and (mended := well_formed_value(delta.logprobs)) is not delta.logprobs:
            # A token may be half an emoji.
            return replace(self.clean(replace(delta, logprobs=None)), logprobs=mended)
        if self._at_rest and type(text) is str and len(fields) == 1 and well_formed(text) is text:
            if "/" in text and is_closing_mark(text):
                # Too late for this answer, but not for the next one.
                self._end_seen = True
            return delta
        cleaned = self._split(self._mended(fields))
        if delta.finish_reason is not None:
            cleaned = _with(cleaned, self.rest())
        self._at_rest = self._splitter.answering and not self._halves
        return delta if cleaned == fields else replace(delta, delta=cleaned)

    def rest(self) -> Message:
        """What is held back; nothing may follow."""
        halves, self._halves = self._halves, {}
        rest: Message = {key: REPLACEMENT for key in halves if key in _TEXTS and key != "content"}
        if calls := [_arguments(key[1]) for key in halves if isinstance(key, tuple)]:
            rest["tool_calls"] = calls
        last = self._splitter.feed(REPLACEMENT) if "content" in halves else _NOTHING
        return _with(rest, _fields(_together(last, self._splitter.close())))

    def _mended(self, fields: Message) -> Message:
        """The fields in well-formed text; a half at a text's end waits for the next piece of the same text."""
        mended: Message = {}
        for key, value in fields.items():
            if key in _TEXTS and isinstance(value, str):
                mended[key] = self._joined(key, value)
            elif key == "tool_calls":
                mended[key] = [self._mended_call(call) for call in value]
            elif key == "thinking_blocks":
                mended[key] = [self._mended_block(block) for block in value]
            else:
                mended[key] = well_formed_value(value)
        return mended

    def _joined(self, key: Any, piece: str) -> str:
        if "\0" in piece:
            piece = piece.replace("\0", "")
        if self._halves and (half := self._halves.pop(key, None)) is not None:
            piece = half + piece
        if ends_in_half(piece):
            self._halves[key] = piece[-1]
            piece = piece[:-1]
        return well_formed(piece)

    def _mended_call(self, call: Any) -> Any:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
            return well_formed_value(call)
        arguments = self._joined(("arguments", call.get("index")), function["arguments"])
        return well_formed_value({**call, "function": {**function, "arguments": arguments}})

    def _mended_block(self, block: Any) -> Any:
        if not isinstance(block, Mapping) or not isinstance(block.get("thinking"), str):
            return well_formed_value(block)
        return well_formed_value({**block, "thinking": self._joined("thinking", block["thinking"])})

    def _split(self, fields: Message) -> Message:
        if self._splitter.answering:
            return fields
        if fields.get("reasoning_content") or "reasoning_content" in self._halves:
            self._splitter.note_reasoning()
        said = self._splitter.feed(fields["content"]) if fields.get("content") else _NOTHING
        if fields.get("tool_calls") or fields.get("function_call"):
            # Thoughts end where the model acts, marked or not.
            said = _together(said, self._splitter.close())
        if said.thoughts and self._halves.pop("reasoning_content", None) is not None:
            said = _together(Said(REPLACEMENT, ""), said)
        others = {key: value for key, value in fields.items() if key != "content" or not value}
        return _with(others, _fields(said))


_NOTHING = Said("", "")


def _together(first: Said, second: Said) -> Said:
    return Said(first.thoughts + second.thoughts, first.answer + second.answer)


def _fields(said: Said) -> Message:
    fields = {"reasoning_content": said.thoughts, "content": said.answer}
    return {key: text for key, text in fields.items() if text}


def _with(fields: Message, more: Message) -> Message:
    """Fields with more of the same behind their own: texts and lists both join."""
    return {**fields, **{key: fields[key] + value if fields.get(key) else value for key, value in more.items()}}


def _arguments(index: Any) -> Message:
    return {"index": index, "function": {"arguments": REPLACEMENT}}

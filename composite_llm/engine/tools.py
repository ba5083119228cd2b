"""Runs the tools that the final model asks for, when the caller gave an executor."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from composite_llm.backend.tool_turn import tool_turn_of
from composite_llm.engine.cancellation import being_cancelled
from composite_llm.engine.recorder import Recorder
from composite_llm.engine.threads import in_daemon_thread
from composite_llm.model.errors import InvalidOption
from composite_llm.model.messages import Message, ModelTurn, as_text, checked_messages, with_well_formed_arguments
from composite_llm.model.tool_results import ToolContent, content_text, tool_content
from composite_llm.model.trace import UNREADABLE_ARGUMENTS, ToolCall
from composite_llm.model.wellformed import well_formed_value

ToolFunction = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Who asks for a tool; handed to an executor that has a `run_tool` method, such as `ToolGuard`."""

    run_id: str
    node: str
    call_id: str


class ToolExecutor:
    """A caller's executor in one form.

    Args:
        source: A callable `(name, arguments)`, sync or async, or a mapping from tool name to a function that takes the
            arguments as keywords.
    """

    def __init__(self, source: Callable[[str, dict[str, Any]], Any] | Mapping[str, ToolFunction]) -> None:
        self._source = source

    def covers(self, names: Sequence[str]) -> bool:
        """Whether every one of these tools can be run here."""
        guarded = getattr(self._source, "covers", None)
        if guarded is not None:
            return bool(guarded(names))
        return not isinstance(self._source, Mapping) or all(name in self._source for name in names)

    async def run(self, name: str, arguments: dict[str, Any], context: ToolContext) -> Any:
        """The tool's result; whatever the tool raises."""
        source = self._source
        try:
            if isinstance(source, Mapping):
                return await call_beside(source[name], **arguments)
            guarded = getattr(source, "run_tool", None)
            if guarded is not None:
                return await guarded(name, arguments, context)
            return await call_beside(source, name, arguments)
        except SystemExit as error:
            # From an async tool; let through, it would end the event loop.
            message = f"SystemExit: {error.code}"
            raise RuntimeError(message) from None

    def note_unreadable(self, name: str, arguments: str, context: ToolContext) -> None:
        """Let a guard know of a call whose arguments could not be read, so that it was not run."""
        told = getattr(self._source, "note_unreadable", None)
        if told is not None:
            told(name, arguments, context)


async def call_beside(function: ToolFunction, /, *args: Any, **kwargs: Any) -> Any:
    """A sync function in a thread, an async one here; an awaitable that a sync one returns is awaited."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return await function(*args, **kwargs)
    result = await in_daemon_thread(function, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def executor_of(option: Any, registered: Mapping[str, Any]) -> ToolExecutor | None:
    """The executor an option means: itself, or the one the application registered under that name.

    Raises:
        InvalidOption: It is neither callable, nor a mapping of functions, nor a registered name.
    """
    if option is None:
        return None
    if isinstance(option, str):
        if option not in registered:
            known = ", ".join(sorted(registered)) or "none is registered"
            raise InvalidOption(
                "tool_executor", f"got {option!r}", allowed=f"a registered name ({known})", value=option
            )
        option = registered[option]
    if isinstance(option, Mapping):
        wrong = next((name for name, function in option.items() if not callable(function)), None)
        if wrong is not None:
            raise InvalidOption(f"tool_executor.{wrong}", "is not callable", allowed="a function", value=wrong)
    elif not callable(option) and not hasattr(option, "run_tool"):
        raise InvalidOption(
            "tool_executor", f"is a {type(option).__name__}", allowed="a callable, a mapping of callables or a name"
        )
    return ToolExecutor(option)


def requested(message: Message) -> list[Message]:
    """The tool calls of a message in one form, those of the older `function_call` included."""
    calls = list(message.get("tool_calls") or ())
    legacy = message.get("function_call")
    if legacy and not calls:
        calls = [{"id": None, "type": "function", "function": legacy}]
    return [with_well_formed_arguments(call) for call in calls]


def tool_names(message: Message) -> list[str]:
    """Names of the tools a message asks for."""
    return [(call.get("function") or {}).get("name") or "" for call in requested(message)]


async def run_tools(
    executor: ToolExecutor,
    message: Message,
    recorder: Recorder,
    node: str,
    round_number: int,
    origin: str | None = None,
) -> tuple[list[Message], list[ToolCall]]:
    """Run one turn's tool calls at once.

    Args:
        executor: Runs them.
        message: The model's.
        recorder: Whose clock and id count.
        node: The node that answers.
        round_number: From 1.
        origin: The model that said it, which is given back its own part of the turn; None where it is not known.

    Returns:
        The messages to add to the conversation (the model's own turn, then the results in the order asked), and the records.
    """
    legacy = bool(message.get("function_call") and not message.get("tool_calls"))
    calls = requested(message) if legacy else _with_ids(requested(message), round_number)
    done = await asyncio.gather(*(_run_one(executor, call, recorder, node, round_number) for call in calls))
    records = [record for record, _ in done]
    if legacy:
        turn = {"role": "assistant", "content": message.get("content"), "function_call": calls[0]["function"]}
        answers: list[Message] = [{"role": "function", "name": records[0].name, "content": content_text(done[0][1])}]
    else:
        turn = _own_message({**message, "tool_calls": calls}, origin)
        answers = [{"role": "tool", "tool_call_id": record.id, "content": content} for record, content in done]
    return [turn, *answers], records


def _own_message(message: Message, origin: str | None) -> Message:
    """The model's turn as everybody may read it, with its own part for itself."""
    (turn,) = checked_messages([{"role": "assistant", **message}])
    own = tool_turn_of(origin, message) if origin is not None else None
    return ModelTurn(turn, message, own)


def _with_ids(calls: Sequence[Message], round_number: int) -> list[Message]:
    """The calls, each with an id: some servers send none, and none takes a result back without one."""
    return [call if call.get("id") else {**call, "id": f"call_{round_number}_{n}"} for n, call in enumerate(calls, 1)]


async def _run_one(
    executor: ToolExecutor, call: Message, recorder: Recorder, node: str, round_number: int
) -> tuple[ToolCall, ToolContent]:
    """One tool call: its record, and what the model is given."""
    function = call.get("function") or {}
    name, raw = function.get("name") or "", function.get("arguments")
    started = recorder.clock()
    call_id = str(call.get("id") or "")
    context = ToolContext(recorder.run_id, node, call_id)
    arguments: dict[str, Any] | str
    content: ToolContent | None = None
    error = error_class = None
    try:
        arguments = parsed_arguments(raw)
    except ValueError as problem:
        arguments, error, error_class = str(raw), str(problem), UNREADABLE_ARGUMENTS
        executor.note_unreadable(name, arguments, context)
    else:
        try:
            content = tool_content(await executor.run(name, arguments, context))
        except asyncio.CancelledError as problem:
            if being_cancelled():
                raise
            error, error_class = _described(problem), type(problem).__name__
        except Exception as problem:  # noqa: BLE001  # whatever a tool raises is its answer to the model
            error, error_class = _described(problem), type(problem).__name__
    record = ToolCall(
        id=call_id,
        round=round_number,
        name=name,
        arguments=arguments,
        result=None if content is None else content_text(content),
        error=error,
        error_class=error_class,
        start_s=recorder.since_start(started),
        duration_s=recorder.clock() - started,
    )
    return record, f"Error: {error}" if content is None else content


def _described(error: BaseException) -> str:
    text = as_text(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def parsed_arguments(raw: Any) -> dict[str, Any]:
    """A tool call's arguments; nothing means none.

    Raises:
        ValueError: They are no JSON object.
    """
    if raw is None or raw == "":
        return {}
    if isinstance(raw, Mapping):
        return dict(well_formed_value(raw))
    try:
        # An escape in them may be half an emoji.
        arguments = well_formed_value(json.loads(raw))
    except (TypeError, ValueError, RecursionError):
        message = "the arguments are not valid JSON"
        raise ValueError(message) from None
    if not isinstance(arguments, dict):
        message = "the arguments are not a JSON object"
        raise ValueError(message)
    return arguments

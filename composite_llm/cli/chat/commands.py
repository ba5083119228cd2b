"""The commands of a conversation: lines that begin with a slash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from composite_llm.cli.chat.conversation import Conversation, Setting
from composite_llm.cli.exits import Failed, Misused, say_error
from composite_llm.cli.output import print_table
from composite_llm.config.registry import STRATEGIES
from composite_llm.model.errors import CompositeError
from composite_llm.model.near_misses import near_miss
from composite_llm.model.personas import PERSONAS, persona_text
from composite_llm.model.summary import brief_line, money, summary
from composite_llm.model.trace import Call, Trace
from composite_llm.model.usage import total_cost, total_usage


def print_stats(traces: Sequence[Trace]) -> None:
    """A row for each model, and one for all."""
    calls: dict[str, list[Call]] = {}
    for trace in traces:
        for call in trace.calls:
            calls.setdefault(call.model, []).append(call)
    rows = [_row(model, model_calls) for model, model_calls in sorted(calls.items())]
    everything = [call for model_calls in calls.values() for call in model_calls]
    questions = f"{len(traces)} question{'s' if len(traces) != 1 else ''}"
    print_table(
        ("MODEL", "CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"),
        [*rows, _row(questions, everything)],
        right=("CALLS", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"),
    )


def _row(name: str, calls: Iterable[Call]) -> tuple[str, ...]:
    known = list(calls)
    usage = total_usage(call.usage for call in known)
    return (
        name,
        str(len(known)),
        str(sum(call.status in ("failed", "timed_out") for call in known)),
        str(usage.prompt_tokens),
        str(usage.completion_tokens),
        money(total_cost(call.cost_usd for call in known)),
    )


_NONE = ("off", "none")


class Leave(Exception):
    """The conversation is over."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One command.

    Attributes:
        run: Gets the conversation and what stands behind the command.
        argument: How that is called in the help; empty for nothing.
        summary: What it does.
    """

    run: Callable[[Conversation, str], None]
    argument: str
    summary: str


def run_line(conversation: Conversation, line: str) -> None:
    """Run a line that begins with a slash; a mistake in it is told and ends nothing.

    Raises:
        Leave: It was the last one.
    """
    name, _, argument = line[1:].partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        meant = near_miss(name, COMMANDS)
        say_error(f"/{name} is no command" + (f"; did you mean /{meant}?" if meant else "; /help lists them"))
        return
    try:
        command.run(conversation, argument.strip())
    except (Failed, CompositeError) as error:
        say_error(str(error))


def _help(_conversation: Conversation, _argument: str) -> None:
    width = max(len(f"/{name} {command.argument}") for name, command in COMMANDS.items())
    for name, command in COMMANDS.items():
        print(f"{f'/{name} {command.argument}'.ljust(width)}  {command.summary}")


def _stats(conversation: Conversation, _argument: str) -> None:
    print_stats(conversation.traces)


def _mode(conversation: Conversation, argument: str) -> None:
    if not argument:
        print(conversation.target().model)
        return
    if argument not in STRATEGIES:
        message = f"/mode {argument}: allowed: {', '.join(STRATEGIES)}"
        raise Misused(message)
    _change(conversation, replace(conversation.setting, strategy=argument, profile=None))


def _profile(conversation: Conversation, argument: str) -> None:
    if not argument:
        print(conversation.setting.profile or "no profile")
        return
    if argument in _NONE:
        _change(conversation, replace(conversation.setting, profile=None))
        return
    _change(conversation, replace(conversation.setting, profile=argument, strategy=None, model=None, proposers=()))


def _persona(conversation: Conversation, argument: str) -> None:
    """A name that ships, or any words."""
    if not argument:
        print(conversation.setting.system or "no persona")
        return
    if argument in _NONE:
        system = None
    elif argument in PERSONAS:
        system = persona_text(f"persona:{argument}")
    elif " " in argument:
        system = argument
    else:
        message = f"/persona {argument}: allowed: {', '.join(PERSONAS)}, a sentence of your own, or off"
        raise Misused(message)
    conversation.setting = replace(conversation.setting, system=system)
    print("persona set" if system else "no persona")


def _change(conversation: Conversation, setting: Setting) -> None:
    conversation.check(setting)
    conversation.setting = setting
    print(conversation.target().model)


def _trace(conversation: Conversation, argument: str) -> None:
    if not conversation.traces:
        print("nothing was asked yet")
        return
    trace = conversation.traces[-1]
    if argument:
        _write(argument, trace.model_dump_json(indent=2))
        return
    print(f"{trace.id}  {trace.model}\n")
    print(summary(trace))


def _reset(conversation: Conversation, _argument: str) -> None:
    conversation.forget()
    print("forgotten; what it cost stays in /stats")


def _save(conversation: Conversation, argument: str) -> None:
    if not argument:
        message = "/save needs a file: FILE.md for reading, FILE.json for the messages"
        raise Misused(message)
    if argument.endswith(".json"):
        _write(argument, json.dumps(conversation.said, indent=2, ensure_ascii=False))
        return
    titles = {"user": "Question", "assistant": "Answer"}
    parts = [f"## {titles[message['role']]}\n\n{message['content'].strip()}\n" for message in conversation.said]
    costs = [f"- {brief_line(trace)}" for trace in conversation.traces]
    _write(argument, "\n".join([*parts, "## Cost\n", *costs, ""]))


def _write(name: str, text: str) -> None:
    path = Path(name).expanduser()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror or 'cannot be written'}"
        raise Failed(message) from None
    print(f"written: {path}")


def _quit(_conversation: Conversation, _argument: str) -> None:
    raise Leave


COMMANDS = {
    "stats": SlashCommand(_stats, "", "what the conversation has cost until now, by model"),
    "mode": SlashCommand(_mode, "[moa|council]", "how the models work together"),
    "persona": SlashCommand(_persona, "[NAME|words|off]", "a system prompt, by name or in your own words"),
    "profile": SlashCommand(_profile, "[NAME|off]", "ask a profile of the configuration"),
    "trace": SlashCommand(_trace, "[FILE]", "what happened in the last run, or write it as JSON"),
    "reset": SlashCommand(_reset, "", "forget what was said"),
    "save": SlashCommand(_save, "FILE", "write the conversation: FILE.md or FILE.json"),
    "help": SlashCommand(_help, "", "this list"),
    "quit": SlashCommand(_quit, "", "end the conversation, as Ctrl-D does"),
}
"""Every command, in the order of `/help`."""

"""The commands of `composite`, as their document has to show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from composite_llm.cli.app import COMMANDS, app
from composite_llm.cli.lazy_group import Entry, LazyGroup, loaded

_OF_EVERY_COMMAND = frozenset({"help"})


def every_command() -> Iterator[tuple[str, Entry, Any]]:
    """Each command that does something by itself: its whole name, its entry, and what typer made of it."""
    waiting = list(COMMANDS.items())
    while waiting:
        name, entry = waiting.pop(0)
        command = loaded(name, entry)
        if entry.example is not None:
            yield name, entry, command
        if isinstance(command, LazyGroup):
            waiting = [*((f"{name} {inner}", found) for inner, found in command.entries.items()), *waiting]


def options_table(command: Any) -> list[list[str]]:
    """Its arguments and options: names, and what they are for."""
    return [
        [" ".join(f"`{name}`" for name in _names(parameter)), " ".join((parameter.help or "").split())]
        for parameter in command.params
        if parameter.name not in _OF_EVERY_COMMAND
    ]


def _names(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [(parameter.metavar or parameter.name).upper()]
    return [*parameter.opts, *parameter.secondary_opts]


def check_words(words: list[str]) -> None:
    """That a command line names what is there; it is parsed, not run."""
    import typer.main

    command: Any = typer.main.get_command(app)
    context = None
    rest = words[1:]
    while isinstance(command, LazyGroup) and rest and rest[0] in command.entries:
        name, rest = rest[0], rest[1:]
        command = command.get_command(context, name)
    if command.name == "composite":
        # Options of the whole command act as soon as they are read: `--install-completion` writes into the home.
        assert set(rest) <= {name for parameter in command.params for name in parameter.opts}, rest
        return
    command.make_context(words[0], rest)

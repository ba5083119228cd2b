"""A group of commands whose modules are imported when one of them is called, not for the list of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and the line that stands for it in the list.

    Attributes:
        target: `module:name` of a function, or of a `typer.Typer` with commands of its own.
        summary: The first sentence of its help; a test compares the two.
        example: A command line that ends its help; none for a group, whose commands have their own.
    """

    target: str
    summary: str
    example: str | None = None


class LazyGroup(TyperGroup):
    """Looks its commands up in `entries`, in their order."""

    entries: ClassVar[Mapping[str, Entry]] = {}
    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """As the group of typer."""
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """As the group of typer; while the commands are listed, stand-ins that know their summary."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=entry.summary)
        return loaded(cmd_name, entry)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As the group of typer."""
        self._listing = True
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """As the group of typer."""
        self._listing = True
        return super().shell_complete(ctx, incomplete)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the group of typer, but nothing at all is a question for help, which is no mistake."""
        return super().parse_args(ctx, args or ([] if self.invoke_without_command else ["--help"]))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the group of typer, which suggests only commands that it holds itself."""
        self.commands = {name: TyperCommand(name) for name in self.entries}
        return super().resolve_command(ctx, args)


def loaded(name: str, entry: Entry) -> Any:
    """The command of an entry, with its module imported."""
    module, _, attribute = entry.target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = new_app()
        app.command(name)(found)
        found = app
    command = typer.main.get_command(found)
    command.name = name
    if entry.example is not None:
        command.epilog = f"Example: {entry.example}"
    return command


def new_app(entries: Mapping[str, Entry] | None = None, **settings: Any) -> typer.Typer:
    """A typer app in the form that all commands share.

    Args:
        entries: Commands that are imported late.
        settings: Further settings of `typer.Typer`.
    """
    if entries is not None:
        settings["cls"] = type("Group", (LazyGroup,), {"entries": entries})
    return typer.Typer(
        pretty_exceptions_enable=False,
        # A frame around the help is for eyes; and rich takes a third of the time in which help has to be there.
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **{"add_completion": False, **settings},
    )

"""Where the lines of a conversation come from: a person at a terminal, or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from composite_llm.cli.completing import complete_profile
from composite_llm.cli.output import drawing
from composite_llm.config.registry import STRATEGIES
from composite_llm.model.personas import PERSONAS
from composite_llm.observe.telemetry_settings import state_folder

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completer
    from prompt_toolkit.document import Document

Reader: TypeAlias = Iterator[str]


def reader() -> Reader:
    """The lines, until the end of the input."""
    return _edited() if sys.stdin.isatty() and drawing() else _piped()


def _piped() -> Reader:
    for line in sys.stdin:
        yield line.rstrip("\n")


def _edited() -> Reader:
    """With editing, a history that outlasts the program, and completion; Alt-Enter begins a new line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, InMemoryHistory
    from prompt_toolkit.output import ColorDepth

    path = history_file()
    session: PromptSession[str] = PromptSession(
        "> ",
        history=FileHistory(str(path)) if path is not None else InMemoryHistory(),
        completer=completer(),
        complete_while_typing=False,
        color_depth=ColorDepth.MONOCHROME if os.environ.get("NO_COLOR") else None,
        prompt_continuation="  ",
    )
    print("/help lists the commands, Ctrl-D ends the conversation.", file=sys.stderr)
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            # As in a shell: the line is given up, the conversation is not.
            continue
        except EOFError:
            return


def history_file() -> Path | None:
    """`composite_llm/chat_history` in the user's directory for state (XDG); None where it cannot be made."""
    path = state_folder() / "chat_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What people ask is theirs alone.
        path.touch(mode=0o600)
    except OSError:
        return None
    return path


def completions(text: str) -> list[tuple[str, str]]:
    """What may stand at the end of a line, and a word about it.

    Args:
        text: The line up to the cursor.

    Returns:
        Whole words: the command, or what follows it.
    """
    from composite_llm.cli.chat.commands import COMMANDS

    if not text.startswith("/"):
        return []
    name, space, begun = text[1:].partition(" ")
    if not space:
        return [(f"/{known}", command.summary) for known, command in COMMANDS.items() if known.startswith(name)]
    words: dict[str, Iterable[str]] = {
        "mode": list(STRATEGIES),
        "persona": [*PERSONAS, "off"],
        "profile": [*complete_profile(""), "off"],
    }
    return [(word, "") for word in words.get(name, ()) if word.startswith(begun)]


def completer() -> Completer:
    """The same for prompt_toolkit."""
    from prompt_toolkit.completion import Completer, Completion

    class Commands(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            text = document.text_before_cursor
            begun = text.rpartition(" ")[2]
            for word, meaning in completions(text):
                yield Completion(word, start_position=-len(begun), display_meta=meaning)

    return Commands()

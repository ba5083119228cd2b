"""`composite chat`: the command, and the loop of a conversation."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from composite_llm.cli.ask import Reasoning
from composite_llm.cli.target import (
    ConfigOption,
    ModelOption,
    OfflineOption,
    OptionsOption,
    ProfileOption,
    ProposersOption,
    StrategyOption,
)

if TYPE_CHECKING:
    from composite_llm.cli.chat.conversation import Conversation
    from composite_llm.cli.chat.reading import Reader


def chat(
    strategy: StrategyOption = None,
    model: ModelOption = None,
    proposers: ProposersOption = None,
    profile: ProfileOption = None,
    system: Annotated[str | None, typer.Option("--system", help="A system prompt.")] = None,
    reasoning: Annotated[
        Reasoning,
        typer.Option("--reasoning", help="What is shown of the members: a line each, also their texts, or nothing."),
    ] = Reasoning.summary,
    options: OptionsOption = None,
    config: ConfigOption = None,
    offline: OfflineOption = False,
    session: Annotated[
        str | None, typer.Option("--session", help="Keep the conversation under this name, or go on with it.")
    ] = None,
) -> None:
    """Talk with several models as with one.

    Lines that begin with a slash are commands: /stats, /mode, /persona, /profile, /trace, /reset, /save, /quit, /help.
    Ctrl-C breaks off an answer; Ctrl-D ends the conversation.
    """
    from composite_llm.cli.chat.conversation import Conversation, Setting
    from composite_llm.cli.chat.reading import reader
    from composite_llm.cli.loading import load
    from composite_llm.cli.offline import models
    from composite_llm.cli.progress import Progress

    with models(offline=offline) as at:
        progress = Progress()
        setting = Setting(strategy, model, tuple(proposers or ()), profile, tuple(options or ()), system)
        load(at.config(config), [progress])
        conversation = Conversation(at, setting, progress, full=reasoning is Reasoning.full)
        # A mistake in the words is told now, not with the first question.
        conversation.check()
        if session is not None:
            _go_on(conversation, session)
        failed = _talk(conversation, reader(), quiet=reasoning is Reasoning.off)
    if failed and not sys.stdin.isatty():
        raise typer.Exit(1)


def _go_on(conversation: Conversation, name: str) -> None:
    """Take up what was said under that name, and keep what is said from now on."""
    from composite_llm.observe.telemetry_settings import state_folder
    from composite_llm.work import Session

    folder = state_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    conversation.session = Session(name, path=folder / "sessions.sqlite")
    conversation.said += conversation.session.turns()
    if conversation.said:
        print(f"Going on with {name!r}: {len(conversation.said)} messages.", file=sys.stderr)


def _talk(conversation: Conversation, lines: Reader, *, quiet: bool) -> bool:
    """Until the end of the input; whether a turn failed."""
    from composite_llm.cli.chat.commands import Leave, run_line

    failed = False
    # One loop for all turns: LiteLLM keeps its connections by loop.
    with asyncio.Runner() as runner:
        for line in lines:
            text = line.strip()
            if not text:
                continue
            try:
                if text.startswith("/"):
                    run_line(conversation, text)
                else:
                    failed = not _turn(conversation, runner, text, quiet=quiet) or failed
            except Leave:
                break
    return failed


def _turn(conversation: Conversation, runner: asyncio.Runner, text: str, *, quiet: bool) -> bool:
    """One question; False when it got no answer. Neither a failure nor Ctrl-C ends the conversation."""
    from composite_llm.cli.exits import described, say_error
    from composite_llm.model.errors import CompositeError

    try:
        runner.run(conversation.turn(text, quiet=quiet))
    except CompositeError as error:
        say_error(described(error)[0])
        return False
    except KeyboardInterrupt:
        say_error("broken off; the question is not part of the conversation")
        if not sys.stdin.isatty():
            raise
    return True

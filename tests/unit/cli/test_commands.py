"""The list of commands, and what it costs to show it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import pytest
import typer

from composite_llm.cli.app import COMMANDS
from composite_llm.cli.lazy_group import Entry, LazyGroup, loaded
from tests.support.interpreter import run_program


def all_commands() -> Iterator[tuple[str, Entry]]:
    """Every command with its whole name, groups before what they hold."""
    waiting = list(COMMANDS.items())
    while waiting:
        name, entry = waiting.pop(0)
        yield name, entry
        command = loaded(name, entry)
        if isinstance(command, LazyGroup):
            waiting += [(f"{name} {inner}", found) for inner, found in command.entries.items()]


@pytest.mark.parametrize(("name", "entry"), [pytest.param(name, entry, id=name) for name, entry in all_commands()])
def test_the_line_in_the_list_is_the_first_of_the_commands_own_help(name: str, entry: Entry) -> None:
    own = inspect.cleandoc(loaded(name, entry).help or "").split("\n\n")[0]
    assert " ".join(own.split()) == entry.summary


@pytest.mark.parametrize(("name", "entry"), [pytest.param(name, entry, id=name) for name, entry in all_commands()])
def test_the_help_of_a_command_ends_with_an_example_of_it(name: str, entry: Entry) -> None:
    command = loaded(name, entry)
    if isinstance(command, LazyGroup) and not command.invoke_without_command:
        assert entry.example is None
    else:
        assert f"composite {name}" in (entry.example or "")
        assert f"Example: {entry.example}" == command.epilog


@pytest.mark.parametrize(("name", "entry"), [pytest.param(name, entry, id=name) for name, entry in all_commands()])
def test_every_option_says_what_it_is_for(name: str, entry: Entry) -> None:
    command = loaded(name, entry)
    for parameter in command.params:
        if parameter.name not in ("help", "version", "install_completion", "show_completion"):
            assert parameter.help, parameter.name


_LOADED = """
    import json, sys
    from composite_llm.cli.app import app
    from composite_llm.cli.exits import run
    arguments = {arguments!r}
    code = run(app, arguments)
    heavy = ("litellm", "rich", "prompt_toolkit", "yaml", "asyncio", "fake_server")
    print("\\n" + json.dumps([code, [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["traces", "--help"], ["nothing"]], ids=" ".join)
def test_the_list_of_commands_loads_nothing_heavy(arguments: list[str]) -> None:
    done = run_program(_LOADED.format(arguments=arguments))
    assert done.returncode == 0, done.stderr
    code, heavy = json.loads(done.stdout.splitlines()[-1])
    assert code == (2 if arguments == ["nothing"] else 0)
    assert heavy == []


def test_help_of_every_command_loads_no_litellm() -> None:
    arguments = [["--help"], *([*name.split(), "--help"] for name, _ in all_commands())]
    source = _LOADED.replace("code = run(app, arguments)", "code = [run(app, each) for each in arguments]")
    done = run_program(source.format(arguments=arguments))
    assert done.returncode == 0, done.stderr
    codes, heavy = json.loads(done.stdout.splitlines()[-1])
    assert set(codes) == {0}
    assert {"litellm", "fake_server"}.isdisjoint(heavy)


def test_every_entry_names_a_function_or_a_group() -> None:
    for name, entry in all_commands():
        assert isinstance(loaded(name, entry), typer.core.TyperCommand | LazyGroup), name

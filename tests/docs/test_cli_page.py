"""The page about the command names every command, with every option, as the code has them."""

from __future__ import annotations

import re
import shlex

import pytest

from composite_llm.cli.app import COMMANDS
from composite_llm.cli.chat.commands import COMMANDS as SLASH_COMMANDS
from composite_llm.cli.exits import FAILED, INTERRUPTED, OK, USAGE
from tests.docs.blocks import blocks, codes, document, section, table
from tests.docs.commands import check_words, every_command, options_table

PAGE = document("docs/cli.md")
EVERY = [pytest.param(name, id=name) for name, _, _ in every_command()]


def heading(name: str) -> str:
    return f"### composite {name}"


@pytest.mark.parametrize("name", EVERY)
def test_a_command_has_a_section_with_its_summary_its_example_and_its_options(name: str) -> None:
    ((entry, command),) = [(entry, command) for known, entry, command in every_command() if known == name]
    text = section(PAGE, heading(name))
    assert entry.summary in text
    assert entry.example in [line for block in blocks(text) for line in block.text.splitlines()]
    expected = options_table(command)
    pasted = "\n".join(f"| {names} | {meaning.replace('|', chr(92) + '|')} |" for names, meaning in expected)
    assert (table(text) if expected else []) == expected, f"the table should be\n{pasted}"


def test_the_overview_names_every_command_and_no_other() -> None:
    cells = "\n".join(row[0] for row in table(section(PAGE, "# The command `composite`")))
    assert sorted(codes(cells)) == sorted(f"composite {name}" for name in COMMANDS)


def test_there_is_no_section_of_a_command_that_is_not_there() -> None:
    found = re.findall(r"^### (composite .*)$", PAGE, re.MULTILINE)
    assert found == [f"composite {name}" for name, _, _ in every_command()]


@pytest.mark.parametrize("name", EVERY)
def test_the_example_in_the_help_can_be_typed_as_it_is(name: str) -> None:
    ((entry, _),) = [(entry, command) for known, entry, command in every_command() if known == name]
    assert entry.example is not None
    check_words(shlex.split(entry.example.partition(">")[0]))


def test_every_slash_command_of_a_conversation_is_named() -> None:
    rows = table(section(PAGE, "### Commands of a conversation"))
    expected = [
        [f"`{f'/{name} {command.argument}'.strip()}`", command.summary] for name, command in SLASH_COMMANDS.items()
    ]
    assert rows == expected


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = table(section(PAGE, "## Exit codes"))
    assert [int(codes(row[0])[0]) for row in rows] == [OK, FAILED, USAGE, INTERRUPTED]

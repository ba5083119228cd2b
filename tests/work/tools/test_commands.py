"""Commands are vectors of words, and an allowlist means them as such."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm import InvalidOption
from composite_llm.work import CommandRefused
from composite_llm.work.tools.commands import CommandRule, parsed_command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ls -l 'a b'", ["ls", "-l", "a b"]),
        (["ls", "a;b"], ["ls", "a;b"]),
        ("echo $HOME `id` $(id)x", None),
        ("echo $HOME", ["echo", "$HOME"]),
        ('printf "a\\nb"', ["printf", "a\\nb"]),
        ("a # b", ["a", "#", "b"]),
        ("ls; rm -rf x", None),
        ("ls;rm", None),
        ("ls && rm", None),
        ("ls | sh", None),
        ("ls > out", None),
        ("ls >out", None),
        ("ls\nrm x", None),
        ("(ls)", None),
        ("ls &", None),
        ("", None),
        ("   ", None),
        ("'unfinished", None),
        ([], None),
        ([""], None),
        ([1], None),
        (["a\0b"], None),
        (["a"] * 1001, None),
        (["a" * 100_001], None),
    ],
)
def test_a_command_is_split_into_words_or_refused(command, words) -> None:
    if words is None:
        with pytest.raises(CommandRefused):
            parsed_command(command)
    else:
        assert parsed_command(command) == words


@pytest.mark.parametrize(
    ("rule", "command", "allowed"),
    [
        ("git status", "git status", True),
        ("git status", "git status --short", False),
        ("git status", "git  status", True),
        ("git status", ["git", "status "], False),
        ("git status", ["git status"], False),
        ("git status", "./git status", False),
        ("git status", "/usr/bin/git status", False),
        ("git log *", "git log", True),
        ("git log *", "git log -p --stat", True),
        ("git log *", "git logs", False),
        ("git log *", "git -c alias.log=!sh log", False),
        ("pytest *", "pytest -q tests", True),
        ("pytest *", "pytest-3 -q", False),
        (["echo", "a b"], "echo 'a b'", True),
        (["echo", "a b"], "echo a b", False),
        ("python", "python", True),
        ("python", "python -c 'import os'", False),
        ("python", "python -m http.server", False),
        ("python", "python evil.py", False),
        ("python -m pytest *", "python -m pytest -q", True),
        ("python -m pytest *", "python -c x", False),
        ("python tool.py *", "python tool.py -c x", True),
        ("python tool.py *", "python -c x tool.py", False),
        ("node -e 1", "node -e 1", True),
        ("node -e 1", "node -e 2", False),
        ("make test *", "make test X=1", True),
    ],
)
def test_a_rule_allows_vectors_of_its_words(rule, command, allowed: bool) -> None:
    assert CommandRule.parsed(rule).allows(parsed_command(command)) is allowed


@pytest.mark.parametrize(
    "rule",
    [
        "python *",
        "python3.11 *",
        "/usr/bin/python3 *",
        "python -c *",
        "python -m *",
        "python -I -c *",
        "python -Wc *",
        "pypy3 *",
        "perl *",
        "perl -e *",
        "ruby -rjson *",
        "node *",
        "node --eval *",
        "bash *",
        "bash -c *",
        "sh -lc *",
        "env *",
        "env X=1 *",
        "env X=1 pytest *",
        "xargs rm *",
        "find . *",
        "timeout 5 *",
        "nice pytest *",
        "sudo ls *",
        "git *",
        "git -c *",
        "npx *",
        "npm exec *",
        "uv run *",
        "uv run python *",
        "uv run -m *",
        "poetry run python -c *",
        "make *",
        "awk *",
        "sed -n *",
        "vim *",
        "docker run *",
        "tar xf *",
        "PYTHON *",
        "python.exe *",
        "busybox sh *",
        "*",
        "git * status",
        "ls; rm",
        "",
        [],
    ],
)
def test_a_rule_that_would_allow_anything_is_refused(rule) -> None:
    with pytest.raises(InvalidOption):
        CommandRule.parsed(rule)


WORDS = st.lists(st.text(alphabet="ab-*c ;'\"", min_size=1, max_size=5), min_size=1, max_size=5)


@given(rule=WORDS, argv=WORDS)
def test_a_rule_without_a_star_allows_exactly_itself(rule: list[str], argv: list[str]) -> None:
    if "*" not in rule:
        assert CommandRule.parsed(rule).allows(rule)
        assert CommandRule.parsed(rule).allows(argv) is (rule == argv)


@given(st.text(alphabet="ab'\"\\;|&<>()$` \n\t#", max_size=30))
def test_whatever_stands_in_a_text_is_split_or_refused(text: str) -> None:
    try:
        words = parsed_command(text)
    except CommandRefused:
        return
    assert words
    assert words[0]

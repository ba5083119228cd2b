"""Commands as argument vectors, and the allowlist that they are matched against."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from composite_llm import InvalidOption
from composite_llm.work.errors import CommandRefused

ANY_MORE = "*"
"""As a rule's last word: any further arguments."""

_OPERATORS = frozenset("();<>|&\n")
_MAX_WORDS = 1000
_MAX_BYTES = 100_000

_INTERPRETERS = re.compile(
    r"(python|pypy|perl|ruby|node|nodejs|bun|deno|php|lua|luajit|tclsh|wish|expect|r|rscript|julia|ghci|guile|racket|sbcl"
    r"|erl|elixir|iex|scala|groovy|java|jshell|dotnet|mono|pwsh|powershell|osascript"
    r"|sh|ash|bash|dash|zsh|ksh|mksh|fish|csh|tcsh|make|gmake|cmake|ninja|git|hg|svn"
    r"|npx|npm|pnpm|yarn|uv|uvx|pipx|pip|poetry|hatch|tox|nox|cargo|go|mvn|gradle)[-.\d]*(\.exe)?",
    re.IGNORECASE,
)
"""Programs that run what their first arguments name: their name alone says nothing about what will happen."""

_WRAPPERS = re.compile(
    r"(env|xargs|parallel|find|fd|nice|ionice|nohup|timeout|time|watch|stdbuf|setsid|script|strace|ltrace|gdb|lldb|chroot"
    r"|unshare|nsenter|sudo|doas|su|runuser|ssh|docker|podman|bwrap|tar|rsync|zip|busybox|toybox|ld\.so|ld-linux.*"
    r"|g?awk|mawk|nawk|sed|ed|ex|vi|vim|nvim|emacs|nano|less|more|man)[-.\d]*(\.exe)?",
    re.IGNORECASE,
)
"""Programs that run a command given anywhere among their arguments."""

_GOES_ON = frozenset({"run", "exec", "x", "dlx", "tool", "script"})
"""Subcommands after which the next word is what is run."""


def parsed_command(command: str | Sequence[str]) -> list[str]:
    """The argument vector of a command; there is no shell, so nothing is expanded.

    Raises:
        CommandRefused: It is empty, or only a shell could understand it.
    """
    words = _split(command) if isinstance(command, str) else list(command)
    if not words or not all(isinstance(word, str) for word in words) or not words[0]:
        raise CommandRefused("a command is a program and its arguments, each a text")
    if any("\0" in word for word in words):
        raise CommandRefused("a command has no NUL characters")
    if len(words) > _MAX_WORDS or sum(len(word.encode("utf-8", "replace")) for word in words) > _MAX_BYTES:
        raise CommandRefused(f"a command has at most {_MAX_WORDS} words and {_MAX_BYTES} bytes")
    return words


def _split(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise CommandRefused(f"the command cannot be split into words: {error}") from None
    for word in words:
        # A quoted operator is an argument; the lexer has lost the quotes, so the safe side is to refuse it too.
        if word and set(word) <= _OPERATORS:
            raise CommandRefused(
                f"{word!r}: no shell runs the command; give one program at a time, and a list of words if this is an argument"
            )
    return words


@dataclass(frozen=True, slots=True)
class CommandRule:
    """One entry of an allowlist.

    Attributes:
        words: The first words of the vectors that it allows, each as it is.
        more: Whether any words may follow.
    """

    words: tuple[str, ...]
    more: bool = False

    @classmethod
    def parsed(cls, rule: str | Sequence[str]) -> CommandRule:
        """A rule from its text or its words; a last word `*` allows further arguments.

        Raises:
            InvalidOption: No rule, or one that would allow a program to run whatever code it is given.
        """
        try:
            words = parsed_command(rule)
        except CommandRefused as error:
            raise InvalidOption("allow", f"{str(rule)!r}: {error.message}", value=rule) from None
        more = words[-1] == ANY_MORE
        fixed = tuple(words[:-1] if more else words)
        if ANY_MORE in fixed:
            problem = f"{' '.join(words)!r} has '*' elsewhere than at its end"
            raise InvalidOption("allow", problem, allowed="whole words, then '*' for any further arguments", value=rule)
        if more and _is_open(fixed):
            problem = f"{' '.join(words)!r} would allow anything"
            allowed = "the script, module or subcommand by name, as 'python tool.py *', or the whole command"
            raise InvalidOption("allow", problem, allowed=allowed, value=rule)
        return cls(fixed, more)

    def allows(self, argv: Sequence[str]) -> bool:
        """Whether a vector is one of the rule's."""
        if not self.more:
            return tuple(argv) == self.words
        return tuple(argv[: len(self.words)]) == self.words


def _is_open(words: Sequence[str]) -> bool:
    """Whether a command of these first words runs whatever the further ones say."""
    if not words or words[0].startswith("-"):
        return True
    name = PurePosixPath(words[0]).name
    if _WRAPPERS.fullmatch(name):
        return True
    if not _INTERPRETERS.fullmatch(name):
        return False
    rest = list(words[1:])
    if len(rest) == 2 and rest[0] == "-m" and not rest[1].startswith("-"):
        return False
    # An option in front may be one that takes code, in any interpreter's own spelling.
    if not rest or rest[0].startswith("-"):
        return True
    return _is_open(rest[1:]) if rest[0] in _GOES_ON else False

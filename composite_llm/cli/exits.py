"""How the command ends: its exit codes, and every error as one line on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

OK = 0
FAILED = 1
"""A model, a server or a file failed."""
USAGE = 2
"""The command line or a configuration is wrong."""
INTERRUPTED = 130
"""Ctrl-C; 128 and the signal's number, as shells have it."""

DEBUG_VARIABLE = "COMPOSITE_LLM_DEBUG"

# Newer releases of typer bring their own copy of click: its class is found through one that typer exports.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
_ClickException: type[Exception] = _UsageError.__bases__[0]


class Failed(Exception):
    """A command cannot go on; the message is the one line that is shown."""

    exit_code = FAILED


class Misused(Failed):
    """The caller has to change the command line or a file."""

    exit_code = USAGE


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        command = typer.main.get_command(app)
        code = command.main(args=list(arguments), prog_name="composite", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        _swallow_what_is_left()
        return FAILED
    except Exception as error:  # a traceback is nothing for the person at the terminal
        if os.environ.get(DEBUG_VARIABLE):
            raise
        text, code = described(error)
        say_error(text)
        return code
    return code if isinstance(code, int) else OK


def described(error: Exception) -> tuple[str, int]:
    """One line about an error, and the exit code that goes with it."""
    if isinstance(error, Failed):
        return str(error), error.exit_code
    if isinstance(error, _ClickException):
        return _click_message(error)
    if isinstance(error, ModuleNotFoundError | OSError):
        return str(error), FAILED
    from composite_llm.model.errors import CompositeError

    if isinstance(error, CompositeError):
        # A 4xx that the configuration or the command line brought about, before anything was asked.
        mistaken = error.status_code in _MISTAKES and error.trace is None
        return error.message, USAGE if mistaken else FAILED
    hint = f"{DEBUG_VARIABLE}=1 shows where"
    return f"internal error ({type(error).__name__}); {hint}", FAILED


_MISTAKES = (400, 403, 404)


def _click_message(error: Exception) -> tuple[str, int]:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    hint = f" (see '{context.command_path} --help')" if context is not None else ""
    return text.rstrip(".") + hint, int(getattr(error, "exit_code", USAGE))


def say_error(text: str) -> None:
    """One line on standard error."""
    print(f"composite: {' '.join(text.split())}", file=sys.stderr)


def fail(text: str) -> NoReturn:
    """End the command with exit code 1.

    Raises:
        Failed: always.
    """
    raise Failed(text)


def misuse(text: str) -> NoReturn:
    """End the command with exit code 2.

    Raises:
        Misused: always.
    """
    raise Misused(text)


def _swallow_what_is_left() -> None:
    """`composite … | head`: the interpreter must not complain about the closed pipe when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

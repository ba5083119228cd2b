"""The command `composite` as a process: in pipes, or in a terminal whose screen can be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pyte

REPOSITORY = Path(__file__).resolve().parents[2]
_COMMAND = ["-m", "composite_llm"]
_PATIENCE_S = 120
_COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9;]*)?m")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of the tests' own process, without what would change how the command prints."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore", "TERM": "xterm-256color", **(more or {})}


def run_command(
    arguments: Sequence[str], *, stdin: str = "", cwd: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command printed into its pipes, and how it ended."""
    return subprocess.run(
        [sys.executable, *_COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
        cwd=cwd or REPOSITORY,
        env=environment(more),
    )


class Terminal:
    """The command in a pseudo-terminal; what it writes is drawn on an emulated screen.

    Args:
        arguments: Of the command.
        columns: Width of the window.
        lines: Its height.
        cwd: The working directory.
        more: Further environment.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        columns: int = 100,
        lines: int = 40,
        cwd: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=2000, ratio=0.5)
        self._stream = pyte.Stream(self._screen)
        self.written = ""
        self.process = pexpect.spawn(
            sys.executable,
            [*_COMMAND, *arguments],
            dimensions=(lines, columns),
            cwd=str(cwd or REPOSITORY),
            env=environment(more),
            encoding="utf-8",
            timeout=_PATIENCE_S,
        )
        # A program that asks where the cursor is gets an answer, as from any terminal.
        self._screen.write_process_input = self.process.send  # type: ignore[method-assign]  # the way pyte names for it

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        """A test that failed leaves no process behind."""
        self.process.close(force=True)

    @property
    def shown(self) -> list[str]:
        """The lines on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """All lines, those that have left the screen first."""
        width = self._screen.columns
        gone = ["".join(line[x].data for x in range(width)).rstrip() for line in self._screen.history.top]
        return "\n".join([*gone, *self.shown]).rstrip()

    @property
    def cursor_is_hidden(self) -> bool:
        """Whether the cursor is not to be seen."""
        return bool(self._screen.cursor.hidden)

    @property
    def colours(self) -> list[str]:
        """The control sequences that set a colour."""
        return _COLOUR.findall(self.written)

    def wait_for(self, seen: str | Callable[[str], bool]) -> str:
        """Read until the screen shows that; returns the screen.

        Raises:
            AssertionError: It never did, or the command ended before; with what was shown.
        """
        condition = seen if callable(seen) else lambda text: seen in text
        deadline = time.monotonic() + _PATIENCE_S
        while not condition(screen := "\n".join(self.shown)):
            assert time.monotonic() < deadline, f"not seen: {seen}\n{screen}"
            assert self._read(), f"ended without it: {seen}\n{screen}"
        return screen

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        self.process.close()
        status = self.process.exitstatus
        assert status is not None, f"ended by signal {self.process.signalstatus}"
        return int(status)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        self._screen.resize(lines, columns)
        self.process.setwinsize(lines, columns)

    def press(self, keys: str) -> None:
        """As a person at the keyboard."""
        self.process.send(keys)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.sendintr()

    def _read(self) -> bool:
        """Draw what was written since; False at the end."""
        try:
            # In small pieces, so that a slow reader sees every picture that was drawn.
            text = self.process.read_nonblocking(512, timeout=1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.written += text
        self._stream.feed(text)
        return True

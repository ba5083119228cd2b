"""Ctrl-C in a sync call or a sync stream, in a program of its own: every subcall ends, and nothing else is heard of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fake_server import ThreadedServer
from tests.support import wire
from tests.support.interpreter import REPOSITORY

PROGRAM = """
import sys
import litellm, composite_llm

def ask(base_url, form):
    options = dict(
        model="composite/moa/openai/gpt-4o", proposers=["openai/gpt-4o-mini", "openai/gpt-4.1-mini"],
        api_key="k", api_base=base_url, messages=[{"role": "user", "content": "Hello"}],
    )
    if form == "plain":
        litellm.completion(**options)
    else:
        for _ in litellm.completion(**options, stream=True):
            pass

composite_llm.register()
base_url, form, then = sys.argv[1:]
try:
    ask(base_url, form)
except KeyboardInterrupt:
    if then == "leave":
        raise
    # Not waiting here: as long as the traceback lives, so does the stream, wherever in LiteLLM the interrupt came.
    print("interrupted", flush=True)
sys.stdin.read()
ask(base_url, form)
print("answered", flush=True)
"""


@contextlib.contextmanager
def interrupted(server: ThreadedServer, hanging: str, form: str, then: str) -> Iterator[subprocess.Popen[str]]:
    """The program, interrupted when one model alone keeps it waiting, and upstream has seen the end."""
    server.set_scenario(hanging, {"hang": True})
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, server.base_url, form, then],
        env={**inherited, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.wait_until(
            lambda ledger: [record.model for record in ledger.records if record.open] == [hanging], timeout_s=150
        )
        program.send_signal(signal.SIGINT)
        server.wait_until(lambda ledger: ledger.open_requests == 0, timeout_s=20)
        assert wire.record(server, hanging).disconnected
        yield program
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(("form", "hanging"), [("plain", "gpt-4.1-mini"), ("streamed", "gpt-4o")])
def test_ctrl_c_ends_every_subcall_and_the_program_can_go_on_and_ask_again(
    server: ThreadedServer, form: str, hanging: str
) -> None:
    with interrupted(server, hanging, form, "stay") as program:
        server.remove_scenario(hanging)
        output, errors = program.communicate(input="", timeout=150)
    assert (output, program.returncode, errors) == ("interrupted\nanswered\n", 0, "")


@pytest.mark.parametrize("form", ["plain", "streamed"])
def test_ctrl_c_ends_the_program_as_it_ends_any_other(server: ThreadedServer, form: str) -> None:
    with interrupted(server, "gpt-4o", form, "leave") as program:
        output, errors = program.communicate(timeout=150)
    assert (output, program.returncode) == ("", -signal.SIGINT)
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert errors.count("Traceback") == 1
    assert "Exception ignored" not in errors
    assert "never retrieved" not in errors

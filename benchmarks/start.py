"""How soon it is there: imports, `register()`, the first call, the command. `python -m benchmarks.start`.

Each figure is the median over fresh processes, one of each kind per round. Times are CPU seconds of the process, user
and system, since a busy machine stretches the clock; on an idle one they are the same.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness import Row, Upstream, main

ROUNDS = 9
ROOT = Path(__file__).parents[1]

_TIMED = """
import json, time

def timed(work):
    began = time.process_time()
    work()
    return time.process_time() - began

"""
_ASK = """
import litellm
messages = [{{"role": "user", "content": "Which bridge is the oldest?"}}]
there = {{"api_base": "{base}", "api_key": "not-needed"}}
"""

PROGRAMS = {
    "import composite_llm": """
        def work():
            import composite_llm
        print(json.dumps([timed(work)]))
    """,
    "import litellm, then register()": """
        def load():
            import litellm
        def register():
            import composite_llm
            composite_llm.register()
        print(json.dumps([timed(load), timed(register)]))
    """,
    "calls by hand": """
        def work():
            for model in ("openai/gpt-4o-mini", "openai/gpt-4o"):
                litellm.completion(model=model, messages=messages, **there)
        print(json.dumps([timed(work), timed(work)]))
    """,
    "composite calls": """
        import composite_llm
        composite_llm.register()
        def work():
            litellm.completion(
                model="composite/moa/openai/gpt-4o", proposers=["openai/gpt-4o-mini"], messages=messages, **there
            )
        print(json.dumps([timed(work), timed(work)]))
    """,
}
"""What each kind of process does; it prints the seconds that its steps took."""


async def measure(upstream: Upstream) -> list[Row]:
    """All figures; the first round warms up the files' caches."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in PROGRAMS}
    commands: dict[str, list[float]] = {"python": [], "composite --help": []}
    ask = _ASK.format(base=upstream.options["api_base"])
    for round_number in range(ROUNDS + 1):
        for name, program in PROGRAMS.items():
            source = _TIMED + (ask if "calls" in name else "") + textwrap.dedent(program)
            if "calls" in name:
                upstream.claim(4)
            printed = _cpu_of([sys.executable, "-c", source])[1]
            if round_number:
                seconds[name].append(json.loads(printed))
        spent = {
            "python": _cpu_of([sys.executable, "-c", "pass"])[0],
            "composite --help": _cpu_of([str(Path(sys.executable).parent / "composite"), "--help"])[0],
        }
        for name, cpu_s in spent.items():
            if round_number:
                commands[name].append(cpu_s)
    return _rows(seconds, commands)


def _rows(seconds: Mapping[str, list[list[float]]], commands: Mapping[str, list[float]]) -> list[Row]:
    def ms(name: str, step: int) -> float:
        return 1e3 * statistics.median(steps[step] for steps in seconds[name])

    by_hand, composite = "calls by hand", "composite calls"
    first, first_by_hand = ms(composite, 0), ms(by_hand, 0)
    return [
        Row("import composite_llm", ms("import composite_llm", 0), "ms", 60),
        Row("import litellm", ms("import litellm, then register()", 0), "ms"),
        Row("what register() adds to it, our own import included", ms("import litellm, then register()", 1), "ms", 50),
        Row("first composite call, two requests", first, "ms"),
        Row("the same two requests by hand, first in their process", first_by_hand, "ms"),
        Row("what the first composite call adds", first - first_by_hand, "ms"),
        Row("second composite call", ms(composite, 1), "ms"),
        Row("second time by hand", ms(by_hand, 1), "ms"),
        Row("python -c pass", 1e3 * statistics.median(commands["python"]), "ms"),
        Row("composite --help, the whole process", 1e3 * statistics.median(commands["composite --help"]), "ms", 300),
    ]


def _cpu_of(command: list[str]) -> tuple[float, str]:
    """A process's CPU seconds and what it printed.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, printed)
    return usage.ru_utime + usage.ru_stime, printed


if __name__ == "__main__":
    main("start", measure)

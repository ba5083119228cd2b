"""The app and the list of its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from composite_llm import __version__
from composite_llm.cli.lazy_group import Entry, new_app

_HERE = "composite_llm.cli"

COMMANDS = {
    "ask": Entry(
        f"{_HERE}.ask:ask",
        "Ask one question, and see who answers what.",
        "composite ask -s council -m openai/gpt-4.1 -p openai/gpt-4.1-mini"
        ' -p anthropic/claude-sonnet-4-6 -p anthropic/claude-haiku-4-5 "Why is it so?"',
    ),
    "chat": Entry(
        f"{_HERE}.chat.chat:chat",
        "Talk with several models as with one.",
        "composite chat -s council -m openai/gpt-4.1 -p openai/gpt-4.1-mini"
        " -p anthropic/claude-sonnet-4-6 -p anthropic/claude-haiku-4-5",
    ),
    "explain": Entry(
        f"{_HERE}.explain:explain",
        "Show what a run would do and cost, without a call.",
        "composite explain -s council -m openai/gpt-4.1 -p openai/gpt-4.1-mini"
        " -p anthropic/claude-sonnet-4-6 -p anthropic/claude-haiku-4-5",
    ),
    "bench": Entry(
        f"{_HERE}.bench:bench",
        "Ask a composite and others the same questions, and see whether it pays.",
        "composite bench generated -s council -m openai/gpt-4.1 --against solo,members,majority --max-cost-usd 2",
    ),
    "batch": Entry(
        f"{_HERE}.batch:batch",
        "Answer the requests of a file, and go on where an earlier try was broken off.",
        "composite batch requests.jsonl answers.jsonl --profile careful --max-parallel 16 --max-cost-usd 20",
    ),
    "replay": Entry(
        f"{_HERE}.replay:replay",
        "Show what a stored deliberation would have become, without asking its members again.",
        "composite replay panel.json --ranking copeland --aggregation pick",
    ),
    "config": Entry(f"{_HERE}.config:app", "Check, show and describe configuration files."),
    "do": Entry(
        f"{_HERE}.do:do",
        "Have a model do a task with tools.",
        'composite do "Find out why the build fails" --folder . --mcp .mcp.json --model openai/gpt-4.1',
    ),
    "run": Entry(
        f"{_HERE}.run:run",
        "Do a workflow on a folder, and print what it found.",
        "composite run security-audit . --max-cost-usd 1 --format sarif --output findings.sarif",
    ),
    "task": Entry(f"{_HERE}.task:app", "Keep pieces of work, and do them."),
    "memory": Entry(f"{_HERE}.memory:app", "Keep what is known about a project, and find it again."),
    "models": Entry(
        f"{_HERE}.models:app",
        "List the chat models that LiteLLM knows: window, price per million tokens, vision, tools.",
        "composite models --provider anthropic",
    ),
    "serve": Entry(
        f"{_HERE}.serve:serve",
        "Start a LiteLLM proxy whose models are profiles.",
        "composite serve --profile careful --port 4000 --config examples/composite.yaml",
    ),
    "traces": Entry(f"{_HERE}.traces:app", "Look at past runs."),
    "costs": Entry(
        f"{_HERE}.costs:costs",
        "Add up what runs cost, by model, provider, profile, day or key.",
        "composite costs --by day --since 30d",
    ),
    "usage": Entry(
        f"{_HERE}.usage:usage",
        "Add up calls, tokens, errors and costs, by model, session or project, and for all time.",
        "composite usage --by project --since 2026-11-01",
    ),
    "prune": Entry(
        f"{_HERE}.prune:prune",
        "Remove old runs from the telemetry store; what they summed up to stays.",
        "composite prune --older-than 30d",
    ),
}
"""Every command, in the order of `composite --help`."""

app = new_app(COMMANDS, name="composite", add_completion=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"composite {__version__}")
        raise typer.Exit


@app.callback(epilog='Example: composite ask --offline "Monolith or microservices?"')
def composite(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Several language models that answer as one."""

"""`composite run`: a workflow on a folder."""

from __future__ import annotations

import asyncio
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from composite_llm.cli.exits import fail
from composite_llm.cli.target import ConfigOption, OfflineOption, parsed_options
from composite_llm.cli.working import TierOption, WorkModelOption, executor


class Format(StrEnum):
    """What the result is written as."""

    markdown = "markdown"
    sarif = "sarif"
    json = "json"


class Severity(StrEnum):
    """How bad a finding is."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"
    info = "info"


def run(
    workflow: Annotated[str, typer.Argument(help="security-audit, bug-prediction, performance-audit, or a file.")],
    path: Annotated[Path, typer.Argument(help="The folder.", show_default="here")] = Path(),
    model: WorkModelOption = None,
    tier: TierOption = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="KEY=VALUE", help="An input; its value is YAML.")
    ] = None,
    max_cost_usd: Annotated[float | None, typer.Option("--max-cost-usd", help="US dollars at most.")] = None,
    form: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.markdown,
    output: Annotated[
        Path | None, typer.Option("--output", help="A file for it.", show_default="standard output")
    ] = None,
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit with 3 if a finding is that severe.")
    ] = Severity.high,
    config: ConfigOption = None,
    offline: OfflineOption = False,
) -> None:
    """Do a workflow on a folder, and print what it found."""
    from composite_llm.work import load_workflow

    spec = load_workflow(workflow)
    given = parsed_options(inputs or ())
    with executor(model, tier, config, offline=offline) as ready:
        from composite_llm.work import run_workflow

        def tell(step: Any) -> None:
            print(f"{step.name}: {step.status}, {step.used.calls} calls, {step.seconds:.1f} s", file=sys.stderr)

        going = run_workflow(spec, str(path), executor=ready, inputs=given, max_cost_usd=max_cost_usd, on_step=tell)
        result = asyncio.run(going)
    text = _written(result, form)
    if output is None:
        print(text)
    else:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"--output {output}: {error.strerror}")
    for note in result.notes:
        print(f"composite: {note}", file=sys.stderr)
    raise typer.Exit(result.exit_code(fail_on.value))


def _written(result: Any, form: Format) -> str:
    from composite_llm import __version__
    from composite_llm.work import markdown, sarif

    cost = result.used.cost_usd
    if form is Format.sarif:
        return json.dumps(sarif(result.workflow, result.findings, __version__), indent=2, ensure_ascii=False)
    if form is Format.json:
        steps = [{"name": step.name, "status": step.status, "output": step.output} for step in result.steps]
        findings = [finding.model_dump() for finding in result.findings]
        whole = {
            "workflow": result.workflow,
            "status": result.status,
            "cost_usd": cost,
            "findings": findings,
            "steps": steps,
        }
        return json.dumps({**whole, "notes": result.notes}, indent=2, ensure_ascii=False, default=str)
    totals = {
        "status": result.status,
        "calls": result.used.calls,
        "cost": "unknown" if cost is None else f"${cost:.4f}",
    }
    others = [f"## {step.name}\n\n{step.output}" for step in result.steps if isinstance(step.output, str)]
    return "\n\n".join([markdown(result.workflow, result.findings, result.notes, totals).rstrip(), *others])

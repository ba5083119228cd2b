"""Does a workflow's steps in order, and says what came of each."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from jinja2 import TemplateError
from jsonschema import Draft202012Validator

from composite_llm import BudgetExceeded, CompositeError, ExecutionContext, InvalidOption
from composite_llm.work.errors import WorkError
from composite_llm.work.executor import AllProvidersFailedError, Executor, LLMResponse
from composite_llm.work.sessions import Used
from composite_llm.work.tasks import TaskRun
from composite_llm.work.tools.files import FileTools
from composite_llm.work.tools.paths import Root
from composite_llm.work.tools.runner import ToolRunner
from composite_llm.work.workflows.findings import Finding, Severity, at_least, checked_findings
from composite_llm.work.workflows.scans import scanned
from composite_llm.work.workflows.spec import TEMPLATES, InvalidWorkflow, Step, Workflow, load_workflow

StepStatus = Literal["ok", "partly", "failed", "skipped", "stopped"]
_FENCED_JSON = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
_MOST_ITEMS = 500
_NOTHING = Used()


class InvalidAnswer(WorkError):
    """A model's answer did not have the form that the step wants."""

    status_code = 502


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    Attributes:
        name: The step's.
        status: `partly`: some elements failed; `stopped`: a cap was reached.
        output: A text, data, or a list with an entry for each element; None where there is none.
        used: Calls, tokens and cost.
        seconds: How long it took.
        errors: One sentence for each failure.
    """

    name: str
    status: StepStatus
    output: Any = None
    used: Used = _NOTHING
    seconds: float = 0.0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """What came of a workflow."""

    workflow: str
    steps: tuple[StepResult, ...]
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def status(self) -> StepStatus:
        """The worst of its steps'."""
        worst: tuple[StepStatus, ...] = ("failed", "stopped", "partly")
        return next((status for status in worst if any(step.status == status for step in self.steps)), "ok")

    @property
    def used(self) -> Used:
        """Of all steps."""
        return sum((step.used for step in self.steps), _NOTHING)

    def exit_code(self, fail_on: Severity = "high") -> int:
        """For CI: 3 with findings of this severity or worse, 1 when a step failed or was stopped, else 0."""
        if at_least(self.findings, fail_on):
            return 3
        return 1 if self.status in ("failed", "stopped") else 0


async def run_workflow(
    workflow: Workflow | str,
    root: str,
    *,
    executor: Executor,
    inputs: Mapping[str, Any] | None = None,
    tools: ToolRunner | None = None,
    max_cost_usd: float | None = None,
    task: TaskRun | None = None,
    on_step: Callable[[StepResult], object] | None = None,
) -> WorkflowResult:
    """Do a workflow on a folder.

    Args:
        workflow: Itself, its file, or the name of one that ships.
        root: The folder.
        executor: Answers its prompts.
        inputs: In place of the workflow's defaults.
        tools: For steps with tools; without it such a step fails.
        max_cost_usd: What all of its calls may cost; reaching it stops the workflow, and what was found is kept. A call
            whose price is unknown reaches it.
        task: Finished calls are kept with it, so that a task that is taken up again does not pay for them twice.
        on_step: Told of each step when it is over.

    Raises:
        InvalidWorkflow: It cannot be read, or has no such input.
    """
    spec = workflow if isinstance(workflow, Workflow) else load_workflow(workflow)
    unknown = sorted(set(inputs or {}) - spec.inputs.keys())
    if unknown:
        raise InvalidWorkflow(f"{spec.name} has no input {unknown[0]!r}; there are {', '.join(spec.inputs) or 'none'}")
    if max_cost_usd is not None and not max_cost_usd > 0:
        raise InvalidOption("max_cost_usd", f"got {max_cost_usd!r}", allowed="a number above 0", value=max_cost_usd)
    run = _Run(spec, FileTools(Root(root)), executor, tools, max_cost_usd, task)
    values: dict[str, Any] = {"inputs": {**spec.inputs, **(inputs or {})}, "steps": {}}
    results: list[StepResult] = []
    for step in spec.steps:
        results.append(await run.step(step, values))
        values["steps"][step.name] = results[-1].output
        executor.record(_record(spec, results[-1]))
        if on_step is not None:
            on_step(results[-1])
        if results[-1].status in ("failed", "stopped"):
            break
    return _result(spec, results, values)


class _Run:
    """One workflow under way."""

    def __init__(
        self,
        spec: Workflow,
        files: FileTools,
        executor: Executor,
        tools: ToolRunner | None,
        max_cost_usd: float | None,
        task: TaskRun | None,
    ) -> None:
        self._spec = spec
        self._files = files
        self._executor = executor
        self._tools = tools
        self._cap = max_cost_usd
        self._task = task
        self._used = _NOTHING

    async def step(self, step: Step, values: Mapping[str, Any]) -> StepResult:
        began, before = time.perf_counter(), self._used
        status: StepStatus = "ok"
        output: Any = None
        errors: tuple[str, ...] = ()
        try:
            if step.when is not None and not _value(step.when, values):
                return StepResult(step.name, "skipped", [] if step.for_each else None)
            if step.scan is not None:
                output = await scanned(self._files, step.scan)
            elif step.for_each is not None:
                status, output, errors = await self._each(step, values)
            else:
                output = await self._kept(step, values, step.name)
        except BudgetExceeded as error:
            status, errors = "stopped", (error.message,)
        except (CompositeError, TemplateError, TypeError, ValueError) as error:
            status, errors = "failed", (_sentence(error),)
        used = Used(
            self._used.calls - before.calls,
            self._used.tokens_input - before.tokens_input,
            self._used.tokens_output - before.tokens_output,
            None if self._used.cost_usd is None or before.cost_usd is None else self._used.cost_usd - before.cost_usd,
        )
        return StepResult(step.name, status, output, used, time.perf_counter() - began, errors)

    async def _each(self, step: Step, values: Mapping[str, Any]) -> tuple[StepStatus, list[Any], tuple[str, ...]]:
        """A step for each element; one that fails leaves the others alone."""
        items = list(_value(str(step.for_each), values) or ())
        if len(items) > _MOST_ITEMS:
            raise InvalidWorkflow(f"step {step.name}: {len(items)} elements; at most {_MOST_ITEMS}")
        free = asyncio.Semaphore(step.parallel)
        stopped: list[str] = []

        async def one(number: int, item: Any) -> Any:
            async with free:
                if stopped:
                    return BudgetExceeded("max_cost_usd", self._cap or 0, self._used.cost_usd or 0)
                try:
                    return await self._kept(step, {**values, "item": item, "number": number}, f"{step.name}[{number}]")
                except BudgetExceeded as error:
                    stopped.append(error.message)
                    return error
                except (CompositeError, TemplateError, TypeError, ValueError) as error:
                    return error

        outcomes = await asyncio.gather(*(one(number, item) for number, item in enumerate(items)))
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        outputs = [
            (item if isinstance(outcome, Exception) else {**item, **outcome}) if step.merge
            else (None if isinstance(outcome, Exception) else outcome)
            for item, outcome in zip(items, outcomes, strict=True)
        ]  # fmt: skip
        errors = tuple(dict.fromkeys(_sentence(error) for error in failures))
        if stopped:
            return "stopped", outputs, errors
        if failures:
            return ("failed" if len(failures) == len(items) else "partly"), outputs, errors
        return "ok", outputs, ()

    async def _kept(self, step: Step, values: Mapping[str, Any], name: str) -> Any:
        """One answer; with a task, from its record where it was given before."""
        ran: list[Used] = []

        async def answer() -> dict[str, Any]:
            output = await self._answer(step, values, ran)
            return {"output": output, "used": list(astuple(sum(ran, _NOTHING)))}

        if self._task is None:
            return (await answer())["output"]
        # A tool that writes leaves the same behind the second time, so every step may be repeated.
        kept = await self._task.step(name, answer)
        if not ran:
            self._used += Used(*kept["used"])
        return kept["output"]

    async def _answer(self, step: Step, values: Mapping[str, Any], ran: list[Used]) -> Any:
        prompt = TEMPLATES.from_string(step.prompt or "").render(values).strip()
        messages: list[dict[str, Any]] = [{"role": "system", "content": step.system}] if step.system else []
        messages.append({"role": "user", "content": prompt})
        options = await self._options(step)
        problem: str | None = None
        for _ in range(2):
            answer = await self._ask(step, messages, options, ran)
            if step.output is None:
                return answer.content
            output, problem = _parsed(answer.content, step.output)
            if problem is None:
                return output
            complaint = f"This is not what was asked for: {problem}. Answer with the JSON alone."
            messages.append({"role": "assistant", "content": answer.content or "(nothing)"})
            messages.append({"role": "user", "content": complaint})
        raise InvalidAnswer(f"step {step.name}: the answer does not have its form: {problem}")

    async def _options(self, step: Step) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if step.model is not None:
            options["model"] = step.model
        if step.output is not None:
            form = {"name": step.name, "schema": step.output}
            options["response_format"] = {"type": "json_schema", "json_schema": form}
        if step.tools:
            if self._tools is None:
                raise InvalidWorkflow(f"step {step.name} needs tools; give run_workflow a ToolRunner")
            limited = _Only(self._tools, step.tools)
            options |= {"tools": await limited.tools(), "tool_executor": limited}
        return options

    async def _ask(
        self, step: Step, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any], ran: list[Used]
    ) -> LLMResponse:
        if self._cap is not None:
            if self._used.cost_usd is None or self._used.cost_usd >= self._cap:
                unknown = self._used.cost_usd is None
                detail = "; the price of a call is unknown" if unknown else ""
                raise BudgetExceeded("max_cost_usd", self._cap, self._used.cost_usd or 0.0, detail)
            options = {**options, "max_cost_usd": self._cap - self._used.cost_usd}
        policy = {"fallback_policy": {"models": list(step.fallbacks)}} if step.fallbacks else {}
        context = ExecutionContext(
            workflow_name=self._spec.name,
            step_name=step.name,
            task_type=step.task_type,
            tier_hint=step.tier,
            project=self._files.root.path.name,
            metadata=policy,
        )
        try:
            answer = await self._executor.chat(messages, context, **options)
        except AllProvidersFailedError as error:
            costs = [attempt.get("cost_usd", 0.0) for attempt in error.attempts]
            self._count(Used(len(costs), 0, 0, None if None in costs else sum(costs)), ran)
            raise
        self._count(Used(1, answer.tokens_input, answer.tokens_output, answer.cost_estimate), ran)
        return answer

    def _count(self, used: Used, ran: list[Used]) -> None:
        self._used += used
        ran.append(used)


class _Only:
    """Some of a runner's tools: what a step does not name is not there for its model."""

    def __init__(self, runner: ToolRunner, names: Sequence[str]) -> None:
        self._runner = runner
        self._names = frozenset(names)

    def __deepcopy__(self, _memo: Any) -> _Only:
        return self

    async def tools(self) -> list[dict[str, Any]]:
        return [tool for tool in await self._runner.tools() if tool["function"]["name"] in self._names]

    def covers(self, names: Sequence[str]) -> bool:
        return self._runner.covers(names)

    async def __call__(self, name: str, arguments: dict[str, Any]) -> str:
        return await self._named(name, lambda: self._runner(name, arguments))

    async def run_tool(self, name: str, arguments: dict[str, Any], context: Any) -> str:
        return await self._named(name, lambda: self._runner.run_tool(name, arguments, context))

    def note_unreadable(self, name: str, arguments: str, context: Any) -> None:
        self._runner.note_unreadable(name, arguments, context)

    async def _named(self, name: str, call: Callable[[], Awaitable[str]]) -> str:
        if name not in self._names:
            message = f"{name} is not among the tools of this step"
            raise KeyError(message)
        return await call()


def _value(expression: str, values: Mapping[str, Any]) -> Any:
    return TEMPLATES.compile_expression(expression, undefined_to_none=False)(**values)


def _parsed(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The data in an answer, and what is wrong with it."""
    fence = _FENCED_JSON.search(text)
    try:
        data = json.loads(fence.group(1) if fence else text)
    except (ValueError, RecursionError):
        return None, "it is no JSON"
    problem = next(iter(Draft202012Validator(schema).iter_errors(data)), None)
    if problem is None:
        return data, None
    return (
        None,
        f"{'.'.join(str(part) for part in problem.absolute_path) or 'it'} breaks the rule {problem.validator!r}",
    )


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, CompositeError) else f"{type(error).__name__}: {str(error)[:200]}"


def _record(spec: Workflow, result: StepResult) -> dict[str, Any]:
    return {
        "kind": "step",
        "workflow_name": spec.name,
        "step_name": result.name,
        "status": result.status,
        "calls": result.used.calls,
        "cost_usd": result.used.cost_usd,
        "seconds": result.seconds,
        "results": len(result.output) if isinstance(result.output, list) else None,
    }


def _result(spec: Workflow, results: Sequence[StepResult], values: Mapping[str, Any]) -> WorkflowResult:
    """Findings of the step that has them, or of the last one before it that came to something."""
    notes = [f"{step.name}: {error}" for step in results for error in step.errors]
    found: list[Finding] = []
    if spec.findings is not None:
        try:
            chosen = _value(spec.findings, values)
        except (TemplateError, TypeError, ValueError):
            chosen = None
        if not isinstance(chosen, list):
            lists = [step.output for step in results if isinstance(step.output, list)]
            chosen = lists[-1] if lists else []
        found, wrong = checked_findings(chosen)
        if wrong:
            notes.append(f"{wrong} result{'s' if wrong > 1 else ''} had not the form of a finding and were left out")
    return WorkflowResult(spec.name, tuple(results), tuple(found), tuple(notes))

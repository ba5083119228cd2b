"""One way for all model calls of a workflow: which model, with which fallbacks, and what it used."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from composite_llm import CompositeError, ExecutionContext, InvalidOption, mask_secrets
from composite_llm.work.errors import WorkError

if TYPE_CHECKING:
    from composite_llm import Trace

_log = logging.getLogger("composite_llm")
_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """One answer.

    Attributes:
        content: Its text.
        model_id: The model string that gave it.
        provider: LiteLLM's name of its provider.
        tier: The tier that the model stood for; None when none was looked up.
        tokens_input: Of all calls behind it.
        tokens_output: Of all calls behind it.
        cost_estimate: US dollars of all calls behind it; None when a price is unknown.
        latency_ms: From the call to the answer, failed attempts included.
        metadata: `attempts` (model, status, error, latency_ms, cost of each), `run_id`, `degraded`, `finish_reason`, `tool_calls`.
    """

    content: str
    model_id: str
    provider: str
    tier: str | None
    tokens_input: int
    tokens_output: int
    cost_estimate: float | None
    latency_ms: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


class LLMExecutor(Protocol):
    """Whoever can answer a prompt."""

    async def run(self, prompt: str, context: ExecutionContext) -> LLMResponse:
        """The answer.

        Raises:
            AllProvidersFailedError: Nobody gave one.
        """
        ...


class AllProvidersFailedError(WorkError):
    """Every model that was to be tried failed; `attempts` says how."""

    status_code = 503

    def __init__(self, attempts: Sequence[Mapping[str, Any]]) -> None:
        listed = "; ".join(f"{attempt['model']}: {attempt['error']}" for attempt in attempts)
        super().__init__(f"all models failed: {listed}")
        self.attempts = tuple(attempts)


@dataclass(frozen=True, slots=True)
class Models:
    """Which model a tier or a task means, where the configuration's registry does not say.

    Attributes:
        tiers: `cheap` or `openai/cheap` → model string.
        tasks: Task type → tier, or model string.
    """

    tiers: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)

    def resolved(self, name: str, provider: str | None = None) -> tuple[str, str | None]:
        """The model string behind a tier, a task (`task/review`) or a model string, and the tier on the way.

        Raises:
            InvalidOption: A tier or task that nobody knows.
        """
        if name.startswith("task/"):
            task = name.removeprefix("task/")
            if task not in self.tasks:
                raise InvalidOption(
                    "task", f"{task!r} has no tier", allowed=", ".join(self.tasks) or "none", value=task
                )
            name = self.tasks[task]
        tier = name.removeprefix("tier/")
        for key in (f"{provider}/{tier}" if provider else tier, tier):
            if key in self.tiers:
                return self.tiers[key], tier.rsplit("/", 1)[-1]
        if name.startswith("tier/") or "/" not in name:
            raise InvalidOption("tier", f"{tier!r} has no model", allowed=", ".join(self.tiers) or "none", value=tier)
        return name, None


class Executor:
    """Answers prompts with the models that tiers and tasks stand for.

    Args:
        default: The model string for a prompt of which neither task nor tier says more.
        tiers: `cheap` or `openai/cheap` → model string.
        tasks: Task type → tier, or model string.
        options: Call parameters of every call, such as `api_base`.
        telemetry: Told of each call as a mapping; what it raises is logged, and the call goes on.
    """

    def __init__(
        self,
        default: str = "composite/profile/auto",
        *,
        tiers: Mapping[str, str] | None = None,
        tasks: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        telemetry: Callable[[dict[str, Any]], object] | None = None,
    ) -> None:
        self._default = default
        self.models = Models(dict(tiers or {}), dict(tasks or {}))
        self.options = dict(options or {})
        self._telemetry = telemetry

    async def run(self, prompt: str, context: ExecutionContext | None = None, **options: Any) -> LLMResponse:
        """The answer to a prompt; see `chat`."""
        return await self.chat([{"role": "user", "content": prompt}], context, **options)

    async def chat(
        self, messages: Sequence[Mapping[str, Any]], context: ExecutionContext | None = None, **options: Any
    ) -> LLMResponse:
        """The answer to a conversation.

        Args:
            messages: In OpenAI's form.
            context: `tier_hint` comes before `task_type`; `timeout_seconds` limits the call with all of its attempts;
                `metadata` may have `retry_policy` (`{"num_retries": 2}`: of the whole call, beside those that a
                composite does by itself) and `fallback_policy` (`{"models": […]}`: model strings, tiers or tasks).
            options: Call parameters, `model` included.

        Raises:
            AllProvidersFailedError: Every model failed.
            InvalidOption: A tier or a policy cannot be used.
        """
        context = context or ExecutionContext()
        chain = self._chain(context, options.pop("model", None))
        retries = _policy(context, "retry_policy", "num_retries", 0)
        began = time.perf_counter()
        attempts: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(context.timeout_seconds):
                for model, tier in chain:
                    for retry in range(retries + 1):
                        answered = await self._attempt(model, tier, messages, context, options, attempts)
                        if answered is not None:
                            return _response(answered, model, tier, began, attempts)
                        if retry == retries or not attempts[-1]["retryable"]:
                            break
                        await asyncio.sleep(min(0.5 * 2.0**retry, _LONGEST_WAIT_S))
        except TimeoutError:
            error = f"no answer within {context.timeout_seconds:g} s"
            attempts.append({"model": chain[0][0], "status": "timed_out", "error": error, "retryable": False})
        raise AllProvidersFailedError(attempts)

    def record(self, entry: Mapping[str, Any]) -> None:
        """Tell telemetry; whatever it does, the work goes on."""
        if self._telemetry is None:
            return
        try:
            self._telemetry(mask_secrets(dict(entry)))
        except Exception:  # noqa: BLE001  # what keeps records must not end what they are about
            _log.warning("telemetry of a work step failed", exc_info=True)

    def _chain(self, context: ExecutionContext, model: str | None) -> list[tuple[str, str | None]]:
        first = model or self._named(context)
        policy = _policy(context, "fallback_policy", "models", ())
        names = [first, *([policy] if isinstance(policy, str) else policy)]
        return list(dict.fromkeys(self.models.resolved(name, context.provider_hint) for name in names))

    def _named(self, context: ExecutionContext) -> str:
        if context.tier_hint:
            return f"tier/{context.tier_hint}"
        if context.task_type in self.models.tasks:
            return f"task/{context.task_type}"
        return self._default

    async def _attempt(
        self,
        model: str,
        tier: str | None,
        messages: Sequence[Mapping[str, Any]],
        context: ExecutionContext,
        options: Mapping[str, Any],
        attempts: list[dict[str, Any]],
    ) -> list[Any] | None:
        """The responses, or None; either way the attempt is noted and told."""
        began = time.perf_counter()
        entry: dict[str, Any] = {"model": model, "tier": tier, "status": "ok", "error": None, "retryable": False}
        answered: list[Any] | None = None
        try:
            answered = await completion(model, messages, context, {**self.options, **options})
        except InvalidOption:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a provider's library raises is this model's failure
            status = getattr(error, "status_code", None)
            entry |= {"status": "failed", "error": _sentence(error), "retryable": status in _RETRYABLE}
            trace = trace_of(error)
            entry["cost_usd"] = trace.cost_usd if trace is not None else None
        else:
            entry["cost_usd"] = _sum(cost_of(one, model) for one in answered)
        entry["latency_ms"] = (time.perf_counter() - began) * 1000
        attempts.append(entry)
        self.record({"kind": "call", **context.as_metadata(), **entry})
        return answered


async def completion(
    model: str, messages: Sequence[Mapping[str, Any]], context: ExecutionContext, options: Mapping[str, Any]
) -> list[Any]:
    """LiteLLM's responses of one model, plain or composite; the last one has the answer.

    A plain model is asked as a composite that deliberates never, so that breakers, retries, caps, tools and telemetry
    are the same for both; where composites cannot do that yet, its tools are run here, and there are several responses.
    """
    import litellm

    install()
    parameters = call_parameters(model, context, options)
    executor, rounds = parameters.pop("own_tool_executor", None), parameters.pop("own_max_tool_rounds", 8)
    said = [dict(message) for message in messages]
    responses: list[Any] = []
    for number in range(rounds + 1):
        if executor is not None and number == rounds:
            parameters["tool_choice"] = "none"
        responses.append(await litellm.acompletion(messages=said, **parameters))
        message = responses[-1].choices[0].message
        if executor is None or not message.tool_calls or number == rounds:
            break
        said.append(message.model_dump(exclude_none=True))
        said += await asyncio.gather(*(_tool_result(executor, call) for call in message.tool_calls))
    return responses


def install() -> None:
    """Composites are known to LiteLLM; what the application registered stays as it is."""
    import composite_llm

    assert composite_llm.handler is not None


def call_parameters(model: str, context: ExecutionContext, options: Mapping[str, Any]) -> dict[str, Any]:
    """What `litellm.acompletion` is called with, but the messages."""
    policies = ("retry_policy", "fallback_policy")
    metadata = {key: value for key, value in context.as_metadata().items() if key not in policies}
    parameters = {"metadata": metadata, **options}
    if model.startswith("composite/"):
        return {"model": model, **parameters}
    if _has_single_models():
        return {"model": f"composite/moa/{model}", "deliberate": "never", **parameters}
    plain = {key: value for key, value in parameters.items() if key not in _COMPOSITE_ONLY}
    own = {f"own_{key}": parameters[key] for key in ("tool_executor", "max_tool_rounds") if key in parameters}
    return {"model": model, **plain, **own}


_COMPOSITE_ONLY = ("tool_executor", "max_tool_rounds", "max_cost_usd", "allow_unpriced", "reasoning")


async def _tool_result(executor: Any, call: Any) -> dict[str, Any]:
    """What a tool says, or why it said nothing."""
    try:
        arguments = json.loads(call.function.arguments or "{}")
        if not isinstance(arguments, dict):
            raise TypeError("arguments are no JSON object")
        result = await executor(call.function.name, arguments)
        content: Any = result if isinstance(result, str | list) else json.dumps(result, default=str)
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is its answer to the model
        content = f"Error: {type(error).__name__}: {error}"
    return {"role": "tool", "tool_call_id": call.id, "content": content}


@functools.cache
def _has_single_models() -> bool:
    from composite_llm import explain

    try:
        return explain("composite/moa/openai/gpt-4o", deliberate="never").calls == 1
    except CompositeError:
        return False


def trace_of(x: Any) -> Trace | None:
    """The trace of a composite's response or error; None for anything else."""
    from composite_llm import get_trace

    try:
        return get_trace(x)
    except ValueError:
        return None


def cost_of(response: Any, model: str) -> float | None:
    """US dollars of a response with all calls behind it; None when unknown."""
    trace = trace_of(response)
    if trace is not None:
        return float(trace.cost_usd) if trace.cost_usd is not None else None
    return believed(getattr(response, "_hidden_params", {}).get("response_cost"), model)


def believed(cost: Any, model: str) -> float | None:
    """A plain model's cost as LiteLLM tells it; its zero only where its table has a price, since it says so for others too."""
    if not cost and "input_cost_per_token" not in table_entry(model):
        return None
    return float(cost) if cost is not None else None


def table_entry(model: str) -> Mapping[str, Any]:
    """What LiteLLM's table has of a model; its own function for that asks local servers."""
    import litellm

    return litellm.model_cost.get(model) or litellm.model_cost.get(model.split("/", 1)[-1]) or {}


def _response(
    answered: Sequence[Any], model: str, tier: str | None, began: float, attempts: Sequence[Mapping[str, Any]]
) -> LLMResponse:
    choice, trace = answered[-1].choices[0], trace_of(answered[-1])
    return LLMResponse(
        content=choice.message.content or "",
        model_id=model,
        provider=model.split("/", 1)[0],
        tier=tier,
        tokens_input=sum(int(getattr(one.usage, "prompt_tokens", 0) or 0) for one in answered),
        tokens_output=sum(int(getattr(one.usage, "completion_tokens", 0) or 0) for one in answered),
        cost_estimate=_sum(cost_of(one, model) for one in answered),
        latency_ms=(time.perf_counter() - began) * 1000,
        metadata={
            "attempts": list(attempts),
            "run_id": trace.id if trace is not None else None,
            "degraded": list(trace.degraded) if trace is not None else [],
            "finish_reason": choice.finish_reason,
            "tool_calls": [call.model_dump() for call in choice.message.tool_calls or ()],
        },
    )


def _sum(costs: Iterable[float | None]) -> float | None:
    """One that is unknown makes the sum unknown."""
    known = list(costs)
    return None if None in known else math.fsum(cost for cost in known if cost is not None)


def _sentence(error: Exception) -> str:
    """What failed, without what a provider wrote; our own errors' sentences hold nothing of the kind."""
    if isinstance(error, CompositeError):
        return error.message
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__}{f' ({status})' if status else ''}"


def _policy(context: ExecutionContext, name: str, key: str, default: Any) -> Any:
    policy = context.metadata.get(name)
    if policy is None:
        return default
    value: Any = policy.get(key, default) if isinstance(policy, Mapping) else policy
    if isinstance(default, tuple):
        usable = isinstance(value, str | list | tuple)
    else:
        usable = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not usable:
        raise InvalidOption(name, f"got {policy!r}", allowed=f"a mapping with {key!r}", value=policy)
    return value

"""What is counted and measured of each run."""

from __future__ import annotations

from opentelemetry.metrics import Histogram, Meter

from composite_llm.model.messages import as_text
from composite_llm.model.trace import Attempt, ToolCall, Trace
from composite_llm.observe import otel_names as names
from composite_llm.observe.otel_models import AskedModels, Attributes, error_type, was_asked
from composite_llm.observe.otel_spans import tool_error_type

# Both lists are the conventions' advice.
_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [4.0**power for power in range(14)]


class Instruments:
    """The conventions' metrics of models, agents and tools, and our own of money and departures.

    Args:
        meter: Makes instruments.
        asked: Attributes of attempts.
    """

    def __init__(self, meter: Meter, asked: AskedModels) -> None:
        def seconds(name: str, description: str) -> Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        self._asked = asked
        self._attempt_s = seconds("gen_ai.client.operation.duration", "GenAI operation duration.")
        self._run_s = seconds("gen_ai.invoke_agent.duration", "Duration of a run, from its start to its answer.")
        self._tool_s = seconds("gen_ai.execute_tool.duration", "Duration of a tool that a run executed.")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._cost = meter.create_counter(names.own("cost"), "USD", "Money spent on attempts whose price is known.")
        self._unpriced = meter.create_counter(
            names.own("unpriced_attempts"), "{attempt}", "Attempts that consumed tokens at an unknown price."
        )
        self._failures = meter.create_counter(names.own("run.failures"), "{run}", "Runs that ended with an error.")
        self._degraded = meter.create_counter(
            names.own("run.degraded"), "{run}", "Runs that departed from their configuration, by what kind."
        )

    def record(self, trace: Trace) -> None:
        """Count one run."""
        run: Attributes = {names.own("strategy"): trace.strategy, names.AGENT_NAME: trace.model}
        ended = {**run, names.OPERATION: names.INVOKE_WORKFLOW, names.own("status"): trace.ending}
        if trace.ending == "failed" and trace.error_class is not None:
            ended[names.ERROR_TYPE] = trace.error_class
            self._failures.add(1, {**run, names.ERROR_TYPE: trace.error_class})
        self._run_s.record(trace.duration_s, ended)
        for code in trace.degraded_codes:
            self._degraded.add(1, {**run, names.own("degraded"): code})
        for call in trace.calls:
            for attempt in filter(was_asked, call.attempts):
                self._attempt(attempt)
        for tool in trace.tool_calls:
            self._tool(tool)

    def _attempt(self, attempt: Attempt) -> None:
        asked = self._asked.attributes(attempt)
        if attempt.response_model is not None:
            asked[names.RESPONSE_MODEL] = attempt.response_model
        error = error_type(attempt)
        self._attempt_s.record(attempt.duration_s, asked if error is None else {**asked, names.ERROR_TYPE: error})
        usage = attempt.usage
        if usage.total_tokens:
            self._tokens.record(usage.prompt_tokens, {**asked, names.TOKEN_TYPE: "input"})
            self._tokens.record(usage.completion_tokens, {**asked, names.TOKEN_TYPE: "output"})
        if attempt.cost_usd is None:
            self._unpriced.add(1, asked)
        elif attempt.cost_usd > 0:
            self._cost.add(attempt.cost_usd, asked)

    def _tool(self, tool: ToolCall) -> None:
        attributes: Attributes = {names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: as_text(tool.name)}
        if (error := tool_error_type(tool)) is not None:
            attributes[names.ERROR_TYPE] = error
        self._tool_s.record(tool.duration_s, attributes)

"""What LiteLLM is told that a run has spent: once, by the outermost run, for all that ran inside of it.

A nested run that LiteLLM led back to us tells nothing. Its calls stand in the record of the run around it, which tells of
them; whatever LiteLLM's Router makes of its answer, or of its failure, is told there too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import litellm

from composite_llm.backend import compat
from composite_llm.model.trace import Trace
from composite_llm.model.usage import NO_USAGE, Usage
from composite_llm.provider.reply import (
    answer_so_far,
    cut_off_response,
    litellm_usage,
    mark_cost_unknown,
    set_calculated_cost,
    usage_object,
)
from composite_llm.proxy.request import current_request
from composite_llm.proxy.spend import (
    book_stream,
    give_back_stream,
    note_unfinished,
    take_over_failed,
    take_over_stream,
    with_failed,
)
from composite_llm.run import Run

_GONE = (asyncio.CancelledError, GeneratorExit)
"""How a stream ends whose reader has gone."""


class Charge:
    """The bill of one run.

    Args:
        run: Whose.
        logging_obj: LiteLLM's record of the call that it answers.
    """

    def __init__(self, run: Run, logging_obj: Any) -> None:
        self._run = run
        self._logging = logging_obj
        self._request = None if run.nested else current_request()

    def cost_usd(self, cost_usd: float | None) -> float | None:
        """What is charged for what the run has cost: what failed before it in the same request of the proxy is on top."""
        if self._run.nested:
            return 0.0
        return cost_usd if self._request is None else with_failed(self._request, cost_usd)

    def priced_usage(self, usage: Usage, reasoning_tokens: int, cost_usd: float | None) -> litellm.Usage:
        """The tokens that LiteLLM books, with what is charged on them: the only place from which it takes a stream's cost."""
        if self._run.nested:
            return usage_object(NO_USAGE, 0, 0.0)
        return usage_object(usage, reasoning_tokens, self.cost_usd(cost_usd))

    def answered(self, trace: Trace) -> None:
        """The run has its answer, whose cost LiteLLM takes as it is told."""
        if self._run.nested:
            return
        mark_cost_unknown(self._logging, trace)
        if self._request is not None:
            take_over_failed(self._logging)

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        """Whatever ends the run early, what it spent until then is charged."""
        try:
            yield
        except BaseException as error:
            trace = self._run.trace
            if trace is not None and trace.usage.total_tokens and not self._run.nested:
                self._record(trace, failed=isinstance(error, Exception))
            raise

    def _record(self, trace: Trace, *, failed: bool) -> None:
        cost_usd = self.cost_usd(trace.cost_usd)
        usage = usage_object(trace.usage, trace.usage.completion_tokens, cost_usd)
        _record_partial(self._logging, usage, cost_usd)
        if self._request is not None:
            note_unfinished(self._request, usage, trace.cost_usd, self._logging, failed=failed)

    @contextlib.asynccontextmanager
    async def booked_when_cut_off(self) -> AsyncIterator[None]:
        """A client of the proxy that hangs up on a stream is charged what the run has spent when it goes."""
        if self._request is None or not take_over_stream(self._logging):
            yield
            return
        try:
            yield
        except _GONE:
            await book_stream(self._logging, self._cut_off())
            raise
        except BaseException:
            give_back_stream(self._logging)
            raise
        give_back_stream(self._logging)

    def _cut_off(self) -> litellm.ModelResponse:
        trace = self._run.trace
        if trace is None:
            return cut_off_response(self._run.id, self._run.plan.logical_model, usage_object(NO_USAGE, 0), 0.0)
        usage, cost_usd = litellm_usage(trace), self.cost_usd(trace.cost_usd)
        mark_cost_unknown(self._logging, trace)
        return cut_off_response(trace.id, trace.model, usage, cost_usd, text=answer_so_far(trace))


def _record_partial(logging_obj: Any, usage: litellm.Usage, cost_usd: float | None) -> None:
    record = compat.RECORD_PARTIAL.of(logging_obj)
    with contextlib.suppress(Exception):  # accounting must not hide why the run ended
        if record is not None:
            record(usage, cost_usd)
        else:
            # LiteLLM before that method keeps the same two entries; of a stream it works them out again from the chunks,
            # without the cost that they name.
            compat.CALL_DETAILS.of(logging_obj).update({compat.PARTIAL_USAGE: usage, compat.RESPONSE_COST: cost_usd})
            set_calculated_cost(logging_obj, cost_usd)

"""LiteLLM's `CustomLLM` for the provider `composite`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any

import litellm
from litellm.types.utils import ModelResponseStream

from composite_llm.backend.interface import Chunk, Reply
from composite_llm.backend.litellm_error_classes import to_litellm_error
from composite_llm.backend.litellm_response_cache import keep_out_of_cache
from composite_llm.backend.unused_callbacks import leave_unlogged
from composite_llm.model.errors import CompositeError, InvalidOption
from composite_llm.model.model_strings import COMPOSITE_PREFIX
from composite_llm.model.trace import Trace
from composite_llm.provider.charge import Charge
from composite_llm.provider.chunks import ChunkMaker
from composite_llm.provider.portal import PORTAL
from composite_llm.provider.reply import reasoning_tokens, response_of
from composite_llm.provider.request import build_run
from composite_llm.provider.sync_stream import SyncStream
from composite_llm.provider.traces import attach_trace
from composite_llm.proxy.blame import told_to_client
from composite_llm.proxy.client_view import ClientView, view_of
from composite_llm.proxy.request import current_request
from composite_llm.run import Run, Services

_log = logging.getLogger("composite_llm")


class CompositeLLM(litellm.CustomLLM):
    """Answers `composite/…`; LiteLLM calls its four methods by keyword.

    Args:
        services: Where to take the backend, the profiles and the registered executors from, at each call.
    """

    def __init__(self, services: Callable[[], Services]) -> None:
        super().__init__()
        self._services = services
        self._noted: set[str] = set()

    def completion(self, **kwargs: Any) -> litellm.ModelResponse:  # type: ignore[override]
        """One plain answer; also inside a running event loop, as parallel as outside."""
        run = self._run(kwargs)
        return PORTAL.call(lambda: self._plain(run, kwargs))

    async def acompletion(self, **kwargs: Any) -> litellm.ModelResponse:  # type: ignore[override]
        """One plain answer."""
        return await self._plain(self._run(kwargs), kwargs)

    def streaming(self, **kwargs: Any) -> Iterator[ModelResponseStream]:  # type: ignore[override]
        """A sync stream; bad options raise here, before it exists."""
        run = self._run(kwargs)
        return SyncStream(PORTAL, lambda: self._chunks(run, kwargs))

    def astreaming(self, **kwargs: Any) -> AsyncGenerator[ModelResponseStream, None]:  # type: ignore[override]
        """An async stream; a plain function, so that bad options raise here, before it exists."""
        return self._chunks(self._run(kwargs), kwargs)

    def embedding(self, *_: Any, **kwargs: Any) -> Any:
        """Refused; LiteLLM's own answer is a 500, for which a Router takes the composite from everybody."""
        raise _chats_only("embeddings", kwargs)

    def image_generation(self, *_: Any, **kwargs: Any) -> Any:
        """As above."""
        raise _chats_only("images", kwargs)

    def image_edit(self, *_: Any, **kwargs: Any) -> Any:
        """As above."""
        raise _chats_only("images", kwargs)

    async def aembedding(self, *_: Any, **kwargs: Any) -> Any:
        """As above."""
        raise _chats_only("embeddings", kwargs)

    async def aimage_generation(self, *_: Any, **kwargs: Any) -> Any:
        """As above."""
        raise _chats_only("images", kwargs)

    async def aimage_edit(self, *_: Any, **kwargs: Any) -> Any:
        """As above."""
        raise _chats_only("images", kwargs)

    def _run(self, kwargs: dict[str, Any]) -> Run:
        with _as_litellm_errors(kwargs):
            run = build_run(kwargs, self._services())
        self._note_once(run)
        attach_trace(kwargs.get("logging_obj"), run)
        return run

    def _note_once(self, run: Run) -> None:
        for note in run.notes:
            key = f"{run.plan.logical_model}: {note}"
            if key not in self._noted:
                self._noted.add(key)
                _log.warning("%s: no members were named, so this is %s", run.plan.logical_model, note)

    async def _plain(self, run: Run, kwargs: dict[str, Any]) -> litellm.ModelResponse:
        charge = Charge(run, kwargs.get("logging_obj"))
        view = view_of(run)
        with _as_litellm_errors(kwargs, run, view), charge.recorded():
            reply = await run.reply()
            trace = run.trace
            assert trace is not None
            charge.answered(trace)
            usage = charge.priced_usage(trace.usage, reasoning_tokens(trace), trace.cost_usd)
            cost_usd = charge.cost_usd(trace.cost_usd)
            leave_unlogged(kwargs.get("logging_obj"))
            _keep_out_if_degraded(trace, kwargs.get("logging_obj"))
            shown, reasoning = view.trace(trace), run.plan.options.reasoning
            return response_of(reply, trace, usage, cost_usd, reasoning=reasoning, shown=shown)

    async def _chunks(self, run: Run, kwargs: dict[str, Any]) -> AsyncGenerator[ModelResponseStream, None]:
        charge = Charge(run, kwargs.get("logging_obj"))
        maker = ChunkMaker(run.id, run.plan.logical_model, run.plan.options.reasoning, charge.priced_usage)
        view = view_of(run)
        with _as_litellm_errors(kwargs, run, view):
            async with charge.booked_when_cut_off():
                with charge.recorded():
                    try:
                        async with contextlib.aclosing(run.items()) as items:
                            async for item in items:
                                if isinstance(item, Chunk):
                                    for chunk in maker.of_chunk(item):
                                        yield chunk
                                elif not isinstance(item, Reply):
                                    for chunk in maker.of_event(view.event(item)):
                                        yield chunk
                    except Exception:
                        for chunk in _last_bill(run, maker):
                            yield chunk
                        raise
                    trace = run.trace
                    assert trace is not None
                    charge.answered(trace)
                    _keep_out_if_degraded(trace, kwargs.get("logging_obj"))
                    assert run.result is not None
                    for chunk in maker.of_end(run.result, view.trace(trace)):
                        yield chunk


def _keep_out_if_degraded(trace: Trace, logging_obj: Any) -> None:
    """What a key's cap, or a member that failed just now, has made of an answer is not for others who ask the same."""
    if not trace.degraded:
        return
    keep_out_of_cache(logging_obj)
    request = current_request()
    if request is not None:
        request.keep_out_of_cache()


def _last_bill(run: Run, maker: ChunkMaker) -> Iterator[ModelResponseStream]:
    trace = run.trace
    if trace is not None and trace.usage.total_tokens:
        yield from maker.of_failure(trace)


def _chats_only(what: str, kwargs: Mapping[str, Any]) -> Exception:
    error = InvalidOption("model", f"a composite gives no {what}", allowed="chats, and what LiteLLM makes of them")
    return to_litellm_error(error, f"{COMPOSITE_PREFIX}{kwargs.get('model')}", cools=False)


@contextlib.contextmanager
def _as_litellm_errors(
    kwargs: dict[str, Any], run: Run | None = None, view: ClientView | None = None
) -> Iterator[None]:
    model = f"{COMPOSITE_PREFIX}{kwargs['model']}"
    try:
        yield
    except CompositeError as error:
        # A Router takes a deployment that failed from everybody: not for what one request brought about.
        cools = run is not None and run.blames_models(error)
        if view is not None:
            error.message = view.text(error.message)
        raise to_litellm_error(
            told_to_client(error) if current_request() is not None else error, model, cools=cools
        ) from None
    except Exception as error:  # noqa: BLE001  # the other door to LiteLLM
        # A mistake of ours. LiteLLM would put its traceback into the caller's message; it belongs into the log.
        _log.exception("internal error")
        internal = CompositeError(f"internal error of composite_llm ({type(error).__name__}); its log has the details")
        raise to_litellm_error(internal, model, cools=False) from None
    finally:
        if view is not None:
            view.log_failures()

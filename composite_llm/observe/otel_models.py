"""How a trace's attempts name the model, the provider and the server that were asked."""

from __future__ import annotations

from collections.abc import Callable

from composite_llm.model.model_strings import is_composite_model
from composite_llm.model.trace import Attempt
from composite_llm.observe import otel_names as names

Attributes = dict[str, str | bool | int | float | list[str]]


def is_composite(attempt: Attempt) -> bool:
    """Whether the attempt was a run of ours, whose calls are spans of their own."""
    return attempt.nested or is_composite_model(attempt.model)


def workflow(model: str) -> Attributes:
    """A composite's name, under both of its keys: release 0.1.0 of the conventions' own repository renamed it."""
    return {names.WORKFLOW_NAME: model, names.AGENT_NAME: model}


class AskedModels:
    """Attributes of attempts that tell whom they asked, remembered per model and endpoint.

    Args:
        provider_of: LiteLLM's provider of a model string, None for a name of the Router.
    """

    def __init__(self, provider_of: Callable[[str], str | None]) -> None:
        self._provider_of = provider_of
        self._known: dict[tuple[str, str | None, bool], Attributes] = {}

    def attributes(self, attempt: Attempt) -> Attributes:
        """Operation, provider, the model as the provider calls it, and the server. A copy: add what you like."""
        key = (attempt.model, attempt.endpoint, is_composite(attempt))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = self._made(*key)
        return dict(known)

    def _made(self, model: str, endpoint: str | None, composite: bool) -> Attributes:
        if composite:
            return {names.OPERATION: names.INVOKE_WORKFLOW, **workflow(model)}
        provider = self._provider_of(model)
        made: Attributes = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: names.PROVIDER_NAMES.get(provider, provider) if provider else names.ROUTER,
            names.REQUEST_MODEL: model.removeprefix(f"{provider}/"),
        }
        if endpoint:
            host, _, port = endpoint.rpartition(":")
            has_port = bool(host) and port.isdigit()
            made[names.SERVER_ADDRESS] = host if has_port else endpoint
            if has_port:
                made[names.SERVER_PORT] = int(port)
        return made


_MOST_KNOWN = 1000
"""A client of a proxy may be allowed to choose models."""


def was_asked(attempt: Attempt) -> bool:
    """Whether a model was really asked: no composite, and no breaker in between."""
    return not is_composite(attempt) and attempt.error_class != "BreakerOpen"


def error_type(attempt: Attempt) -> str | None:
    """Why an attempt failed, as one of few words; None if it did not, or was not wanted any more."""
    if attempt.status not in ("failed", "timed_out"):
        return None
    if attempt.error_class:
        return attempt.error_class
    if attempt.status_code is not None:
        return str(attempt.status_code)
    return "timeout" if attempt.status == "timed_out" else "unusable"

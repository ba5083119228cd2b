"""Errors a scenario asks for."""

from fake_server.formats.format import ErrorFacts, Format
from fake_server.request import ChatRequest
from fake_server.rules.window import WindowSpec, refusal, usual_wording
from fake_server.scenario import ErrorSpec, Scenario

_CONTEXT_TOKENS = 8192
_DEFAULT_STATUS = 500


def fault(scenario: Scenario, request: ChatRequest, form: Format) -> ErrorFacts:
    """Return the facts of the error."""
    spec = scenario.error or ErrorSpec()
    status = spec.status or (400 if spec.context_window else _DEFAULT_STATUS)
    code, param, message = spec.code, spec.param, spec.message
    if spec.context_window:
        code, param = code or "context_length_exceeded", param or "messages"
        message = message or _too_long(scenario, request)
    wait = None if spec.retry_after is None else f"{spec.retry_after}".removesuffix(".0")
    return ErrorFacts(status, message or form.message(status), spec.type, code, param, wait)


def retry_header(facts: ErrorFacts) -> dict[str, str]:
    """Return the header that says when to try again."""
    return {} if facts.retry_after is None else {"Retry-After": facts.retry_after}


def _too_long(scenario: Scenario, request: ChatRequest) -> str:
    prompt = max(request.prompt_tokens(), _CONTEXT_TOKENS + 1)
    return refusal(
        WindowSpec(tokens=_CONTEXT_TOKENS), usual_wording(request, scenario.served_by), prompt, answer=0
    ).message

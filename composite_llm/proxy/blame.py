"""What a client of the proxy causes has a status that its Router does not count.

A Router puts a deployment that failed with 401, 402, 404, 408, 429 or 5xx into a cooldown, whoever caused it, and other
clients find it gone. Clients, too, repeat 408, 429 and 5xx: the whole run once more, for what fails again.
"""

from __future__ import annotations

from composite_llm.model.errors import BudgetExceeded, CompositeError, InvalidOutput

_STATUS: tuple[tuple[type[CompositeError], int], ...] = ((BudgetExceeded, 400), (InvalidOutput, 422))


def told_to_client(error: CompositeError) -> CompositeError:
    """The error with the status that a client of the proxy is told."""
    if error.is_providers:
        return error
    own = next((status for known, status in _STATUS if isinstance(error, known)), None)
    if own is not None:
        error.status_code = own
    elif error.status_code in (502, 503):
        # Answers without use: blank, withheld, over a cap.
        error.status_code = 422
    return error

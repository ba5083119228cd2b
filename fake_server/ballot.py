"""The default answer to a request to rank labelled responses."""

import hashlib
import json
import re
from typing import Any

from fake_server.request import ChatRequest

_ASKS = re.compile(r"(?<![a-z])ranking(?![a-z])", re.IGNORECASE)
_LABEL = re.compile(r"\bResponse [A-Z]{1,2}\b")
_INSTRUCTING_ROLES = frozenset({"system", "developer"})
_REVIEWS = (
    "Accurate and complete.",
    "Clear, but it leaves out an important case.",
    "Mostly right, with one claim that is not supported.",
    "Well ordered and easy to follow.",
    "Correct in substance, too long in form.",
    "Too vague to act upon.",
)


def ballot_for(request: ChatRequest) -> str | None:
    """Return a ballot in a JSON fence, or None when the request does not ask for one."""
    turn = "\n".join(request.texts[_turn_start(request) :])
    labels = list(dict.fromkeys(_LABEL.findall(turn)))
    if not labels or not (_ASKS.search(turn) or _ASKS.search(_instructions(request))):
        return None
    return f"```json\n{json.dumps(_ballot(request.model, labels), indent=2)}\n```"


def _ballot(model: str, labels: list[str]) -> dict[str, Any]:
    seed = "\0".join([model, *sorted(labels)])
    ranks = {label: _digest(seed, label) for label in labels}
    ranking = sorted(labels, key=lambda label: ranks[label])
    return {"ranking": ranking, "reviews": {label: _REVIEWS[ranks[label][0] % len(_REVIEWS)] for label in ranking}}


def _digest(seed: str, label: str) -> bytes:
    return hashlib.sha256(f"{seed}\0\0{label}".encode("utf-8", "surrogatepass")).digest()


def _turn_start(request: ChatRequest) -> int:
    assistants = [at for at, message in enumerate(request.messages) if message.get("role") == "assistant"]
    return assistants[-1] + 1 if assistants else 0


def _instructions(request: ChatRequest) -> str:
    pairs = zip(request.messages, request.texts, strict=True)
    return "\n".join(text for message, text in pairs if message.get("role") in _INSTRUCTING_ROLES)

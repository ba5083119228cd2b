"""The text of an answer, made from the request alone or from the texts of a scenario."""

import hashlib

from fake_server.ballot import ballot_for
from fake_server.request import ChatRequest
from fake_server.wire_json import json_text

# Limits, streaming and logprobs are left out: they change how a text is delivered, not the text.
_DIGESTED = ("model", "messages", "tools", "response_format", "seed", "temperature")
_FIRST_WORDS = 8
_OPENINGS = (
    "The short answer is yes, with one condition.",
    "It depends mostly on what is being measured.",
    "There are three points to weigh here.",
    "The usual view holds, though not everywhere.",
    "A careful reading suggests the simpler explanation.",
)
_REASONS = (
    "The evidence at hand supports it, and nothing contradicts it.",
    "The first step settles most of the question, and the rest follows from it.",
    "Two of the common objections fall away once the terms are defined.",
    "The costs are small, while the benefit grows with every use.",
    "Both alternatives were considered, and they lead to the same place.",
)
_ENDINGS = (
    "Check the assumption before relying on it.",
    "A small trial would confirm this.",
    "The remaining doubt is minor.",
    "That is as far as the question allows.",
    "More detail would not change the result.",
)


def digest_of(request: ChatRequest, choice: int = 0) -> str:
    """Return the digest that all variety of an answer comes from."""
    parts = [request.body.get(name) for name in _DIGESTED]
    text = f"{choice}\0{json_text(parts)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def default_texts(request: ChatRequest) -> list[str]:
    """Return the texts a model without a scenario answers with, one for each choice."""
    ballot = ballot_for(request)
    if ballot is not None:
        return [ballot] * request.n
    words = " ".join(request.last_user[:400].split()[:_FIRST_WORDS])
    return [_plausible(request.model, digest_of(request, choice), words) for choice in range(request.n)]


def fill(template: str, request: ChatRequest, choice: int) -> str:
    """Return a text of a scenario with its placeholders filled in."""
    if "{" not in template:
        return template
    # The user's text goes last: it may contain the names of the other placeholders.
    filled = template.replace("{model}", request.model).replace("{n}", str(choice + 1))
    return filled.replace("{digest}", digest_of(request, choice)[:12]).replace("{last_user}", request.last_user)


def _plausible(model: str, digest: str, words: str) -> str:
    seed = bytes.fromhex(digest[:6])
    opening, reason, ending = (
        sentences[byte % len(sentences)] for sentences, byte in zip((_OPENINGS, _REASONS, _ENDINGS), seed, strict=True)
    )
    return f'{model} ({digest[:12]}) on "{words}": {opening} {reason} {ending}'

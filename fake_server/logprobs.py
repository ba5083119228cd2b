"""Log probabilities that are well formed and mean nothing."""

import hashlib
from typing import Any

from fake_server.tokens import CHARS_PER_TOKEN


def make_logprobs(text: str, top: int) -> dict[str, Any]:
    """Return the logprobs of a text, cut into the tokens that are counted."""
    starts = range(0, len(text), CHARS_PER_TOKEN)
    return {"content": [_token(text[at : at + CHARS_PER_TOKEN], top) for at in starts], "refusal": None}


def _token(token: str, top: int) -> dict[str, Any]:
    raw = token.encode("utf-8", "replace")
    logprob = -hashlib.sha256(raw).digest()[0] / 128
    best = {"token": token, "logprob": logprob, "bytes": list(raw)}
    others = [_alternative(rank, logprob) for rank in range(1, top)]
    return {**best, "top_logprobs": [best, *others] if top else []}


def _alternative(rank: int, logprob: float) -> dict[str, Any]:
    token = f"alt{rank}"
    return {"token": token, "logprob": logprob - rank, "bytes": list(token.encode())}

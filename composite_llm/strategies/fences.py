"""The code that marks quoted texts in one prompt: nobody who wrote one of the texts can have seen it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence

from composite_llm.backend.interface import Message
from composite_llm.engine.reuse import turn_key

_SEEDED = "seed-"
_DIGITS = 8
_DIGITS_SEEDED = 12


def run_secret(seed: int | None, model: str, messages: Sequence[Message]) -> str:
    """What the codes of one run are made with: random, or with a seed the same again for the same user turn."""
    if seed is None:
        return secrets.token_hex(16)
    return _SEEDED + turn_key(messages, {"seed": seed, "model": model}, owner="")


def fence_code(secret: str, reader: str, texts: Sequence[str]) -> str:
    """The code of a prompt that quotes these texts.

    It depends on every quoted text, so who has read other prompts of the run, and writes a text now, has not read it.

    Args:
        secret: Of the run.
        reader: Who reads the prompt: its stage, and its name where each member of the stage reads another one.
        texts: What is quoted, in order.
    """
    # A model is sent the seed, so it may know the secret: then it must be hopeless to search for a text that holds its
    # own code.
    digits = _DIGITS_SEEDED if secret.startswith(_SEEDED) else _DIGITS
    quoted = json.dumps([reader, *texts])
    return hmac.new(secret.encode(), quoted.encode(), hashlib.sha256).hexdigest()[:digits]

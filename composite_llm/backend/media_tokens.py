"""Tokens of sounds and films, which LiteLLM's counter refuses: by how long they play. Pure.

The rates are those that providers name, the higher one where they differ: Gemini takes 32 tokens for a second of sound and
some 300 for a second of film (https://ai.google.dev/gemini-api/docs/tokens), OpenAI 10 for a second of sound.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from composite_llm.model.messages import modality

_PER_SECOND = {"audio": 32.0, "video": 300.0}
_OF_SOMETHING_ELSE = 1_500
"""A part of a kind that is not known here: as an image of high detail."""
_UNSEEN_S = 60.0
"""How long a sound or film is taken to play that is only pointed to."""
_HEADER = 64

_BYTES_PER_SECOND: dict[str, float] = {
    "wav": 32_000.0,  # 16 bits, 16 kHz, one channel; a header says it better
    "pcm16": 48_000.0,
    "flac": 50_000.0,
    "mp3": 16_000.0,
    "video": 125_000.0,
}
_OF_ANOTHER_SOUND = 8_000.0
"""Opus, AAC and the like at 64 kbit/s."""


def media_tokens(part: Any) -> int | None:
    """Tokens of a content part that is a sound or a film; None for any other."""
    kind = modality(part)
    if kind not in _PER_SECOND:
        return None
    data, form = _data(part)
    seconds = _UNSEEN_S if data is None else _seconds(data, "video" if kind == "video" else form)
    return max(int(seconds * _PER_SECOND[kind]), 1)


def tokens_of_another_part(part: Any) -> int:
    """Tokens of a part of a kind that nobody knows: its short texts, and as much as for an image."""
    texts = [value for value in part.values() if isinstance(value, str)] if isinstance(part, Mapping) else [str(part)]
    return _OF_SOMETHING_ELSE + sum(len(text) for text in texts if len(text) < _OF_SOMETHING_ELSE) // 4


def _data(part: Mapping[str, Any]) -> tuple[str | None, str]:
    """The base64 that a part holds, and its format's name."""
    inside = part.get(str(part.get("type")))
    holder = inside if isinstance(inside, Mapping) else part
    named = str(holder.get("format") or part.get("format") or "").lower()
    if isinstance(data := holder.get("data"), str):
        return data, named
    url = inside if isinstance(inside, str) else holder.get("url")
    if not isinstance(url, str) or not url.startswith("data:"):
        return None, named
    head, _, data = url.partition(",")
    return data, named or head.removeprefix("data:").partition(";")[0].rpartition("/")[2].lower()


def _seconds(data: str, form: str) -> float:
    rate = _BYTES_PER_SECOND.get({"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}.get(form, form), _OF_ANOTHER_SOUND)
    return len(data) * 3 / 4 / (_rate_in_header(data) or rate)


def _rate_in_header(data: str) -> float | None:
    """Bytes per second, as the header of a WAV file says it."""
    try:
        head = base64.b64decode(data[:_HEADER], validate=True)
    except (binascii.Error, ValueError):
        return None
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or len(head) < 32:
        return None
    rate = int.from_bytes(head[28:32], "little")
    return float(rate) if 1_000 <= rate <= 2_000_000 else None

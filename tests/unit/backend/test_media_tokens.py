"""Sounds and films are counted by how long they play, not by their base64."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.backend.media_tokens import media_tokens, tokens_of_another_part

SIX_MB = "A" * 8_000_000


def of_seconds(seconds: float, rate: int = 44_100, channels: int = 2) -> str:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(int(seconds * rate) * 2 * channels))
    return base64.b64encode(held.getvalue()).decode()


def sound(data: str, form: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


@pytest.mark.parametrize(
    ("part", "least", "most"),
    [
        pytest.param(sound(SIX_MB, "mp3"), 10_000, 14_000, id="mp3"),
        pytest.param(sound(SIX_MB, "opus"), 20_000, 28_000, id="opus"),
        pytest.param(
            {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{SIX_MB}"}}, 12_000, 18_000, id="film"
        ),
        pytest.param(
            {"type": "video_url", "video_url": f"data:video/mp4;base64,{SIX_MB}"}, 12_000, 18_000, id="film, short"
        ),
        pytest.param(
            {"type": "audio_url", "audio_url": {"url": f"data:audio/mpeg;base64,{SIX_MB}"}}, 10_000, 14_000, id="url"
        ),
        pytest.param(
            {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}, 10_000, 20_000, id="address"
        ),
        pytest.param(
            {"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}}, 1_500, 2_500, id="sound's address"
        ),
        pytest.param(sound(of_seconds(10), "wav"), 310, 330, id="wav by its header"),
        pytest.param(sound(of_seconds(10, 8_000, 1), "wav"), 310, 330, id="wav of another rate"),
        pytest.param(sound("", "mp3"), 1, 1, id="nothing"),
    ],
)
def test_a_part_is_counted_by_its_kind(part: Any, least: int, most: int) -> None:
    tokens = media_tokens(part)
    assert tokens is not None
    assert least <= tokens <= most


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "hello"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        "text",
        None,
    ],
)
def test_what_litellm_counts_is_left_to_it(part: Any) -> None:
    assert media_tokens(part) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["input_audio", "audio", "audio_url", "video_url"]), JSON)
def test_odd_parts_have_a_number_too(kind: str, inside: Any) -> None:
    assert (media_tokens({"type": kind, kind: inside}) or 0) > 0
    assert tokens_of_another_part({"type": "x", "x": inside}) < 10_000

"""What tools return, as the model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from composite_llm.model.messages import modality
from composite_llm.model.tool_results import content_text, parts_in, tool_content

TEXT = {"type": "text", "text": "here it is"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}


@dataclass
class Resource:
    uri: str
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None


@dataclass
class Content:
    """As the objects of the package `mcp`."""

    type: str
    text: str | None = None
    data: str | None = None
    mime_type: str | None = None
    resource: Any = None


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        pytest.param([TEXT, IMAGE], [TEXT, IMAGE], id="OpenAI's"),
        pytest.param((IMAGE,), [IMAGE], id="a tuple"),
        pytest.param(IMAGE, [IMAGE], id="one part"),
        pytest.param([SOUND, FILE], [SOUND, FILE], id="sound and file"),
        pytest.param(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            [IMAGE],
            id="Anthropic's",
        ),
        pytest.param(
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
            id="Anthropic's address",
        ),
        pytest.param({"type": "image", "data": "AAAA", "mimeType": "image/png"}, [IMAGE], id="MCP's, as a mapping"),
        pytest.param(
            [Content("text", text="here it is"), Content("image", data="AAAA", mime_type="image/png")],
            [TEXT, IMAGE],
            id="MCP's, as objects",
        ),
        pytest.param([Content("audio", data="AAAA", mime_type="audio/mpeg")], [SOUND], id="MCP's sound"),
        pytest.param(
            [Content("resource", resource=Resource("file:///x/a.pdf", "application/pdf", blob="AAAA"))],
            [FILE],
            id="MCP's file",
        ),
        pytest.param(
            [Content("resource", resource=Resource("file:///a", "image/png", blob="AAAA")), TEXT],
            [IMAGE, TEXT],
            id="MCP's embedded picture",
        ),
    ],
)
def test_pictures_sounds_and_files_are_parts(value: Any, parts: list[dict[str, Any]]) -> None:
    assert tool_content(value) == parts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("here it is", "here it is", id="text"),
        pytest.param(
            [TEXT], '[{"type": "text", "text": "here it is"}]', id="parts of text alone are a value like another"
        ),
        pytest.param([IMAGE, 5], None, id="something else among them"),
        pytest.param([], "[]", id="empty"),
        pytest.param([{"type": "image", "url": "https://shop.example/1.png"}], None, id="a catalogue"),
        pytest.param({"type": "image", "data": "AAAA"}, None, id="no kind"),
        pytest.param({"type": "file", "file": {}}, None, id="an empty part"),
        pytest.param(b"bytes", "bytes", id="bytes"),
        pytest.param(None, "null", id="nothing"),
    ],
)
def test_everything_else_is_text(value: Any, text: str | None) -> None:
    content = tool_content(value)
    assert isinstance(content, str)
    assert text is None or content == text


def test_a_record_has_a_note_in_the_place_of_what_is_no_text() -> None:
    assert content_text([TEXT, IMAGE, SOUND, FILE]) == "here it is\n[image]\n[audio]\n[file]"
    assert content_text("as it is") == "as it is"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.sampled_from(["image", "text", "resource", "audio", "file", "image_url"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "data", "mimeType", "source", "url", "resource", "blob", "uri", "file", "image_url"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_no_value_is_too_odd(value: Any) -> None:
    content = tool_content(value)
    assert isinstance(content_text(content), str)
    assert isinstance(content, str) or all(modality(part) or part["type"] == "text" for part in content)
    assert all(isinstance(part, dict) for part in parts_in(value))

"""What a tool returned, as the model reads it: text, or content parts where it is pictures, sounds or files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from composite_llm.model.messages import as_text, modality

Part = dict[str, Any]
ToolContent = str | list[Part]

_SOUND_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "mp4": "m4a", "x-m4a": "m4a"}


def tool_content(value: Any) -> ToolContent:
    """A tool's result in the form of a message's content.

    Parts in OpenAI's form, in Anthropic's and in MCP's are parts; a value without any picture, sound or file among them is
    text, as is anything else.
    """
    parts = parts_in(value)
    return parts if any(modality(part) for part in parts) else as_text(value)


def parts_in(value: Any) -> list[Part]:
    """The value's content parts; none unless it is one, or a list of nothing else."""
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray) else [value]
    parts = [_part(item) for item in items]
    return [part for part in parts if part is not None] if all(part is not None for part in parts) else []


def content_text(content: ToolContent) -> str:
    """The content for a record: a short note in the place of what is no text."""
    if isinstance(content, str):
        return content
    texts = [part["text"] if part["type"] == "text" else f"[{modality(part)}]" for part in content]
    return "\n".join(texts)


def _part(item: Any) -> Part | None:
    match _field(item, "type"):
        case "text" if isinstance(text := _field(item, "text"), str):
            return {"type": "text", "text": as_text(text)}
        case "image_url" | "input_audio" | "file" | "video_url" as kind if _is_filled(inside := _field(item, kind)):
            return {"type": kind, kind: inside}
        case "image":
            return _image(item)
        case "audio":
            return _inline(_field(item, "data"), _mime_type(item))
        case "resource":
            return _resource(_field(item, "resource"))
        case "resource_link" if isinstance(uri := _text(_field(item, "uri")), str):
            return {"type": "text", "text": f"[{_text(_field(item, 'name')) or 'link'}: {uri}]"}
        case _:
            return None


def _field(item: Any, name: str) -> Any:
    # MCP's objects have attributes, and renamed those of camel case in their second release.
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_filled(inside: Any) -> bool:
    named = ("url", "data", "file_data", "file_id")
    return isinstance(inside, str) or (isinstance(inside, Mapping) and any(inside.get(key) for key in named))


def _mime_type(item: Any) -> str:
    return str(_field(item, "mime_type") or _field(item, "mimeType") or _field(item, "media_type") or "")


def _image(item: Any) -> Part | None:
    source = _field(item, "source")
    if source is None:
        return _inline(_field(item, "data"), _mime_type(item))
    if isinstance(url := _field(source, "url"), str):
        return {"type": "image_url", "image_url": {"url": url}}
    return _inline(_field(source, "data"), _mime_type(source))


def _resource(resource: Any) -> Part | None:
    if isinstance(text := _field(resource, "text"), str):
        return {"type": "text", "text": as_text(text)}
    return _inline(
        _field(resource, "blob"), _mime_type(resource) or "application/octet-stream", _field(resource, "uri")
    )


def _inline(data: Any, mime_type: str, name: Any = None) -> Part | None:
    """Base64 as the part that its kind is sent as."""
    if not isinstance(data, str) or not data or "/" not in mime_type:
        return None
    kind, _, form = mime_type.partition("/")
    url = f"data:{mime_type};base64,{data}"
    match kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": url}}
        case "audio":
            return {"type": "input_audio", "input_audio": {"data": data, "format": _SOUND_FORMATS.get(form, form)}}
        case "video":
            return {"type": "video_url", "video_url": {"url": url}}
        case _:
            file_name = str(name).rpartition("/")[2] if name is not None else "file"
            return {"type": "file", "file": {"filename": file_name or "file", "file_data": url}}

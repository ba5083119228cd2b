"""What each tool is for and takes, as a model reads it."""

from __future__ import annotations

from typing import Any

_PATH = {"type": "string", "minLength": 1, "maxLength": 4096, "description": "Path below the project's root."}


def _tool(name: str, description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": description, "parameters": parameters}


SCHEMAS: dict[str, dict[str, Any]] = {
    schema["name"]: schema
    for schema in (
        _tool(
            "read_file",
            "Read a text file, or some of its lines.",
            ["path"],
            path=_PATH,
            first_line={"type": "integer", "minimum": 1, "description": "Counted from 1; default 1."},
            lines={"type": "integer", "minimum": 1, "description": "How many; default: all."},
        ),
        _tool(
            "list_files",
            "List the names in a folder; those of folders end with a slash.",
            [],
            path=_PATH,
            recursive={"type": "boolean", "description": "Also what is below; default false."},
        ),
        _tool(
            "search_files",
            "Find lines by a regular expression in a folder or file.",
            ["pattern"],
            pattern={"type": "string", "minLength": 1, "maxLength": 1000},
            path=_PATH,
        ),
        _tool(
            "write_file",
            "Write a text file whole; what was in it is replaced. For a change of some lines use apply_patch.",
            ["path", "content"],
            path=_PATH,
            content={"type": "string"},
        ),
        _tool(
            "apply_patch",
            "Apply a unified diff (---, +++, @@) to one or several files: to all of them, or to none.",
            ["patch"],
            patch={"type": "string", "minLength": 1},
        ),
        _tool(
            "run_command",
            "Run one program with its arguments in the project's root, without a shell and without network.",
            ["command"],
            command={
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ],
                "description": "A list of words, or one text that is split like a shell does; no pipes, no redirection.",
            },
        ),
        _tool(
            "run_tests",
            "Run the project's tests, all or those of some paths.",
            [],
            paths={
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Test files, or FILE::NAME.",
            },
        ),
    )
}

READ_TOOLS = ("read_file", "list_files", "search_files")
"""Tools that change nothing and start nothing."""

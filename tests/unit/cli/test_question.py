from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest

from composite_llm.cli.exits import Misused
from composite_llm.cli.question import messages_of


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pipe(content: str | bytes) -> None:
        raw = content.encode() if isinstance(content, str) else content
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))

    pipe("")
    return pipe


def asked(messages: list[dict[str, Any]]) -> Any:
    return messages[-1]["content"]


def test_a_question_is_one_message(piped: Any) -> None:
    assert messages_of("Why?", None, []) == [{"role": "user", "content": "Why?"}]


def test_a_system_prompt_comes_first(piped: Any) -> None:
    assert messages_of("Why?", "Be brief.", [])[0] == {"role": "system", "content": "Be brief."}


def test_standard_input_is_the_question_when_there_is_no_other(piped: Any) -> None:
    piped("Why?\n")
    assert asked(messages_of(None, None, [])) == "Why?"


def test_standard_input_is_material_when_there_is_a_question(piped: Any) -> None:
    piped("a = 1\n")
    assert asked(messages_of("What is it?", None, [])) == "standard input:\n```\na = 1\n```\n\nWhat is it?"


@pytest.mark.parametrize("question", [None, "", "  \n"])
def test_no_question_is_a_mistake(piped: Any, question: str | None) -> None:
    with pytest.raises(Misused, match="there is no question"):
        messages_of(question, None, [])


def test_text_files_come_before_the_question_each_with_its_name(piped: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b.md").write_text("```\ncode\n```")
    content = asked(messages_of("Well?", None, [tmp_path / "a.py", tmp_path / "b.md"]))
    assert content == "a.py:\n```\nx = 1\n```\n\nb.md:\n````\n```\ncode\n```\n````\n\nWell?"


def test_a_picture_and_a_pdf_are_parts_of_their_kinds(piped: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "b.pdf").write_bytes(b"%PDF\xff")
    (tmp_path / "c.txt").write_text("words")
    files = [tmp_path / name for name in ("a.png", "b.pdf", "c.txt")]
    picture, pdf, text, question = asked(messages_of("Well?", None, files))
    assert picture["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(b"\x89PNG\xff").decode()
    assert pdf["file"]["filename"] == "b.pdf"
    assert pdf["file"]["file_data"].startswith("data:application/pdf;base64,")
    assert text["text"] == "c.txt:\n```\nwords\n```"
    assert question == {"type": "text", "text": "Well?"}


def test_a_file_that_cannot_be_sent_is_named(piped: Any, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misused, match=r"a\.bin: is neither"):
        messages_of("Well?", None, [tmp_path / "a.bin"])
    with pytest.raises(Misused, match=r"absent: No such file"):
        messages_of("Well?", None, [tmp_path / "absent"])
    with pytest.raises(Misused, match="directory"):
        messages_of("Well?", None, [tmp_path])


def test_bytes_on_standard_input_are_a_mistake(piped: Any) -> None:
    piped(b"\xff\xfe")
    with pytest.raises(Misused, match="not UTF-8"):
        messages_of("Well?", None, [])

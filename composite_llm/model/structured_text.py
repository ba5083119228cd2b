"""Text that is made of named fields: a program reads the fields, and whatever expects a string has a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from composite_llm.model.documented import describe_fields

TextT = TypeVar("TextT", bound="StructuredText")


class Fields(BaseModel):
    """What a text is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=describe_fields)

    written: ClassVar[tuple[str, ...]]
    """Fields that hold free text, such as a provider's address; the others come from a small set."""

    def sentence(self) -> str:
        """The text."""
        raise NotImplementedError


class StructuredText(str):
    """A sentence that keeps its fields; pydantic serialises it as an object and reads it back equal."""

    fields_type: ClassVar[type[Fields]]
    fields: Fields

    @classmethod
    def of(cls: type[TextT], fields: Fields) -> TextT:
        """The text that these fields make."""
        made = str.__new__(cls, fields.sentence())
        made.fields = fields
        return made

    @classmethod
    def of_text(cls: type[TextT], text: str) -> TextT:
        """Of a text alone, as earlier releases stored it."""
        raise NotImplementedError

    def changed(self: TextT, change: Callable[[str], str]) -> TextT:
        """The same with its free texts changed, as for masking."""
        texts = {name: change(value) for name in self.fields.written if (value := getattr(self.fields, name))}
        return self.of(self.fields.model_copy(update=texts))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).of, (self.fields,)

    @classmethod
    def _read(cls: type[TextT], value: Any) -> TextT:
        if isinstance(value, cls):
            return value
        return cls.of_text(value) if isinstance(value, str) else cls.of(cls.fields_type.model_validate(value))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda text: text.fields, return_schema=handler(cls.fields_type)
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(cls.fields_type.__pydantic_core_schema__)


class DegradationFields(Fields):
    """A departure from the configuration."""

    written = ("member", "detail")

    code: str
    """What kind of departure; one of a small set."""
    stage: str | None = None
    member: str | None = None
    """The name of whoever it is about, as in its call."""
    detail: str = ""
    """One clause for people."""

    @property
    def clause(self) -> str:
        """What happened, and to whom."""
        form = _CLAUSES.get(self.code)
        if form is None or self.member is None:
            return ": ".join(part for part in (self.member, self.detail) if part)
        return form.format(stage=self.stage, member=self.member, detail=self.detail)

    def sentence(self) -> str:
        """The code and the clause."""
        return f"{self.code}: {self.clause}"


_CLAUSES = {
    "member_missing": "{stage}: {member} ({detail})",
    "member_truncated": "{stage}: {member} {detail}",
    "final_failed": "{member} {detail}",
    "positional_ballot": "{member} {detail}",
}
"""What reads otherwise than `member: detail`."""


class Degradation(StructuredText):
    """A departure from the configuration: text of the form "code: …", with `code`, `stage`, `member` and `detail`."""

    fields_type = DegradationFields
    fields: DegradationFields

    def __new__(
        cls, code: str, detail: str = "", *, stage: str | None = None, member: str | None = None
    ) -> Degradation:
        """Of its fields."""
        return cls.of(DegradationFields(code=code, stage=stage, member=member, detail=detail))

    @classmethod
    def of_text(cls, text: str) -> Degradation:
        """As `StructuredText`: the code, and the rest as it was."""
        code, _, detail = text.partition(": ")
        return cls(code, detail)

    @property
    def code(self) -> str:
        """What kind of departure."""
        return self.fields.code

    @property
    def stage(self) -> str | None:
        """The stage that it happened in, where it is one's."""
        return self.fields.stage

    @property
    def member(self) -> str | None:
        """The name of whoever it is about."""
        return self.fields.member

    @property
    def detail(self) -> str:
        """One clause for people."""
        return self.fields.detail

    @property
    def clause(self) -> str:
        """The text behind the code."""
        return self.fields.clause


NextStepKind = Literal["retry", "other_form", "hedge", "give_up", "unknown"]


class NextStepFields(Fields):
    """What followed an attempt."""

    written = ("reason",)

    kind: NextStepKind
    """`other_form`: asked again at once with something changed; `unknown`: an earlier release stored its text alone."""
    delay_s: float | None = None
    """Of a retry the pause before it, of a hedge the time until it started."""
    reason: str | None = None
    """Why it was given up, or what was changed."""

    def sentence(self) -> str:
        """The step in a few words."""
        match self.kind:
            case "retry":
                return f"retry after {self.delay_s or 0:.1f} s"
            case "hedge":
                return f"hedged after {self.delay_s or 0:g} s"
            case "other_form":
                return f"asked again {self.reason}"
            case "give_up":
                return f"given up: {self.reason}"
            case "unknown":
                return self.reason or ""


class NextStep(StructuredText):
    """What followed an attempt: a few words, with `kind`, `delay_s` and `reason`."""

    fields_type = NextStepFields
    fields: NextStepFields

    def __new__(cls, kind: NextStepKind, *, delay_s: float | None = None, reason: str | None = None) -> NextStep:
        """Of its fields."""
        return cls.of(NextStepFields(kind=kind, delay_s=delay_s, reason=reason))

    @classmethod
    def of_text(cls, text: str) -> NextStep:
        """As `StructuredText`."""
        return cls("unknown", reason=text)

    @property
    def kind(self) -> NextStepKind:
        """What was done."""
        return self.fields.kind

    @property
    def delay_s(self) -> float | None:
        """Seconds before it."""
        return self.fields.delay_s

    @property
    def reason(self) -> str | None:
        """Why it was given up, or what was changed."""
        return self.fields.reason

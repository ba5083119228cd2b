"""A ballot: what was found of one on the way, what it is in the end, and whether its text refuses to give one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, TypeAlias

from composite_llm.model.wellformed import well_formed
from composite_llm.strategies.ballots.lexicon import Lexicon, Mention

Form: TypeAlias = Literal["json", "final_ranking", "mentions", "none"]


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one reviewer voted.

    Attributes:
        ranking: Labels exactly as given to `parse_ballot`, best first, each at most once. May be partial.
        reviews: Label -> comment, where JSON in the text had comments; lone surrogates are replaced. Not to be changed.
        abstained: True when there is no usable ranking: a refusal, a blank text, or nothing recognisable.
        form: How the ranking was read; "none" exactly when abstained.
        problems: Short notes for people on what was dropped or missing.
    """

    ranking: tuple[str, ...]
    reviews: Mapping[str, str]
    abstained: bool
    form: Form
    problems: tuple[str, ...]


def candidates_of(ballot: Ballot, label_of: Mapping[str, str]) -> tuple[str, ...]:
    """Translate a ballot's ranking from labels to candidate ids.

    Args:
        ballot: The ballot.
        label_of: Label -> candidate id, as this reviewer was shown them. Labels without an entry are skipped.

    Returns:
        Candidate ids, best first.
    """
    return tuple(label_of[label] for label in ballot.ranking if label in label_of)


_MAX_PROBLEMS = 12
_MAX_QUOTED = 40


@dataclass(slots=True)
class Found:
    """A ranking being collected.

    Attributes:
        lexicon: The known labels.
        ranking: Labels so far, best first.
        problems: Notes so far, as the keys of a dictionary: each once, in order.
        cut: Whether the text ended too early.
    """

    lexicon: Lexicon
    ranking: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    cut: bool = False

    @property
    def notes(self) -> Sequence[str]:
        """The first problems; nobody reads five hundred."""
        return tuple(islice(self.problems, _MAX_PROBLEMS))

    def problem(self, note: str) -> None:
        """Note something that was dropped or missing."""
        self.problems[note] = None

    def add(self, label: str) -> None:
        """Rank a label next."""
        if label in self.ranking:
            self.problem(f"duplicate {label} dropped")
        else:
            self.ranking.append(label)

    def unknown(self, name: str) -> None:
        """Note something that stands for a label and is none."""
        clean = well_formed(" ".join(name[: 2 * _MAX_QUOTED].split()))
        shown = clean if len(clean) <= _MAX_QUOTED else clean[: _MAX_QUOTED - 1] + "…"
        self.problem(f"unknown label '{shown}' dropped")

    def add_mention(self, mention: Mention) -> None:
        """Rank a mentioned label next, if it is one."""
        if mention.label is None:
            self.unknown(mention.name)
        else:
            self.add(mention.label)

    def take(self, mentions: Iterable[Mention]) -> None:
        """Rank labels mentioned in running text, minding one that the end of the text may have cut."""
        for mention in mentions:
            if mention.label is not None and self.lexicon.may_be_cut(mention, self.ranking):
                self.cut = True
            else:
                self.add_mention(mention)


# "I cannot", "I'm not able to", "I won't"; up to three words may follow before the verb.
_I_CANNOT = (
    r"(?<!\w)I(?:['\u2019]m|[ \t]+am)[ \t]+(?:unable|not[ \t]+able|not[ \t]+comfortable)[ \t]+(?:to|with)[ \t]+"
    r"|(?<!\w)I[ \t]+(?:can[ \t]?not|can['\u2019]?t|could[ \t]?n[o'\u2019]t|won['\u2019]?t|will[ \t]+not|do[ \t]+not|don['\u2019]t)"
    r"[ \t]+(?:want[ \t]+to[ \t]+|wish[ \t]+to[ \t]+)?"
)
_DECLINE = (
    r"(?<!\w)I(?:['\u2019](?:d|ll|m)|[ \t]+am)?[ \t]+"
    r"(?:(?:must|will|would|have|to|also|respectfully|politely|therefore|thus|hereby|prefer|rather)[ \t]+){0,4}"
    r"(?:decline|declining|refuse|refusing|abstain|abstaining)(?!\w)"
)
_REFUSAL = re.compile(
    r"(?<!\w)I(?:['\u2019]m|[ \t]+am)[ \t]+(?:unable|not[ \t]+able|not[ \t]+comfortable)(?!\w)"
    r"|(?<!\w)I[ \t]+(?:can[ \t]?not|can['\u2019]?t|could[ \t]?n[o'\u2019]t|won['\u2019]?t|will[ \t]+not)[ \t]+"
    r"(?:\w{1,15}[ \t]+){0,3}(?:rank|evaluat|judg|compar|assess|assist|help|choos|provid|comply|scor|review|do\b)"
    rf"|{_DECLINE}"
    r"|(?<!\w)as[ \t]+an[ \t]+(?:AI|artificial)(?!\w)|(?<!\w)as[ \t]+a[ \t]+(?:large[ \t]+)?language[ \t]+model",
    re.IGNORECASE,
)
# What is declined has to be the task: who cannot judge one claim may rank all the same.
_THE_TASK = (
    r"(?:\w{1,15}[ \t]+){0,3}(?:rank(?:ing|ings)?\b"
    r"|(?:evaluat|judg|compar|assess|scor|review|choos|decid|vot|order)\w*[ \t]*+"
    r"(?:(?:between|among|on|for)[ \t]+)?"
    r"(?:(?:these|those|them|either|any)\b|th(?:is|at)[ \t]*(?:$|[.,;!])|other[ \t]+models"
    r"|the[ \t]+(?:answers|responses|candidates|texts|models)\b|$|[.,;!])"
    r"|(?:assist|comply|participat)\w*|take[ \t]+part|help(?![ \t]+(?:but|\w+ing)\b)"
    r"|(?:provid|giv|offer|produc)\w*[ \t]+(?:(?:an?|any|my|the|such)[ \t]+){0,2}"
    r"(?:ballot|vote|opinion|order|judg\w+|evaluation|assessment|preference|one[ \t]*(?:$|[.,;!]))"
    r"|do[ \t]+(?:that|this|so|it)[ \t]*(?:$|[.,;!]))"
)
_OTHER_LANGUAGES = (
    r"\bno[ \t]+(?:puedo|quiero|voy[ \t]+a)[ \t]+(?:\w+[ \t]+){0,2}(?:clasificar|ordenar|evaluar|comparar|juzgar)"
    r"|\bje[ \t]+(?:ne[ \t]+(?:peux|veux|souhaite)[ \t]+pas|refuse)\b[^.\n]{0,40}(?:class|\u00e9valu|compar|jug|not)"
    r"|\bich[ \t]+(?:kann|will|m\u00f6chte|werde)\b[^.\n]{0,60}\b(?:nicht|keine?)\b[^.\n]{0,40}(?:bewert|rang|reihenfolge|einordn|vergleich|beurteil)"
    r"|\bich[ \t]+(?:lehne|verweigere|enthalte)\b"
    r"|\bnon[ \t]+(?:posso|voglio)[ \t]+(?:\w+[ \t]+){0,2}(?:classificare|ordinare|valutare|confrontare)"
    r"|\bn\u00e3o[ \t]+(?:posso|quero|vou)[ \t]+(?:\w+[ \t]+){0,2}(?:classificar|ordenar|avaliar|comparar)"
    r"|\u044f[ \t]+не[ \t]+(?:могу|буду|хочу)[^.\n]{0,40}(?:ранжир|оцен|сравн|упорядоч)|(?:отказываюсь|воздерживаюсь)"
    r"|(?:无法|不能|拒绝|無法)[^\u3002\n]{0,12}(?:排[名序]|评|評|比较|比較)|(?:順位|ランキング|評価|比較)[^\u3002\n]{0,12}(?:できません|お断り)"
    r"|(?:순위|평가|비교)[^.\n]{0,12}(?:할 수 없|수 없습니다|거절)"
)
_DECLINED = re.compile(rf"(?:{_I_CANNOT}){_THE_TASK}|{_DECLINE}|{_OTHER_LANGUAGES}", re.IGNORECASE | re.MULTILINE)
_DECLINED_OUTRIGHT = re.compile(_DECLINE, re.IGNORECASE)
_EXAMPLE = re.compile(
    r"(?:\b(?:would|could|might|may)[ \t]+(?:look|be)[ \t]+(?:something[ \t]+)?like|\blooks?[ \t]+like"
    r"|\bfor[ \t]+(?:example|instance)|\be\.?g\.|\bexample(?:[ \t]+\w+){0,4}"
    r"|\b(?:first|initial|rough|preliminary|tentative)[ \t]+(?:\w+[ \t]+)?(?:draft|ranking|guess|thought|order|idea)"
    r"|\bdraft|\btemplate|\bsomething[ \t]+like|\bsuch[ \t]+as|\binstead[ \t]+of|\brather[ \t]+than|\bnot)"
    r"[ \t]*[:,\u2026.]*\s*(?:```\w{0,10}\s*)?\Z",
    re.IGNORECASE,
)
_LOOK_BACK = 120


def refuses(text: str) -> bool:
    """Whether the text declines to rank anywhere; where it has no ranking, a hint is enough."""
    return _REFUSAL.search(text) is not None or declines(text)


def declines(text: str) -> bool:
    """Whether the text says that it gives no ranking, whatever ranking it holds."""
    return _DECLINED.search(text) is not None


def declines_outright(text: str) -> bool:
    """The same in so many words: a ranking under its heading outweighs a mere "I cannot"."""
    return _DECLINED_OUTRIGHT.search(text) is not None


def is_example(text: str, start: int) -> bool:
    """Whether what begins there is announced as an example, a draft or another's."""
    return _EXAMPLE.search(text[max(0, start - _LOOK_BACK) : start]) is not None

"""Questions with exact answers, made from a seed: nothing is downloaded, nobody has trained on them."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise

from composite_llm.evaluate.questions import Question

SHIPPED = 40
"""How many `generated` stands for."""
_SEED = 20261128
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = ("Ada", "Boris", "Chen", "Dara", "Emeka", "Farah")
_WORDS = ("banana", "committee", "parallel", "bookkeeper", "assessment", "mississippi", "occurrence", "balloon")


def generated_questions(count: int = SHIPPED, seed: int = _SEED) -> list[Question]:
    """So many questions; the same again for the same seed, and the first ones are the same for every count."""
    rng = random.Random(seed)  # nothing depends on nobody guessing them
    return list(islice(_endless(rng), count))


def _endless(rng: random.Random) -> Iterator[Question]:
    seen: set[str] = set()
    for kind in cycle(_KINDS):
        question = kind(rng)
        while question.question in seen:
            question = kind(rng)
        seen.add(question.question)
        name = kind.__name__.strip("_")
        yield question.model_copy(update={"id": f"{name}-{len(seen)}", "category": name.replace("_", " ")})


def _arithmetic(rng: random.Random) -> Question:
    a, b, c, d = rng.randint(12, 99), rng.randint(12, 49), rng.randint(100, 999), rng.randint(3, 9)
    return Question(question=f"What is {a} * {b} - {c} * {d}?", answer=a * b - c * d)


def _shopping(rng: random.Random) -> Question:
    buyer, pens, price = rng.choice(_NAMES), rng.randint(12, 48), rng.randint(3, 9)
    free, shipping = rng.choice((4, 5, 6)), rng.randint(5, 19)
    return Question(
        question=f"{buyer} buys {pens} pens at {price} euros each. Of every {free} pens one is free; a group that is not "
        f"full has no free one. Shipping is {shipping} euros. How many euros are paid in all?",
        answer=(pens - pens // free) * price + shipping,
    )


def _remainder(rng: random.Random) -> Question:
    base, power, modulus = rng.randint(3, 12), rng.randint(5, 9), rng.randint(7, 29)
    return Question(
        question=f"What is the remainder of {base}^{power} divided by {modulus}?", answer=base**power % modulus
    )


def _date(rng: random.Random) -> Question:
    start = datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(730))
    days = rng.randint(40, 320)
    end = start + datetime.timedelta(days=days)
    text = f"{start:%A}, {start.day} {start:%B %Y}"
    return Question(question=f"It is {text}. Which weekday is it {days} days later?", answer=_DAYS[end.weekday()])


def _letters(rng: random.Random) -> Question:
    words = rng.sample(_WORDS, 3)
    text = " ".join(words)
    letter = rng.choice(sorted({letter for letter in text if text.count(letter) > 2 and letter != " "}))
    return Question(question=f"How often does the letter '{letter}' occur in '{text}'?", answer=text.count(letter))


def _order(rng: random.Random) -> Question:
    people = rng.sample(_NAMES, 5)
    clues = [f"{first} is taller than {second}." for first, second in pairwise(people)]
    rng.shuffle(clues)
    place = rng.randrange(1, 4)
    wanted = ("", "second tallest", "third tallest", "second shortest")[place]
    shown = sorted(people)
    return Question(question=f"{' '.join(clues)} Who is the {wanted}?", choices=tuple(shown), answer=people[place])


_STATEMENTS: tuple[tuple[str, Callable[[bool, bool], bool]], ...] = (
    ("if {} then {}", lambda x, y: not x or y),
    ("{} and not {}", lambda x, y: x and not y),
    ("{} or {}, or both", lambda x, y: x or y),
    ("{} if and only if {}", lambda x, y: x == y),
)


def _truth(rng: random.Random) -> Question:
    values = {name: rng.choice((True, False)) for name in "PQRS"}
    given = ", ".join(f"{name} is {str(value).lower()}" for name, value in values.items())
    said, count = [], 0
    for number, (form, holds) in enumerate(rng.sample(_STATEMENTS, 3), 1):
        x, y = rng.sample(sorted(values), 2)
        said.append(f"Statement {number}: {form.format(x, y)}.")
        count += holds(values[x], values[y])
    return Question(question=f"{given}. {' '.join(said)} How many of the three statements are true?", answer=count)


def _sequence(rng: random.Random) -> Question:
    value, step, factor = rng.randint(2, 9), rng.randint(2, 7), rng.choice((2, 3))
    values = [value]
    for _ in range(5):
        values.append(values[-1] * factor - step)
    shown = ", ".join(map(str, values[:-1]))
    return Question(question=f"Which number comes next: {shown}?", answer=values[-1])


_KINDS: tuple[Callable[[random.Random], Question], ...] = (
    _arithmetic, _shopping, _remainder, _date, _letters, _order, _truth, _sequence,
)  # fmt: skip

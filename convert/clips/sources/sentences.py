"""A random generator and a language -> a short everyday text with its mood, composed from the project's own words."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter

import numpy as np

MOODS = ("tell", "ask", "call", "count", "name")
_SHARES = (0.36, 0.24, 0.2, 0.1, 0.1)  # of the moods

Words = dict[str, tuple[str, ...]]  # patterns of "tell", "ask" and "call", and the words of each slot


@dataclass(frozen=True, slots=True)
class Text:
    """A text of one or two sentences."""

    text: str
    mood: str  # one of MOODS


@cache
def languages() -> dict[str, Words]:
    """Read the words of each language from `sentences.toml`."""
    with Path(__file__).with_name("sentences.toml").open("rb") as file:
        table = tomllib.load(file)
    return {language: {name: tuple(items) for name, items in words.items()} for language, words in table.items()}


def compose(rng: np.random.Generator, language: str) -> Text:
    """Compose a text: a statement, a question, two calls, counting, or a call to somebody by name.

    Args:
        rng: the source of randomness.
        language: a key of `languages()`.

    Raises:
        ValueError: the language is unknown.
    """
    words = languages().get(language)
    if words is None:
        raise ValueError(f"got language {language!r}, wanted one of {', '.join(languages())}")
    mood = str(rng.choice(MOODS, p=_SHARES))
    if mood == "count":
        return Text(_count(rng, words["number"]), mood)
    if mood == "call":
        first, second = rng.choice(len(words["call"]), 2, replace=False)
        return Text(f"{words['call'][first]} {words['call'][second]}", mood)
    if mood == "name":
        return Text(f"{_pick(rng, words['name'])}! {_pick(rng, words['call'])}", mood)
    pattern = _pick(rng, words[mood])
    slots = [name for _, name, _, _ in Formatter().parse(pattern) if name]
    text = pattern.format(**{name: _pick(rng, words[name]) for name in slots})
    return Text(_with_capital(text), mood)


def _count(rng: np.random.Generator, numbers: tuple[str, ...]) -> str:
    """Count three to six numbers upwards from a random one, or say them out of order like a telephone number."""
    amount = int(rng.integers(3, 7))
    if rng.random() < 0.5:
        start = int(rng.integers(len(numbers) - amount + 1))
        said = list(numbers[start : start + amount])
    else:
        said = [_pick(rng, numbers[:9]) for _ in range(amount)]
    return ", ".join(said) + "."


def _pick(rng: np.random.Generator, items: tuple[str, ...]) -> str:
    return items[int(rng.integers(len(items)))]


def _with_capital(text: str) -> str:
    """Write the first letter as a capital, behind an opening mark."""
    start = next((index for index, sign in enumerate(text) if sign.isalpha()), 0)
    return text[:start] + text[start].upper() + text[start + 1 :]

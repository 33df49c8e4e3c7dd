"""Everyday sentences: every pattern of every language can be filled, and a generator's state says which."""

from string import Formatter

import numpy as np
import pytest

from convert.clips.sources.sentences import MOODS, compose, languages


def test_every_slot_of_every_pattern_has_words():
    for words in languages().values():
        for mood in ("tell", "ask"):
            for pattern in words[mood]:
                assert {name for _, name, _, _ in Formatter().parse(pattern) if name} <= words.keys() - {"tell", "ask"}


@pytest.mark.parametrize("language", languages())
def test_texts_are_whole_varied_and_follow_from_the_generator(language):
    first, again = ([compose(np.random.default_rng(seed), language) for seed in range(60)] for _ in range(2))
    assert first == again
    assert {text.mood for text in first} == set(MOODS)
    assert len({text.text for text in first}) > 50
    assert all(text.text[-1] in ".!?" and "{" not in text.text and len(text.text) >= 8 for text in first)


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="got language 'xx'"):
        compose(np.random.default_rng(0), "xx")

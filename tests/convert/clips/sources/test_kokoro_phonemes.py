"""Phonemes for Kokoro: the examples of its publisher, and only signs that the net knows."""

import shutil

import numpy as np
import pytest

from convert.clips.sources.kokoro_phonemes import LANGUAGES, from_espeak, phonemes
from convert.clips.sources.sentences import compose

# The keys of "vocab" in config.json of hexgrad/Kokoro-82M.
VOCABULARY = set(
    ';:,.!?—…"()“” '
    "\u0303ʣʥʦʨᵝꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌː"
    "ʰʲ↓→↗↘ᵻ"
)
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng not found: apt-get install espeak-ng"
)


def test_the_vocabulary_has_114_signs_as_published():
    assert len(VOCABULARY) == 114


@pytest.mark.parametrize(
    "language", [name if name in ("ja", "zh") else pytest.param(name, marks=needs_espeak) for name in LANGUAGES]
)
def test_the_net_knows_every_sign(language):
    for seed in range(10):
        signs = phonemes(compose(np.random.default_rng(seed), language[:2]).text, language)
        assert set(signs) <= VOCABULARY, (language, signs)
        assert 8 < len(signs) <= 510
        assert signs[-1] in ".!?"


@pytest.mark.parametrize(
    ("ipa", "language", "wanted"),
    [
        ("mˈe^ɪk t^ʃˈo^ʊk d^ʒˈɔ^ɪ nˈa^ʊ ma^ɪ", "en-us", "mˈAk ʧˈOk ʤˈY nˈW mI"),  # README of misaki: A I O W Y ʤ ʧ
        ("fˈɑː bˈɜːd", "en-us", "fˈɑ bˈɜɹd"),  # no length marks in American English
        ("ɡˈə^ʊ ðˈe^ə", "en-gb", "ɡˈQ ðˈɛː"),  # misaki, EN_PHONES: Q is British only
        ("(^e^n)ðə(^f^r) kˈa", "fr", "ðə kˈa"),
        ("tˈaʦːa kˈat^ʃ d^z", "it", "tˈaʦːa kˈaʧ ʣ"),
        ("bˈuːr.haː", "hi", "bˈuːɽhaː"),
    ],
)
def test_espeak_ipa_becomes_signs_of_misaki(ipa, language, wanted):
    assert from_espeak(ipa, language) == wanted


@pytest.mark.parametrize(
    ("romaji", "wanted"),
    [
        # The kana of each word in the table of misaki/ja.py
        ("arigatoo gozaimasu", "aɾʲiɡatoː ɡoʣaimasɨ"),
        ("kotchi, chotto", "koʔʨi, ʨoʔto"),
        ("shinbun", "ɕiɴbɯɴ"),
        ("ryoorinin", "ɾʲoːɾʲiɲiɴ"),
        ("hyaku kyuu", "çakɯ kʲɨː"),
        ("konna kin'en", "koɴna kʲiɴ'eɴ"),
        ("mizu", "mʲizɨ"),
    ],
)
def test_romaji_is_read_as_misaki_reads_kana(romaji, wanted):
    assert phonemes(romaji, "ja") == wanted


@pytest.mark.parametrize(
    ("pinyin", "wanted"),
    [
        # The mappings of misaki/transcription.py and the tones of misaki/zh.py
        ("zhong1guo2", "ꭧʊ→ŋkwo↗"),
        ("xiong2 yong4", "ɕjʊ↗ŋ jʊ↘ŋ"),
        ("qu4 yuan2", "ʨʰy↘ ɥɛ↗n"),
        ("jun1 wen4", "ʨy→n wə↘n"),
        ("zi5 shi2", "ʦɨ ʂɨ↗"),
        ("er4 hui2 jiu3", "ɚ↘ xwei↗ ʨjou↓"),
        ("weng1 wang2 yan3", "wə→ŋ wa↗ŋ jɛ↓n"),
    ],
)
def test_pinyin_is_read_as_misaki_reads_it(pinyin, wanted):
    assert phonemes(pinyin, "zh") == wanted


def test_punctuation_stays_where_it_is():
    assert phonemes("  hai!  iie , moo?", "ja") == "hai!  iːe, moː?"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="got language 'de'"):
        phonemes("Hallo", "de")

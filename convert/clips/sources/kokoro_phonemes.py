"""A text and its language -> the phonemes that the Kokoro net reads.

Kokoro learnt from the phonemes of its publisher's package misaki: IPA in which one sign stands for each affricate and
diphthong. misaki reads European languages and Hindi through eSpeak NG (`misaki/espeak.py`, classes EspeakFallback for
English and EspeakG2P); here the program `espeak-ng` does so. For Japanese and Mandarin misaki has tables from kana and
from pinyin (`misaki/ja.py`, `misaki/zh.py`, `misaki/transcription.py`); the sentences of this project are written in
romaji and pinyin, which need no dictionary.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from convert.clips.synth.speech import espeak_available

ESPEAK_VOICES = {
    "en-us": "en-us", "en-gb": "en-gb", "es": "es", "fr": "fr-fr", "hi": "hi", "it": "it", "pt": "pt-br",
}  # fmt: skip
LANGUAGES = (*ESPEAK_VOICES, "ja", "zh")

_PUNCTUATION = re.compile(r"(\s*[;:,.!?¡¿]+\s*)")
_TIED = {
    "a^ɪ": "I", "a^ʊ": "W", "d^z": "ʣ", "d^ʒ": "ʤ", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "s^s": "S", "t^s": "ʦ",
    "t^ʃ": "ʧ", "ɔ^ɪ": "Y",
}  # fmt: skip
_ENGLISH = {
    "ʔˌn\u0329": "tn", "ʔn\u0329": "tn", "ʔn": "tn", "ʔ": "t", "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A",
    "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl", "ʲo": "jo", "ʲə": "jə", "ʲ": "", "e^ə": "e^ə", "e": "A", "ɚ": "əɹ",
    "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə", "ɬ": "l", "\u0303": "",
}  # fmt: skip
_BRITISH = {"e^ə": "ɛː", "iə": "ɪə", "ə^ʊ": "Q", "o": "ɔ"}
_AMERICAN = {"e^ə": "Aə", "o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": "", "o": "ɔ", "ɾ": "T"}


def phonemes(text: str, language: str) -> str:
    """Convert a text to the phonemes and punctuation marks of Kokoro.

    Args:
        text: the text; romaji for "ja", pinyin with tone numbers for "zh".
        language: one of LANGUAGES.

    Raises:
        ValueError: the language is unknown.
        RuntimeError: espeak-ng is needed and not installed.
    """
    if language not in LANGUAGES:
        raise ValueError(f"got language {language!r}, wanted one of {', '.join(LANGUAGES)}")
    if language == "ja":
        return _each_part(text, _romaji)
    if language == "zh":
        return _each_part(text, _pinyin)
    if not espeak_available():
        raise RuntimeError("espeak-ng not found: apt-get install espeak-ng")
    return _each_part(text, lambda part: from_espeak(_espeak(part, ESPEAK_VOICES[language]), language))


def from_espeak(ipa: str, language: str) -> str:
    """Convert IPA of eSpeak NG, in which `^` ties the parts of one phoneme, to the signs of Kokoro."""
    ipa = re.sub(r"\([^)]*\)", "", ipa)  # marks of a change of language
    if not language.startswith("en"):
        return _replaced(ipa, _TIED).replace("^", "").replace("-", "").replace("r.", "ɽ")  # a flap of Hindi
    ipa = _replaced(ipa, _ENGLISH)
    ipa = re.sub(r"(\S)\u0329", r"ᵊ\1", ipa)
    return _replaced(ipa, _BRITISH if language == "en-gb" else _AMERICAN).replace("^", "").replace("ɹɹ", "ɹ")


def _each_part(text: str, convert: Callable[[str], str]) -> str:
    """Convert the parts of a text between its punctuation marks, which are kept."""
    parts = _PUNCTUATION.split(text.strip())
    joined = "".join(part if index % 2 else convert(part) if part else "" for index, part in enumerate(parts))
    return re.sub(r"[¡¿]", "", re.sub(r"\s+([;:,.!?])", r"\1", joined)).strip()


def _replaced(text: str, table: dict[str, str]) -> str:
    """Replace the keys of a table, in one pass over the text, the longest first."""
    keys = sorted(table, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, keys)), lambda match: table[match.group()], text)


def _espeak(text: str, voice: str) -> str:
    command = ["espeak-ng", "-q", "--ipa", "--tie=^", "-v", voice, text]
    done = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8", timeout=60)
    return " ".join(done.stdout.split())


# Japanese. Before i and y, a consonant is palatal; ʔ doubles a consonant, ɴ is the nasal that ends a syllable.
_MORA = re.compile(
    r"(n(?=[^aiueoyn]|$)|n(?=n))|([kstpgdbcj])(?=\2|ch)|([kgsztdnhbpmyrwjf]|sh|ch|ts)?(y?)([aiueo])(\5?)|."
)
_PLAIN = {
    "sh": "ɕ", "ch": "ʨ", "j": "ʥ", "ts": "ʦ", "f": "ɸ", "r": "ɾ", "w": "β", "y": "j", "g": "ɡ", "z": "ʣ",
}  # fmt: skip
_SOFT = {"k": "kʲ", "g": "ɡʲ", "n": "ɲ", "h": "ç", "b": "bʲ", "p": "pʲ", "m": "mʲ", "r": "ɾʲ"}


def _romaji(text: str) -> str:
    return _MORA.sub(_mora, text.lower())


def _mora(match: re.Match[str]) -> str:
    nasal, doubled, onset, glide, vowel, long = match.groups()
    if nasal:
        return "ɴ"
    if doubled:
        return "ʔ"
    if not vowel:
        return match.group()
    onset = onset or ""
    soft = bool(glide) or (vowel == "i" and onset in _SOFT)
    sound = _SOFT.get(onset, onset) if soft else _PLAIN.get(onset, onset)
    if onset == "z" and vowel == "u":
        sound = "z"
    if vowel == "u":  # unrounded, and further to the front behind s, z and palatal consonants
        vowel = "ɨ" if glide or onset in ("s", "z", "sh", "ch", "j", "ts") else "ɯ"
    return sound + vowel + ("ː" if long else "")


# Mandarin. The sign of the tone follows the vowel.
_SYLLABLE = re.compile(r"([zcs]h|[bpmfdtnlgkhjqxrzcsyw])?([iuüaeo]+)(ng|n|r)?([1-5])", re.IGNORECASE)
_TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
_INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x",
    "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ", "z": "ʦ", "c": "ʦʰ", "s": "s", "": "",
}  # fmt: skip
_FINALS = {
    "a": ("", "a"), "ai": ("", "ai"), "ao": ("", "au"), "e": ("", "ɤ"), "ei": ("", "ei"), "i": ("", "i"),
    "ia": ("j", "a"), "iao": ("j", "au"), "ie": ("j", "e"), "iu": ("j", "ou"), "io": ("j", "ʊ"), "o": ("w", "o"),
    "ou": ("", "ou"), "u": ("", "u"), "ua": ("w", "a"), "uai": ("w", "ai"), "ui": ("w", "ei"), "uo": ("w", "o"),
    "ü": ("", "y"), "üe": ("ɥ", "e"), "üa": ("ɥ", "ɛ"), "ue": ("w", "ə"),
}  # fmt: skip
_BEFORE_NASAL = {"e": ("", "ə"), "ian": ("j", "ɛ"), "ong": ("", "ʊ"), "un": ("w", "ə")}
_WITHOUT_INITIAL = {  # y and w are spellings of the medial vowel
    "yi": "i", "ya": "ia", "yao": "iao", "ye": "ie", "you": "iu", "yo": "io", "yu": "ü", "yue": "üe", "yua": "üa",
    "wu": "u", "wa": "ua", "wai": "uai", "wei": "ui", "wo": "uo", "we": "ue",
}  # fmt: skip


def _pinyin(text: str) -> str:
    return _SYLLABLE.sub(_syllable, text.lower())


def _syllable(match: re.Match[str]) -> str:
    initial, final, coda, tone = (group or "" for group in match.groups())
    if final == "e" and coda == "r":
        return "ɚ" + _TONES[tone]
    if initial in ("y", "w"):
        initial, final = "", _WITHOUT_INITIAL[initial + final]
    elif initial in ("j", "q", "x") and final.startswith("u"):
        final = "ü" + final[1:]
    if final == "i" and not coda and initial in ("zh", "ch", "sh", "r", "z", "c", "s"):
        medial, vowel = "", "ɨ"
    else:
        nasal = _BEFORE_NASAL.get(final + coda) or (_BEFORE_NASAL.get(final) if coda else None)
        medial, vowel = nasal or _FINALS[final]
    return _INITIALS[initial] + medial + vowel + _TONES[tone] + {"ng": "ŋ", "n": "n"}.get(coda, "")

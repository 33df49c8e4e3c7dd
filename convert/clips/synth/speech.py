"""A random generator -> an utterance (n,) at 24 kHz, spoken by espeak-ng.

espeak-ng is a program of the package `espeak-ng` of Debian, Ubuntu and Raspberry Pi OS. Every utterance gets its own
voice, accent, speed, pitch, formant scale and microphone colour. The voices of the two splits are disjoint.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
from scipy import signal

from convert.clips.synth.tools import SAMPLE_RATE_HZ, Signal, equalise, fade, pick, play_at, wander

VOICES = {
    ("female", "train"): ("f1", "f2", "f4", "Annie", "Alicia", "belinda", "steph", "steph3", "aunty"),
    ("female", "test"): ("f3", "f5", "Andrea", "anika"),
    ("male", "train"): (
        "m1", "m2", "m3", "m4", "m6", "m8", "klatt", "klatt4", "Andy", "Alex", "Lee", "john", "ed", "max", "paul",
        "benjamin", "Diogo", "Marco", "victor", "rob",
    ),
    ("male", "test"): ("m5", "m7", "klatt2", "Michael", "Hugo", "Mike"),
}  # fmt: skip

# Ranges of espeak's pitch that keep the fundamental frequency in the range of human voices.
PITCH = {"female": (48, 90), "male": (40, 92)}

SENTENCES = {
    "de": (
        "Guten Morgen, hast du gut geschlafen?",
        "Der Zug kommt gleich.",
        "Wo ist denn meine Tasse?",
        "Das ist schön.",
    ),
    "fr-fr": (
        "Bonjour, comment vas-tu ?",
        "Il pleut encore ce matin.",
        "Où est la clé de la porte ?",
        "Merci beaucoup.",
    ),
    "es": ("Buenos días, ¿qué tal estás?", "La cena está casi lista.", "¿Dónde está mi libro?", "Hasta mañana."),
    "it": (
        "Buongiorno, come stai oggi?",
        "La finestra è ancora aperta.",
        "Non trovo più il telefono.",
        "Va bene, andiamo.",
    ),
    "nl": (
        "Goedemorgen, heb je goed geslapen?",
        "De koffie is klaar.",
        "Waar is de sleutel van de fiets?",
        "Tot straks.",
    ),
    "sv": ("God morgon, har du sovit gott?", "Var är min bok?", "Det regnar igen.", "Vi ses i morgon."),
    "fi": ("Hyvää huomenta, nukuitko hyvin?", "Kahvi on valmista.", "Missä on minun kirjani?", "Nähdään huomenna."),
    "pl": ("Dzień dobry, jak się masz?", "Obiad jest już gotowy.", "Gdzie jest mój telefon?", "Do zobaczenia."),
}
ENGLISH = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc", "en-gb-x-gbclan")

WHO = ("the child", "my neighbour", "our teacher", "the old man", "a friend", "your sister", "the cook", "that visitor")
DOES = ("has opened", "is looking for", "forgot", "will bring", "cannot find", "likes", "has washed", "is fixing")
WHAT = (
    "the blue cup",
    "a warm coat",
    "two red apples",
    "the kitchen door",
    "some fresh bread",
    "the radio",
    "a map",
    "my keys",
)
WHEN = (
    "this morning",
    "after lunch",
    "every day",
    "before the rain",
    "near the window",
    "in the garden",
    "again",
    "at once",
)
SHORT = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "yes", "no", "hello", "thank you",
    "maybe later", "come in", "over here", "not now", "good morning", "wait a moment", "of course", "oh really",
)  # fmt: skip


def espeak_available() -> bool:
    """Whether the program `espeak-ng` is installed."""
    return shutil.which("espeak-ng") is not None


def speech(
    rng: np.random.Generator, sex: str, split: str = "train", voice: str | None = None, text: str | None = None
) -> Signal:
    """Speak one utterance of 0.3 to about 6 s.

    Args:
        rng: the source of randomness.
        sex: "female" or "male".
        split: "train" or "test", the set of voices.
        voice: the voice of espeak-ng, instead of a random one.
        text: English text, instead of a random one in one of nine languages.

    Returns:
        Samples (n,) at 24 kHz.

    Raises:
        RuntimeError: espeak-ng is not installed.
    """
    voice = voice or pick(rng, VOICES[sex, split])
    language, text = (pick(rng, ENGLISH[:2]), text) if text else _text(rng)
    low, high = PITCH[sex]
    sound = _espeak(text, f"{language}+{voice}", int(rng.integers(130, 200)), int(rng.integers(low, high)))
    sound = play_at(sound, rng.uniform(0.95, 1.08) * (1.0 + 0.012 * wander(rng, len(sound), 3.0)))
    sound *= 10.0 ** (1.5 * wander(rng, len(sound), 2.0) / 20.0)
    loudness = np.sqrt(signal.lfilter([0.004], [1.0, -0.996], sound**2))
    sound += rng.uniform(0.0, 0.06) * loudness * np.diff(rng.standard_normal(len(sound)), prepend=0.0)
    tilt, body = rng.uniform(-8.0, 2.0), rng.uniform(-2.0, 4.0)
    return fade(equalise(sound, [(70, -12), (130, body), (800, 0), (2500, tilt / 2), (8000, tilt), (12000, tilt - 20)]))


def _text(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a language code and a text in that language."""
    chance = rng.random()
    if chance < 0.35:
        language = pick(rng, tuple(SENTENCES))
        return language, pick(rng, SENTENCES[language])
    language = pick(rng, ENGLISH)
    if chance < 0.55:
        return language, pick(rng, SHORT)
    words = [pick(rng, WHO), pick(rng, DOES), pick(rng, WHAT)]
    return language, " ".join([*words, pick(rng, WHEN)] if rng.random() < 0.6 else words) + "?" * int(
        rng.integers(0, 2)
    )


def _espeak(text: str, voice: str, words_per_minute: int, pitch: int) -> Signal:
    """Run espeak-ng, resample its output to 24 kHz, and cut silence (below -45 dB) at both ends."""
    if not espeak_available():
        raise RuntimeError("espeak-ng not found: apt-get install espeak-ng")
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    rate = int.from_bytes(done.stdout[24:28], "little")  # a wav reader would refuse its header, which states 2 GB
    x = signal.resample_poly(np.frombuffer(done.stdout[44:], dtype="<i2") / 32768.0, SAMPLE_RATE_HZ, rate)
    level = np.convolve(np.abs(x), np.ones(240) / 240, mode="same")
    loud = np.flatnonzero(level > 10 ** (-45 / 20) * np.max(level))
    return np.asarray(x[loud[0] : loud[-1] + 1], dtype=np.float64)

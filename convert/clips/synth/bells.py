"""A bell -> strokes and rings (n,) at 24 kHz: bells of churches, hands, cows, bicycles, doors and schools, chimes.

The partials of a bell are not harmonic. Those of a tuned church bell are hum, prime, tierce, quint and nominal at
0.5, 1, 1.2, 1.5 and 2 times its note, and each is a pair that beats, as no bell is quite round (Fletcher and
Rossing, The Physics of Musical Instruments, 1998).
"""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import Body, bar, blows, body, grains, join, rhythm, ring, scaled
from convert.clips.synth.tools import Signal, curve, fade, harmonics, lay, length, log_uniform, noise, peak, wander

CHURCH = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.33, 6.67, 8.0])
CHURCH_T60_S = np.array([1.6, 1.0, 0.8, 0.5, 0.6, 0.3, 0.3, 0.35, 0.25, 0.18, 0.13, 0.1])
HAND = np.array([1.0, 3.0, 5.1, 7.8, 10.5])  # tuned hand bells have a strong twelfth
SHELL = np.array([1.0, 2.32, 4.25, 6.63, 9.38, 12.2])  # a hemisphere of metal (gong of a bicycle or a telephone)


def shell_bell(thing: np.random.Generator, base_hz: float, t60_s: float, ratios: Signal, fall: float = 0.6) -> Body:
    """Make a bell whose partials are pairs that beat at 0.3 to 6 Hz; high partials die first."""
    ratios = ratios * np.exp(0.02 * thing.standard_normal(len(ratios)))
    hz, split = base_hz * ratios, thing.uniform(0.3, 6.0, len(ratios))
    t60 = t60_s / (ratios / ratios[0]) ** fall
    gain = thing.uniform(0.3, 1.0, len(ratios)) / (ratios / ratios[0]) ** thing.uniform(0.0, 0.5)
    return join(body(hz, t60, gain), body(hz + split, t60, 0.7 * gain))


def church(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Ring a bell of a tower, of note 180 to 900 Hz, one or more strokes."""
    note, long_s = log_uniform(thing, 180, 900), log_uniform(thing, 2.0, 6.0)
    ratios = CHURCH * np.exp(0.015 * thing.standard_normal(len(CHURCH)))
    gains = thing.uniform(0.3, 1.0, len(CHURCH)) * np.array([0.6, 1, 1, 0.5, 1.2, 0.6, 0.5, 0.7, 0.5, 0.3, 0.2, 0.15])
    pair = note * ratios + thing.uniform(0.2, 2.5, len(CHURCH))
    bell = join(body(note * ratios, long_s * CHURCH_T60_S, gains), body(pair, long_s * CHURCH_T60_S, 0.6 * gains))
    count, period_s = int(take.integers(1, 6)), thing.uniform(0.7, 2.2)
    return _strokes(take, bell, rhythm(take, count, period_s, 0.02), log_uniform(thing, 0.0006, 0.003), 3.0)


def hand_bell(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Shake a hand bell or a school bell with a loose clapper."""
    bell = shell_bell(
        thing, log_uniform(thing, 600, 2600), log_uniform(thing, 0.6, 2.5), HAND[: int(thing.integers(3, 6))]
    )
    count = int(take.integers(1, 4)) if thing.random() < 0.4 else int(take.integers(4, 16))
    times = rhythm(take, count, thing.uniform(0.13, 0.35), 0.12)
    return _strokes(take, bell, times, log_uniform(thing, 0.0003, 0.001), 1.5)


def cow_bell(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Shake a bell of bent sheet, with dull partials close together."""
    ratios = np.array([1.0, 1.48, 2.05, 2.9, 3.6, 4.7])
    bell = shell_bell(thing, log_uniform(thing, 350, 1100), log_uniform(thing, 0.15, 0.6), ratios, 0.4)
    count = int(take.integers(2, 12))
    times = np.sort(take.uniform(0.0, count * thing.uniform(0.2, 0.5), count))
    return _strokes(take, bell, times, log_uniform(thing, 0.0003, 0.0012), 0.6)


def bicycle_bell(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Turn the lever of a bicycle bell: a burst of quick strokes; or a single ding."""
    bell = shell_bell(thing, log_uniform(thing, 1500, 3800), log_uniform(thing, 0.5, 2.0), SHELL)
    single, rate_s, start, times = thing.random() < 0.35, thing.uniform(0.03, 0.06), 0.0, []
    for _ in range(int(take.integers(1, 4))):
        for _ in range(1 if single else int(take.integers(4, 10))):
            times.append(start)
            start += rate_s * np.exp(0.1 * take.standard_normal())
        start += take.uniform(0.12, 0.5)
    return _strokes(take, bell, np.array(times), log_uniform(thing, 0.0001, 0.0004), 1.0)


def desk_bell(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Press a reception bell, or open a shop door with a bell on a spring."""
    bell = shell_bell(thing, log_uniform(thing, 1400, 3600), log_uniform(thing, 0.8, 3.0), SHELL)
    if thing.random() < 0.5:
        times = rhythm(take, int(take.integers(1, 5)), thing.uniform(0.15, 0.6), 0.1)
    else:
        swing = thing.uniform(0.09, 0.2)
        times = rhythm(take, int(take.integers(4, 12)), swing, 0.2)
    return _strokes(take, bell, times, log_uniform(thing, 0.0001, 0.0005), 2.0)


def door_chime(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Press a door bell: two bars, ding and dong, or a melody of Westminster on tubes."""
    high, long_s = log_uniform(thing, 450, 1100), log_uniform(thing, 0.8, 3.0)
    steps = ((1.0, 0.8), (1.0, 0.75), (1.0, 0.794, 0.891, 0.595), (1.0,), (0.84, 1.0, 0.67))[int(thing.integers(5))]
    bars = [bar(thing, high * step, long_s, 1.0) for step in steps]
    interval_s, parts, start = thing.uniform(0.3, 0.8), [], 0.0
    for _ in range(int(take.integers(1, 3))):
        for one in bars:
            n = length(min(one.t60_s[0], 3.0))
            parts.append((start, ring(one, blows(n, [0.0], 0.0012, take.uniform(0.8, 1.1)))))
            start += interval_s * np.exp(0.03 * take.standard_normal())
        start += take.uniform(0.2, 0.8)
    return fade(lay(parts), 0.0, 0.1)


def electric_bell(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Close the circuit of a school bell, a doorbell or an alarm clock: 12 to 40 strokes a second."""
    bell = shell_bell(thing, log_uniform(thing, 900, 3200), log_uniform(thing, 0.2, 1.0), SHELL)
    rate_hz, buzz = thing.uniform(12, 40), log_uniform(thing, 0.01, 0.2)
    parts, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        seconds = take.uniform(0.4, 2.5)
        times = rhythm(take, int(seconds * rate_hz), 1 / rate_hz, 0.03)
        struck = peak(_strokes(take, bell, times, 0.0003, 0.4))
        hum = harmonics(np.full(length(seconds), 100.0), [0.3, 1, 0.5, 0.8, 0.4, 0.5, 0.3, 0.3], take.uniform(0, 6))
        parts += [(start, struck), (start, buzz * peak(hum))]
        start += seconds + take.uniform(0.2, 0.8)
    return lay(parts)


def sleigh_bells(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Shake a row of small bells, a bunch of chimes or a tambourine."""
    bells = join(
        *(
            scaled(shell_bell(thing, log_uniform(thing, 2200, 6000), log_uniform(thing, 0.05, 0.5), SHELL[:3]), 0.5)
            for _ in range(7)
        )
    )
    n = length(take.uniform(0.8, 4.0))
    beats = rhythm(take, 40, thing.uniform(0.16, 0.5), 0.08)
    shakes = blows(n, beats[beats < n / 24_000], 0.03, 700.0)
    return ring(bells, grains(take, 6.0 + 3.0 * shakes, 0.6))


def wind_chime(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let the wind move five to eight tubes of a scale, or bring a bowl to sing."""
    base, long_s = log_uniform(thing, 500, 1500), log_uniform(thing, 1.0, 3.0)
    scale = base * 2.0 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    tubes = [bar(thing, hz, long_s) for hz in scale[: int(thing.integers(4, 9))]]
    parts = []
    for start in np.sort(take.uniform(0.0, take.uniform(1.5, 5.0), int(take.integers(4, 20)))):
        one = tubes[int(take.integers(len(tubes)))]
        parts.append(
            (
                float(start),
                ring(one, blows(length(min(1.2 * one.t60_s[0], 3.0)), [0.0], 0.0006, take.uniform(0.1, 1.0))),
            )
        )
    return fade(lay(parts), 0.0, 0.2)


def gong(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Strike a gong, a cymbal or a bowl: many partials whose treble grows after the blow."""
    base, count = log_uniform(thing, 90, 400), 40
    hz = base * (1 + 0.35 * np.arange(count) ** 1.15) * np.exp(0.05 * thing.standard_normal(count))
    plate_of_metal = body(hz, log_uniform(thing, 1.5, 5.0) / (hz / base) ** 0.5, thing.uniform(0.2, 1.0, count))
    n = length(take.uniform(2.0, 5.0))
    force = blows(n, [0.0], thing.uniform(0.002, 0.01))
    shimmer = 0.002 * take.standard_normal(n) * curve(n, [(0, 0), (0.08, 1), (0.5, 0.2), (1, 0)])
    return fade(ring(plate_of_metal, force + shimmer), 0.0, 0.3)


def _strokes(take: np.random.Generator, bell: Body, times: Signal, contact_s: float, ring_s: float) -> Signal:
    """Strike a bell at some times; each stroke meets a slightly different place, and the clapper ticks."""
    n = length(min(times[-1] + take.uniform(0.4, 1.0) * min(ring_s, float(bell.t60_s.max())), 7.5))
    strength = np.exp(0.2 * take.standard_normal(len(times)))
    force = blows(n, times, contact_s, strength)
    place = Body(bell.hz, bell.t60_s, bell.gain * np.exp(0.2 * take.standard_normal(len(bell.gain))))
    tick = force * noise(take, n, [(500, -6), (3000, 0), (9000, -6)])
    moving = 1.0 + 0.03 * wander(take, n, 2.0)
    return fade(moving * (ring(place, force) + 0.5 * float(np.max(bell.gain)) * tick), 0.0, 0.15)

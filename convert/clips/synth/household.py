"""A thing in a household -> the sound of its use (n,) at 24 kHz: dishes, appliances, furniture, paper, switches."""

from __future__ import annotations

import numpy as np

from convert.clips.synth.bodies import (
    MATERIALS,
    Body,
    blows,
    body,
    bounces,
    grains,
    helmholtz_hz,
    join,
    lengthened,
    plate,
    rhythm,
    ring,
    scaled,
    stick_slip,
)
from convert.clips.synth.tools import (
    Signal,
    curve,
    decay,
    fade,
    harmonics,
    lay,
    length,
    log_uniform,
    noise,
    peak,
    time_s,
    wander,
)


def dishes(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Stack and clear plates, bowls and cups: they strike each other, settle, and touch the table."""
    pieces = [_dish(thing) for _ in range(int(thing.integers(2, 6)))]
    return _clatter(take, pieces, _table(thing), thing.uniform(1.0, 6.0), (0.0002, 0.0009))


def cutlery(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Sort forks, knives and spoons, or eat with them from a plate."""
    pieces = []
    for _ in range(int(thing.integers(3, 7))):
        hz = log_uniform(thing, 1300, 4200)
        ratio = np.array([1.0, 1.83, 2.76, 3.9, 5.4]) * np.exp(0.08 * thing.standard_normal(5))
        pieces.append(body(hz * ratio, log_uniform(thing, 0.08, 0.5) / ratio**0.5, thing.uniform(0.3, 1.0, 5)))
    if thing.random() < 0.5:
        pieces.append(_dish(thing))
    return _clatter(take, pieces, _table(thing), thing.uniform(2.0, 10.0), (0.0001, 0.0005))


def glasses(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Clink glasses and bottles, or stir a cup: rim modes at about the squares of 2, 3, 4, 5."""
    pieces = []
    for _ in range(int(thing.integers(1, 4))):
        hz, ratio = log_uniform(thing, 600, 2400), (np.array([2.0, 3.0, 4.0, 5.0, 6.0]) / 2) ** 2
        pieces.append(body(hz * ratio, log_uniform(thing, 0.15, 1.2) / ratio**0.7, thing.uniform(0.3, 1.0, 5)))
    if thing.random() < 0.4:  # a spoon that stirs
        period_s = thing.uniform(0.12, 0.3)
        times = rhythm(take, int(take.integers(8, 22)), period_s, 0.12)
        n = length(times[-1] + 0.5)
        scrape = 0.004 * take.standard_normal(n) * np.maximum(wander(take, n, 8), 0)
        return ring(pieces[0], blows(n, times, 0.0004, take.uniform(0.2, 1.0, len(times))) + scrape)
    return _clatter(take, pieces, _table(thing), thing.uniform(0.8, 3.0), (0.00015, 0.0006))


def pans(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Handle pots, lids and baking trays of metal."""
    pieces = []
    for _ in range(int(thing.integers(1, 4))):
        metal = MATERIALS[("steel", "aluminium")[int(thing.integers(2))]]
        side = thing.uniform(0.16, 0.34)
        pieces.append(
            plate(
                thing,
                metal,
                (side, side * thing.uniform(0.9, 1.2)),
                thing.uniform(0.0012, 0.005),
                log_uniform(thing, 0.003, 0.03),
            )
        )
    return _clatter(take, pieces, _table(thing), thing.uniform(0.8, 4.0), (0.0003, 0.002))


def chopping(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Chop on a board: the blade cuts, then strikes the wood."""
    side = thing.uniform(0.2, 0.35)
    board = plate(
        thing,
        MATERIALS["pine" if thing.random() < 0.7 else "plastic"],
        (side, 1.5 * side),
        thing.uniform(0.01, 0.03),
        log_uniform(thing, 0.05, 0.15),
    )
    blade = body(log_uniform(thing, 1500, 4000) * np.array([1, 1.7, 2.6]), 0.04, 0.3)
    crisp, contact = thing.uniform(0.1, 1.0), log_uniform(thing, 0.0004, 0.002)
    times = rhythm(take, int(take.integers(4, 16)), thing.uniform(0.13, 0.5), 0.07, 0.03)
    n = length(times[-1] + 0.3)
    strength = np.exp(0.2 * take.standard_normal(len(times)))
    hit = ring(join(scaled(board, 1 / _loudest(board)), blade), blows(n, times, contact, strength))
    cuts = np.zeros(n)
    for start in times:
        cuts += _slice(take, n, start - 0.025, 0.03)
    return peak(hit) + 0.4 * crisp * cuts


def typing(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Type on a keyboard: each key strikes its stop going down and coming up."""
    case = plate(thing, MATERIALS["plastic"], (0.15, 0.4), thing.uniform(0.002, 0.004), log_uniform(thing, 0.05, 0.2))
    key = body(
        log_uniform(thing, 1500, 4500) * np.array([1, 1.5, 2.2, 3.1]),
        log_uniform(thing, 0.008, 0.03),
        [0.6, 0.8, 0.6, 0.4],
    )
    speed_s, contact = thing.uniform(0.09, 0.25), log_uniform(thing, 0.0003, 0.0015)
    downs = rhythm(take, int(take.uniform(1.5, 5.0) / speed_s), speed_s, 0.35)
    downs = downs[downs < 6.0]
    ups = downs + take.uniform(0.05, 0.11, len(downs))
    n = length(downs[-1] + 0.4)
    force = blows(n, downs, contact, np.exp(0.3 * take.standard_normal(len(downs))))
    force += blows(n, ups, contact, 0.5 * np.exp(0.3 * take.standard_normal(len(ups))))
    return ring(join(scaled(case, 0.6 / _loudest(case)), key), force)


def vacuum_cleaner(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Vacuum: a motor of 200 to 500 turns a second, its blades, broad air noise, and the strokes over the floor."""
    turns_hz, blades = thing.uniform(180, 520), int(thing.integers(5, 10))
    tone, tilt = log_uniform(thing, 0.05, 1.0), thing.uniform(-5, 3)
    of_turns, of_blades = _gains(thing, 12, 0.8), _gains(thing, 4, 1.0)
    n = length(take.uniform(2.0, 7.0))
    starts = take.random() < 0.2
    spin = (1 + 0.008 * wander(take, n, 1.0)) * curve(n, [(0, 0.3 if starts else 1.0), (0.2, 1), (1, 1)])
    motor = _motor(take, turns_hz, of_turns, spin) + 0.7 * _motor(take, turns_hz * blades, of_blades, spin)
    air = noise(take, n, [(60, -8), (200, -2), (600, 0), (1500, 1 + tilt), (4000, -3 + tilt), (12_000, -14 + tilt)])
    strokes = np.exp(
        0.25 * np.sin(2 * np.pi * take.uniform(0.3, 0.9) * time_s(n) + take.uniform(0, 6)) + 0.1 * wander(take, n, 3)
    )
    return fade((air * strokes + tone * motor) * (0.2 + 0.8 * spin**3), 0.05, 0.05)


def kitchen_machine(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Run a blender, a mixer, a coffee grinder or a food processor in short bursts."""
    turns_hz, grind = log_uniform(thing, 60, 330), log_uniform(thing, 0.02, 1.0)
    cup = body(log_uniform(thing, 300, 1400) * np.array([1, 1.7, 2.5, 3.8]), 0.03, [0.7, 0.6, 0.4, 0.3])
    gains, airy, pieces, start = _gains(thing, 30, 0.6), thing.uniform(0.2, 0.9), [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.8, 3.0))
        load = 1 + 0.03 * wander(take, n, 4)
        spin = curve(n, [(0, 0.2), (0.1, 1), (0.9, 1), (1, 0.3)]) * load
        whir = _motor(take, turns_hz, gains, spin)
        air = noise(take, n, [(150, -10), (800, 0), (3000, 0), (7000, -4), (12_000, -12)])
        bits = ring(cup, grains(take, 1500 * np.maximum(wander(take, n, 12) + 0.5, 0), 0.8))
        x = whir + airy * air + grind * bits / max(float(np.std(bits)), 1e-9)
        pieces.append((start, fade(x * spin**2, 0.03, 0.1)))
        start += n / 24_000 + take.uniform(0.2, 0.7)
    return lay(pieces)


def washing_machine(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Wash, rinse or spin: a rumbling drum, sloshing water, and the pitch of the motor."""
    spins = thing.random() < 0.5
    drum_hz = thing.uniform(8, 20) if spins else thing.uniform(0.6, 1.2)
    motor_hz, knock = log_uniform(thing, 60, 320), thing.uniform(0.0, 1.0)
    n = length(take.uniform(3.0, 7.0))
    phase = 2 * np.pi * np.cumsum(drum_hz * (1 + 0.02 * wander(take, n, 0.5))) / 24_000
    rumble = noise(take, n, [(30, 0), (100, 3), (300, -3), (1000, -14), (5000, -28), (12_000, -34)]) * (
        1 + 0.4 * np.sin(phase)
    )
    slosh = noise(take, n, [(150, -10), (500, 0), (2000, -3), (8000, -16)]) * np.maximum(
        np.sin(phase) + 0.5 * wander(take, n, 6), 0
    )
    motor = _motor(take, motor_hz, _gains(thing, 14, 0.9), 1 + 0.005 * wander(take, n, 1))
    cabinet = body(log_uniform(thing, 40, 90) * np.array([1, 1.6, 2.3, 3.6]), 0.12, 1.0)
    thumps = ring(cabinet, np.diff(np.floor(phase / 2 / np.pi), prepend=0) * np.exp(0.3 * take.standard_normal(n)))
    return fade(
        rumble + (0.1 if spins else 0.8) * slosh + thing.uniform(0.1, 0.9) * motor + 2 * knock * peak(thumps),
        0.05,
        0.05,
    )


def fan(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Let a cooker hood, a fan, a heater, a fridge or a microwave oven run; an oven beeps at the end."""
    hum_hz, blades_hz = float(thing.choice([50.0, 60.0])), log_uniform(thing, 60, 300)
    dark, hum, beeps = thing.uniform(-30, -10), log_uniform(thing, 0.05, 1.0), thing.random() < 0.3
    n = length(take.uniform(2.5, 7.0))
    air = noise(take, n, [(40, -3), (150, 0), (600, -4), (2000, -10), (6000, dark), (12_000, dark - 8)])
    buzz = _motor(take, 2 * hum_hz, _gains(thing, 12, 0.9), np.ones(n))
    blade = _motor(take, blades_hz, _gains(thing, 5, 1.2), 1 + 0.003 * wander(take, n, 0.7))
    run = fade(air * (1 + 0.06 * wander(take, n, 2)) + hum * buzz + thing.uniform(0, 0.5) * blade, 0.05, 0.1)
    if not beeps:
        return run
    pitch, beep_s = log_uniform(thing, 900, 3200), thing.uniform(0.12, 0.5)
    beep = fade(harmonics(np.full(length(beep_s), pitch), [1.0, 0.1, 0.2]), 0.005, 0.01)
    return lay([(0.0, run), *((n / 24_000 + 0.1 + i * 1.8 * beep_s, 1.5 * beep) for i in range(3))])


def hair_dryer(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Blow hair, shave, or brush teeth: a small motor close to the ear."""
    buzzes = thing.random() < 0.5
    hz, share = log_uniform(thing, 90, 260) if buzzes else log_uniform(thing, 150, 450), log_uniform(thing, 0.1, 1.0)
    n = length(take.uniform(2.0, 6.0))
    gains = _gains(thing, 40 if buzzes else 12, 0.5 if buzzes else 0.9)
    motor = _motor(take, hz, gains, 1 + 0.01 * wander(take, n, 2))
    air = noise(take, n, [(100, -10), (400, 0), (1500, 0), (4000, -2), (9000, -8), (12_000, -16)])
    return fade((0.15 if buzzes else 1.0) * air * (1 + 0.15 * wander(take, n, 1.5)) + share * motor, 0.03, 0.05)


def frying(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Fry or boil: thousands of small bursts of steam, and some larger ones that spit."""
    drop = body(log_uniform(thing, 1500, 4500) * np.array([1, 1.6, 2.4]), 0.003, [0.6, 1.0, 0.7])
    per_s, spits = log_uniform(thing, 800, 8000), log_uniform(thing, 2, 30)
    boils, low = thing.random() < 0.3, thing.uniform(-24, -6)
    n = length(take.uniform(2.5, 7.0))
    heat = np.exp(0.25 * wander(take, n, 2.0))
    sizzle = ring(drop, grains(take, per_s * heat, 0.8))
    hiss = noise(take, n, [(150, low), (1000, -8), (4000, -1), (8000, 0), (12_000, -3)]) * heat
    crack = ring(drop, grains(take, spits * np.ones(n), 1.2))
    x = sizzle / np.std(sizzle) + thing.uniform(0.2, 1.0) * hiss + 0.6 * peak(crack) * 4
    if boils:
        x += 3 * noise(take, n, [(80, 0), (250, 2), (600, -6), (2000, -20)]) * np.maximum(wander(take, n, 9), 0)
    return fade(x, 0.05, 0.05)


def drawer(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Pull out and push in a drawer with things in it."""
    front = plate(
        thing,
        MATERIALS["chipboard"],
        (thing.uniform(0.3, 0.6), thing.uniform(0.12, 0.3)),
        0.016,
        log_uniform(thing, 0.05, 0.12),
    )
    front, things = (
        scaled(front, 1 / _loudest(front)),
        body(log_uniform(thing, 1500, 4000) * np.array([1, 1.5, 2.3, 3.2]), 0.05, 0.4),
    )
    dry, bumps_hz = thing.uniform(0.0, 0.6), thing.uniform(15, 60)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 3))):
        n = length(take.uniform(0.3, 0.9))
        speed = np.maximum(curve(n, [(0, 0), (0.3, 1), (1, 0.5)]), 0.02)
        roll = noise(take, n, [(80, 0), (400, 0), (1500, -8), (6000, -20)]) * speed
        squeal = stick_slip(take, bumps_hz * 6 * speed, 0.3)
        shaken = ring(things, grains(take, 60 * speed, 0.8))
        moved = peak(ring(front, roll)) + dry * peak(ring(front, squeal)) + take.uniform(0.1, 0.8) * peak(shaken)
        times, strengths = bounces(take, 0.0, 0.05, 3)
        stop = ring(join(front, scaled(things, 0.3)), blows(length(0.4), times, 0.002, strengths))
        pieces += [(start, 0.5 * moved), (start + n / 24_000, take.uniform(0.6, 1.5) * peak(stop))]
        start += n / 24_000 + take.uniform(0.3, 1.0)
    return lay(pieces)


def chair(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Push a chair or a table over the floor: it sticks, slips and groans; then it stands."""
    frame = plate(thing, MATERIALS["pine"], (0.4, 0.45), thing.uniform(0.012, 0.03), log_uniform(thing, 0.04, 0.12))
    frame, rate_hz, irregular = (
        scaled(frame, 1 / _loudest(frame)),
        log_uniform(thing, 40, 350),
        log_uniform(thing, 0.05, 0.5),
    )
    rough = log_uniform(thing, 0.02, 0.5)
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.25, 1.0))
        speed = np.maximum(curve(n, [(0, 0.2), (0.3, 1), (0.8, 0.8), (1, 0.1)]) * (1 + 0.3 * wander(take, n, 8)), 0.03)
        rub = rough * noise(take, n, [(150, -6), (800, 0), (3000, -3), (9000, -14)]) * speed
        moved = ring(frame, lengthened(stick_slip(take, rate_hz * speed, irregular) + rub, 0.1))
        pieces += [(start, fade(peak(moved), 0.01, 0.05))]
        start += n / 24_000
        if take.random() < 0.6:
            times, strengths = bounces(take, 0.0, 0.06, 3)
            pieces.append(
                (start, take.uniform(0.4, 1.2) * peak(ring(frame, blows(length(0.4), times, 0.002, strengths))))
            )
        start += take.uniform(0.2, 0.8)
    return lay(pieces)


def zip_or_velcro(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Open and close a zip, tear adhesive tape or a hook fastener: teeth at 100 to 900 a second, or chaos."""
    regular, teeth_hz = thing.random() < 0.6, log_uniform(thing, 120, 700)
    cloth = body(log_uniform(thing, 900, 3500) * np.array([1, 1.6, 2.4, 3.3]), 0.006, [0.6, 1.0, 0.8, 0.5])
    pieces, start = [], 0.0
    for _ in range(int(take.integers(1, 4))):
        n = length(take.uniform(0.2, 1.0))
        speed = np.maximum(curve(n, [(0, 0.2), (0.4, 1), (0.9, 0.8), (1, 0.1)]) + 0.1 * wander(take, n, 9), 0.05)
        force = stick_slip(take, teeth_hz * speed, 0.1) if regular else grains(take, 5000 * speed, 0.9)
        pieces.append((start, peak(ring(cloth, lengthened(force * speed, 0.02)), take.uniform(0.5, 1.0))))
        start += n / 24_000 + take.uniform(0.1, 0.6)
    return lay(pieces)


def paper(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Crumple, turn or tear paper, foil or a plastic bag: crackles of many strengths in bursts."""
    stiff = log_uniform(thing, 700, 4500)
    sheet = body(stiff * np.array([0.6, 1, 1.5, 2.2, 3.1]), log_uniform(thing, 0.002, 0.008), [0.4, 1, 1, 0.8, 0.6])
    per_s, spread, gusts_hz = log_uniform(thing, 300, 4000), thing.uniform(0.8, 1.7), thing.uniform(2, 9)
    n = length(take.uniform(1.0, 4.5))
    moves = np.maximum(wander(take, n, gusts_hz) + 0.3, 0) ** 1.5
    rub = noise(take, n, [(200, -14), (1500, -4), (5000, 0), (12_000, -4)]) * moves
    crackle = ring(sheet, grains(take, per_s * moves, spread))
    return fade(crackle / max(float(np.std(crackle)), 1e-9) + thing.uniform(0.1, 0.7) * rub, 0.01, 0.03)


def sweeping(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Sweep, brush, scrub or wipe in strokes."""
    colour = [
        (150, -16),
        (log_uniform(thing, 500, 2500), 0),
        (7000, thing.uniform(-12, 0)),
        (12_000, thing.uniform(-20, -4)),
    ]
    period_s, grit = thing.uniform(0.35, 1.1), log_uniform(thing, 0.05, 0.8)
    bits = body(log_uniform(thing, 2000, 5000) * np.array([1, 1.5, 2.2]), 0.004, 1.0)
    pieces = []
    for i, start in enumerate(rhythm(take, int(take.integers(2, 8)), period_s, 0.06)):
        n = length(period_s * take.uniform(0.5, 0.8))
        stroke = curve(n, [(0, 0), (0.3, 0.7), (0.7, 1), (1, 0)]) * np.maximum(1 + 0.4 * wander(take, n, 45), 0)
        x = noise(take, n, colour) * stroke + grit * peak(ring(bits, grains(take, 400 * stroke, 0.8)))
        pieces.append((float(start), x * (1.0 if i % 2 else 0.8)))
    return lay(pieces)


def switch(thing: np.random.Generator, take: np.random.Generator) -> Signal:
    """Press switches, set down cups, lids and keys, open a can or a bottle: single small events."""
    small = body(
        log_uniform(thing, 1200, 4000) * np.array([1, 1.6, 2.5, 3.4]),
        log_uniform(thing, 0.01, 0.06),
        [0.8, 0.7, 0.5, 0.4],
    )
    bottle_hz = float(helmholtz_hz(log_uniform(thing, 5e-5, 8e-4), 3e-4, 0.03))
    opens, top, pieces, start = thing.random() < 0.3, _table(thing), [], 0.0
    for _ in range(int(take.integers(1, 5))):
        times = np.array([0.0, take.uniform(0.01, 0.12), take.uniform(0.1, 0.25)])[: int(take.integers(1, 4))]
        n = length(0.5)
        click = ring(
            join(small, scaled(top, take.uniform(0.1, 1.0))),
            blows(n, times, 0.0004, take.uniform(0.4, 1.0, len(times))),
        )
        pieces.append((start, peak(click)))
        if opens:
            pop = np.sin(2 * np.pi * bottle_hz * time_s(n)) * decay(n, 0.08, 0.001)
            gas = noise(take, n, [(500, -14), (3000, 0), (9000, -2)]) * decay(n, take.uniform(0.2, 0.8), 0.01)
            pieces.append((start + 0.02, 0.7 * pop + take.uniform(0.05, 0.4) * gas))
        start += take.uniform(0.25, 1.2)
    return lay(pieces)


def _dish(thing: np.random.Generator) -> Body:
    """Make a plate or a bowl of ceramic or glass: stiff shells with few, high modes."""
    hz, ratio = log_uniform(thing, 650, 2800), np.array([1.0, 1.62, 2.31, 2.95, 3.8, 4.9, 6.1])
    ratio = ratio * np.exp(0.06 * thing.standard_normal(7))
    return body(hz * ratio, log_uniform(thing, 0.06, 0.5) / ratio**0.6, thing.uniform(0.2, 1.0, 7))


def _table(thing: np.random.Generator) -> Body:
    """Make what things are set down on, with a largest gain of 1."""
    name = ("pine", "chipboard", "steel")[int(thing.integers(3))]
    thick = 0.0012 if name == "steel" else thing.uniform(0.018, 0.04)
    top = plate(
        thing, MATERIALS[name], (thing.uniform(0.4, 0.9), thing.uniform(0.6, 1.6)), thick, log_uniform(thing, 0.06, 0.2)
    )
    return scaled(top, 1 / _loudest(top))


def _loudest(one: Body) -> float:
    return max(float(np.max(np.abs(one.gain), initial=0.0)), 1e-9)


def _clatter(
    take: np.random.Generator, pieces: list[Body], top: Body, per_s: float, contact_s: tuple[float, float]
) -> Signal:
    """Let things strike each other and the table in bursts; each blow may bounce."""
    seconds, start, parts = take.uniform(1.0, 5.0), 0.0, []
    while start < seconds:
        one = pieces[int(take.integers(len(pieces)))]
        times, strengths = bounces(take, 0.0, take.uniform(0.02, 0.09), int(take.choice([1, 1, 2, 3, 5])))
        n = length(float(times[-1]) + min(1.2 * float(one.t60_s.max()), 0.8))
        force = blows(n, times, log_uniform(take, *contact_s), strengths * log_uniform(take, 0.1, 1.0))
        touched = Body(
            one.hz, one.t60_s * take.uniform(0.3, 1.0), one.gain * np.exp(0.4 * take.standard_normal(len(one.gain)))
        )
        x = ring(touched, force)
        if take.random() < 0.4:
            x += take.uniform(0.2, 1.5) * ring(top, blows(n, times, 0.0015, strengths))
        parts.append((start, x))
        start += take.exponential(1.0 / per_s) + 0.02
    return fade(lay(parts), 0.0, 0.05)


def _gains(thing: np.random.Generator, count: int, fall: float) -> Signal:
    """Draw the strengths of the harmonics of a machine; they fall with a power of their order."""
    return np.arange(1, count + 1.0) ** -fall * thing.uniform(0.1, 1.0, count)


def _motor(take: np.random.Generator, hz: float, gains: Signal, spin: Signal) -> Signal:
    """Make the tone of a motor, of deviation 1; `spin` (n,) is its speed relative to the usual one."""
    tone = harmonics(hz * spin, [*gains], take.uniform(0, 6))
    return tone / max(float(np.std(tone)), 1e-9)


def _slice(take: np.random.Generator, n: int, start_s: float, seconds: float) -> Signal:
    out, first = np.zeros(n), max(int(start_s * 24_000), 0)
    m = min(length(seconds), n - first)
    out[first : first + m] = noise(take, length(seconds), [(300, -8), (2500, 0), (8000, -6)])[:m] * curve(
        m, [(0, 0.1), (1, 1)]
    )
    return out

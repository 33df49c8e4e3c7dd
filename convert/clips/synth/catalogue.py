"""The catalogue of what can be synthesized: a class, a kind, a thing and a take -> a recorded clip (n,) at 24 kHz.

A model draws the thing, such as a door, a dog or a person, from one random stream, and what it does in one clip from
another, so that clips of the same thing belong together.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convert.clips.synth import (
    ambience,
    appliances,
    bells,
    claps,
    dogs,
    doors,
    footfalls,
    household,
    kitchen,
    knocks,
    people,
    phrases,
    telephones,
    water,
)
from convert.clips.synth.recording import record
from convert.clips.synth.tools import SAMPLE_RATE_HZ, Signal

Model = Callable[[np.random.Generator, np.random.Generator], Signal]  # thing, take -> (n,)

MODELS: dict[str, tuple[Model, ...]] = {
    "baby_cry": (people.hungry_baby, people.screaming_baby, people.fussing_baby),
    "bell": (
        bells.church, bells.hand_bell, bells.cow_bell, bells.bicycle_bell, bells.desk_bell, bells.door_chime,
        bells.electric_bell, bells.sleigh_bells, bells.wind_chime, bells.gong,
    ),
    "clapping": (claps.one_person, claps.few, claps.audience, claps.in_step),
    "cough_sneeze": (people.coughs, people.sneezes, people.throat_clearing),
    "dog_bark": (dogs.big, dogs.medium, dogs.small, dogs.growling, dogs.whining),
    "domestic": (
        kitchen.dishes, kitchen.cutlery, kitchen.glasses, kitchen.pans, kitchen.chopping, household.typing,
        appliances.vacuum_cleaner, appliances.kitchen_machine, appliances.washing_machine, appliances.fan,
        appliances.hair_dryer, kitchen.frying, household.drawer, household.chair, household.zip_or_velcro,
        household.paper, household.sweeping, kitchen.switch,
    ),
    "door": (doors.slam, doors.shut_gently, doors.creak, doors.lock, doors.sliding, doors.gate),
    "footsteps": (
        footfalls.on_wood, footfalls.on_tiles, footfalls.on_carpet, footfalls.on_gravel, footfalls.on_stairs,
        footfalls.in_heels,
    ),
    "instrument": (
        phrases.strings, phrases.keys, phrases.mallets, phrases.winds, phrases.bows, phrases.reeds, phrases.drums,
        phrases.music_box,
    ),
    "interferer": (ambience.background,),
    "knock": (
        knocks.wooden_door, knocks.hollow_door, knocks.glass_door, knocks.metal_door, knocks.table, knocks.box,
        knocks.wall, knocks.knocker,
    ),
    "laughter": (
        people.man_laughs, people.woman_laughs, people.child_laughs, people.breathy_laugh, people.group_laughs,
    ),
    "music": (phrases.piece,),
    "telephone": (
        telephones.mechanical, telephones.warble, telephones.beeper, telephones.melody, telephones.vibration,
        telephones.dialling, telephones.network_tone,
    ),
    "water_tap": (
        water.tap_on_basin, water.tap_in_water, water.shower, water.filling, water.dripping, water.spluttering,
    ),
}  # fmt: skip
"""The models of each class and of the unlabelled interferers. Speech is missing: text-to-speech has better voices."""


def kinds_of(class_name: str) -> tuple[str, ...]:
    """List the names of the models of a class."""
    return tuple(model.__name__ for model in MODELS[class_name])


def render(class_name: str, kind: str, thing: int, take: int) -> tuple[NDArray[np.float32], int]:
    """Synthesize and record one clip; the same arguments always give the same samples.

    Args:
        class_name: a class of `MODELS`.
        kind: the name of one of its models.
        thing: number of the object or person, and of the room and the microphone that record it.
        take: number of the clip of this thing.

    Returns:
        Samples (n,), at most 8 s, and the sample rate in Hz.
    """
    model = MODELS[class_name][kinds_of(class_name).index(kind)]
    stream = [zlib.crc32(f"{class_name}/{kind}".encode()), thing]
    sound = model(np.random.default_rng([*stream, 0]), np.random.default_rng([*stream, 1, take]))
    clip = record(np.random.default_rng([*stream, 2]), np.random.default_rng([*stream, 3, take]), sound)
    return clip.astype(np.float32), SAMPLE_RATE_HZ

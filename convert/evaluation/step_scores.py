"""The nets of step 1 of a two-step run, and recordings -> localization without classes, detection without directions.

So Tables 1 and 2 of the two-step paper score them: each net alone, in windows that lie side by side (section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from convert.data.features import device_features, encode_recording
from convert.data.recordings import LabelledRecording, read_samples
from convert.evaluation.separate_scores import SeparateScores, score_separately
from convert.systems.two_step.examples import STEP_1
from convert.training.run_folder import Run
from edge.frontend.beams import SURE_LENGTH
from edge.frontend.maps import FeatureExtractor
from edge.geometry import azimuth_elevation_deg
from edge.scoring.annotations import Label
from edge.systems.two_step.accdoa import AXES
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

ACTIVE = 0.5  # probability above which a class sounds
BATCH = 8  # windows


def score_step_1(run: Run, recordings: Sequence[LabelledRecording]) -> SeparateScores:
    """Score the DOA net and the SED net of a run, each alone.

    Args:
        run: a run of two-step whose step 1 is trained.
        recordings: of the test, no shorter than a window.

    Raises:
        ValueError: the run is of another system, its nets are not trained, or a recording is too short.
    """
    if not set(STEP_1) <= set(run.system.stages):
        raise ValueError(f"{run.folder}: got system {run.recipe.system}, wanted one with the stages doa and sed")
    recipe, classes = run.recipe, run.cache.class_names
    (doa,), (sed,) = (run.nets_of(stage) for stage in STEP_1)
    extractor = FeatureExtractor(recipe.features, recipe.stft, run.cache.mean, run.cache.deviation)
    truth, directions, activities = {}, {}, {}
    for recording in recordings:
        samples = read_samples(recording, recipe.stft.sample_rate_hz)
        encoded = encode_recording(samples, recording, recipe.stft.sample_rate_hz, microphones=True)
        extractor.reset()
        windows, fresh = side_by_side(device_features(encoded, recipe.stft, extractor), recipe.sizes.frames)
        fresh //= recipe.sizes.frames_per_label
        vectors, probabilities = (
            _in_a_row(_answers(net, windows[..., maps]), fresh) for net, maps in ((doa, DOA_MAPS), (sed, SED_MAPS))
        )
        name = recording.wav.stem
        truth[name] = recording.labels(classes)
        directions[name] = direction_rows(vectors.reshape(len(vectors), -1, AXES))
        activities[name] = activity_rows(probabilities.reshape(len(probabilities), -1, len(classes)))
    found = score_separately(truth, directions)
    return replace(found, segment_f=score_separately(truth, activities).segment_f)


def side_by_side(maps: FloatArray, frames: int) -> tuple[FloatArray, int]:
    """Maps (n, bands, maps) -> windows (windows, frames, bands, maps), and how many frames of the last one are new.

    The last window ends with the recording. Raises ValueError if the recording is shorter than a window.
    """
    if len(maps) < frames:
        raise ValueError(f"got a recording of {len(maps)} frames, wanted at least {frames}, a window")
    begins = [*range(0, len(maps) - frames + 1, frames)]
    rest = len(maps) % frames
    if rest:
        begins.append(len(maps) - frames)
    return np.stack([maps[begin : begin + frames] for begin in begins]), rest or frames


def _answers(net: keras.Model, windows: FloatArray) -> FloatArray:
    """`output` (windows, labels, n) of a net."""
    parts = np.array_split(windows, -(-len(windows) // BATCH))
    return np.concatenate([np.asarray(net.predict_on_batch({"features": part})["output"]) for part in parts])


def _in_a_row(answers: FloatArray, fresh: int) -> FloatArray:
    """Answers (windows, labels, n) -> (all labels, n); of the last window, `fresh` label frames are new."""
    return np.concatenate([answers[:-1].reshape(-1, answers.shape[-1]), answers[-1][-fresh:]])


def direction_rows(vectors: FloatArray) -> list[Label]:
    """Directions (labels, K, 3) -> a row of class 0 for each that is long enough to count."""
    azimuth_deg, elevation_deg = azimuth_elevation_deg(vectors)
    found = np.argwhere(np.linalg.norm(vectors, axis=-1) > SURE_LENGTH).tolist()
    return [
        Label(frame, 0, track, float(azimuth_deg[frame, track]), float(elevation_deg[frame, track]))
        for frame, track in found
    ]


def activity_rows(probabilities: FloatArray) -> list[Label]:
    """Probabilities (labels, K, classes) -> a row for each class that is active in any track ("taking the maximum")."""
    return [Label(frame, kind, 0, 0.0, 0.0) for frame, kind in np.argwhere(probabilities.max(axis=1) > ACTIVE).tolist()]

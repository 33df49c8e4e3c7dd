"""What the tests of CoLoC share: a scene that its fake nets know."""

import functools

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.stage_clock import StageClock
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.passes import LONGEST_HOP
from edge.systems.coloc.settings import ColocSettings
from edge.systems.label_stepper import LabelStepper
from edge.types import Spectra

ORIGIN = (0.0, 0.0, 0.0)
SILENCE, NOTHING = -1, -9  # instead of the number of a label frame: one outside of the stream, and a fresh state
COMPASS = [np.array(v, np.float32) for v in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0))]


def three(label):
    return [COMPASS[(label + n) % 4] for n in range(3)]


SOUNDING = {
    "nothing": lambda label: [],
    "one": lambda label: three(label)[:1],
    "two": lambda label: three(label)[:2],
    "three": three,
    "mixed": lambda label: three(label)[: label % 4],  # none, one, two or three directions, in turn
}


class Scene:
    """A stream of label frames with known directions, and fake nets that answer from that knowledge.

    `sounds` maps the number of a label frame to its directions, in the order in which the localizer names them. The
    embedding of a direction is the direction and a one, all plus two; the localizer infers from the mean embedding
    which directions are known, and names the next. The nets refuse inputs that no correct loop gives. Those of the
    streaming mode have the delays that `edge.systems.coloc.passes` states.
    """

    stft = StftSettings(sample_rate_hz=40, window_samples=4, hop_samples=2, nfft=4, frames_per_label=2)
    extractor = FeatureExtractor(FeatureSettings("logpower_phase_iv", stft.bins), stft)
    classes = 5
    compass = COMPASS
    origin = np.full(4, 2.0, np.float32)  # its embedding

    def __init__(self, sounds="mixed", length_at=lambda label, n: 0.9):
        self.directions_at = SOUNDING.get(sounds, sounds)
        self._length_at = length_at
        self.calls = []  # name, inputs, past before the call
        self.nets = {name: FakeNet(self, name) for name in {*coloc_window.NETS, *coloc_streaming.NETS}}

    def system(self, **changes):
        settings = ColocSettings(**changes)
        kind = {"window": coloc_window.ColocWindow, "streaming": coloc_streaming.ColocStreaming}[settings.mode]
        stepper = LabelStepper(self.extractor, self.stft, StageClock())
        return kind(self.nets, stepper, self.classes, settings)

    def count(self, name):
        return sum(call[0] == name for call in self.calls)

    def inputs(self, name):
        return [inputs for called, inputs, _ in self.calls if called == name]

    def pasts(self, name):
        return [past for called, _, past in self.calls if called == name]

    @classmethod
    def spectra(cls, label):
        """A label frame whose features encode its number: the log-power of W, in dB, is a tenth of it."""
        bins = np.zeros((cls.stft.frames_per_label, 4, cls.stft.bins), np.complex64)
        bins[:, 0] = 10 ** (label / 200)
        return Spectra(bins, label * cls.stft.frames_per_label)

    @classmethod
    def numbers(cls, features):
        """Numbers of the label frames that features are of."""
        loudness_db = features[:: cls.stft.frames_per_label, 0, 0]
        assert_array_equal(features[1 :: cls.stft.frames_per_label, 0, 0], loudness_db)
        return [SILENCE if db < -50 else round(float(db) * 10) for db in loudness_db]

    @classmethod
    def answers(cls, system, labels, finish=True):
        answers = [answer for label in labels for answer in system.step(cls.spectra(label))]
        return answers + (list(system.finish()) if finish else [])

    def check(self, answers, labels):
        """Every label frame is answered once, in order, with its true directions, as many as there are slots."""
        answered = [answer.start + n for answer in answers for n in range(len(answer.activity))]
        assert answered == list(labels)
        if not answered:
            return
        activity, direction = (
            np.concatenate([getattr(each, n) for each in answers]) for n in ("activity", "direction")
        )
        assert activity.dtype == direction.dtype == np.float32
        slots = direction.shape[1]
        wanted_activity, wanted_direction = np.zeros((len(answered), slots, self.classes)), np.zeros(direction.shape)
        for row, label in enumerate(answered):
            for slot, vector in enumerate(self.directions_at(label)[:slots]):
                wanted_direction[row, slot] = vector
                wanted_activity[row, slot] = 0.05
                wanted_activity[row, slot, self.class_of(vector)] = 0.7
        assert_allclose(direction, wanted_direction, atol=1e-6)
        assert_allclose(activity, wanted_activity, atol=1e-6)

    @staticmethod
    def class_of(vector):
        """The class of COMPASS[n] is n."""
        return int(np.argmax([each @ vector for each in COMPASS]))

    def named(self, label, embedding):
        """The output of the localizer."""
        means, answers = self._table(label)
        fits = np.abs(means - embedding).max(axis=1) < 1e-5
        if not fits.any():
            raise AssertionError(f"label {label}: {embedding} is none of {means}")
        return answers[fits.argmax()]

    @functools.cache  # noqa: B019
    def _table(self, label):
        """The embeddings of the first 0, 1, ... directions, and the answer to each: the next, or nothing."""
        directions = [] if label == SILENCE else self.directions_at(label)
        means = [[*np.mean(directions[:known], axis=0), 1.0] for known in range(1, len(directions) + 1)]
        lengths = [self._length_at(label, known) for known in range(len(directions))]
        answers = [vector * length for vector, length in zip(directions, lengths, strict=True)]
        return self.origin + np.array([[0.0] * 4, *means]), np.array([*answers, ORIGIN])

    def classified(self, label, embedding):
        """The output of the classifier: probability 0.7 for the class, 0.1 for "none of the classes", the last one."""
        direction = (embedding - self.origin)[:3]
        if not direction.any():  # an answer that must not be used
            return np.full(self.classes + 1, 0.9)
        probabilities = np.full(self.classes + 1, 0.05)
        probabilities[-1] = 0.1
        probabilities[self.class_of(direction)] = 0.7
        return probabilities


class FakeNet:
    """One net of a scene: `localizer_blocks`, say."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.stage, _, part = name.partition("_")
        self._answer = {
            "encoder": self.encode,
            "": self.whole,
            "front": self.front,
            "blocks": self.blocks,
            "recurrence": self.recurrence,
        }[part]
        self._fresh = {
            "front": {"state_features": np.full(1, NOTHING)},
            "blocks": {
                "state_second": np.full((2, 5), NOTHING, np.float32),  # number and embedding, of the two labels before
                "state_third": np.zeros(1, bool),  # of what was computed before the first label
                "state_ahead": np.zeros(4, np.float32),  # the embedding of the label that comes next
            },
            "recurrence": {"state_forward": np.full((1, 1, 1), NOTHING)},
        }.get(part, {})

    def __call__(self, past=None, **inputs):
        kept = {name: value.copy() for name, value in (past or {}).items()}
        self.scene.calls.append((self.name, {key: value.copy() for key, value in inputs.items()}, kept))
        assert (past or {}).keys() == self._fresh.keys()
        return self._answer(past, **inputs)

    def fresh(self):
        return {name: value.copy() for name, value in self._fresh.items()}

    def encode(self, past, direction):
        given = np.any(direction != 0, axis=-1, keepdims=True)
        return {"embedding": np.hstack([direction, given]).astype(np.float32) + self.scene.origin}

    def whole(self, past, features, embedding):
        return {"output": self.outputs(self.scene.numbers(features), embedding)}

    def front(self, past, features):
        (number,) = self.scene.numbers(features)
        (before,) = past["state_features"]
        check_follows(before, number)
        past["state_features"] = np.array([number])
        return {"shared_maps": np.full((self.scene.stft.frames_per_label, 1, 1), before)}

    def blocks(self, past, shared_maps, condition):
        frames = self.scene.stft.frames_per_label
        assert shared_maps.shape == (frames, 1, 1) and condition.shape == (frames + 2, 1, 4)
        before, here, ahead = condition[0, 0], condition[1, 0], condition[-1, 0]
        assert_array_equal(condition[1:-1, 0], [here] * frames)
        number = shared_maps[0, 0, 0]
        assert number != NOTHING
        last = past["state_second"][1]
        check_follows(last[0], number)
        if last[0] != NOTHING:
            assert_array_equal(before, last[1:])
            assert_array_equal(here, past["state_ahead"])
        assert not past["state_third"][0]
        answer = past["state_second"][:1]
        past |= {
            "state_second": np.vstack([last, [number, *here]]).astype(np.float32),
            "state_third": np.array([last[0] == NOTHING]),
            "state_ahead": ahead,
        }
        return {"shared_labels": answer[:, None]}

    def recurrence(self, past, shared_labels):
        numbers, embeddings = shared_labels[:, 0, 0].astype(int), shared_labels[:, 0, 1:]
        assert NOTHING not in numbers
        for before, after in zip([past["state_forward"].item(), *numbers[:-1]], numbers, strict=True):
            check_follows(before, after)
        hops = min(LONGEST_HOP, len(numbers))
        past["state_forward"] = numbers[None, :hops, None]
        return {"output": self.outputs(numbers[:hops], embeddings[:hops])}

    def outputs(self, numbers, embeddings):
        give = self.scene.named if self.stage == "localizer" else self.scene.classified
        return np.array([give(*pair) for pair in zip(numbers, embeddings, strict=True)], np.float32)


def check_follows(before, number):
    """No label frame is left out or comes twice, until there is silence."""
    assert before == NOTHING or number in (before + 1, SILENCE), (before, number)

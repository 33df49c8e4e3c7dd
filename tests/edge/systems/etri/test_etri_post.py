import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.geometry import angle_between_deg, unit_vector
from edge.systems.etri.post_processing import PostProcessing, steady_path, steady_rates, uninterrupted
from edge.systems.etri.settings import EtriSettings

NAMES = ("bell", "dog", "door")
PLAIN = EtriSettings(post_sed=False, post_doa=False)
LABEL_S = 0.1


def pushed(settings, answers, ends=(), post=None):
    """Results for answers of the nets (SAD, SED, directions) that are pushed in pieces which end at `ends`."""
    post = post or PostProcessing(settings, NAMES, LABEL_S)
    edges = [0, *sorted(ends), len(answers[0])]
    pieces = [post.push(*(each[begin:end] for each in answers)) for begin, end in itertools.pairwise(edges)]
    return tuple(np.concatenate(each) for each in zip(*pieces, post.finish(), strict=True))


def wild(seed, labels):
    """Random answers: activity that flickers, directions that wander, jump and are missing."""
    rng = np.random.default_rng(seed)
    sad = rng.random(labels) ** rng.uniform(0.2, 2)
    sed = np.repeat(rng.random((labels // 4 + 1, len(NAMES))), 4, axis=0)[:labels] * 0.8
    sed += 0.2 * rng.random(sed.shape)
    direction = np.cumsum(rng.normal(0, 0.1, (labels, len(NAMES), 3)), axis=0) + rng.normal(size=(len(NAMES), 3))
    jumps = rng.random((labels, len(NAMES))) < 0.1
    direction[jumps] = rng.normal(size=(jumps.sum(), 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    direction[rng.random(labels) < 0.1] = 0.0
    return tuple(each.astype(np.float32) for each in (sad, sed, direction))


def always(direction):
    """The first class sounds all the time, from directions (labels, 3)."""
    labels = len(direction)
    answers = np.zeros((labels, len(NAMES)), np.float32), np.zeros((labels, len(NAMES), 3), np.float32)
    answers[0][:, 0] = 0.8
    answers[1][:, 0] = direction
    return np.full(labels, 0.9, np.float32), *answers


def corrected(direction, **changes):
    """Directions (labels, 3) after the correction."""
    answers = always(direction)
    _, after = pushed(EtriSettings(**changes), answers)
    return after[:, 0]


def filters(**changes):
    lengths = {"sad_median_labels": 5, "sed_median_labels": {"bell": 3, "door": 9}}
    return replace(EtriSettings(post_doa=False, **lengths), **changes)


all_settings = st.builds(
    EtriSettings,
    sad_threshold=st.floats(0.1, 0.9),
    sed_threshold=st.floats(0.1, 0.9),
    post_sed=st.booleans(),
    post_doa=st.booleans(),
    sad_median_labels=st.sampled_from([1, 3, 5]),
    sed_median_labels=st.dictionaries(st.sampled_from(NAMES), st.sampled_from([1, 3, 7, 11])),
    speeds_deg_s=st.sampled_from([(0.0,), (10.0,), (0.0, 10.0, 20.0, 40.0)]),
    path_labels=st.sampled_from([1, 3, 9, 21]),
    path_deg=st.sampled_from([1.0, 20.0, 180.0]),
)


# The stream


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 50), st.lists(st.integers(0, 50), max_size=40), all_settings)
def test_answers_may_be_pushed_in_pieces_of_any_length(seed, labels, ends, changes):
    answers = wild(seed, labels)
    activity, direction = pushed(changes, answers)
    assert activity.shape == (labels, len(NAMES)) and direction.shape == (labels, len(NAMES), 3)
    assert activity.dtype == direction.dtype == np.float32
    ends = [end for end in ends if end <= labels]
    for one, other in zip(pushed(changes, answers, ends), (activity, direction), strict=True):
        assert_array_equal(one, other)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 50), all_settings)
def test_active_classes_always_have_a_probability_and_a_direction(seed, labels, changes):
    sad, sed, direction = wild(seed, labels)
    rng = np.random.default_rng(seed)
    edges = np.array([[0, 0, 1], [0, 0, -1], [-1, 0, 0], [1, 0, 0], [-1, -1e-8, 0]], np.float32)
    extreme = rng.random((labels, len(NAMES))) < 0.5
    direction[extreme] = edges[rng.integers(0, len(edges), extreme.sum())]  # zenith, seam, opposites
    sed[rng.random(sed.shape) < 0.2] = rng.choice([0.0, 1.0])
    activity, after = pushed(changes, (sad, sed, direction))
    assert np.all((activity == 0) | ((activity > changes.sed_threshold) & (activity <= 1)))
    assert np.all(np.isfinite(after))
    assert_allclose(np.linalg.norm(after[activity > 0], axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "delay"),
    [
        (PLAIN, 0),
        (EtriSettings(), 10),
        (filters(), 2 + 4),
        (filters(sad_median_labels=1), 4),
        (filters(post_doa=True, path_labels=7), 2 + 4 + 3),
        (filters(post_sed=False, post_doa=True, path_labels=7), 3),
    ],
)
def test_answers_come_exactly_the_delay_later(changes, delay):
    answers = wild(3, 40)
    post = PostProcessing(changes, NAMES, LABEL_S)
    assert post.delay_labels == delay
    whole = pushed(changes, answers)
    for label in range(40):
        activity, direction = post.push(*(each[label : label + 1] for each in answers))
        about = [label - delay] if label >= delay else []
        assert_array_equal(activity, whole[0][about])
        assert_array_equal(direction, whole[1][about])


@pytest.mark.parametrize("changes", [PLAIN, EtriSettings(), filters(post_doa=True)])
def test_reset_and_finish_equal_new_post_processing(changes):
    answers = wild(4, 50)
    fresh = pushed(changes, answers)
    post = PostProcessing(changes, NAMES, LABEL_S)
    post.push(*wild(5, 37))
    post.reset()
    for _ in range(2):
        for one, other in zip(pushed(changes, answers, post=post), fresh, strict=True):
            assert_array_equal(one, other)


def test_answers_are_not_changed_by_later_steps():
    answers = wild(6, 60)
    post = PostProcessing(filters(post_doa=True, path_labels=5), NAMES, LABEL_S)
    kept = []
    for begin in range(0, 60, 4):
        activity, direction = post.push(*(each[begin : begin + 4] for each in answers))
        kept.append((activity, direction, activity.copy(), direction.copy()))
    for activity, direction, activity_then, direction_then in kept:
        assert_array_equal(activity, activity_then)
        assert_array_equal(direction, direction_then)


def test_filters_of_unknown_classes_are_refused():
    with pytest.raises(ValueError, match=r"^got sed_median_labels of 'cat', wanted only bell, dog, door$"):
        PostProcessing(EtriSettings(sed_median_labels={"cat": 3}), NAMES, LABEL_S)


# What is active


def median_around(values, label, length):
    padded = [0.0] * (length // 2) + list(values) + [0.0] * (length // 2)
    return sorted(padded[label : label + length])[length // 2]


@given(st.integers(0, 10**6), st.integers(1, 40), all_settings)
def test_activity_is_that_of_medians_over_the_whole_sequence(seed, labels, changes):
    sad, sed, direction = wild(seed, labels)
    sad_length = changes.sad_median_labels if changes.post_sed else 1
    opened = [median_around(sad, label, sad_length) > np.float32(changes.sad_threshold) for label in range(labels)]
    wanted = np.zeros((labels, len(NAMES)), np.float32)
    for index, name in enumerate(NAMES):
        length = changes.sed_median_labels.get(name, 1) if changes.post_sed else 1
        heard = np.where(opened, sed[:, index], 0.0)
        for label in range(labels):
            probability = median_around(heard, label, length)
            if opened[label] and direction[label, index].any() and probability > np.float32(changes.sed_threshold):
                wanted[label, index] = probability
    assert_array_equal(pushed(changes, (sad, sed, direction))[0], wanted)


def test_random_answers_contain_activity():
    """Otherwise the properties above would be trivial."""
    shares = [np.mean(pushed(filters(post_doa=True), wild(seed, 60))[0] > 0) for seed in range(20)]
    assert 0.05 < np.mean(shares) < 0.5


def sequence(text):
    """A class sounds where there is a letter."""
    heard = np.array([letter != "." for letter in text])
    answers = always(np.tile(np.float32([1, 0, 0]), (len(text), 1)))
    answers[1][:, 0] *= heard
    return answers


def drawn(activity):
    return "".join(".x"[bool(value)] for value in activity[:, 0] > 0)


@pytest.mark.parametrize(
    ("length", "before", "after"),
    [
        (1, "..x..xx.x.", "..x..xx.x."),
        (3, "..x..xx.x.", ".....xxx.."),
        (5, "..xxx...xx...xxxx.xxx..", "..xxx........xxxxxxxx.."),
        (5, "xxx.......xx", "xxx........."),  # before the stream and after it there is silence
    ],
)
def test_a_filter_drops_short_activity_and_bridges_short_pauses(length, before, after):
    changes = filters(sad_median_labels=1, sed_median_labels={"bell": length})
    assert drawn(pushed(changes, sequence(before))[0]) == after
    assert drawn(pushed(replace(changes, post_sed=False), sequence(before))[0]) == before


def test_the_filter_of_sad_applies_to_all_classes():
    sad, sed, direction = sequence("x" * 12)
    sad[[0, 1, 4, 8]] = 0.1
    assert drawn(pushed(filters(sad_median_labels=1, sed_median_labels={}), (sad, sed, direction))[0]) == "..xx.xxx.xxx"
    assert drawn(pushed(filters(sad_median_labels=3, sed_median_labels={}), (sad, sed, direction))[0]) == "..xxxxxxxxxx"


def test_answers_of_sed_in_silence_are_ignored():
    """SED is not trained on silence (section 4.2), so its filter must not see its answers there."""
    sad, sed, direction = sequence("xxxxxx......")
    sad[2:] = 0.1
    changes = filters(sad_median_labels=1, sed_median_labels={"bell": 5})
    assert drawn(pushed(changes, (sad, sed, direction))[0]) == "............"  # two are fewer than three
    sad[2] = 0.9
    assert drawn(pushed(changes, (sad, sed, direction))[0]) == "xxx........."


def test_filters_add_no_activity_in_silence_or_without_a_direction():
    sad, sed, direction = sequence("xxxxxxxxxxxx")
    sad[4], direction[7] = 0.1, 0.0
    changes = filters(sad_median_labels=1, sed_median_labels={"bell": 5})
    assert drawn(pushed(changes, (sad, sed, direction))[0]) == "xxxx.xx.xxxx"


def test_an_active_class_has_the_median_probability():
    sad, sed, direction = sequence("xxxxx")
    sed[:, 0] = [0.9, 0.6, 0.1, 0.7, 0.8]
    activity, _ = pushed(filters(sad_median_labels=1, sed_median_labels={"bell": 3}), (sad, sed, direction))
    assert_array_equal(activity[:, 0], np.float32([0.6, 0.6, 0.6, 0.7, 0.7]))


# Where it is


def path(labels, azimuth=0.0, elevation=0.0, azimuth_deg_s=0.0, elevation_deg_s=0.0):
    seconds = np.arange(labels) * LABEL_S
    return unit_vector(azimuth + azimuth_deg_s * seconds, elevation + elevation_deg_s * seconds).astype(np.float32)


def noisy(direction, deg, seed=0):
    """Directions turned by random angles of about `deg`."""
    moved = direction + np.tan(np.deg2rad(deg)) * np.random.default_rng(seed).normal(size=direction.shape)
    return (moved / np.linalg.norm(moved, axis=-1, keepdims=True)).astype(np.float32)


def with_outliers(direction, share, seed=0):
    rng = np.random.default_rng(seed)
    moved, away = direction.copy(), rng.permutation(len(direction))[: round(share * len(direction))]
    moved[away] = noisy(direction[away], 80.0, seed)
    return moved


@pytest.mark.parametrize("azimuth", [0.0, 170.0, -179.0, 90.0])
@pytest.mark.parametrize("speed", [0.0, 10.0, -10.0, 20.0, -20.0, 40.0, -40.0])
def test_a_steady_path_is_not_changed(azimuth, speed):
    for elevation in (0.0, -40.0):
        turning = speed / np.cos(np.deg2rad(elevation))  # of azimuth: the speed is that of the source
        true = path(70, azimuth, elevation, azimuth_deg_s=turning)
        assert_allclose(corrected(true), true, atol=1e-5)


@pytest.mark.parametrize("speed", [10.0, -20.0])
def test_the_elevation_of_a_source_may_change(speed):
    true = path(40, 20.0, -np.sign(speed) * 30.0, elevation_deg_s=speed)
    assert_allclose(corrected(true), true, atol=1e-5)
    before = noisy(true, 8.0)
    assert angle_between_deg(corrected(before), true).mean() < 0.55 * angle_between_deg(before, true).mean()


@pytest.mark.parametrize("speed", [0.0, 20.0, -40.0])
@pytest.mark.parametrize("azimuth", [30.0, 179.0])
def test_the_correction_reduces_noise(azimuth, speed):
    true = path(60, azimuth, 10.0, azimuth_deg_s=speed / np.cos(np.deg2rad(10.0)))
    before = noisy(true, 8.0)
    after = corrected(before)
    assert angle_between_deg(after, true).mean() < 0.5 * angle_between_deg(before, true).mean()
    assert angle_between_deg(after, true).max() < 12.0


def test_one_in_four_directions_may_be_an_outlier():
    for speed in (0.0, 20.0):
        true = path(60, -170.0, azimuth_deg_s=speed)
        before = with_outliers(true, 0.25)
        assert angle_between_deg(before, true).max() > 60.0
        assert angle_between_deg(corrected(before), true).max() < 3.0


def test_sources_at_other_speeds_are_not_made_worse():
    for speed in (15.0, 30.0, 55.0):
        true = path(60, azimuth_deg_s=speed)
        before = noisy(true, 8.0)
        assert angle_between_deg(corrected(before), true).mean() < 0.7 * angle_between_deg(before, true).mean()


def test_only_the_given_speeds_are_fitted():
    true = path(60, azimuth_deg_s=40.0)
    off_deg = angle_between_deg(corrected(true, speeds_deg_s=(0.0, 10.0)), true)
    assert off_deg[20:40].max() < 1.0  # in the middle of its window a wrong speed does not matter
    assert off_deg[0] > 10.0


def test_a_source_that_jumps_is_not_smeared():
    true = np.concatenate([path(30, 40.0), path(30, -60.0)])
    assert np.sum(angle_between_deg(corrected(true), true) > 1.0) <= 2


def test_stretches_of_activity_are_corrected_separately():
    """A pause of one label frame separates them."""
    sad, sed, direction = always(np.concatenate([path(10, 40.0), path(10, 60.0)]))
    sed[10] = 0.0
    activity, after = pushed(EtriSettings(), (sad, sed, direction))
    assert np.flatnonzero(activity[:, 0] == 0).tolist() == [10]
    heard = activity[:, 0] > 0
    assert_allclose(after[heard, 0], direction[heard, 0], atol=1e-5)


def test_classes_are_corrected_separately():
    sad, sed, direction = always(noisy(path(40, 40.0), 10.0))
    sed[5:30, 2] = 0.7
    direction[:, 2] = noisy(path(40, -60.0, azimuth_deg_s=20.0), 10.0, seed=1)
    together = pushed(EtriSettings(), (sad, sed, direction))[1]
    for alone in (0, 2):
        one = sed * (np.arange(len(NAMES)) == alone)
        assert_array_equal(pushed(EtriSettings(), (sad, one, direction))[1][5:30, alone], together[5:30, alone])


def test_directions_far_from_every_path_are_not_changed():
    anywhere = noisy(path(60), 89.0)
    assert np.mean(np.all(corrected(anywhere, path_deg=10.0) == anywhere, axis=-1)) > 0.9
    assert np.mean(np.all(corrected(anywhere, path_deg=180.0) == anywhere, axis=-1)) < 0.1


@pytest.mark.parametrize(
    ("side", "up", "kept"), [(20.0, 0.0, True), (0.0, 20.0, True), (12.0, 12.0, True), (9.0, 9.0, False)]
)
def test_the_distance_from_a_path_is_an_angle_on_the_sphere(side, up, kept):
    """Two of three directions are `side` and `up` from the third, at 60 degrees of elevation."""
    turns = np.tile([-1.0, 0.0, 1.0], 14)
    before = unit_vector(side / np.cos(np.deg2rad(60.0)) * turns, 60.0 + up * turns).astype(np.float32)
    after = corrected(before, path_deg=15.0, speeds_deg_s=(0.0,))
    assert np.all(after[10:-10] == before[10:-10]) == kept


def test_without_the_correction_directions_are_not_changed():
    anywhere = noisy(path(60), 20.0)
    assert_array_equal(corrected(anywhere, post_doa=False), anywhere)


def test_the_direction_of_a_single_label_frame_is_not_changed():
    for azimuth, elevation in ((30.0, 40.0), (180.0, 0.0), (0.0, 90.0)):
        alone = path(1, azimuth, elevation)
        assert_allclose(corrected(alone), alone, atol=1e-6)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([0.0, 10.0, -20.0, 33.0]), st.floats(0.0, 30.0))
def test_no_other_path_is_nearer(seed, reach, speed, noise_deg):
    """Compared with all paths at any of the speeds, on the horizon, where the elevation is constant."""
    rng = np.random.default_rng(seed)
    labels = 2 * reach + 1
    azimuth = rng.uniform(-180, 180) + speed * LABEL_S * np.arange(labels) + rng.uniform(-noise_deg, noise_deg, labels)
    heard = uninterrupted((rng.random(labels) < 0.9)[None] | (np.arange(labels) == reach))
    rates = LABEL_S * np.array(steady_rates((0.0, 10.0, 20.0, 40.0)))
    got = steady_path(unit_vector(azimuth, 0.0)[None].astype(np.float32), heard, rates, 180.0)
    assert got[0, 2] == pytest.approx(0.0, abs=1e-6)
    places = np.append(np.arange(-180.0, 180.0, 0.5), np.rad2deg(np.arctan2(got[0, 1], got[0, 0])))
    paths = places[:, None, None] + rates[:, None] * (np.arange(labels) - reach)
    far = np.abs((azimuth - paths + 180.0) % 360.0 - 180.0)
    costs = (far * heard).sum(axis=-1).min(axis=-1)
    assert costs[-1] <= costs[:-1].min() + 1e-3


def test_rates_have_both_signs_and_slow_ones_come_first():
    assert steady_rates((40.0, 0.0, 10.0, 10.0)) == [0.0, 10.0, -10.0, 40.0, -40.0]


def test_a_stretch_ends_at_the_first_pause_on_either_side():
    active = np.array([[1, 1, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 1, 1], [1, 1, 1, 1, 1, 1, 1]], bool)
    stretch = np.array([[0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]], bool)
    assert_array_equal(uninterrupted(active), stretch)
    assert_array_equal(uninterrupted(np.ones((2, 1), bool)), np.ones((2, 1), bool))

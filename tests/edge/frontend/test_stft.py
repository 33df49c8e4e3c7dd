import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.types import AudioBlock

SETTINGS = StftSettings()
LABEL = SETTINGS.label_samples
X = np.random.default_rng(3).normal(0, 0.1, (10 * LABEL + 777, 4)).astype(np.float32)


def groups_of(stft, blocks, finish=True):
    spectra = [group for block in blocks for group in stft.push(block)]
    return spectra + (list(stft.finish()) if finish else [])


def joined(groups):
    return np.concatenate([group.bins for group in groups])


@pytest.fixture(scope="module")
def whole():
    return groups_of(Stft(SETTINGS, 4), [AudioBlock(X, 0)])


def test_frames_are_those_of_the_definition(whole):
    """Frame t: 960 samples around sample 480 t, Hann, in the middle of 1024, as in librosa and the DCASE baselines."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(960) / 960)
    padded = np.concatenate([np.zeros((480, 4)), X, np.zeros((LABEL, 4))])
    for t in (0, 1, 4, 5, 27, 54):
        centred = np.zeros((1024, 4))
        centred[32:992] = padded[480 * t : 480 * t + 960] * hann[:, None]
        assert_allclose(joined(whole)[t], np.fft.rfft(centred, axis=0).T, rtol=0, atol=2e-5)


def test_spectra_and_features_do_not_depend_on_the_blocks(whole, cut, block_samples):
    extract = FeatureExtractor(FeatureSettings(), SETTINGS)
    got = groups_of(Stft(SETTINGS, 4), cut(X, block_samples))
    assert [group.start for group in got] == [group.start for group in whole] == list(range(0, 55, 5))
    for one, other in zip(got, whole, strict=True):
        assert_array_equal(one.bins, other.bins)
        assert_array_equal(extract(one).maps, extract(other).maps)
    assert got[0].bins.dtype == np.complex64 and got[0].bins.shape == (5, 4, 513)


def test_group_is_complete_with_the_last_sample_of_its_label_frame():
    stft = Stft(SETTINGS, 4)
    assert groups_of(stft, [AudioBlock(X[: LABEL - 1], 0)], finish=False) == []
    assert len(groups_of(stft, [AudioBlock(X[LABEL - 1 : LABEL], LABEL - 1)], finish=False)) == 1


def test_finish_completes_the_last_label_frame_with_silence(whole):
    silence = np.zeros((LABEL - 777, 4), np.float32)
    padded = groups_of(Stft(SETTINGS, 4), [AudioBlock(np.concatenate([X, silence]), 0)], finish=False)
    assert_array_equal(joined(whole), joined(padded))


@pytest.mark.parametrize("samples", [0, LABEL, 3 * LABEL])
def test_finish_adds_nothing_to_whole_label_frames(samples):
    stft = Stft(SETTINGS, 4)
    groups_of(stft, [AudioBlock(X[:samples], 0)], finish=False)
    assert list(stft.finish()) == []


def test_second_finish_yields_nothing():
    stft = Stft(SETTINGS, 4)
    assert len(groups_of(stft, [AudioBlock(X[:5], 0)])) == 1
    assert list(stft.finish()) == []


@pytest.mark.parametrize("resumed", [5 * LABEL, 5 * LABEL + 1, 6 * LABEL - 1, 3 * LABEL + 200])
@pytest.mark.parametrize("told", [True, False])
def test_after_a_gap_the_next_whole_label_frame_is_first(cut, block_samples, resumed, told):
    """A gap given by `lost` or only by a jump of `start` drops the incomplete group; indices stay absolute."""
    heard = 3 * LABEL + 100
    after = [AudioBlock(b.samples, b.start) for b in cut(X, block_samples, start=resumed)]
    if told:
        after[0] = AudioBlock(after[0].samples, resumed, lost=resumed - heard)
    got = groups_of(Stft(SETTINGS, 4), [AudioBlock(X[:heard], 0), *after])
    first = -(-resumed // LABEL)
    alone = groups_of(Stft(SETTINGS, 4), [AudioBlock(X[first * LABEL - resumed :], 0)])
    assert [g.start for g in got] == [0, 5, 10] + [5 * (first + n) for n in range(len(alone))]
    assert_array_equal(joined(got[3:]), joined(alone))


def test_jump_back_is_a_gap():
    stft = Stft(SETTINGS, 4)
    groups_of(stft, [AudioBlock(X[:4000], 0)], finish=False)
    got = groups_of(stft, [AudioBlock(X, 0)])
    assert got[0].start == 0
    assert_array_equal(joined(got), joined(groups_of(Stft(SETTINGS, 4), [AudioBlock(X, 0)])))


@pytest.mark.parametrize("past", [[AudioBlock(X[:5000], 0)], [AudioBlock(X[:5000], 0), AudioBlock(X[:100], 70_001, 1)]])
def test_reset_equals_a_new_stft(whole, past):
    stft = Stft(SETTINGS, 4)
    groups_of(stft, past, finish=False)
    stft.reset()
    got = groups_of(stft, [AudioBlock(X, 0)])
    assert [g.start for g in got] == [g.start for g in whole]
    assert_array_equal(joined(got), joined(whole))


def test_empty_block_changes_nothing(whole):
    empty = X[:0]
    got = groups_of(Stft(SETTINGS, 4), [AudioBlock(empty, 0), AudioBlock(X[:9], 0), AudioBlock(empty, 9)], finish=False)
    assert got == []
    stft = Stft(SETTINGS, 4)
    blocks = [AudioBlock(X[:999], 0), AudioBlock(empty, 999), AudioBlock(X[999:], 999)]
    assert_array_equal(joined(groups_of(stft, blocks)), joined(whole))


def test_spectra_are_not_overwritten_by_later_pushes():
    kept = list(Stft(SETTINGS, 4).push(AudioBlock(X, 0)))
    copied = [group.bins.copy() for group in Stft(SETTINGS, 4).push(AudioBlock(X, 0))]
    assert_array_equal(joined(kept), np.concatenate(copied))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("settings", [StftSettings(hop_samples=500, nfft=1001), StftSettings(8000, 256, 256, 256, 1)])
def test_other_settings(settings, channels):
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.window_samples) / settings.window_samples)
    x, count = X[: 2 * settings.label_samples, :channels], 2 * settings.frames_per_label
    padded = np.concatenate([np.zeros((settings.window_samples - settings.hop_samples, channels)), x])
    got = joined(groups_of(Stft(settings, channels), [AudioBlock(x, 0)]))
    assert got.shape == (count, channels, settings.bins)
    offset = (settings.nfft - settings.window_samples) // 2
    for t in range(count):
        centred = np.zeros((settings.nfft, channels))
        cut = padded[settings.hop_samples * t :][: settings.window_samples]
        centred[offset : offset + settings.window_samples] = cut * hann[:, None]
        assert_allclose(got[t], np.fft.rfft(centred, axis=0).T, rtol=0, atol=2e-5)


def test_samples_are_not_changed():
    x = X.copy()
    groups_of(Stft(SETTINGS, 4), [AudioBlock(x, 0)])
    assert_array_equal(x, X)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hop_samples": 0},
        {"hop_samples": 961},
        {"window_samples": 1025},
        {"nfft": 959},
        {"nfft": 10**9},
        {"sample_rate_hz": 0},
        {"frames_per_label": 0},
        {"frames_per_label": 10**9},
    ],
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^got .* wanted "):
        StftSettings(**wrong)


def test_derived_settings():
    assert (SETTINGS.bins, SETTINGS.label_samples, SETTINGS.label_s) == (513, 2400, 0.1)

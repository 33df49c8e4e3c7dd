import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.mel import FilterBank, hz_to_mel, mel_filters, mel_to_hz


@pytest.mark.parametrize("bands", [1, 16, 50, 64, 700])  # of 700 many are too narrow to hold any bin
def test_filter_bank_is_the_product_with_all_filters(bands):
    filters = mel_filters(24000, 1024, bands)
    maps = np.random.default_rng(2).normal(size=(5, 7, 513)).astype(np.float32)
    sums = FilterBank(filters)(maps)
    assert sums.dtype == np.float32 and sums.shape == (5, 7, bands)
    assert_allclose(sums, maps.astype(np.float64) @ filters, rtol=0, atol=1e-6)


def test_filter_bank_gives_zero_where_there_are_no_weights():
    assert_array_equal(FilterBank(np.zeros((513, 20), np.float32))(np.ones((5, 7, 513), np.float32)), 0.0)


def test_mel_filters_are_slaneys():
    """Triangles of unit area over Hz, each peak where its neighbours end, linear below 1 kHz."""
    mel = mel_filters(24000, 1024, 64)
    assert mel.shape == (513, 64) and mel.dtype == np.float32 and np.all(mel >= 0)
    fine = mel_filters(24000, 1 << 16, 64)
    assert_allclose(fine.sum(axis=0) * 24000 / (1 << 16), 1.0, rtol=1e-3)
    peaks_hz = fine.argmax(axis=0) * 24000 / (1 << 16)
    mels = np.linspace(0, hz_to_mel(12000), 66)
    assert_allclose(peaks_hz, mel_to_hz(mels)[1:-1], atol=0.5)
    assert_allclose(np.diff(peaks_hz[peaks_hz < 950]), mels[1] * 200 / 3, atol=0.5)


@given(st.floats(0.0, 96_000.0))
def test_mel_scale_and_its_inverse(hz):
    assert mel_to_hz(np.array(hz_to_mel(hz))) == pytest.approx(hz, rel=1e-9, abs=1e-9)
    assert hz_to_mel(hz + 1.0) > hz_to_mel(hz)

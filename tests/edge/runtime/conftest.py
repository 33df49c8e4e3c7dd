"""Fixtures that the tests of the loop share."""

import pytest

from edge.arrays.profile import load_array
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_pipeline, build_system


@pytest.fixture
def pipeline(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    return build_pipeline(bundle, load_array("foa"), build_system(bundle))

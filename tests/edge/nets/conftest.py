"""A bundle that a test may change."""

import shutil

import pytest


@pytest.fixture
def folder(tmp_path, tiny_bundle):
    """A copy of the tiny bundle that a test may change."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")

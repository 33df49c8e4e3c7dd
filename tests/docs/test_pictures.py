"""Pictures of the documents can be drawn again."""

import pytest

from tests.paths import ROOT


def test_the_overview_is_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from docs.pictures import overview

    assert overview.PICTURE == ROOT / "docs" / "pictures" / "overview.png" and overview.PICTURE.is_file()
    monkeypatch.setattr(overview, "PICTURE", tmp_path / "overview.png")
    assert overview.main() == 0
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 1

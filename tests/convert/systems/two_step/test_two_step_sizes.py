"""Sizes of the nets of two-step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convert.training.recipes import find_recipe

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("two-step-edge", "two-step-paper"))


def test_the_sizes_of_the_paper() -> None:
    assert (PAPER_SIZES.tracks, PAPER_SIZES.doa_hidden, PAPER_SIZES.sed_hidden) == (6, 64, 64)  # figure 1
    assert PAPER_SIZES.norm == "layer"
    assert PAPER_SIZES.left("doa") == (250, 64)
    assert PAPER_SIZES.left("fusion") == (50, 16)


def test_the_edge_has_rows_of_labels_and_norms_that_fold() -> None:
    assert EDGE_SIZES.labels == 50
    assert EDGE_SIZES.norm == "batch"
    assert {EDGE_SIZES.left(net)[0] for net in ("doa", "sed", "fusion")} == {50}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": "instance"}, "got norm 'instance', wanted batch or layer"),
        ({"fusion_activation": "tanh"}, "got fusion_activation 'tanh', wanted relu6 or relu or gelu"),
        ({"frames": 252}, "got frames 252, bands 64, frames_per_label 5, wanted positive numbers, frames a multiple"),
        ({"frames": 0}, "got frames 0, bands 64, frames_per_label 5, wanted positive numbers"),
        ({"dropout": 1.0}, "got dropout 1.0, wanted 0 to below 1"),
        ({"tracks": 0}, "got tracks 0, wanted at least 1"),
        ({"doa_filters": (16,)}, r"got doa_filters \(16,\), doa_pools .*, wanted as many of both, all positive"),
        ({"fusion_filters": (0, 8, 8)}, r"got fusion_filters \(0, 8, 8\), fusion_pools .*, wanted as many of both"),
        (
            {"doa_pools": ((5, 3), (1, 2), (1, 2))},
            "got doa_pools .* for 250 frames of 64 bands, wanted divisors of both",
        ),
        ({"sed_pools": ((5, 3),) * 5}, "got sed_pools .* for 250 frames of 128 bands, wanted divisors of both"),
        (
            {"doa_pools": ((10, 2), (1, 2), (1, 2))},
            "got doa_pools .*, doa_head_pools .* for 50 labels, wanted a multiple",
        ),
        ({"doa_head_pools": (4, 8)}, "got doa_pools .*, doa_head_pools .* for 50 labels, .* and whole bands of 4"),
        ({"doa_filters": (16, 30, 30)}, "got doa_filters .*, doa_heads 2, wanted the last one to be a multiple of 4"),
        ({"doa_heads": 3}, "got doa_filters .*, doa_heads 3, wanted the last one to be a multiple of 4"),
        ({"sed_pools": ((1, 2),) * 5}, "got sed_pools .*, sed_patch_frames 5 for 50 labels, wanted 250 rows to be"),
        ({"sed_patch_frames": 4}, "got sed_pools .*, sed_patch_frames 4 for 50 labels, .* and 250 frames to be"),
        ({"sed_patch_frames": 0}, "got sed_patch_frames 0, wanted at least 1"),
        ({"sed_transformer_depth": -1}, "got sed_transformer_depth -1, sed_transformer_width 96, .* wanted 0 or more"),
        ({"sed_transformer_heads": 5}, "got .*, sed_transformer_heads 5, wanted .* heads that divide the width"),
        ({"fusion_pools": ((1, 4), (1, 2), (1, 1))}, "got fusion_pools .* for 50 labels, wanted 250 rows to be"),
        ({"fusion_patch": (10, 3)}, r"got fusion_pools .*, fusion_patch \(10, 3\) for 50 labels, wanted 50 rows"),
        ({"fusion_heads": 3}, "got fusion_filters .*, fusion_patch None, fusion_heads 3, wanted the heads to divide"),
        ({"fusion_patch": (5, 1)}, r"got fusion_filters .*, fusion_patch \(5, 1\), fusion_heads 2, wanted the heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        replace(EDGE_SIZES, **changes)  # type: ignore[arg-type]

"""Sizes of the nets of two-step (Yu 2025): `doa` and `sed` of step 1, `fusion` of step 2."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convert.data.tracks import SLOTS
from convert.layers.attention import NORMS

ACTIVATIONS = ("relu6", "relu", "gelu")
_COUNTS = (
    "tracks",
    "doa_blocks",
    "doa_kernel",
    "doa_heads",
    "doa_head_filters",
    "doa_hidden",
    "sed_patch_frames",
    "sed_dense_units",
    "sed_gru_layers",
    "sed_gru_units",
    "sed_hidden",
    "fusion_blocks",
    "fusion_heads",
    "fusion_expansion",
    "fusion_dense_units",
)


@dataclass(frozen=True, slots=True)
class TwoStepSizes:
    """Sizes of the three nets. Pools are (time, frequency). The defaults train on two cores.

    `norm` is the norm used where the cited works have layer or instance norm. A batch norm folds into the layer before
    it and costs neither time nor int8 precision on the device; sums around attention then have no norm
    (`attention.added`). Raises ValueError for sizes that do not fit each other.
    """

    frames: int = 250
    bands: int = 64
    frames_per_label: int = 5
    tracks: int = 3  # K
    norm: str = "batch"
    dropout: float = 0.05

    doa_filters: tuple[int, ...] = (32, 64, 128)  # of the stem; all maps behind it have as many channels as the last
    doa_pools: tuple[tuple[int, int], ...] = ((5, 4), (1, 2), (1, 2))  # one for each convolution of the stem
    doa_blocks: int = 2  # pairs of a full-band and a narrow-band block
    doa_kernel: int = 3  # of the convolutions along frequency
    doa_heads: int = 2
    doa_head_filters: int = 128
    doa_head_pools: tuple[int, int] = (2, 2)  # of frequency
    doa_hidden: int = 48  # D_DoA
    doa_frequency_convs: bool = True  # around the full-band recurrence (Table 1: "+ spectral conv")
    doa_attention: bool = True  # in the narrow band (Table 1: "+ temporal MHSA"); otherwise the LSTM of IPDnet
    doa_partial_convs: bool = True  # before each pair; otherwise features are concatenated behind each, as in IPDnet
    doa_cst_former: bool = False  # in its place CST-Former (Table 1), at the sizes of the fusion net

    sed_filters: tuple[int, ...] = (16, 32, 64, 96, 128)
    sed_pools: tuple[tuple[int, int], ...] = ((5, 4), (1, 2), (1, 2), (1, 2), (1, 4))  # one for each convolution
    sed_patch_frames: int = 5
    sed_transformer_width: int = 96
    sed_transformer_depth: int = 2  # 0: no transformer
    sed_transformer_heads: int = 4
    sed_dense_units: int = 96  # of the two branches together, before the GRU
    sed_gru_layers: int = 1
    sed_gru_units: int = 64  # in each direction
    sed_hidden: int = 48  # D_SED
    sed_track_wise: bool = True  # classes of each track, or of all tracks together (Table 2)

    fusion_filters: tuple[int, ...] = (32, 64, 128)  # the last is also the width of the blocks behind the encoder
    fusion_pools: tuple[tuple[int, int], ...] = ((5, 4), (1, 2), (1, 2))  # one for each convolution
    fusion_blocks: int = 2
    fusion_heads: int = 2
    fusion_expansion: int = 2  # of the feed-forward layers
    fusion_patch: tuple[int, int] | None = None  # (labels, bands) of channel attention; None: there is none
    fusion_dense_units: int = 192
    fusion_gated_head: bool = True  # the head takes the outputs of step 1 and has gates; otherwise that of CST-former
    fusion_activation: str = "relu6"  # where the cited works have GELU; in int8, factors need an upper limit
    fuse_doa: bool = True
    fuse_beams: bool = True
    fuse_sed: bool = True

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"got norm {self.norm!r}, wanted {' or '.join(NORMS)}")
        if self.fusion_activation not in ACTIVATIONS:
            raise ValueError(f"got fusion_activation {self.fusion_activation!r}, wanted {' or '.join(ACTIVATIONS)}")
        if min(self.frames, self.bands, self.frames_per_label) < 1 or self.frames % self.frames_per_label:
            raise ValueError(
                f"got frames {self.frames}, bands {self.bands}, frames_per_label {self.frames_per_label}, "
                "wanted positive numbers, frames a multiple of frames_per_label"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"got dropout {self.dropout}, wanted 0 to below 1")
        for net in ("doa", "sed", "fusion"):
            self._check_encoder(net)
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted at least 1")
        self._check_doa()
        self._check_sed()
        self._check_fusion()

    def _check_encoder(self, net: str) -> None:
        """Raise ValueError unless there are as many pools as filters, and they leave whole rows and bands."""
        filters, pools = getattr(self, f"{net}_filters"), getattr(self, f"{net}_pools")
        if not filters or len(filters) != len(pools) or min(filters) < 1 or min(min(pool) for pool in pools) < 1:
            raise ValueError(f"got {net}_filters {filters}, {net}_pools {pools}, wanted as many of both, all positive")
        frames, bands = self.left(net)
        if not frames or not bands:
            raise ValueError(
                f"got {net}_pools {pools} for {self.frames} frames of {self._bands(net)} bands, wanted divisors of both"
            )

    def _check_doa(self) -> None:
        frames, bands = self.left("doa")
        width = self.doa_filters[-1]
        if frames % self.labels or bands % prod(self.doa_head_pools):
            raise ValueError(
                f"got doa_pools {self.doa_pools}, doa_head_pools {self.doa_head_pools} for {self.labels} labels, "
                f"wanted a multiple of the labels to be left, which are {frames}, and whole bands of {bands}"
            )
        if width % 4 or width % self.doa_heads:
            raise ValueError(
                f"got doa_filters {self.doa_filters}, doa_heads {self.doa_heads}, wanted the last one to be a multiple "
                "of 4 and of the heads"
            )

    def _check_sed(self) -> None:
        frames, _ = self.left("sed")
        if frames != self.labels or self.frames % self.sed_patch_frames:
            raise ValueError(
                f"got sed_pools {self.sed_pools}, sed_patch_frames {self.sed_patch_frames} for {self.labels} labels, "
                f"wanted {frames} rows to be the labels, and {self.frames} frames to be patches"
            )
        width, depth, heads = self.sed_transformer_width, self.sed_transformer_depth, self.sed_transformer_heads
        if depth < 0 or (depth and (heads < 1 or width < 1 or width % heads)):
            raise ValueError(
                f"got sed_transformer_depth {depth}, sed_transformer_width {width}, sed_transformer_heads {heads}, "
                "wanted 0 or more blocks, and heads that divide the width"
            )

    def _check_fusion(self) -> None:
        frames, bands = self.left("fusion")
        patch = self.fusion_patch or (1, 1)
        if frames != self.labels or frames % patch[0] or bands % patch[1]:
            raise ValueError(
                f"got fusion_pools {self.fusion_pools}, fusion_patch {self.fusion_patch} for {self.labels} labels, "
                f"wanted {frames} rows to be the labels, and these and {bands} bands to be patches"
            )
        if self.fusion_filters[-1] % self.fusion_heads or (self.fusion_patch and prod(patch) % self.fusion_heads):
            raise ValueError(
                f"got fusion_filters {self.fusion_filters}, fusion_patch {self.fusion_patch}, "
                f"fusion_heads {self.fusion_heads}, wanted the heads to divide the last one and the patch"
            )

    def left(self, net: str) -> tuple[int, int]:
        """Frames and bands behind the encoder of net `doa`, `sed` or `fusion`; 0 where a pool does not divide them."""
        frames, bands = self.frames, self._bands(net)
        for time, frequency in getattr(self, f"{net}_pools"):
            frames = 0 if frames % time else frames // time
            bands = 0 if bands % frequency else bands // frequency
        return frames, bands

    def _bands(self, net: str) -> int:
        return 2 * self.bands if net == "sed" else self.bands

    @property
    def labels(self) -> int:
        """Label frames in a window."""
        return self.frames // self.frames_per_label

    @property
    def slots(self) -> int:
        """Most events at one time in the labels: one for each track."""
        return max(SLOTS, self.tracks)

    @property
    def sed_tracks(self) -> int:
        """Tracks in the output of SED."""
        return self.tracks if self.sed_track_wise else 1

"""A recipe: everything but the data that makes a model what it is. `convert.training.recipes` reads it from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from convert.data.augment import Augmentation
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.settings import build

OPTIMIZER_NAMES = ("adam", "adamw", "ranger")
SCHEDULES = ("cosine", "linear", "constant", "plateau")
PRECISIONS = ("fastest", "float32", "mixed_bfloat16")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How long and how fast a stage is trained. Raises ValueError for values that cannot work."""

    steps: int = 8000
    batch_size: int = 32
    learning_rate: float = 1e-3  # the highest value of the schedule
    warmup_steps: int = 200
    clip_norm: float = 1.0  # of each gradient; 0 clips none
    average_momentum: float = 0.998  # of the moving average of the weights, which is what is kept; 0 averages nothing
    checkpoint_steps: int = 200
    dev_steps: int = 1000  # scores and curves come with the first checkpoint after this many steps, and at the end
    seed: int = 0
    schedule: str = "cosine"  # of the learning rate, one of `SCHEDULES`: see `convert.training.schedule`
    optimizer: str = "adam"  # one of `OPTIMIZER_NAMES`
    cycles: int = 1  # of the schedule; with more than one, the weights at the end of each are kept
    precision: str = "fastest"  # of the computation, one of `PRECISIONS`; fastest: mixed_bfloat16 where there is a GPU
    epochs: int = 0  # passes over the windows of the training data, which set steps and dev_steps; 0: steps count
    warmup_epochs: int = 0  # instead of warmup_steps, where epochs count
    hold_steps: int = 0  # at the highest rate, between warm-up and decay
    hop_labels: int = 0  # windows of the training begin at multiples of this in a recording; 0: anywhere
    exact_shares: bool = False  # each batch has the data's weights and `rotated_share` exactly, not by chance
    patience: int = 3  # schedule "plateau": scores without a lower loss on development data until the rate is halved
    frozen: tuple[str, ...] = ()  # how the names of layers begin that stay as a checkpoint (`--pretrained`) has them

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZER_NAMES:
            raise ValueError(f"got optimizer {self.optimizer!r}, wanted one of {', '.join(OPTIMIZER_NAMES)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"got schedule {self.schedule!r}, wanted one of {', '.join(SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"got precision {self.precision!r}, wanted one of {', '.join(PRECISIONS)}")
        if not (self.clip_norm >= 0.0 and 0.0 <= self.average_momentum < 1.0 and self.warmup_steps >= 0):
            raise ValueError(
                f"got clip_norm {self.clip_norm}, average_momentum {self.average_momentum} and warmup_steps "
                f"{self.warmup_steps}, wanted 0 or more, the momentum below 1"
            )
        if min(self.epochs, self.warmup_epochs, self.hold_steps, self.hop_labels) < 0 or self.patience < 1:
            raise ValueError(
                f"got epochs {self.epochs}, warmup_epochs {self.warmup_epochs}, hold_steps {self.hold_steps}, "
                f"hop_labels {self.hop_labels}, patience {self.patience}, wanted 0 or more, patience 1 or more"
            )
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"got warmup_epochs {self.warmup_epochs}, wanted at most the {self.epochs} epochs")
        if not 1 <= self.cycles <= max(self.steps, 1):
            raise ValueError(f"got cycles {self.cycles}, wanted 1 to {self.steps}, as many as there are steps")
        least = min(self.steps, self.batch_size, self.checkpoint_steps, self.dev_steps)
        if least < 1 or self.seed < 0:
            raise ValueError(
                f"got steps {self.steps}, batch_size {self.batch_size}, checkpoint_steps {self.checkpoint_steps}, "
                f"dev_steps {self.dev_steps}, seed {self.seed}, wanted at least 1, 1, 1, 1 and 0"
            )


@dataclass(frozen=True, slots=True)
class ConversionSettings:
    """What the conversion to int8 may leave."""

    float_ops: tuple[str, ...] = ()  # TFLite operations that int8 nets may compute in float, such as SPLIT


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything but the data that makes a model what it is. Raises ValueError if the numbers of bands differ."""

    name: str
    system: str  # a name that `convert.systems.find_system` knows
    sizes: Any  # of the nets: the dataclass `sizes` of the system, with `frames`, `bands` and `labels`
    augmentation: Augmentation
    losses: Any  # the dataclass `losses` of the system
    features: FeatureSettings
    training: TrainSettings = field(default_factory=TrainSettings)
    stft: StftSettings = field(default_factory=StftSettings)
    device: Mapping[str, Any] = field(default_factory=dict)  # settings of the device's system, for the bundle
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    conversion: ConversionSettings = field(default_factory=ConversionSettings)
    stages: Mapping[str, Any] = field(default_factory=dict)  # by stage, settings of `training` that it has otherwise

    def training_of(self, stage: str) -> TrainSettings:
        """How a stage is trained. Raises ValueError for unknown settings or wrong values."""
        own = self.stages.get(stage, {})
        return build(TrainSettings, asdict(self.training) | dict(own), f"{self.name}: stages: {stage}")

    def __post_init__(self) -> None:
        if self.features.bands != self.sizes.bands:
            raise ValueError(f"got features.bands {self.features.bands}, wanted {self.sizes.bands}, as sizes.bands")

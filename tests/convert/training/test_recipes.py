"""Recipes: the shipped ones hold the papers' numbers, a file of one's own is read or refused, and values can change."""

from __future__ import annotations

import ast
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from convert.data.augment import Augmentation
from convert.systems import find_system
from convert.systems.coloc.examples import streaming_settings
from convert.systems.coloc.system import COLOC
from convert.systems.recipe import TrainSettings
from convert.systems.two_step.system import TWO_STEP
from convert.training.recipes import RECIPES, changed, find_recipe, parse_changes, read_recipe
from convert.training.schedule import in_steps
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.nets.bundle import read_manifest
from edge.systems.coloc.settings import ColocSettings
from tests.paths import ROOT

FOLDER = ROOT / "convert" / "recipes"
# What no paper names
OUR_TRAINING: dict[str, Any] = {
    "warmup_steps": 200,
    "clip_norm": 1.0,
    "average_momentum": 0.998,
    "checkpoint_steps": 200,
    "dev_steps": 1000,
    "seed": 0,
}
OUR_DECODER = DecodeSettings(smoothing=0.0, min_duration_labels=2)
NO_AUGMENTATION = Augmentation(level_db=(0.0, 0.0), rotated_share=0.0)


def test_a_recipe_for_each_system_at_two_sizes() -> None:
    coloc = {"coloc-causal", "coloc-edge", "coloc-edge-flat", "coloc-paper"}
    names = {*coloc, "etri-edge", "etri-paper", "two-step-edge", "two-step-paper"}
    assert RECIPES.keys() == names == {path.stem for path in FOLDER.glob("*.toml")}
    for name, recipe in RECIPES.items():
        assert recipe.name == name
        assert type(recipe.sizes) is find_system(recipe.system).sizes
        assert type(recipe.losses) is find_system(recipe.system).losses


def test_coloc_paper_is_what_the_paper_says() -> None:
    recipe = find_recipe("coloc-paper")
    training, sizes, stft = recipe.training, recipe.sizes, recipe.stft
    # "Adam optimizer with default parameters except learning rate which we set to be 0.0005 [...] half a million
    # batches of size 96" (section 3.6)
    assert training == TrainSettings(
        optimizer="adam",
        schedule="constant",
        learning_rate=0.0005,
        steps=500_000,
        batch_size=96,
        warmup_steps=0,  # and no clipping, no average of weights: "default parameters"
        clip_norm=0.0,
        average_momentum=0.0,
        precision="float32",
        exact_shares=True,  # "every fourth audio-meta pair" (3.6), "half of the recordings from Synth dataset" (4.1)
        checkpoint_steps=200,
        dev_steps=1000,
    )
    # "nfft = 1024, Hanning window and hop length of 960 and 480", "24kHz", "11 audio features of size t x 513", "5s
    # audio chunks [...] 250 time bins" (section 3.6)
    assert (stft.sample_rate_hz, stft.nfft, stft.window_samples, stft.hop_samples) == (24_000, 1024, 960, 480)
    assert (sizes.frames, sizes.bands, sizes.maps) == (250, 513, 11)
    assert recipe.features == FeatureSettings("logpower_phase_iv", 513, harmonic_labels=1)
    assert stft.frames_per_label == sizes.frames_per_label  # "in our case t = 5 T" (section 2.3)
    # "changed the number of filters in convolutional blocks from 64 to 128" (section 3.5); the rest is the baseline's
    assert sizes.filters == (128, 128, 128)
    assert (sizes.gru_units, sizes.dense_units, sizes.dropout) == (128, 128, 0.05)
    assert (sizes.frequency_pools, sizes.frames_per_label) == ((4, 4, 2), 5)
    augmentation = recipe.augmentation
    assert augmentation.rotated_share == 0.25  # "every fourth audio-meta pair" (section 3.6)
    assert augmentation.perturbation_deg == 5.0  # "azimuth and elevation by 5 degrees" (section 3.3)
    assert (augmentation.volume, augmentation.level_db) == ((0.5, 1.5), (0.0, 0.0))  # "between 0.5 and 1.5" (3.6)
    named = {"rotated_share", "perturbation_deg", "volume", "level_db", "speed", "hearings"}
    others = asdict(augmentation).keys() - named
    assert {name: getattr(augmentation, name) for name in others} == dict.fromkeys(others, 0)
    assert (augmentation.speed, augmentation.hearings) == ((1.0, 1.0), 1)
    assert (recipe.losses.pair_power, recipe.losses.fixed_pairs) == (0.0, True)  # "2 / N(N+1)" (section 3.1)
    assert recipe.losses.most_known == 1  # "from 0 to N - 2" (section 3.1)
    assert not sizes.random_look_ahead
    assert recipe.device == {"mode": "streaming", "look_ahead_labels": 5, "max_overlap": 3}  # "N = 3" (section 3.4)
    assert recipe.decode == DecodeSettings()  # the paper has no decoder


def test_coloc_paper_with_perturbed_windows_has_a_streaming_mode_too() -> None:
    """As `seld-convert reproduce` trains it; without perturbation no mode changes any other setting."""
    recipe = find_recipe("coloc-paper")
    perturbed = changed(recipe, {"device": {"mode": "window", "perturbation_deg": 5.0}})
    assert COLOC.modes(recipe.device) == {"streaming": {"mode": "streaming"}, "window": {"mode": "window"}}
    for mode, settings in COLOC.modes(perturbed.device).items():
        built = ColocSettings(**{**perturbed.device, **settings})
        assert (built.mode, built.perturbation_deg) == (mode, 5.0 if mode == "window" else 0.0)
    assert streaming_settings(perturbed) == ColocSettings(
        **{**perturbed.device, **COLOC.modes(perturbed.device)["streaming"]}
    )


def test_etri_paper_is_what_the_paper_says() -> None:
    recipe = find_recipe("etri-paper")
    sizes, stft, losses = recipe.sizes, recipe.stft, recipe.losses
    # "2048 nfft, 0.02s window length, and 0.01s hop length", "200 frames", "256 mel bins" (section 2)
    assert (stft.nfft, stft.window_samples, stft.hop_samples) == (2048, 480, 240)
    assert stft.window_samples / stft.sample_rate_hz == 0.02
    assert (sizes.frames, sizes.bands, recipe.features.bands) == (200, 256, 256)
    # "the overlap is set to 50 frames (0.5s)" (section 2)
    assert recipe.device == {"window_labels": 20, "hop_labels": 15}
    assert sizes.sad_filters == sizes.sed_filters == sizes.doae_filters == (32, 64, 64, 128)
    assert (sizes.convolutions, sizes.trellis_units, sizes.doae_masks) == (2, 256, False)
    assert sizes.trellis_dilations == (1, 1, 2, 4, 8)  # "dilations 1, 1, 2, 4, ..." (Bai 2019)
    assert (sizes.frames_per_label, stft.frames_per_label, sizes.dropout) == (10, 10, 0.05)  # labels every 100 ms
    # "hpss" (section 2), as librosa calls it: medians over 31 frames, so two label frames of 10 to look ahead
    assert recipe.features == FeatureSettings("etri", 256, harmonic_labels=2, hpss="bins")
    assert (losses.sad, losses.sed, losses.doa, losses.masked) == ("soft_f", "soft_f", "sinusoidal", True)
    assert (losses.f_over, losses.sed_beta) == ("class", 1.0)
    # The text names Ranger and cosine restarts among its references, and a snapshot ensemble (section 7); batches, the
    # rate and the epochs of SAD and SED, in the lost part of section 3, are ours
    assert recipe.training == TrainSettings(
        optimizer="ranger",
        schedule="cosine",
        cycles=5,
        learning_rate=1e-3,
        epochs=100,
        hop_labels=15,  # windows of 200 frames with "the overlap [...] 50 frames (0.5s)" (section 2)
        batch_size=32,
        **OUR_TRAINING,
    )
    # "This network is trained with 300 epochs. The rest of the settings are the same" (section 3.2.3)
    assert recipe.training_of("doae") == replace(recipe.training, epochs=300)
    assert recipe.training_of("sad") == recipe.training_of("sed") == recipe.training
    # 400 minutes of training, 39 windows in each recording of one minute
    assert in_steps(recipe.training_of("doae"), [600] * 400, 20).steps == 300 * 488
    # "time stretch data augmentation" (section 7), without a range, and no other
    assert recipe.augmentation == replace(NO_AUGMENTATION, speed=(0.8, 1.25))
    assert recipe.decode == OUR_DECODER


def test_two_step_paper_is_what_the_paper_says() -> None:
    recipe = find_recipe("two-step-paper")
    training, sizes, stft = recipe.training, recipe.sizes, recipe.stft
    # Step 2: "trained for 500 epochs with 32 batch size. We use AdamW with an initial learning rate of 1.5e-3, fixed
    # for the first 100 updates and followed by a linear decay. A 50-epoch warm-up scheduler" (section 3.1)
    assert training == recipe.training_of("fusion")
    assert training == TrainSettings(
        optimizer="adamw",
        learning_rate=1.5e-3,
        schedule="linear",
        batch_size=32,
        epochs=500,
        warmup_epochs=50,
        hold_steps=100,
        **OUR_TRAINING,
    )
    # Step 1: "an initial learning rate of 1.0e-4 for a maximum of 250 epochs. The learning rate was decayed by a factor
    # of 0.5 if the validation loss did not improve over three consecutive epochs. A batch size of 128" (section 3.1)
    step_1 = {"learning_rate": 1e-4, "epochs": 250, "batch_size": 128, "schedule": "plateau", "patience": 3}
    for stage in ("doa", "sed"):
        # "we freeze the pre-trained feature extractor instead of fine-tuning it" (section 2.1.2)
        frozen = ("patches", "positions", "transformer") if stage == "sed" else ()
        assert recipe.training_of(stage) == replace(training, warmup_epochs=0, hold_steps=0, frozen=frozen, **step_1)
    assert TWO_STEP.slots(recipe) == 6  # "K was set to 6" (figure 1)
    assert TWO_STEP.slots(find_recipe("two-step-edge")) == 3
    # "a hop length of 0.02s and a window size of 0.04s to audio signals sampled at 24 kHz", "64 mel filter banks",
    # "5-second clips" (section 3.1)
    assert (stft.sample_rate_hz, stft.hop_samples, stft.window_samples) == (24_000, 480, 960)
    assert (sizes.bands, sizes.frames) == (64, 250)
    assert recipe.device == {"window_labels": 50, "hop_labels": 10}  # "without overlap" there, each second here
    assert stft == StftSettings(24_000, 960, 480, nfft=1024, frames_per_label=5)
    assert recipe.features == FeatureSettings("two_step", 64, harmonic_labels=1)
    assert (sizes.tracks, sizes.doa_hidden, sizes.sed_hidden) == (6, 64, 64)
    # ATST-SED: 7 convolutions, 12 blocks of 768 with 12 heads, a GRU of 2 layers of 128
    assert sizes.sed_filters == (16, 32, 64, 128, 128, 128, 128)
    assert (sizes.sed_transformer_depth, sizes.sed_transformer_width, sizes.sed_transformer_heads) == (12, 768, 12)
    assert (sizes.sed_gru_layers, sizes.sed_gru_units, sizes.sed_patch_frames) == (2, 128, 2)
    # CST-former: 3 convolutions of 64, 2 blocks with 8 heads
    assert (sizes.fusion_filters, sizes.fusion_blocks, sizes.fusion_heads) == ((64, 64, 64), 2, 8)
    # "FFN 1x1 x4", "unfolded 10x4 patches", "Dense 128", pools "f 1,2,2, t 1,1,5": here the last pools both
    assert (sizes.fusion_expansion, sizes.fusion_patch, sizes.fusion_dense_units) == (4, (10, 4), 128)
    assert sizes.fusion_pools == ((1, 1), (1, 2), (5, 2))
    # "+ DoA fusion", "+ BF", "+ SED fusion" (Table 3), "trackwise format" (Table 2)
    assert (sizes.fuse_doa, sizes.fuse_beams, sizes.fuse_sed, sizes.sed_track_wise) == (True, True, True, True)
    assert (sizes.sed_dense_units, sizes.dropout) == (128, 0.05)
    assert (sizes.doa_blocks, sizes.doa_kernel, sizes.doa_head_pools) == (2, 5, (4, 4))
    assert (sizes.norm, sizes.fusion_activation, sizes.fusion_gated_head) == ("layer", "gelu", False)
    assert sizes.doa_filters == (128,) and (sizes.doa_heads, sizes.doa_head_filters) == (8, 128)
    assert not recipe.losses.by_frame
    assert (recipe.augmentation, recipe.decode) == (NO_AUGMENTATION, OUR_DECODER)


def test_what_the_shipped_bundles_were_trained_with() -> None:
    coloc, etri, two_step = (find_recipe(f"{name}-edge") for name in ("coloc", "etri", "two-step"))
    for recipe in (coloc, etri, two_step):
        assert (recipe.sizes.bands, recipe.training.optimizer, recipe.training.learning_rate) == (64, "adam", 1e-3)
        augmentation = recipe.augmentation
        assert (augmentation.level_db, augmentation.rotated_share) == ((-15.0, 10.0), 1.0)
        assert (augmentation.equalizer_db, augmentation.silence_share) == (2.0, 0.1)
        assert (augmentation.masked_frames, augmentation.masked_bands) == (20, 6)
    assert (coloc.augmentation.decoy_share, coloc.losses.pair_power) == (0.3, 0.5)
    assert (coloc.sizes.filters, coloc.sizes.gru_units, coloc.device["look_ahead_labels"]) == ((32, 64, 128), 96, 5)
    assert (etri.augmentation.speed, etri.sizes.doae_masks) == ((0.8, 1.25), True)
    assert (two_step.augmentation.hearings, two_step.sizes.tracks) == (2, 3)


@pytest.mark.parametrize("name", ["coloc-edge", "coloc-edge-flat", "etri-edge", "two-step-edge"])
def test_a_shipped_recipe_is_what_its_bundle_and_its_card_say(name: str) -> None:
    recipe, folder = find_recipe(name), ROOT / "edge" / "bundles" / name
    manifest, card = read_manifest(folder), (folder / "CARD.md").read_text()
    assert (recipe.features, recipe.stft, recipe.decode) == (manifest.features, manifest.stft, manifest.decode)
    from_the_data = {"sad_median_labels", "sed_median_labels"}  # ETRI's median filters have the durations of the data
    assert recipe.device == {key: value for key, value in manifest.settings.items() if key not in from_the_data}
    in_parts = {"pair_power": recipe.losses.pair_power} if name == "coloc-edge" else {}  # changed in the last part
    for title, values in (("sizes", recipe.sizes), ("augmentation", recipe.augmentation), ("losses", recipe.losses)):
        (line,) = [line for line in card.splitlines() if line.startswith(f"- {title}: ")]
        said = ast.literal_eval(line.split("`")[1]) | (in_parts if title == "losses" else {})
        assert SINCE | asdict(values) == SINCE | said
    flat = {"steps": 20000, "batch_size": 16} if name == "coloc-edge-flat" else {}
    assert recipe.training == TrainSettings(**flat)  # of which each part of a training changed some: docs/results


SINCE = {
    "condition_units": 128,
    "hearings": 1,
    "shifted_bands": 0,
    "cropped_bands": 0,
    "chains": 0,
    "symmetric_only": False,
    "volume": (1.0, 1.0),
    "fixed_pairs": False,
    "most_known": 0,
    "distance_weight": 1.0,
    "random_look_ahead": True,
    "doa_frequency_convs": True,
    "doa_attention": True,
    "doa_partial_convs": True,
    "doa_cst_former": False,
}
"""What cards do not know yet: the values that change nothing."""

OWN = """
name = "mine"
system = "coloc"
[sizes]
bands = 32
filters = [4, 4, 8]
[features]
kind = "logmel_iv"
bands = 32
[training]
learning_rate = 1
[device]
look_ahead_labels = 2
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The path of a recipe of one's own."""
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    return path


def test_a_recipe_of_ones_own_has_defaults_for_what_it_leaves_out(own: Path) -> None:
    recipe = find_recipe(str(own))
    assert (recipe.name, recipe.sizes.filters, recipe.sizes.gru_units) == ("mine", (4, 4, 8), 96)
    assert (recipe.training.learning_rate, recipe.training.steps) == (1.0, 8000)
    assert recipe.device == {"look_ahead_labels": 2}
    assert recipe.stft == find_recipe("coloc-edge").stft


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"', "", "got name None, wanted a string"),
        ('"coloc"', '"colloc"', "system: got 'colloc', wanted one of coloc, etri, two_step"),
        ("bands = 32\nfilters", "bands = 16\nfilters", "got features.bands 32, wanted 16, as sizes.bands"),
        ("filters = [4, 4, 8]", "filters = [4, 4]", "sizes: filters: got .*, wanted a list of 3"),
        ("filters", "filter", "sizes: got unknown key 'filter', wanted one of frames"),
        ("[training]\nlearning_rate = 1", "[training]\nsteps = 0", "training: got steps 0"),
        ("[device]", "[devices]", "got unknown key 'devices', wanted one of name, system, sizes"),
        ("[device]\nlook_ahead_labels = 2", "", ""),
        ("[sizes]", "[sizes", "not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(old: str, new: str, message: str, own: Path) -> None:
    assert old in OWN
    own.write_text(OWN.replace(old, new))
    if not message:
        assert read_recipe(own).device == {}
        return
    with pytest.raises(ValueError, match=f"mine.toml: .*{message}") as caught:
        read_recipe(own)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"model: got 'nope', wanted one of coloc-causal, .* or the path of a \.toml file"
    ):
        find_recipe("nope")
    with pytest.raises(ValueError, match=r"nope\.toml: No such file"):
        find_recipe(str(tmp_path / "nope.toml"))


def test_what_is_named_changes_and_the_rest_stays() -> None:
    recipe = find_recipe("coloc-edge")
    changes = parse_changes(["sizes.filters=[16, 32, 64]", "training.learning_rate = 5e-4", "losses.pair_power=0"])
    assert changed(recipe, changes) == replace(
        recipe,
        sizes=replace(recipe.sizes, filters=(16, 32, 64)),
        training=replace(recipe.training, learning_rate=5e-4),
        losses=replace(recipe.losses, pair_power=0.0),
    )
    assert changed(recipe, {}) == recipe


def test_settings_of_the_system_are_a_table_of_their_own() -> None:
    recipe = changed(find_recipe("coloc-edge"), parse_changes(["device.look_ahead_labels=2"]))
    assert recipe.device == {"mode": "streaming", "look_ahead_labels": 2}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["sizes.filter=[1, 2, 3]"], "sizes: got unknown key 'filter'"),
        (["sizes=3"], "sizes: got 3, wanted sizes.NAME"),
        (["sizes.bands=32"], r"got features.bands 64, wanted 32"),
        (["losses.pair_power=[]"], r"losses: pair_power: got \[\], wanted float"),
        (["name=3"], "got unknown key 'name', wanted one of sizes, augmentation, losses, features, training"),
        (["pair_power"], "set: got pair_power, wanted KEY=VALUE"),
        (["a=1", "a=2"], "set: got a=1, a=2, wanted KEY=VALUE"),
    ],
)
def test_wrong_changes(assignments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(find_recipe("coloc-edge"), parse_changes(assignments))


def test_the_papers_nets_may_leave_what_their_layers_leave() -> None:
    """Without biases, the first step of a GRU leaves SPLIT; nothing else is left in float."""
    allowed = {name: recipe.conversion.float_ops for name, recipe in RECIPES.items() if recipe.conversion.float_ops}
    assert allowed == {"coloc-paper": ("SPLIT",)}


def test_a_stage_has_settings_of_its_own() -> None:
    recipe = find_recipe("two-step-paper")
    other = changed(recipe, {"training": {"clip_norm": 2.0}, "stages": {"doa": {"batch_size": 7}}})
    assert other.training_of("doa") == replace(recipe.training_of("doa"), clip_norm=2.0, batch_size=7)
    assert other.training_of("sed") == replace(recipe.training_of("sed"), clip_norm=2.0)
    with pytest.raises(ValueError, match="two-step-paper: stages: doa: got unknown key 'batch'"):
        changed(recipe, {"stages": {"doa": {"batch": 7}}}).training_of("doa")


def test_stages_that_the_system_lacks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN + "\n[stages.localiser]\nsteps = 3\n")
    with pytest.raises(ValueError, match=r"mine.toml: stages: got 'localiser', wanted one of localizer, classifier"):
        read_recipe(path)
    path.write_text(OWN + "\n[stages.localizer]\nsteps = 0\n")
    with pytest.raises(ValueError, match=r"mine.toml: mine: stages: localizer: got steps 0"):
        read_recipe(path)

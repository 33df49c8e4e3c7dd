"""The training loop: a training that was cut goes on as if nothing had happened; averages, scores, snapshots."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from convert.systems.recipe import TrainSettings
from convert.training.csv_log import read_log
from convert.training.ranger import Ranger
from convert.training.schedule import learning_rate
from convert.training.snapshots import load_snapshot
from convert.training.task import TrainingTask
from convert.training.trainer import fit

SETTINGS = TrainSettings(steps=6, batch_size=4, warmup_steps=2, average_momentum=0.8, checkpoint_steps=3, seed=3)


def net(units: int = 5) -> keras.Model:
    """With all that has a state: norm, dropout, optimizer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    x = keras.layers.Dense(units)(inputs)
    x = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(x))
    return keras.Model({"x": inputs}, keras.layers.Dense(1)(x))


def batch(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    x = np.random.default_rng([1, step]).normal(size=(4, 3)).astype(np.float32)
    return {"x": x}, x.sum(axis=1, keepdims=True)


def squared(target: object, predicted: object) -> object:
    return ops.mean(ops.square(target - predicted))


def trained(
    folder: Path, settings: TrainSettings = SETTINGS, make: Callable = batch, score: Any = None, **options: Any
) -> list[np.ndarray]:
    model = net()
    fit(TrainingTask(model, squared, make, score), settings, folder, "net", **options)
    return model.get_weights()


def rows(folder: Path) -> list[dict[str, str]]:
    return read_log(folder / "net.csv")


def score(model: keras.Model) -> dict[str, float]:
    """Something that asks the model and differs with its weights."""
    return {"dev_loss": float(np.mean(model.predict_on_batch(batch(99)[0]) ** 2)), "dev_none": np.nan}


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")

    def stops(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if step == 4:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", make=stops)  # after step 4, one beyond the checkpoint
    assert [row["step"] for row in rows(tmp_path / "cut")] == ["3"]
    asked: list[int] = []

    def noted(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        asked.append(step)
        return batch(step)

    resumed = trained(tmp_path / "cut", make=noted)
    assert asked == [3, 4, 5]
    for left, right in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)
    with np.load(tmp_path / "whole" / "net.npz") as left, np.load(tmp_path / "cut" / "net.npz") as right:
        assert left.files == right.files
        for name in left.files:
            np.testing.assert_allclose(left[name], right[name], rtol=1e-6, atol=1e-7)
    without_speed = [
        [{name: row[name] for name in ("step", "loss", "learning_rate")} for row in rows(tmp_path / folder)]
        for folder in ("whole", "cut")
    ]
    assert without_speed[0] == without_speed[1]
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == ["net.csv", "net.npz"]


def test_a_finished_training_is_left_alone(tmp_path: Path) -> None:
    first = trained(tmp_path)
    before = (tmp_path / "net.npz").read_bytes(), (tmp_path / "net.csv").read_bytes()
    again = trained(tmp_path)
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert before == ((tmp_path / "net.npz").read_bytes(), (tmp_path / "net.csv").read_bytes())


def test_the_log_has_the_mean_loss_since_the_row_before(tmp_path: Path) -> None:
    trained(tmp_path / "each", replace(SETTINGS, checkpoint_steps=1))
    each = [float(row["loss"]) for row in rows(tmp_path / "each")]
    assert len(each) == 6
    trained(tmp_path / "some", replace(SETTINGS, checkpoint_steps=4))
    some = rows(tmp_path / "some")
    assert list(some[0]) == ["step", "loss", "learning_rate", "steps_per_s"]
    assert [row["step"] for row in some] == ["4", "6"]  # the end is a checkpoint too
    assert [float(row["loss"]) for row in some] == pytest.approx([np.mean(each[:4]), np.mean(each[4:])], abs=2e-5)
    assert [row["learning_rate"] for row in some] == [f"{learning_rate(step, SETTINGS):.3g}" for step in (3, 5)]
    assert all(float(row["steps_per_s"]) > 0 for row in some)


def test_the_moving_average_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    steady = replace(SETTINGS, schedule="constant", average_momentum=0.0)
    raw = [trained(tmp_path / str(steps), replace(steady, steps=steps)) for steps in (1, 2, 3)]
    kept = trained(tmp_path / "averaged", replace(steady, steps=3, average_momentum=0.8))
    trainable = [weight.trainable for weight in net().weights]
    for index, is_trained in enumerate(trainable):
        expected = raw[2][index]
        if is_trained:  # the average begins with the first step; the norm's own averages stay as they are
            expected = 0.8 * (0.8 * raw[0][index] + 0.2 * raw[1][index]) + 0.2 * raw[2][index]
            assert not np.allclose(raw[2][index], expected, atol=1e-6)
        np.testing.assert_allclose(kept[index], expected, atol=1e-6)


def test_scores_are_those_of_the_averaged_weights_and_disturb_nothing(tmp_path: Path) -> None:
    alone = trained(tmp_path / "alone")
    seen: list[list[np.ndarray]] = []

    def watched(model: keras.Model) -> dict[str, float]:
        seen.append(model.get_weights())
        return score(model)

    settings = replace(SETTINGS, dev_steps=3)
    for left, right in zip(alone, trained(tmp_path / "scored", settings, score=watched), strict=True):
        np.testing.assert_array_equal(left, right)
    assert len(seen) == 2  # after steps 3 and 6
    for left, right in zip(seen[-1], alone, strict=True):
        np.testing.assert_array_equal(left, right)
    earlier = trained(tmp_path / "short", replace(settings, steps=3, schedule="constant"))
    trained(tmp_path / "steady", replace(settings, schedule="constant"), score=watched)
    for left, right in zip(seen[2], earlier, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_a_training_with_scores_goes_on_as_if_it_had_not_been_cut(tmp_path: Path) -> None:
    settings = replace(SETTINGS, dev_steps=3)
    whole = trained(tmp_path / "whole", settings, score=score)

    def stops(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if step == 4:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", settings, stops, score=score)
    for left, right in zip(whole, trained(tmp_path / "cut", settings, score=score), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)
    losses = [[float(row["dev_loss"]) for row in rows(tmp_path / folder)] for folder in ("whole", "cut")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
    ("checkpoint_steps", "dev_steps", "scored"), [(1, 2, [2, 4, 5]), (2, 3, [4, 5]), (2, 1, [2, 4, 5]), (2, 9, [5])]
)
def test_scores_come_with_the_first_checkpoint_after_so_many_steps_and_at_the_end(
    tmp_path: Path, checkpoint_steps: int, dev_steps: int, scored: list[int]
) -> None:
    settings = replace(SETTINGS, steps=5, checkpoint_steps=checkpoint_steps, dev_steps=dev_steps)
    drawn: list[int] = []
    trained(tmp_path, settings, score=score, on_scores=lambda: drawn.append(int(rows(tmp_path)[-1]["step"])))
    found = rows(tmp_path)
    assert drawn == scored
    assert [int(row["step"]) for row in found if row["dev_loss"]] == scored
    assert list(found[0]) == [
        "step",
        "loss",
        "learning_rate",
        "steps_per_s",
        "dev_loss",
    ]  # what is not known is left out


def test_progress_is_a_line_per_checkpoint_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, score=score)
    first, last = capsys.readouterr().err.splitlines()
    row = rows(tmp_path)[0]
    assert re.fullmatch(rf"net: step 3, loss {row['loss']}, steps_per_s {row['steps_per_s']}, \d\d:\d\d left", first)
    assert re.fullmatch(r"net: step 6, loss [\d.]+, steps_per_s [\d.]+, dev_loss [\d.]+, 00:00 left", last)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.1), ("ranger", 1.0)])
def test_it_learns(tmp_path: Path, optimizer: str, rate: float) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    linear = keras.Model({"x": inputs}, keras.layers.Dense(1)(inputs))
    settings = replace(SETTINGS, steps=100, learning_rate=rate, checkpoint_steps=50, optimizer=optimizer)
    fit(TrainingTask(linear, squared, batch), settings, tmp_path, "net")
    first, last = (float(row["loss"]) for row in rows(tmp_path))
    assert last < 0.1 * first
    np.testing.assert_allclose(linear.get_weights()[0], 1.0, atol=0.1)  # the target is the sum of the inputs


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", keras.optimizers.Adam), ("adamw", keras.optimizers.AdamW), ("ranger", Ranger)]
)
def test_the_optimizer_is_the_one_that_the_recipe_names(
    tmp_path: Path, name: str, kind: type[keras.optimizers.Optimizer]
) -> None:
    model = net()
    settings = replace(
        SETTINGS, steps=1, warmup_steps=0, schedule="constant", learning_rate=0.03, clip_norm=0.7, optimizer=name
    )
    fit(TrainingTask(model, squared, batch), settings, tmp_path, "net")
    optimizer = model.optimizer
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == pytest.approx(0.03)
    assert (optimizer.clipnorm, optimizer.use_ema, optimizer.ema_momentum) == (0.7, True, settings.average_momentum)


def test_the_checkpoint_of_another_net_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, replace(SETTINGS, steps=1))
    with pytest.raises(ValueError, match=r"net\.npz: got .*\(3, 5\), wanted \(3, 6\): another net's\?"):
        fit(TrainingTask(net(6), squared, batch), SETTINGS, tmp_path, "net")
    inputs = keras.Input((3,), name="x")
    smaller = keras.Model({"x": inputs}, keras.layers.Dense(1)(inputs))
    with pytest.raises(ValueError, match=r"net\.npz: got \d+ variables, wanted \d+: another net's\?"):
        fit(TrainingTask(smaller, squared, batch), SETTINGS, tmp_path, "net")


def test_an_error_in_a_batch_comes_out(tmp_path: Path) -> None:
    def breaks(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if step == 1:
            raise ValueError("got no such batch")
        return batch(step)

    with pytest.raises(ValueError, match="got no such batch"):
        trained(tmp_path, make=breaks)


def test_the_averaged_weights_at_the_end_of_each_cycle_are_kept(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=5, cycles=2, schedule="constant")  # ends after 2 and 5
    final = trained(tmp_path / "cycles", settings)
    names = {path.name for path in (tmp_path / "cycles").iterdir()}
    assert names == {"net.csv", "net.npz", "net.snapshot1.npz", "net.snapshot2.npz"}
    after_two = trained(tmp_path / "two", replace(settings, steps=2, cycles=1))
    for number, expected in enumerate((after_two, final), 1):
        kept = load_snapshot(tmp_path / "cycles" / f"net.snapshot{number}.npz")
        for left, right in zip(kept, expected, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-6)


def test_a_training_in_cycles_goes_on_as_if_it_had_not_been_cut(tmp_path: Path) -> None:
    settings = replace(SETTINGS, cycles=2, checkpoint_steps=2, optimizer="ranger")  # ends after 3 and 6

    def stops(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if step == 5:
            raise KeyboardInterrupt
        return batch(step)

    whole = trained(tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", settings, stops)
    assert (tmp_path / "cut" / "net.snapshot1.npz").is_file()
    assert not (tmp_path / "cut" / "net.snapshot2.npz").exists()
    for left, right in zip(whole, trained(tmp_path / "cut", settings), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)
    for number in (1, 2):
        pair = (load_snapshot(tmp_path / folder / f"net.snapshot{number}.npz") for folder in ("whole", "cut"))
        for left, right in zip(*pair, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("warmup_steps", [10, 1000])
def test_the_schedule_is_followed(tmp_path: Path, warmup_steps: int) -> None:
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    before = net().get_weights()
    after = trained(tmp_path, replace(SETTINGS, steps=1, warmup_steps=warmup_steps, average_momentum=0.0))
    moved = np.abs(after[0] - before[0])  # the first kernel
    assert moved.max() == pytest.approx(SETTINGS.learning_rate / warmup_steps, rel=0.02)


def test_the_rate_is_halved_where_development_data_say_so(tmp_path: Path) -> None:
    """Also by a training that goes on: it knows the losses before from the log."""
    settings = TrainSettings(
        steps=6, batch_size=4, warmup_steps=0, learning_rate=0.5, checkpoint_steps=1, dev_steps=1, schedule="plateau",
        patience=2,
    )  # fmt: skip

    def flat(model: keras.Model) -> dict[str, float]:
        return {"dev_loss": 0.25}

    trained(tmp_path, replace(settings, steps=4), score=flat)
    trained(tmp_path, settings, score=flat)
    assert [float(row["learning_rate"]) for row in rows(tmp_path)] == [0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    with pytest.raises(ValueError, match=r"net: got no development data, wanted some \(--dev\)"):
        trained(tmp_path / "without", settings)

"""Ranger, the optimizer of ETRI: rectified Adam with Lookahead around it, for any backend of Keras."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("seld_edge")
class Ranger(keras.optimizers.Optimizer):
    """RAdam (Liu et al. 2020) in the inner loop, Lookahead (Zhang et al. 2019) in the outer; defaults of Wright 2019.

    While the second moment rests on fewer than about five gradients, its variance is intractable and a step uses
    momentum alone; after that it is Adam's step, shortened by `rectification`. Every `sync_steps` steps the slow
    weights move by the share `slow_share` toward the weights, and the weights are set to them.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.999,
        epsilon: float = 1e-5,
        sync_steps: int = 6,
        slow_share: float = 0.5,
        **keywords: Any,
    ) -> None:
        """Set the hyperparameters.

        Args:
            learning_rate: Of a rectified step.
            beta_1: Decay of the first moment.
            beta_2: Decay of the second moment.
            epsilon: Added to the root of the second moment.
            sync_steps: Steps between two updates of the slow weights.
            slow_share: How far the slow weights move toward the weights.
            **keywords: Those of `keras.optimizers.Optimizer`.

        Raises:
            ValueError: `sync_steps` is below 1, or `slow_share` not above 0 and up to 1.
        """
        if sync_steps < 1 or not 0.0 < slow_share <= 1.0:
            raise ValueError(
                f"got sync_steps {sync_steps}, slow_share {slow_share}, wanted at least 1 and above 0 to 1"
            )
        super().__init__(learning_rate, **keywords)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.sync_steps = sync_steps
        self.slow_share = slow_share

    def build(self, variables: list[keras.Variable]) -> None:
        """Add both moments and the slow weight of every variable."""
        if self.built:
            return
        super().build(variables)
        self._firsts, self._seconds, self._slow = self.add_optimizer_variables(variables, ["first", "second", "slow"])

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """Update one variable: Liu et al. 2020, algorithm 2, then Zhang et al. 2019, algorithm 1."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        first, second, slow = self._firsts[index], self._seconds[index], self._slow[index]
        gradient = ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        self.assign_add(first, (gradient - first) * (1.0 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1.0 - self.beta_2))
        mean = first / (1.0 - ops.power(ops.cast(self.beta_1, dtype), step))
        rectified, scale = rectification(step, self.beta_2)
        move = ops.where(rectified, scale * mean / (ops.sqrt(second) + self.epsilon), mean)
        fast = variable - ops.cast(learning_rate, dtype) * move
        begun = ops.convert_to_tensor(variable), ops.convert_to_tensor(slow)
        anchor = ops.where(step == 1.0, *begun)  # Lookahead starts from the weights that training begins with
        due = ops.cast(self.iterations + 1, "int32") % self.sync_steps == 0
        ahead = anchor + self.slow_share * (fast - anchor)
        self.assign(slow, ops.where(due, ahead, anchor))
        self.assign(variable, ops.where(due, ahead, fast))

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        own = ("beta_1", "beta_2", "epsilon", "sync_steps", "slow_share")
        return super().get_config() | {name: getattr(self, name) for name in own}


def rectification(step: keras.KerasTensor, beta_2: float) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The rectification of a step (Liu et al. 2020, algorithm 2).

    1 - beta_2^t comes from `expm1`: as a difference of float32 numbers it would have few digits in the first steps.

    Args:
        step: Number t of the step, from 1.
        beta_2: Decay of the second moment.

    Returns:
        Whether the variance is tractable, and r_t sqrt(1 - beta_2^t), the scale of Adam's step.
    """
    log_decay = step * math.log(beta_2)
    left = -ops.expm1(log_decay)  # 1 - beta_2^t
    longest = 2.0 / (1.0 - beta_2) - 1.0
    length = longest - 2.0 * step * ops.exp(log_decay) / left
    shorter = ops.maximum((length - 4.0) * (length - 2.0) * longest, 0.0)
    scale = ops.sqrt(shorter / ((longest - 4.0) * (longest - 2.0) * ops.maximum(length, 1.0)))
    return length > 4.0, scale * ops.sqrt(left)

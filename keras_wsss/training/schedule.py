"""Learning rate of every step."""

import math

from keras_wsss.config import PhaseConfig

_POWER = 0.9  # of DeepLab's "poly" policy


def learning_rate(settings: PhaseConfig, step: int) -> float:
    """The learning rate of update `step` (from 0).

    Constant during the warm-up; after it half a cosine, or a polynomial with
    power 0.9, from `learning_rate` to `final_learning_rate`, which is
    constant when the two are equal.
    """
    if step < settings.warmup_steps:
        return settings.warmup_learning_rate
    done = step - settings.warmup_steps
    total = max(1, settings.steps - settings.warmup_steps)
    done = min(1.0, done / total)
    if settings.decay == "poly":
        share = (1 - done) ** _POWER
    else:
        share = 0.5 * (1 + math.cos(math.pi * done))
    low, high = settings.final_learning_rate, settings.learning_rate
    return low + (high - low) * share

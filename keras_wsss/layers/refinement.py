"""The default refiner: masks follow the picture's colours and edges."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_wsss.layers.refinement_steps import (
    appearance_evidence,
    grid_size,
    guided_upsample,
    local_mean_field,
)
from keras_wsss.layers.resampling import resize_area


@keras.saving.register_keras_serializable(package="keras_wsss")
class ImageGuidedRefinement(keras.layers.Layer):
    """Refines foreground probabilities with the picture they belong to.

    No native code and no variables: TensorFlow ops that also run in an
    exported graph. Three steps, from coarse to fine:

    1. On a grid of `appearance_grid` cells, the colours of the whole picture
       vote (`appearance_evidence`): parts that look like the object are
       added, parts that look like its surroundings removed.
    2. On a grid of `local_grid` cells, a binary CRF over neighbours of like
       colour moves outlines to edges (`local_mean_field`).
    3. A guided filter brings the result to full size (`guided_upsample`).

    Every channel is refined on its own, as the binary CRFs of TransferNet
    are. Crop padding off before: it would vote.

    The defaults were chosen on degraded true masks of source categories
    (`benchmarks/refinement.py`), where they gain more mean IoU than the
    dense CRF with the published parameters in a small part of its time.

    Args:
        appearance_grid: cells on the longest side in step 1. Memory and
            time grow with its fourth power.
        appearance_position: standard deviation of the voting kernel in
            space, as a part of the longest side.
        appearance_rgb: its standard deviation in colour, grey levels.
        appearance_weight: factor of the evidence; 0 leaves step 1 out.
        appearance_iterations: rounds of voting.
        local_grid: cells on the longest side in step 2.
        local_steps: distances of the neighbours, in cells.
        local_rgb: standard deviation in colour of the ties between
            neighbours, grey levels.
        local_weight: strength of the ties; 0 leaves step 2 out.
        local_iterations: mean-field iterations.
        guided_radius: radius of the guided filter's windows, in cells of
            the second grid.
        guided_epsilon: colour variance (0 to 1 scale) below which the
            guided filter sees no edge.
        smallest_probability: probabilities are clipped to this and one less
            this, so that an overconfident pixel can still change.

    Call arguments:
        image: uint8 or float [B, H, W, 3]; RGB, 0 to 255.
        probabilities: float [B, H, W, K] in [0, 1], K at least 1 (values
            outside the range, as of bicubic upsampling, are clipped).

    Returns:
        Refined probabilities, shape and dtype of `probabilities`, in [0, 1].
        A label fires where its value is above 0.5.

    Example:
        refine = ImageGuidedRefinement()
        refined = refine(image, probabilities)
    """

    def __init__(
        self,
        appearance_grid: int = 48,
        appearance_position: float = 1.0,
        appearance_rgb: float = 8.0,
        appearance_weight: float = 0.6,
        appearance_iterations: int = 3,
        local_grid: int = 128,
        local_steps: Sequence[int] = (1, 3, 8),
        local_rgb: float = 8.0,
        local_weight: float = 8.0,
        local_iterations: int = 5,
        guided_radius: int = 2,
        guided_epsilon: float = 1e-4,
        smallest_probability: float = 0.01,
        **kwargs,
    ) -> None:
        # Half precision is too coarse for the kernels, and probabilities
        # must not lose digits on the way in.
        super().__init__(autocast=False, **kwargs)
        self.options: dict[str, Any] = {
            "appearance_grid": int(appearance_grid),
            "appearance_position": float(appearance_position),
            "appearance_rgb": float(appearance_rgb),
            "appearance_weight": float(appearance_weight),
            "appearance_iterations": int(appearance_iterations),
            "local_grid": int(local_grid),
            "local_steps": tuple(int(step) for step in local_steps),
            "local_rgb": float(local_rgb),
            "local_weight": float(local_weight),
            "local_iterations": int(local_iterations),
            "guided_radius": int(guided_radius),
            "guided_epsilon": float(guided_epsilon),
            "smallest_probability": float(smallest_probability),
        }
        self._check_options()

    def _check_options(self) -> None:
        may_be_zero = ("weight", "iterations", "radius")
        for name, value in self.options.items():
            smallest = min(value, default=0) if name == "local_steps" else value
            zero_allowed = name.endswith(may_be_zero)
            if not (smallest > 0 or (smallest == 0 and zero_allowed)):
                raise ValueError(
                    f"{name} must be "
                    f"{'0 or more' if zero_allowed else 'positive'}, "
                    f"got {value}"
                )
        if not self.options["smallest_probability"] < 0.5:
            raise ValueError(
                "smallest_probability must be below 0.5, got "
                f"{self.options['smallest_probability']}"
            )

    def call(self, image: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Refines; see the class for arguments and result."""
        options = self.options
        dtype = probabilities.dtype
        image = tf.cast(image, tf.float32)
        probabilities = tf.cast(probabilities, tf.float32)
        size = tf.shape(probabilities)[1:3]
        grid = grid_size(size, options["local_grid"])
        small_image = resize_area(image, grid)
        small = resize_area(probabilities, grid)
        logits = self._logits(small)
        if options["appearance_weight"]:
            coarse = grid_size(size, options["appearance_grid"])
            evidence = appearance_evidence(
                resize_area(small_image, coarse),
                self._logits(resize_area(small, coarse)),
                options["appearance_position"],
                options["appearance_rgb"],
                options["appearance_weight"],
                options["appearance_iterations"],
            )
            # Only the evidence is coarse; the details of the input stay.
            logits += tf.image.resize(evidence, grid, method="bilinear")
        if options["local_weight"]:
            logits = local_mean_field(
                small_image,
                logits,
                options["local_steps"],
                options["local_rgb"],
                options["local_weight"],
                options["local_iterations"],
            )
        refined = guided_upsample(
            image / 255.0,
            small_image / 255.0,
            tf.sigmoid(logits),
            options["guided_radius"],
            options["guided_epsilon"],
        )
        refined = tf.clip_by_value(refined, 0.0, 1.0)
        return tf.cast(tf.reshape(refined, tf.shape(probabilities)), dtype)

    def _logits(self, probabilities: tf.Tensor) -> tf.Tensor:
        smallest = self.options["smallest_probability"]
        p = tf.clip_by_value(probabilities, smallest, 1.0 - smallest)
        return tf.math.log(p) - tf.math.log(1.0 - p)

    def compute_output_spec(self, image, probabilities):
        """Shape and dtype of `probabilities`."""
        return keras.KerasTensor(probabilities.shape, probabilities.dtype)

    def get_config(self) -> dict:
        """All constructor arguments."""
        config = super().get_config()
        return {
            **config,
            **self.options,
            "local_steps": list(self.options["local_steps"]),
        }

"""A factor on features that is found out once and kept with the weights."""

from collections.abc import Iterable

import keras
import numpy as np
from keras import ops

from keras_wsss.errors import ConfigError

# Of VGG-16's features with the factor of TransferNet's release, on pictures
# of COCO and VOC: the gains of the config were chosen for these.
FEATURES_RMS = 0.032


@keras.saving.register_keras_serializable("keras_wsss")
class FeatureScale(keras.layers.Layer):
    """Multiplies by a number that `calibrate` sets; 1 before that.

    float32 whatever the precision policy: features are small numbers whose
    products (the densified attention) are smaller still.

    Args:
        rms: what the root of the mean square is to be.

    Call arguments:
        maps: float [batch, height, width, channels].

    Returns:
        float32 of the same shape.

    Attributes:
        from_data: tells that no weights file has its variable.
    """

    from_data = True

    def __init__(self, rms: float = 1.0, **kwargs):
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.rms = rms

    def build(self, input_shape):
        """Makes the variable."""
        self.scale = self.add_weight(
            name="scale", shape=(), initializer="ones", trainable=False
        )

    def call(self, maps):
        """Multiplies; see the class."""
        return ops.cast(maps, "float32") * self.scale

    def compute_output_spec(self, maps):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(maps.shape, "float32")

    def get_config(self):
        """The arguments that rebuild this layer."""
        return {**super().get_config(), "rms": self.rms}


def calibrate(model: keras.Model, batches: Iterable) -> None:
    """Brings features and finer maps to the scale that decoders expect.

    Nothing changes unless the model has `FeatureScale` layers. Their factors
    are rounded, so that workers of other machines get the same.

    Args:
        model: an encoder with its weights.
        batches: inputs, float32 [B, S, S, 3]; nothing of them is read where
            there is nothing to bring to scale.

    Raises:
        ConfigError: features that are all 0 or not finite.
    """
    scales = {
        layer.output.name: layer
        for layer in model.layers
        if isinstance(layer, FeatureScale)
    }
    if not scales:
        return
    layers = [scales.get(output.name) for output in model.outputs]
    totals, counts = np.zeros(len(layers)), np.zeros(len(layers))
    for layer in scales.values():
        layer.scale.assign(1.0)
    for batch in batches:
        for index, maps in enumerate(model(batch, training=False)):
            values = np.asarray(ops.convert_to_numpy(maps), np.float64)
            totals[index] += np.square(values).sum()
            counts[index] += values.size
    for index, own in enumerate(layers):
        if own is None:
            continue
        found = np.sqrt(totals[index] / max(counts[index], 1))
        if not (np.isfinite(found) and found > 0):
            raise ConfigError(
                f"The encoder {model.name} gives nothing but 0, or values "
                "that are not finite, on training pictures; check its weights."
            )
        own.scale.assign(float(f"{own.rms / found:.3g}"))

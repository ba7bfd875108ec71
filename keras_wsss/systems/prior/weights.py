"""First weights of a prior network, from a classifier of ImageNet.

* Blocks 1 to 5: the convolutions, for both streams.
* fc6 and fc7 of both streams: where the weights file is a whole VGG-16, with
  layers `fc1` and `fc2`, its fully connected layers, decimated as usual for
  DeepLab: of 7 x 7 x 512 to 4096 the taps 0, 3, 6 in both directions and
  every 4th unit; of 4096 to 4096 every 4th row and column.
* Where the file holds the convolutions only (`include_top=False`, and
  `vgg_small`), fc6 and fc7 keep their random weights (He et al. 2015). Those
  of fc6 are multiplied by the factor that brings the last activations near
  [0, 1] (0.004 for VGG-16): they reach some hundreds, and class scores would
  begin at the same size. Random layers have to be learned: see
  `config.prior.fc_multiplier`.
"""

import os
from collections.abc import Sequence

import numpy as np

from keras_wsss.systems.prior.network import Prior

_KEPT_TAPS = (0, 3, 6)


def initialise_prior(
    net: Prior, path: str | os.PathLike[str] | None = None
) -> str:
    """Gives both streams their first weights.

    Args:
        net: a new network.
        path: see `Encoder.load_weights`.

    Returns:
        Where fc6 and fc7 come from, "decimated" or "random", for the log.

    Raises:
        ConfigError: the weights cannot be found or do not fit.
    """
    encoder = net.base.build()
    net.base.load_weights(encoder, path)
    streams = {"segment": net.segmenter, "classify": net.classifier}
    for layer in encoder.layers:
        if not layer.weights:
            continue
        if layer.name.startswith("block5"):
            for stream, model in streams.items():
                model.get_layer(f"{stream}_{layer.name}").set_weights(
                    layer.get_weights()
                )
        else:
            # Both streams hold this very layer.
            net.segmenter.get_layer(layer.name).set_weights(layer.get_weights())
    full = net.base.head_weights(path)
    if full is None:
        for stream, model in streams.items():
            fc6 = model.get_layer(f"{stream}_fc6")
            fc6.kernel.assign(fc6.kernel * net.base.feature_scale)
        return "random"
    fc6, fc7 = decimate(*full, net.base.head_units)
    for stream, model in streams.items():
        model.get_layer(f"{stream}_fc6").set_weights(fc6)
        model.get_layer(f"{stream}_fc7").set_weights(fc7)
    return "decimated"


def start_from_classifier(net: Prior) -> None:
    """Gives stream S block 5, fc6 and fc7 of streams A and H.

    Both have the same shapes, and the weights files give them the same start;
    what the classifier learns first need not be learned again.
    """
    for layer in net.segmenter.layers:
        stream, _, part = layer.name.partition("_")
        if stream == "segment" and layer.weights and part != "scores":
            source = net.classifier.get_layer(f"classify_{part}")
            layer.set_weights(source.get_weights())


def decimate(
    fc1: Sequence[np.ndarray], fc2: Sequence[np.ndarray], units: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Reduces the fully connected layers of VGG-16 to convolutions.

    Args:
        fc1: kernel [7 * 7 * D, 4096], in the order of `Flatten`, and bias.
        fc2: kernel [4096, 4096] and bias.
        units: how many of the 4096 remain, a divisor.

    Returns:
        fc6: kernel [3, 3, D, units] and bias; fc7: kernel
        [1, 1, units, units] and bias.
    """
    step = fc1[0].shape[1] // units
    taps = np.reshape(fc1[0], (7, 7, -1, fc1[0].shape[1]))
    fc6 = taps[np.ix_(_KEPT_TAPS, _KEPT_TAPS)][..., ::step]
    fc7 = fc2[0][::step, ::step]
    return (
        [np.ascontiguousarray(fc6), fc1[1][::step]],
        [np.ascontiguousarray(fc7)[None, None], fc2[1][::step]],
    )

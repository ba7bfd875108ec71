"""A network as two graphs of fixed shapes, for LiteRT and ONNX.

A phone runs the encoder and the tagger once a picture ("encode") and the
decoder once for each tag that it wants a mask of ("decode"). Both are the
steps of `Predictor` between the square picture and the square probability;
what comes before and after is a few lines of NumPy (`client_edge`).
"""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_wsss.data import preprocess
from keras_wsss.errors import ConfigError
from keras_wsss.systems.network import named_variables
from keras_wsss.systems.steps import Steps

ENCODE, DECODE = "encode", "decode"
# A file of LiteRT or ONNX holds 2 GB at most, and converters need many times
# the weights: tf2onnx over 20 GB of memory for 844 MB of them.
MOST_WEIGHT_BYTES = 500_000_000


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function of fixed shapes.

    Attributes:
        function: takes tensors in the order of `inputs`; gives a dict.
        inputs: their shapes, dtypes and names.
    """

    function: Any
    inputs: list[tf.TensorSpec]

    def concrete(self) -> tf.types.experimental.ConcreteFunction:
        """The function, traced."""
        return tf.function(
            self.function, autograph=False, input_signature=self.inputs
        ).get_concrete_function()


def takes_size(steps: Steps) -> bool:
    """Whether "encode" must know how much of the square is padding."""
    views: Any = steps.network(1.0)
    return views.views.blank_padding


def edge_graphs(steps: Steps) -> dict[str, Graph]:
    """The two graphs of a network.

    With S the side of its square, C categories, g cells and D features:

    * "encode": `image` uint8 [1, S, S, 3] and, where `takes_size`, `size`
      int32 [2], height and width of the picture in any unit; gives `scores`
      float32 [C], `features` float32 [1, g, g, D] and `level_N`, what the
      decoder takes of the encoder.
    * "decode": `label` int32 [1], a category's id; `features`, `level_N`;
      gives `probability` float32 [m, m], the label's foreground.

    Raises:
        ConfigError: the network is none whose labels are decoded one by one
            from a frozen encoder, or too large.
    """
    net: Any = steps.network(1.0)
    if steps.has_crf or not hasattr(net, "select_levels"):
        raise ConfigError(
            f"{steps.method} decides between all labels of a picture at once "
            "and cannot be exported to LiteRT or ONNX; use --format=tf."
        )
    _check_weights(net)
    size = net.views.image_size

    def encode(image: tf.Tensor, extent: tf.Tensor | None = None):
        inputs = preprocess.to_encoder_input(image, net.views.pixels)
        features, *levels = net.encoder(inputs, training=False)
        if extent is not None:
            valid = preprocess.whole_valid(
                extent[0], extent[1], size, net.views.stride
            )
            features = preprocess.shown_only(net.views, features, valid[None])
        kept = net.select_levels(levels)
        return {
            "scores": steps.tag_scores(features, 1.0),
            "features": features,
            **{_level(number): maps for number, maps in enumerate(kept)},
        }

    def decode(label: tf.Tensor, features: tf.Tensor, *levels: tf.Tensor):
        probability = steps.foreground(features, list(levels), label, 1.0)
        return {"probability": probability[0]}

    image = tf.TensorSpec([1, size, size, 3], tf.uint8, "image")
    extent = tf.TensorSpec([2], tf.int32, "size")
    encoding = Graph(encode, [image, extent] if takes_size(steps) else [image])
    outputs = encoding.concrete().structured_outputs
    names = ["features", *sorted(n for n in outputs if n.startswith("level"))]
    return {
        ENCODE: encoding,
        DECODE: Graph(
            decode,
            [
                tf.TensorSpec([1], tf.int32, "label"),
                *(
                    tf.TensorSpec(
                        outputs[name].shape, outputs[name].dtype, name
                    )
                    for name in names
                ),
            ],
        ),
    }


def _level(number: int) -> str:
    return f"level_{number}"


def _check_weights(net: Any) -> None:
    parts = (*net.frozen_parts, *net.trained_parts)
    variables = named_variables(net, parts).values()
    total = sum(
        v.value.dtype.size * v.value.shape.num_elements() for v in variables
    )
    if total > MOST_WEIGHT_BYTES:
        raise ConfigError(
            f"The network has {total / 1e6:.0f} MB of weights; LiteRT and ONNX "
            f"take up to {MOST_WEIGHT_BYTES / 1e6:.0f} MB. Train with "
            "--config.model.attention=conv, or use --format=tf."
        )

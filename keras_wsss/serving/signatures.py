"""What an exported model answers: the signatures of the SavedModel."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_wsss.categories import IGNORE
from keras_wsss.data.images import largest_side
from keras_wsss.encoders.graphs import ConstantWeights
from keras_wsss.inference.decode import decode_picture, upright_size
from keras_wsss.serving.options import ServingOptions
from keras_wsss.systems.quality import choose_quality
from keras_wsss.systems.steps import Steps

# Masks of a batch are padded to a common size; together they may have this
# many times `max_pixels`, or one strip among large pictures would ask for
# more memory than any of them.
BATCH_FACTOR = 4
SEPARATOR = ","  # between the tags of a picture
# Names are compared with every category, and unknown ones come back in the
# error: megabytes of them would cost gigabytes.
MOST_TAG_BYTES = 4096
# Weights are constants of the graph, which a convolution library can bring
# into its own order once; but a graph holds 2 GB at most, and dense attention
# has that much in a few matrices. Bytes of one of those.
LARGEST_CONSTANT = 64_000_000


class ServingModule(tf.Module):
    """The four signatures, on one set of weights.

    With B pictures, C categories, and H and W the largest height and width
    in the batch; `tags` is one text a picture, names separated by commas,
    and "" asks the tagger:

    * `serving_default`: image_bytes string [B], JPEG or PNG files.
    * `with_tags`: image_bytes, tags string [B].
    * `png`: image_bytes, tags; `mask_bytes` in place of `mask`.
    * `tensors`: images uint8 [B, H, W, 3], RGB; tags.

    They give `mask` uint8 [B, H, W] (0 background, category ids, 255 beyond
    the picture) or `mask_bytes` string [B] (grey PNG files whose values are
    ids, without padding), `size` int32 [B, 2] (height and width, upright),
    `tags` string [B, K] and `tag_ids` int32 [B, K] (ascending, padded with
    "" and 0), and `scores` float32 [B, C] (the tagger's probability of id 1,
    2, ...).

    Args:
        steps: what the signatures compute.
        options: limits and quality.
    """

    def __init__(self, steps: Steps, options: ServingOptions):
        super().__init__(name="keras_wsss")
        self._steps = steps
        self._options = options
        self._quality = options.quality or choose_quality(steps)
        for view in self._quality.views:
            steps.network(view.scale)
        large = [v for v in steps.variables if _bytes_of(v) > LARGEST_CONSTANT]
        kept = {id(variable) for variable in large}
        net = steps.network(1.0)
        self._constants = ConstantWeights(
            [v for v in steps.variables if id(v) not in kept],
            [v for v in net.large_weights if id(v) in kept],
            net.compute_dtype,
        )
        self.weights = [self._constants.weight_of(v) for v in large]
        self._names = tf.constant(["", *steps.split.categories])
        known = {
            name: steps.split.find(name)
            for name in (*steps.split.categories, *steps.split.aliases)
        }
        known = {name: number for name, number in known.items() if number}
        self._known_names = tf.constant(list(known))
        self._known_ids = tf.constant(list(known.values()), tf.int32)
        # One function that all signatures call: the network is traced and
        # stored once, not four times. Behind another, because a module saves
        # every function that it finds among its attributes once more.
        segment = tf.function(
            self._segment_one,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([steps.split.num_categories], tf.bool),
            ],
        )
        self._segment = lambda image, wanted: segment(image, wanted)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Name to function, for `tf.saved_model.save`."""
        data = tf.TensorSpec([None], tf.string, name="image_bytes")
        tags = tf.TensorSpec([None], tf.string, name="tags")
        images = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")

        def concrete(function: Callable, *specs: tf.TensorSpec):
            graph = tf.function(function, autograph=False)
            return graph.get_concrete_function(*specs)

        return {
            "serving_default": concrete(
                lambda image_bytes: self._files(
                    image_bytes, tf.zeros_like(image_bytes)
                ),
                data,
            ),
            "with_tags": concrete(
                lambda image_bytes, tags: self._files(image_bytes, tags),
                data,
                tags,
            ),
            "png": concrete(
                lambda image_bytes, tags: self._files(
                    image_bytes, tags, as_png=True
                ),
                data,
                tags,
            ),
            "tensors": concrete(self._tensors, images, tags),
        }

    def _files(
        self, image_bytes: tf.Tensor, tags: tf.Tensor, as_png: bool = False
    ) -> dict[str, tf.Tensor]:
        pixels = self._options.max_pixels
        side = largest_side(pixels)
        asked = self._asked_of_all(tags, tf.size(image_bytes))
        with tf.control_dependencies([asked]):
            image_bytes = tf.identity(image_bytes)
        # Every header is looked at before the first picture is decoded.
        sizes = tf.map_fn(
            lambda data: upright_size(data, pixels, side),
            image_bytes,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )
        if not as_png:
            sizes = self._check_batch(sizes)
        with tf.control_dependencies([sizes]):
            image_bytes = tf.identity(image_bytes)
        return self._segment_all(
            lambda i: decode_picture(image_bytes[i], pixels, side),
            asked,
            sizes,
            as_png,
        )

    def _tensors(
        self, images: tf.Tensor, tags: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        shape = tf.shape(images)
        asked = self._asked_of_all(tags, shape[0])
        # Pictures without pixels cost nothing to send: a billion of them must
        # be refused before their sizes are written down.
        with tf.control_dependencies([asked]):
            sizes = tf.tile(shape[None, 1:3], [shape[0], 1])
        pixels = self._options.max_pixels
        limit = largest_side(pixels)
        fits = tf.debugging.Assert(
            tf.reduce_all((sizes > 0) & (sizes <= limit)),
            ["images: height and width must lie between 1 and", limit],
        )
        few = tf.debugging.Assert(
            tf.cast(shape[1], tf.int64) * tf.cast(shape[2], tf.int64) <= pixels,
            ["images have more than", pixels, "pixels:", shape],
        )
        with tf.control_dependencies([fits, few]):
            images = tf.identity(images)
        return self._segment_all(lambda i: images[i], asked, sizes, False)

    def _check_batch(self, sizes: tf.Tensor) -> tf.Tensor:
        """`sizes` once all masks, padded to one size, are known to fit."""
        limit = BATCH_FACTOR * self._options.max_pixels
        large = tf.cast(tf.reduce_max(sizes, 0), tf.int64)
        total = tf.shape(sizes, tf.int64)[0] * large[0] * large[1]
        fits = tf.debugging.Assert(
            total <= limit,
            [
                "the masks of this batch, padded to one size, would have more "
                "than",
                limit,
                "pixels; send fewer pictures, or use signature png",
            ],
        )
        with tf.control_dependencies([fits]):
            return tf.identity(sizes)

    def _asked_of_all(self, tags: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """bool [B, C]: the categories asked for; a row of False: the tagger."""
        same = tf.debugging.Assert(
            tf.equal(tf.size(tags), count),
            ["tags must hold one text a picture; texts:", tf.size(tags)],
        )
        some = tf.debugging.Assert(count > 0, ["there is no picture"])
        most = self._options.max_batch
        few = tf.debugging.Assert(
            count <= most,
            ["a request may hold", most, "pictures; it holds", count],
        )
        lengths = tf.strings.length(tags)
        short = tf.debugging.Assert(
            tf.reduce_all(lengths <= MOST_TAG_BYTES),
            ["the tags of a picture are longer than", MOST_TAG_BYTES, "bytes"],
        )
        with tf.control_dependencies([same, some, few, short]):
            tags = tf.identity(tags)
        categories = self._steps.split.num_categories
        return tf.map_fn(
            self._asked,
            tags,
            fn_output_signature=tf.TensorSpec([categories], tf.bool),
        )

    def _asked(self, tags: tf.Tensor) -> tf.Tensor:
        """bool [C] of one text of names."""
        names = tf.strings.strip(tf.strings.split(tags, SEPARATOR))
        names = tf.boolean_mask(names, tf.not_equal(names, ""))
        matches = tf.equal(names[:, None], self._known_names)  # (n, names)
        known = tf.reduce_any(matches, 1)
        # Not as they came: errors are texts, and end in terminals and logs.
        unknown = tf.strings.unicode_transcode(
            tf.boolean_mask(names, tf.logical_not(known)),
            "UTF-8",
            "UTF-8",
            replace_control_characters=True,
        )
        all_known = tf.debugging.Assert(
            tf.reduce_all(known),
            ["unknown tags:", unknown, "this model knows", self._names[1:]],
            summarize=-1,
        )
        wanted = tf.boolean_mask(
            self._known_ids, tf.reduce_any(matches, axis=0)
        )
        ids = tf.range(1, self._steps.split.num_categories + 1)
        asked = tf.reduce_any(tf.equal(wanted[:, None], ids), 0)
        count = tf.reduce_sum(tf.cast(asked, tf.int32))
        few = tf.debugging.Assert(
            count <= self._options.max_tags,
            ["more than", self._options.max_tags, "tags for a picture"],
        )
        with tf.control_dependencies([all_known, few]):
            return tf.identity(asked)

    def _segment_all(
        self,
        picture: Callable[[tf.Tensor], tf.Tensor],
        asked: tf.Tensor,
        sizes: tf.Tensor,
        as_png: bool,
    ) -> dict[str, tf.Tensor]:
        """Segments one picture after the other, so memory stays that of one.

        Args:
            picture: from an index to uint8 [H, W, 3].
            asked: bool [B, C].
            sizes: int32 [B, 2].
            as_png: PNG files in place of padded masks.
        """
        categories = self._steps.split.num_categories
        large = tf.reduce_max(sizes, 0)

        def one(inputs: Sequence[tf.Tensor]):
            index, wanted = inputs
            mask, ids, scores = self._segment(picture(index), wanted)
            if as_png:
                answer = tf.io.encode_png(mask[..., None])
            else:
                missing = large - tf.shape(mask)
                answer = tf.pad(
                    mask,
                    [[0, missing[0]], [0, missing[1]]],
                    constant_values=tf.constant(IGNORE, tf.uint8),
                )
            count = tf.size(ids)
            ids = tf.pad(ids, [[0, categories - count]])
            return answer, tf.ensure_shape(ids, [categories]), scores, count

        answers, ids, scores, counts = tf.map_fn(
            one,
            (tf.range(tf.shape(sizes)[0]), asked),
            fn_output_signature=(
                tf.TensorSpec([], tf.string)
                if as_png
                else tf.TensorSpec([None, None], tf.uint8),
                tf.TensorSpec([categories], tf.int32),
                tf.TensorSpec([categories], tf.float32),
                tf.TensorSpec([], tf.int32),
            ),
            parallel_iterations=1,
        )
        # One column at least, also where no picture has a tag: not every
        # client can read an array without elements.
        ids = ids[:, : tf.maximum(tf.reduce_max(counts), 1)]
        return {
            "mask_bytes" if as_png else "mask": answers,
            "size": sizes,
            "tags": tf.gather(self._names, ids),
            "tag_ids": ids,
            "scores": scores,
        }

    def _segment_one(
        self, image: tf.Tensor, wanted: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`Steps.segment` of uint8 [H, W, 3] and bool [C]."""
        ids = tf.cast(tf.where(wanted)[:, 0], tf.int32) + 1
        with self._constants:
            return self._steps.segment(
                image, ids, self._quality, self._options.max_tags
            )


def _bytes_of(variable: keras.Variable) -> int:
    return 4 * math.prod(variable.shape)

"""The steps from a picture to a mask with a network of the prior system."""

import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data import preprocess
from keras_wsss.layers.resampling import resize_align_corners, resize_area
from keras_wsss.systems.prior.mask_maker import MaskMaker, inference_crf
from keras_wsss.systems.prior.masks import min_max
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.problems import CLASS_STRIDE, SEGMENT_STRIDE
from keras_wsss.systems.steps import Steps
from keras_wsss.tagging import TagRule

_GATES = {"zero": 0.0, "neg_inf": -1e9}


class PriorSteps(Steps):
    """Class gate, logits of stream S, CRF (docs/prior.md).

    The label of a pixel is the largest of the logits of the background, of
    the labels asked for, and of the gated ones, whose logits are 0 with
    `config.prior.gate_value` "zero". Where a gated one wins, the release
    gives the pixel its label; here it becomes background.

    Args:
        net: a trained network.
        split: its categories.
        config: the run's config; `prior` and `inference` have the values.
        rule: see `Steps`.
    """

    method = "Prior"
    has_crf = True

    def __init__(
        self, net: Prior, split: Split, config, rule: TagRule | None = None
    ):
        super().__init__(net, split, config, rule)
        if config.prior.tags != "image":
            # In every table: it has seen more than tags of images.
            self.method = f"Prior (oracle: tags={config.prior.tags})"
        self.crf = inference_crf(config)
        self._base = net.base
        self.maker = MaskMaker(net, config)
        # Category id -> column of the logits; others -> background's.
        columns = [0] * (split.num_categories + 1)
        for column, number in enumerate(split.target_ids, start=1):
            columns[number] = column
        self._columns = tf.constant(columns, tf.int32)
        self._ids = tf.constant((0, *split.target_ids), tf.int32)

    def encode(self, image, scale, mirror):
        """Runs both streams on one view; see `Steps.encode`.

        Returns:
            Features, a dict: "tag_logits" [1, K] of the warped picture,
            "class_maps" [1, g, g, K] and "foreground" [1, g, g] of the padded
            square. What else `foreground` takes: logits [1, n, n, K + 1],
            colours [1, n, n, 3], and which cells show picture [1, n, n].
        """
        net, prior = self.network(scale), self.config.prior
        size = SEGMENT_STRIDE * round(prior.test_size * scale / SEGMENT_STRIDE)
        warped = self.warped(preprocess.mirror(image, mirror), scale)
        small = warped.shape[0]
        inputs, valid = self._square(image, size + 1, mirror)
        square = tf.image.resize(inputs, [small, small])
        both = tf.concat([warped[None], square], 0)
        both = tf.ensure_shape(both, [2, small, small, 3])
        classify = net.classifier(both, training=False)
        segment = net.segmenter(inputs, training=False)
        energy = _mean_over_channels(segment["conv5"])[..., None]
        own = _mean_over_channels(classify["conv5"][1:])
        energy = resize_area(energy, own.shape[1:])[..., 0]
        features = {
            "tag_logits": classify["tag_logits"][:1],
            "class_maps": classify["class_maps"][1:],
            "foreground": min_max(own + energy, (1, 2)),
        }
        return features, [segment["logits"], _cells(inputs), valid]

    def warped(self, image, scale: float) -> tf.Tensor:
        """What stream A sees of a picture when it is asked for its tags.

        Args:
            image: uint8 [H, W, 3], RGB.
            scale: factor of the network's input size.

        Returns:
            float32 [n, n, 3], as the encoder takes it.
        """
        size = self.config.prior.class_size
        small = CLASS_STRIDE * max(1, round(size * scale / CLASS_STRIDE))
        warped = preprocess.resize_image(image, small)
        return tf.ensure_shape(self._base.preprocess(warped), [small, small, 3])

    def tag_scores(self, features, scale: float = 1.0) -> tf.Tensor:
        """Probability of every category, float32 [C]; 0 for source ones."""
        scores = tf.sigmoid(features["tag_logits"][0])
        places = self._ids[1:, None] - 1
        return tf.scatter_nd(places, scores, [self.split.num_categories])

    def foreground(self, features, mask_inputs, ids, scale) -> tf.Tensor:
        """sigmoid(own logit - the largest rival's); above 0.5 a label wins.

        Rivals are the background and what is not asked for. Among the labels
        asked for, the largest value belongs to the largest logit.

        Returns:
            float32 [K, S, S], on the padded square.
        """
        kept = self._kept(ids)
        return self._against_rivals(
            self._gated(mask_inputs[0], kept), kept, ids
        )

    def crf_foreground(self, mask_inputs, ids) -> tf.Tensor:
        """As `foreground`, of the logits after the CRF of the test."""
        kept = self._kept(ids)
        gated = self._gated(mask_inputs[0], kept)
        beliefs = self.crf(gated, mask_inputs[1], mask_inputs[2])
        return self._against_rivals(beliefs, kept, ids)

    def maps(self, features, ids) -> dict[str, tf.Tensor]:
        """Class maps and foreground map of a picture, float32 [K, g, g]."""
        maps = tf.transpose(features["class_maps"][0], [2, 0, 1])
        own = tf.gather(maps, tf.gather(self._columns, ids) - 1)
        shape = tf.shape(own)
        foreground = tf.broadcast_to(features["foreground"], shape)
        return {"class_maps": own, "foreground": foreground}

    def training_masks(self, image, ids) -> dict[str, tf.Tensor]:
        """What would teach stream S: the masks on line of a whole picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            ids: int32 [K], the tags.

        Returns:
            Name -> uint8 [H, W]: without and, where it is used, with the CRF.
        """
        size = self.config.image.size
        inputs, valid = self._square(image, size, False)
        grid = self.config.prior.hide_grid
        outputs = self.maker.classify(inputs, tf.zeros((1, grid, grid)), False)
        outputs["segment"] = self.network(1.0).segmenter(inputs, training=False)
        tags = self._kept(ids)[None, 1:]
        masks = self.maker.masks(
            outputs, inputs, valid, tf.cast(tags, tf.float32)
        )
        found = {"masks on line, no CRF": masks.before_crf}
        if self.maker.options.crf:
            found["masks on line"] = masks.target
        return {
            name: self._to_size(mask[0], tf.shape(image))
            for name, mask in found.items()
        }

    def _square(self, image, size: int, mirror):
        """Network input of the padded square, and which cells show picture."""
        colour = self._base.pixels.mean_colour
        square = preprocess.square_image(image, size, colour)
        square = preprocess.mirror(square, mirror)
        inputs = self._base.preprocess(square)[None]
        inputs = tf.ensure_shape(inputs, [1, size, size, 3])
        shape = tf.shape(image)
        valid = preprocess.whole_valid(shape[0], shape[1], size, SEGMENT_STRIDE)
        return inputs, preprocess.mirror(valid, mirror)[None]

    def _kept(self, ids) -> tf.Tensor:
        """bool [K + 1]; which columns of the logits are asked for."""
        columns = tf.gather(self._columns, tf.cast(ids, tf.int32))
        wanted = tf.reduce_any(
            tf.range(tf.size(self._ids))[:, None] == columns[None], axis=1
        )
        return wanted & (tf.range(tf.size(self._ids)) > 0)

    def _gated(self, logits, kept) -> tf.Tensor:
        value = _GATES[self.config.prior.gate_value]
        background = tf.range(tf.size(kept)) == 0
        return tf.where(kept | background, logits, value)

    def _against_rivals(self, logits, kept, ids) -> tf.Tensor:
        side = SEGMENT_STRIDE * (logits.shape[1] - 1) + 1
        large = resize_align_corners(logits, side, side)[0]  # (S, S, K + 1)
        rival = tf.reduce_max(tf.where(kept, _GATES["neg_inf"], large), axis=-1)
        columns = tf.gather(self._columns, tf.cast(ids, tf.int32))
        own = tf.transpose(tf.gather(large, columns, axis=-1), [2, 0, 1])
        known = (columns > 0)[:, None, None]  # a source category never wins
        return tf.where(known, tf.sigmoid(own - rival), 0.0)

    def _to_size(self, mask, shape) -> tf.Tensor:
        """Columns on the grid to ids at the picture's size, uint8."""
        ids = tf.gather(self._ids, tf.where(mask < 255, mask, 0))
        # The nearest of the pixels that cells stand for.
        longest = tf.cast(tf.maximum(shape[0], shape[1]), tf.float32)
        scale = tf.cast(tf.shape(mask)[0] - 1, tf.float32) / longest

        def nearest(extent):
            places = (tf.range(extent, dtype=tf.float32) + 0.5) * scale
            return tf.cast(tf.round(places), tf.int32)

        ids = tf.gather(ids, nearest(tf.cast(shape[0], tf.float32)), axis=0)
        ids = tf.gather(ids, nearest(tf.cast(shape[1], tf.float32)), axis=1)
        return tf.cast(ids, tf.uint8)


def _cells(inputs: tf.Tensor) -> tf.Tensor:
    return inputs[:, ::SEGMENT_STRIDE, ::SEGMENT_STRIDE]


def _mean_over_channels(maps: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(maps, tf.float32), axis=-1)

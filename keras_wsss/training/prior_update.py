"""One update of the prior system: masks on line, losses, SGD."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from keras_wsss.categories import Split
from keras_wsss.data.hide_and_seek import hide
from keras_wsss.data.oracle_tags import window_tags
from keras_wsss.errors import ConfigError
from keras_wsss.layers.mean_field import MeanFieldCrf
from keras_wsss.models.prior import (
    SEGMENT_STRIDE,
    Prior,
    class_grid,
    segment_grid,
)
from keras_wsss.training.optimizer import MultiplierSgd
from keras_wsss.training.prior_losses import class_loss, segment_loss
from keras_wsss.training.prior_masks import MaskOptions, Masks, build_masks
from keras_wsss.training.replicated_update import (
    ReplicatedUpdate,
    means_over_replicas,
    sums_over_replicas,
)

Outputs = dict[str, dict[str, tf.Tensor]]


def make_prior_optimizer(config) -> MultiplierSgd:
    """The optimizer of a run, with the multipliers of specification 6."""
    prior = config.prior
    return MultiplierSgd(
        multipliers=(
            (r"bias$", config.train.bias_multiplier),
            (r"segment_scores/", prior.score_multiplier),
            (r"_fc[67]/", prior.fc_multiplier),
            (r"class_(conv|head)", prior.head_multiplier),
        ),
        momentum=prior.momentum,
        kernel_decay=prior.weight_decay,
        # Checkpoints know the velocities by this name.
        name="multiplier_sgd",
    )


def mask_options(config) -> MaskOptions:
    """The choices of `config.prior` that make the masks."""
    fields = [field.name for field in dataclasses.fields(MaskOptions)]
    return MaskOptions(**{name: config.prior[name] for name in fields})


def training_crf(config) -> MeanFieldCrf:
    """The CRF of the masks on line, lengths in cells."""
    return _crf(config.prior, "crf", 1.0)


def inference_crf(config) -> MeanFieldCrf:
    """The CRF of the test, brought from pixels to cells of the logits."""
    return _crf(config.prior, "test", SEGMENT_STRIDE)


def _crf(prior, prefix: str, stride: float) -> MeanFieldCrf:
    try:
        return MeanFieldCrf(
            prior[f"{prefix}_smoothness_xy"] / stride,
            prior[f"{prefix}_smoothness_weight"],
            prior[f"{prefix}_appearance_xy"] / stride,
            prior[f"{prefix}_appearance_rgb"],
            prior[f"{prefix}_appearance_weight"],
            prior[f"{prefix}_iterations"],
            name=f"{prefix}_mean_field",
        )
    except ValueError as error:
        raise ConfigError(f"config.prior.{prefix}_{error}.") from error


class MaskMaker:
    """From pictures and tags to the masks on line, with the streams' outputs.

    Args:
        net: the network.
        config: the run's config.
    """

    def __init__(self, net: Prior, config):
        self.net = net
        self.class_size = config.prior.class_size
        self.hidden_stream = config.prior.hidden_stream
        self.options = mask_options(config)
        self.crf = training_crf(config)
        cells, grid = segment_grid(config.image.size), config.prior.hide_grid
        side = class_grid(self.class_size)
        block = -(-cells // side)
        if block * side - cells >= block:
            raise ConfigError(
                f"config.image.size {config.image.size} gives {cells} cells "
                f"and config.prior.class_size {self.class_size} gives {side}, "
                "which blocks of whole cells cannot join; use a ratio near "
                "that of 321 and 224, for example 161 and 112."
            )
        if self.class_size % grid:
            raise ConfigError(
                f"config.prior.class_size is {self.class_size}, which "
                f"config.prior.hide_grid {grid} does not divide."
            )

    def classify(
        self, image: tf.Tensor, hidden: tf.Tensor | None, training: bool
    ) -> Outputs:
        """Streams A ("clean") and H ("hidden"), in one call.

        Args:
            image: float32 [B, S, S, 3], input of S.
            hidden: float32 [B, grid, grid], or None to leave H out.
            training: whether dropout acts.
        """
        size = self.class_size
        clean = tf.image.resize(image, [size, size])
        clean = tf.ensure_shape(clean, [image.shape[0], size, size, 3])
        if hidden is None or not self.hidden_stream:
            return {"clean": self.net.classifier(clean, training=training)}
        both = tf.concat([clean, hide(clean, hidden)], axis=0)
        outputs = self.net.classifier(both, training=training)
        halves = {key: tf.split(value, 2) for key, value in outputs.items()}
        return {
            name: {key: half[index] for key, half in halves.items()}
            for index, name in enumerate(("clean", "hidden"))
        }

    def masks(
        self,
        outputs: Outputs,
        image: tf.Tensor,
        valid: tf.Tensor,
        tags: tf.Tensor,
    ) -> Masks:
        """Masks of a batch, see `build_masks`."""
        colours = image[:, ::SEGMENT_STRIDE, ::SEGMENT_STRIDE]
        return build_masks(
            outputs, tags, colours, valid, self.options, self.crf
        )


class PriorUpdate(ReplicatedUpdate):
    """Computes losses and gradients of a batch of pictures and applies them.

    Args:
        net: the network, built under the strategy's scope.
        split: categories.
        optimizer: built under the strategy's scope.
        config: the run's config; `prior` has the weights of the losses.
        segment: whether stream S learns; without it (the warm-up) the
            classifying streams learn alone.
        strategy: distribution strategy.
    """

    def __init__(
        self,
        net: Prior,
        split: Split,
        optimizer: MultiplierSgd,
        config,
        segment: bool,
        strategy: tf.distribute.Strategy,
    ):
        super().__init__(optimizer, strategy)
        self.net = net
        self.maker = MaskMaker(net, config)
        self.prior = config.prior
        self.segment = segment
        if self.prior.mask_forward not in ("train", "eval"):
            raise ConfigError(
                "config.prior.mask_forward is "
                f"'{self.prior.mask_forward}'; use train or eval."
            )
        self._target_ids = split.target_ids
        self._columns = tf.constant(split.target_ids, tf.int32) - 1
        self._class_variables = list(net.classifier.trainable_variables)
        shared = {id(variable) for variable in self._class_variables}
        if not segment and self.prior.warmup_head_only:
            self._class_variables = [
                variable
                for variable in self._class_variables
                if "block" not in variable.path
            ]
        self._segment_variables = [
            variable
            for variable in net.segmenter.trainable_variables
            if id(variable) not in shared
        ]

    def _replica(self, batch, learning_rate: tf.Tensor):
        self.optimizer.learning_rate.assign(learning_rate)
        part = batch["target"]
        with tf.GradientTape(persistent=True) as tape:
            means = means_over_replicas(self._terms(part))
            classify = means["class_loss"]
            if "hidden_class_loss" in means:
                classify += means["hidden_class_loss"]
            classify *= self.prior.class_weight
            total = classify
            if self.segment:
                segment = self.prior.segment_weight * means["segment_loss"]
                if self.prior.segment_trains_trunk:
                    total += segment
        gradients = tape.gradient(total, self._class_variables)
        variables = list(self._class_variables)
        if self.segment:
            gradients += tape.gradient(segment, self._segment_variables)
            variables += self._segment_variables
        del tape
        self.optimizer.apply(gradients, variables)
        return sums_over_replicas(means)

    def _terms(self, part: Mapping[str, tf.Tensor]):
        """Every loss and measure as (sum, count)."""
        if self.prior.tags == "crop_gt":
            tags = window_tags(part["mask"], self._target_ids)
        else:
            tags = tf.gather(part["tags"], self._columns, axis=1)
        image = part["image"]
        outputs = self.maker.classify(image, part.get("hidden"), training=True)
        kind = self.prior.class_loss
        logits = outputs["clean"]["tag_logits"]
        terms = {"class_loss": class_loss(logits, tags, kind)}
        if "hidden" in outputs:
            logits = outputs["hidden"]["tag_logits"]
            terms["hidden_class_loss"] = class_loss(logits, tags, kind)
        if not self.segment:
            return terms
        outputs["segment"] = self.net.segmenter(image, training=True)
        masks = self.maker.masks(
            self._for_masks(outputs, part), image, part["valid"], tags
        )
        objectness = tf.reduce_max(masks.scores[..., 1:], axis=-1)
        terms["segment_loss"] = segment_loss(
            outputs["segment"]["logits"],
            masks.target,
            tags,
            self.prior.segment_loss,
            objectness,
        )
        return terms | _mask_measures(masks, part["valid"])

    def _for_masks(self, outputs: Outputs, part) -> Outputs:
        """The outputs that masks are made of."""
        if self.prior.mask_forward == "train":
            return outputs
        image = part["image"]
        again = self.maker.classify(image, part.get("hidden"), training=False)
        segment = self.net.segmenter(image, training=False)
        return {**again, "segment": segment}


def _mask_measures(masks: Masks, valid: tf.Tensor):
    """How large masks are, and how much of them the CRF changes."""
    cells = tf.reduce_sum(valid)
    foreground = tf.cast((masks.target > 0) & (masks.target < 255), tf.float32)
    changed = tf.cast(masks.target != masks.before_crf, tf.float32)
    return {
        "mask_foreground": (tf.reduce_sum(foreground * valid), cells),
        "mask_changed_by_crf": (tf.reduce_sum(changed * valid), cells),
    }

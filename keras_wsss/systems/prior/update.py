"""One update of the prior system: masks on line, losses, SGD."""

import tensorflow as tf

from keras_wsss.categories import IGNORE, Split
from keras_wsss.data.oracle_tags import window_tags
from keras_wsss.systems.optimizer import MultiplierSgd, shared_options
from keras_wsss.systems.prior.losses import class_loss, segment_loss
from keras_wsss.systems.prior.mask_maker import MaskMaker, Outputs
from keras_wsss.systems.prior.masks import Masks
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.replicated_update import Batch, ReplicatedUpdate


def make_prior_optimizer(config) -> MultiplierSgd:
    """The optimizer of a run, with the multipliers of `config.prior`."""
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
        **shared_options(config),
        # Checkpoints know the velocities by this name.
        name="multiplier_sgd",
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
        super().__init__(net, optimizer, strategy, config.train.micro_batches)
        self.maker = MaskMaker(net, config)
        self.prior = config.prior
        self.segment = segment
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

    def totals(self, means):
        """Streams A and H learn to classify, stream S from the masks."""
        total = means["class_loss"]
        if "hidden_class_loss" in means:
            total += means["hidden_class_loss"]
        total *= self.prior.class_weight
        if not self.segment:
            return [(total, self._class_variables)]
        segment = self.prior.segment_weight * means["segment_loss"]
        if self.prior.segment_trains_trunk:
            # Of one pass, as stream S's own layers see no other loss.
            every = [*self._class_variables, *self._segment_variables]
            return [(total + segment, every)]
        return [
            (total, self._class_variables),
            (segment, self._segment_variables),
        ]

    def terms(self, batch: Batch):
        """Every loss and measure as (sum, count)."""
        part = batch["target"]
        if self.prior.tags == "crop_gt":
            tags = window_tags(part["mask"], self._target_ids)
            known = tf.ones_like(tags)
        else:
            tags = tf.gather(part["tags"], self._columns, axis=1)
            known = tf.gather(part["known"], self._columns, axis=1)
        image = part["image"]
        outputs = self.maker.classify(image, part.get("hidden"), training=True)
        kind = self.prior.class_loss
        logits = outputs["clean"]["tag_logits"]
        terms = {"class_loss": class_loss(logits, tags, kind, known)}
        if "hidden" in outputs:
            logits = outputs["hidden"]["tag_logits"]
            terms["hidden_class_loss"] = class_loss(logits, tags, kind, known)
        if not self.segment:
            return terms
        outputs["segment"] = self.net.segmenter(image, training=True)
        masks = self.maker.masks(
            self._for_masks(outputs, part), image, part["valid"], tags
        )
        objectness = tf.reduce_max(masks.scores[..., 1:], axis=-1)
        terms["segment_loss"] = segment_loss(
            outputs["segment"]["logits"],
            _without_doubt(masks.target, known),
            tags,
            self.prior.segment_loss,
            objectness,
            known,
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


def _without_doubt(masks: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Masks, without background where it may hide what nobody knows of.

    Args:
        masks: int32 [B, n, n], 0 to K, or 255 for void.
        known: float32 [B, K].
    """
    doubtful = tf.reduce_any(known < 1, axis=1)[:, None, None]
    return tf.where(doubtful & (masks == 0), IGNORE, masks)


def _mask_measures(masks: Masks, valid: tf.Tensor):
    """How large masks are, and how much of them the CRF changes."""
    cells = tf.reduce_sum(valid)
    foreground = tf.cast((masks.target > 0) & (masks.target < 255), tf.float32)
    changed = tf.cast(masks.target != masks.before_crf, tf.float32)
    return {
        "mask_foreground": (tf.reduce_sum(foreground * valid), cells),
        "mask_changed_by_crf": (tf.reduce_sum(changed * valid), cells),
    }

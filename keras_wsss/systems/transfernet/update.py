"""One update of the weights, the same on one device and on many."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_wsss.config import TrainConfig
from keras_wsss.data.preprocess import shown_only
from keras_wsss.systems.optimizer import MultiplierAdam, shared_options
from keras_wsss.systems.replicated_update import Batch, ReplicatedUpdate
from keras_wsss.systems.transfernet import losses
from keras_wsss.systems.transfernet.network import TransferNet


def make_optimizer(config) -> MultiplierAdam:
    """The optimizer of a run, with the multipliers of `config.train`."""
    last = config.train.last_classifier_multiplier
    return MultiplierAdam(
        multipliers=(
            (r"bias$", config.train.bias_multiplier),
            (r"classifier_logits/", last),
            (r"tagger_", config.train.tagger_multiplier),
        ),
        beta_1=0.9,
        beta_2=0.999,
        **shared_options(config),
        # Checkpoints know the moments by this name; Keras would number it by
        # the optimizers that the process made before.
        name="multiplier_adam",
    )


class Update(ReplicatedUpdate):
    """Computes losses and gradients of a batch and applies them.

    Args:
        net: the network, built under the strategy's scope.
        optimizer: built under the strategy's scope.
        train: the config's group, with the weights of the losses; a mask
            weight of 0 leaves the decoder out. Of a picture's queries, the
            first `labels_per_image` are present, the others absent.
        strategy: distribution strategy.
    """

    def __init__(
        self,
        net: TransferNet,
        optimizer: MultiplierAdam,
        train: TrainConfig,
        strategy: tf.distribute.Strategy,
    ):
        super().__init__(
            net, optimizer, strategy, train.micro_batches, train.xla
        )
        self.train = train
        self._tagger_variables = list(net.tagger.trainable_variables)
        own = {id(variable) for variable in self._tagger_variables}
        parts = [*net.attention.trainable_variables]
        if train.mask_weight:
            parts += net.decoder.trainable_variables
        self._variables = [v for v in parts if id(v) not in own]

    def totals(self, means):
        """The network learns from queries and masks, the tagger from tags.

        Where the tagger judges the attended feature, learning from plain tags
        alone is what keeps it from being bribed.
        """
        total = sum(
            (means[name] for name in means if name.startswith("class_")),
            tf.constant(0.0),
        )
        if self.train.mask_weight:
            total += self.train.mask_weight * means["mask_loss"]
        if "overlap_loss" in means:
            total += self.train.overlap_weight * means["overlap_loss"]
        tag = self.train.tag_weight * means["tag_loss"]
        return [(total, self._variables), (tag, self._tagger_variables)]

    def terms(self, batch: Batch) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Every loss and measure as (sum, count)."""
        domains = list(batch)
        encoded = {name: self._encode(batch[name]) for name in domains}
        features = _join([encoded[name][0] for name in domains])
        joined = {
            key: _join([batch[name][key] for name in domains])
            for key in ("labels", "weights", "present", "tags", "known")
        }
        outputs = self.net.attention(
            [features, joined["labels"]], training=True
        )
        terms = _classification_terms(outputs["class_logits"], joined)
        terms |= _of_domains(outputs["class_logits"], batch, domains)
        if "tag_logits" not in outputs:
            outputs |= self.net.tagger(features, training=True)
        terms["tag_loss"] = losses.tag_loss(
            outputs["tag_logits"], joined["tags"], joined["known"]
        )
        if self.train.mask_weight:
            seen = {"features": features, "labels": joined["labels"], **outputs}
            terms |= self._mask_terms(batch, encoded, seen)
        return terms

    def _mask_terms(self, batch: Batch, encoded, seen: dict[str, tf.Tensor]):
        """The decoder's losses, on the domains that have masks."""
        # The target domain has them only as pseudo labels, and comes second.
        masked = [name for name in batch if "mask" in batch[name]]
        columns = self.train.labels_per_image
        masks = _join([batch[name]["mask"] for name in masked])
        labels = _join([batch[name]["labels"][:, :columns] for name in masked])
        levels = [
            _join(list(maps))
            for maps in zip(*(encoded[name][1] for name in masked), strict=True)
        ]
        logits = self.net.mask_logits(
            [self._guide(seen, tf.shape(labels)[0]), labels, *levels],
            training=True,
        )
        weights = _join(
            [_mask_weights(batch[name], columns, name) for name in masked]
        )
        terms = {
            "mask_loss": losses.mask_loss(logits, masks, labels, weights),
            "mask_accuracy": losses.mask_accuracy(
                logits, masks, labels, weights
            ),
        }
        if self.train.overlap_weight:
            terms["overlap_loss"] = losses.overlap_loss(
                logits, masks, labels, weights
            )
        return terms

    def _guide(self, seen: dict[str, tf.Tensor], rows: tf.Tensor) -> tf.Tensor:
        """Of the first pictures and their present labels alone.

        What `attention` made of all pictures is used by nobody then, so a
        graph leaves it out.
        """
        columns = self.train.labels_per_image
        inputs = {}
        for name in self.net.guide.input:
            values = seen[name][:rows]
            of_pictures = name in ("features", "class_maps")
            inputs[name] = values if of_pictures else values[:, :columns]
        return self.net.guide(inputs, training=True)

    def _encode(self, part: Mapping[str, Any]) -> tuple[tf.Tensor, list]:
        """Features and the decoder's levels, cached or computed."""
        if "features" in part:
            # A cache has the finest level first.
            kept = list(part["levels"])[::-1]
            features = tf.cast(part["features"], tf.float32)
        else:
            features, *levels = self.net.encoder(part["image"], training=False)
            kept = self.net.select_levels(levels)
        features = shown_only(self.net.views, features, part["valid"])
        if "kept" in part:
            features *= part["kept"][:, None, None]
        return features, kept


def _mask_weights(part: Mapping[str, Any], columns: int, domain: str):
    """Weights of pairs in the mask loss, [B, columns]."""
    weights, labels = part["weights"][:, :columns], part["labels"][:, :columns]
    if domain == "source":
        return weights
    # A tag says that the category is there; a pseudo label without a pixel of
    # it is no evidence of the opposite.
    mask = tf.cast(part["mask"], labels.dtype)[:, None]
    shown = tf.reduce_any(mask == labels[:, :, None, None], axis=[2, 3])
    return weights * tf.cast(shown, weights.dtype)


def _join(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)


def _classification_terms(logits, joined):
    """Losses of present and of absent queries, each a mean over its own."""
    weights, present = joined["weights"], joined["present"]
    terms = {
        "class_loss": losses.classification_loss(
            logits, joined["labels"], weights * present
        )
    }
    categories = joined["tags"].shape[1]
    if logits.shape[-1] > categories:
        absent = tf.fill(tf.shape(joined["labels"]), categories + 1)
        terms["class_absent_loss"] = losses.classification_loss(
            logits, absent, weights * (1.0 - present)
        )
    return terms


def _of_domains(logits, batch: Batch, domains: list[str]):
    """What the classifier makes of the present queries of each domain.

    Share of right answers and, to be looked at only, the loss.
    """
    terms, first = {}, 0
    for name in domains:
        part = batch[name]
        count = tf.shape(part["labels"])[0]
        own = logits[first : first + count]
        answer = tf.argmax(own, axis=-1, output_type=tf.int32)
        right = tf.cast(tf.equal(answer + 1, part["labels"]), tf.float32)
        weights = part["weights"] * part["present"]
        if len(domains) > 1:
            terms[f"{name}_class_loss"] = losses.classification_loss(
                own, part["labels"], weights
            )
        terms[f"{name}_accuracy"] = (
            tf.reduce_sum(right * weights),
            tf.reduce_sum(weights),
        )
        first += count
    return terms

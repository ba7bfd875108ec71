"""The configuration of a run: every field, its default and its meaning."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_collections
from ml_collections import config_dict

from keras_wsss.categories import Split, get_split
from keras_wsss.errors import ConfigError
from keras_wsss.files import write_json
from keras_wsss.prior_config import prior_group

SOURCE_NEGATIVES = ("listed", "all", "none")
# Fields that configs of earlier versions have, and that did nothing.
_GONE = ("inference.batch_size",)
# Fields that they lack, where what they did is not today's default.
_EARLIER = {
    "data.heldout_tags": 0.0,
    "data.source_negatives": "none",
    "inference.always_one_tag": True,
}


def default_config() -> ml_collections.ConfigDict:
    """The published TransferNet recipe, without data locations.

    Hong et al., CVPR 2016, arXiv 1512.07928, and the authors' release; see
    docs/method.md.

    A file in `configs/` calls this and changes what it needs; any field can
    be overridden on the command line, e.g. `--config.train.seed=1`.
    """
    config = ml_collections.ConfigDict()
    config.name = "transfernet"
    # Which of the two methods: "transfernet", or "prior" (--phase joint).
    config.system = "transfernet"

    # --- Categories: see keras_wsss.categories.
    config.split = ml_collections.ConfigDict()
    config.split.name = "coco60_voc20"
    config.split.source = ()  # category names, for a split of your own
    config.split.target = ()
    config.split.scored = ()
    # Other spellings in annotations: ("airplane=aeroplane", ...).
    config.split.aliases = ()

    # --- Data. Relative paths are relative to the current folder.
    config.data = ml_collections.ConfigDict()
    config.data.source_format = "coco"  # see keras_wsss.data.formats
    config.data.tags_format = "csv"
    config.data.eval_format = "voc"
    config.data.source_annotations = ""  # COCO instances JSON
    config.data.source_images = ""  # its folder of pictures
    config.data.target_tags = ""  # CSV: image,labels
    config.data.target_images = ""  # its folder of pictures
    config.data.eval_root = ""  # VOC layout with masks, for evaluate.py
    config.data.eval_set = "val"
    config.data.eval_masks = "SegmentationClass"
    # Pictures without any scored category, for evaluate.py: a folder.
    config.data.eval_negatives = ""
    # Share of the source pictures that is held out of training, to watch
    # and choose by. No target mask is ever used for that.
    config.data.heldout = 0.1
    # The published protocol uses source pictures without any target
    # category (docs/data.md). False keeps the others too, ignoring the pixels.
    config.data.exclude_images_with_target = True
    # Which target categories a source picture is known to lack if it has no
    # annotation of them: those that the annotations' file "listed", as its
    # annotators looked for them; "all"; or "none". Teaches the tagger.
    config.data.source_negatives = "listed"
    # Whether the tags of a picture are all of its target categories, so that
    # an empty cell says "none of them". False if tags are positives only.
    config.data.tags_complete = True
    # Share of the tagged pictures that is held out of training, to score the
    # tagger and to choose its thresholds by. They have no masks.
    config.data.heldout_tags = 0.1
    # A label with fewer visible pixels than this is not asked for.
    config.data.min_pixels = 1
    # Masks of the target pictures made by `python pseudo_labels.py` from
    # tags and an earlier run (self-training, an extension); "" for none.
    config.data.target_masks = ""
    config.data.max_pixels = 64_000_000
    config.data.skip_bad_images = False
    config.data.memory_mb = 1000.0  # decoded pictures kept in memory

    # --- Views of pictures: see keras_wsss.data.views.
    config.image = ml_collections.ConfigDict()
    config.image.size = 320
    config.image.resize = 330  # a random window of `size` is cut from this
    config.image.min_scale = 1.0  # below 1: random windows, an extension
    config.image.mirror = True

    # --- Model.
    config.model = ml_collections.ConfigDict()
    config.model.encoder = "vgg16"
    config.model.encoder_weights = ""  # file; "" uses the usual places
    config.model.attention = "dense"  # published; or "conv"
    config.model.attention_units = 1024
    config.model.classifier_units = 512
    config.model.normalization = "none"  # of densified attention; or "max"
    config.model.decoder_width = 1.0
    config.model.output_stride = 1
    config.model.initializer = "published"  # of the decoder; or "he"
    config.model.shortcut = False  # decoder corrects densified attention
    # What the decoder sees besides the densified attention (extensions).
    config.model.guide_maps = False  # attention, similarity, class map
    config.model.guide_features = 0  # features, projected to this many
    config.model.tagger_units = 512
    config.model.attention_gain = 1.0  # for "conv", see LabelAttention
    config.model.classifier_gain = 1.0  # of features before the classifiers
    # Who judges the attended feature: its own classifier (published), or
    # the tagger, which learns from plain tags and cannot be bribed.
    config.model.judge = "classifier"  # or "tagger"

    # --- The frozen encoder's outputs on disk; "" encodes at every step.
    config.feature_cache = ""
    config.cache_windows = 1  # windows per picture; 1 is the whole picture
    # Whether the cache keeps the switches of pictures without masks too:
    # larger, but `python pseudo_labels.py` then finds all it needs.
    config.cache_switches = False

    # --- Training, all phases.
    config.train = ml_collections.ConfigDict()
    config.train.seed = 0
    config.train.labels_per_image = 1
    # Absent labels asked per picture, with "absent" as the answer; 0 is the
    # published method.
    config.train.absent_per_image = 0
    config.train.bias_multiplier = 2.0
    config.train.last_classifier_multiplier = 10.0
    # Of the tagger's learning rate (an extension).
    config.train.tagger_multiplier = 1.0
    # Lambda. The release has 2, but takes means over as many batches without
    # masks as with them, which comes to 1.
    config.train.mask_weight = 1.0
    config.train.overlap_weight = 0.0  # of the Dice loss, an extension
    config.train.tag_weight = 1.0  # of the tagger's loss
    # Share of the encoder's channels hidden from a picture in a step, an
    # extension; see ChannelDropout.
    config.train.feature_dropout = 0.0
    config.train.log_every = 50
    config.train.checkpoint_every = 500
    config.train.keep_checkpoints = 2
    # Whether the checkpoint that is best on held-out source masks is kept
    # beside the last one.
    config.train.keep_best = False
    config.train.heldout_every = 500
    # Pictures of each domain that TensorBoard shows at the same steps.
    config.train.examples = 6
    config.train.deterministic = False

    # --- The prior system.
    config.prior = prior_group()

    # --- One group per phase: steps, learning rate, pairs per update.
    for phase, steps, rate in (
        ("attention", 15_000, 1e-3),
        ("decoder", 15_000, 5e-4),
        ("transfer", 15_000, 5e-4),
        ("joint", 100_000, 1e-4),
    ):
        group = ml_collections.ConfigDict()
        group.steps = steps
        group.learning_rate = rate
        group.final_learning_rate = rate
        # How the rate goes from one to the other after the warm-up: half a
        # "cosine", or "poly" with power 0.9.
        group.decay = "cosine"
        group.source_pairs = 32
        group.target_pairs = 32
        # Steps at the beginning without the mask loss, so that attention
        # means something before the decoder learns to read it.
        group.warmup_steps = 0
        group.warmup_learning_rate = 1e-3
        config[phase] = group
    config.decoder.target_pairs = 0
    config.decoder.warmup_steps = 3_000
    # The prior system: steps as released; rate, policy and warm-up are our
    # decision. Target pairs are pictures, each with all its tags; there are
    # no source pairs.
    config.joint.source_pairs = 0
    config.joint.target_pairs = 1
    config.joint.final_learning_rate = 0.0
    config.joint.decay = "poly"
    config.joint.warmup_steps = 5_000
    config.joint.warmup_learning_rate = 1e-4

    # --- Inference: see docs/method.md.
    config.inference = ml_collections.ConfigDict()
    # Probability at which the tagger names a category, and at which it names
    # any at all. None: chosen on held-out tags and stored with the run.
    config.inference.tag_threshold = config_dict.placeholder(float)
    config.inference.none_threshold = config_dict.placeholder(float)
    # Whether the most probable category is named however improbable it is,
    # as in TransferNet's release; otherwise a picture may hold none.
    config.inference.always_one_tag = False
    config.inference.background_factor = 0.5
    # Divides a label's probabilities by their largest in the picture first:
    # a label that is there has a peak of 1, however unsure the decoder is
    # of a new category (an extension).
    config.inference.relative = False
    # Labels that the tagger found compete for a pixel by probability times
    # the tagger's score (an extension); published: by probability alone.
    config.inference.rank_by_tag = False
    # Pseudo labels leave out pixels this close to the threshold.
    config.inference.pseudo_margin = 0.15
    config.inference.mask_threshold = 0.5
    config.inference.scales = (1.0,)  # of test-time augmentation
    return config


def split_of(config) -> Split:
    """The split that a config names.

    Raises:
        ConfigError: unknown, or contradicts itself.
    """
    aliases = [str(pair).split("=") for pair in config.split.aliases]
    wrong = [pair for pair in aliases if len(pair) != 2]
    if wrong:
        raise ConfigError(
            f"config.split.aliases: '{'='.join(wrong[0])}' is not of the form "
            "other=name."
        )
    return get_split(
        config.split.name,
        source=tuple(config.split.source),
        target=tuple(config.split.target),
        scored=tuple(config.split.scored),
        aliases=dict(aliases),
    )


def check_values(config: ml_collections.ConfigDict) -> None:
    """Refuses numbers that no run can do anything with.

    Raises:
        ConfigError: names the first field, its value and what it may be.
    """
    phases = ("attention", "decoder", "transfer", "joint")
    for smallest, fields in (
        (0, ("train.seed", "train.absent_per_image", "data.memory_mb")),
        (0, ("train.examples", *(f"{p}.warmup_steps" for p in phases))),
        (1, ("train.log_every", "train.checkpoint_every")),
        (1, ("train.heldout_every", "train.keep_checkpoints")),
        (1, ("train.labels_per_image", "cache_windows")),
        (1, ("data.max_pixels", "image.size", "image.resize")),
        (1, tuple(f"{phase}.steps" for phase in phases)),
    ):
        for field in fields:
            value = _at(config, field)
            if value < smallest:
                raise ConfigError(
                    f"config.{field} is {value}; use {smallest} or more."
                )
    if (value := config.data.source_negatives) not in SOURCE_NEGATIVES:
        raise ConfigError(
            f"config.data.source_negatives is '{value}'; use one of "
            f"{', '.join(SOURCE_NEGATIVES)}."
        )
    for field in ("data.heldout", "data.heldout_tags"):
        if not 0 <= (value := _at(config, field)) < 1:
            raise ConfigError(
                f"config.{field} is {value}; use a share from 0 to below 1."
            )
    for field in ("tag_threshold", "none_threshold"):
        value = config.inference[field]
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(
                f"config.inference.{field} is {value}; use a probability from "
                "0 to 1, or None to choose it on held-out tags."
            )
    factor = config.inference.background_factor
    if not factor > 0:
        raise ConfigError(
            f"config.inference.background_factor is {factor}; use a positive "
            "number (published: 0.5)."
        )


def _at(config: ml_collections.ConfigDict, field: str):
    for part in field.split("."):
        config = config[part]
    return config


def to_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as plain JSON values."""
    return json.loads(config.to_json_best_effort())


def save_config(path: Path, config: ml_collections.ConfigDict) -> None:
    """Writes a config as JSON, atomically."""
    write_json(path, to_json(config))


def load_config(path: Path) -> ml_collections.ConfigDict:
    """Reads what `save_config` wrote, on top of the defaults.

    Raises:
        ConfigError: missing or damaged file, or unknown fields.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); is its folder the "
            "--workdir of a training run?"
        ) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(
            f"{path}: not valid JSON ({error}); train again or restore it."
        ) from error
    config = default_config()
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: holds no fields; train again.")
    values = with_earlier(without_gone(values))
    unknown = sorted(_unknown(values, config.to_dict()))
    if unknown:
        raise ConfigError(
            f"{path}: unknown fields {', '.join(unknown)}; it was written by "
            "another version."
        )
    try:
        with config.unlocked():
            config.update(_tuples(values))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: a field has the wrong type ({error}); restore the file."
        ) from error
    return config


def without_gone(values: Mapping[str, Any], prefix: str = "") -> dict:
    """A config of an earlier version without what has no meaning any more."""
    return {
        key: without_gone(value, f"{prefix}{key}.")
        if isinstance(value, Mapping)
        else value
        for key, value in values.items()
        if f"{prefix}{key}" not in _GONE
    }


def with_earlier(values: Mapping[str, Any]) -> dict:
    """A config of an earlier version with what it did where it is silent."""
    filled = dict(values)
    for field, value in _EARLIER.items():
        group, name = field.split(".")
        if isinstance(filled.get(group), Mapping):
            filled[group] = {name: value, **filled[group]}
    return filled


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = ""
) -> list[str]:
    """Sentences about the fields in which two configs (JSON) differ."""
    found = []
    for key in sorted({*first, *second}):
        a, b = first.get(key), second.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} is {a!r} there and {b!r} here")
    return found


def _unknown(values: Mapping, known: Mapping, prefix: str = ""):
    for key, value in values.items():
        if key not in known:
            yield prefix + key
        elif isinstance(value, Mapping) and isinstance(known[key], Mapping):
            yield from _unknown(value, known[key], f"{prefix}{key}.")


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
    """A phase's group of the config, as numbers."""

    steps: int
    learning_rate: float
    final_learning_rate: float
    source_pairs: int
    target_pairs: int
    warmup_steps: int
    warmup_learning_rate: float
    decay: str = "cosine"

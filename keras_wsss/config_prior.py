"""The fields of a config that are the prior system's own."""

import dataclasses

from keras_wsss.config_fields import Group, field


@dataclasses.dataclass(frozen=True)
class PriorOptions(Group):
    """The prior system, a reconstruction (docs/prior.md).

    Sentences end with how sure a value is: "released" was read in the released
    inference code, "inferred" from traces in it, "usual" is what the
    literature has, "ours" is our decision.
    """

    # --- Inputs. `image.size` is the input of stream S (inferred: 321).
    class_size: int = field(
        224, "Input of streams A and H, pixels; released.", at_least=1
    )
    hidden_stream: bool = field(
        True, "Whether there is H, with hidden cells; inferred."
    )
    hide_grid: int = field(4, "Cells along a side; released.", at_least=1)
    hide_probability: float = field(
        0.5, "Of hiding a cell; released.", at_most=1
    )
    tags: str = field(
        "image",
        "Tags of the whole picture (ours). crop_gt takes them from the true "
        "mask of each window, as the release does: an oracle, for comparison "
        "only.",
        choices=("image", "crop_gt"),
    )
    target_masks: str = field("", "VOC folder of masks, for crop_gt alone.")

    # --- Network.
    dropout: float = field(0.5, "Of fc6 and fc7; released.", below=1)
    frozen_blocks: int = field(
        0, "Lower blocks that are not trained; released: none.", at_most=4
    )
    fc6_dilation: int = field(
        12, "Of stream S, for 41 x 41 cells; released.", at_least=1
    )
    segment_start: str = field(
        "file",
        "Where block 5, fc6 and fc7 of S begin: as those of the file "
        "(released), or as the classifier's have become by the end of the "
        "warm-up (ours), for random fc6 and fc7 and few updates.",
        choices=("file", "classifier"),
    )

    # --- Masks on line, see `keras_wsss.systems.prior.masks`.
    cam_source: str = field(
        "clean",
        "Streams whose class maps are used; inferred, 'mean' is ours.",
        choices=("clean", "hidden", "mean"),
    )
    fusion: str = field(
        "conv5",
        "Activations of the foreground map; inferred.",
        choices=("conv5", "fc7"),
    )
    fusion_streams: tuple[str, ...] = field(
        ("clean", "segment", "hidden"),
        "Streams whose activations are averaged in it; released.",
        choices=("clean", "segment", "hidden"),
        some=True,
    )
    add_conv4: bool = field(
        False, "Whether conv4_3 of all of them is averaged in too; inferred."
    )
    count_padding: bool = field(
        False,
        "Whether block means divide by the padded cells too, which dims the "
        "last row and column; ours, released: True.",
    )
    background: str = field(
        "foreground",
        "Score of the background: 1 - foreground map, or a constant threshold "
        "on jointly scaled class maps (an ablation); released.",
        choices=("foreground", "threshold"),
    )
    background_threshold: float = field(
        0.2, "That constant; released.", at_most=1
    )
    crf: bool = field(True, "CRF on the masks of training; inferred.")
    crf_scores: str = field(
        "log",
        "What it takes: the log of clipped scores of present categories, or "
        "the scores of all as they are; ours.",
        choices=("log", "raw"),
    )
    smallest_score: float = field(
        1e-4, "Scores are clipped here before the log; ours.", above=0, below=1
    )
    void_padding: bool = field(
        True, "Whether cells outside the picture are void; ours."
    )
    ignore_ring: bool = field(
        False, "Whether background beside foreground is void; inferred."
    )
    mask_forward: str = field(
        "train",
        "Whether masks are made with dropout, or without; inferred.",
        choices=("train", "eval"),
    )
    crf_smoothness_xy: float = field(
        3 / 8,
        "CRF of the masks: reach of the smoothness, in cells of 8 pixels; that "
        "of the test divided by the stride (ours).",
        above=0,
    )
    crf_smoothness_weight: float = field(3.0, "Its weight; ours.")
    crf_appearance_xy: float = field(
        50 / 8, "Reach of the appearance, cells; ours.", above=0
    )
    crf_appearance_rgb: float = field(
        10.0, "Its reach in grey levels; ours.", above=0
    )
    crf_appearance_weight: float = field(5.0, "Its weight; ours.")
    crf_iterations: int = field(10, "Of the mean field; ours.")

    # --- Losses.
    class_loss: str = field(
        "sigmoid",
        "Classification loss; usual.",
        choices=("sigmoid", "euclidean"),
    )
    segment_loss: str = field(
        "conditional",
        "Segmentation loss; inferred.",
        choices=("conditional", "wtp"),
    )
    class_weight: float = field(1.0, "Of both classification losses; ours.")
    segment_weight: float = field(1.0, "Of the segmentation loss; ours.")
    segment_trains_trunk: bool = field(
        True,
        "False keeps the segmentation loss from the shared trunk: the "
        "classifier learns as if alone (ablation; released: joint).",
    )

    # --- Optimizer. `train.bias_multiplier` is 2 (released).
    momentum: float = field(0.9, "Of the optimizer; usual.", below=1)
    weight_decay: float = field(5e-4, "Of kernels; usual.")
    score_multiplier: float = field(10.0, "Rate of the 1 x 1 scores; released.")
    fc_multiplier: float = field(
        1.0,
        "Of fc6 and fc7: larger where they start from random weights (ours).",
    )
    head_multiplier: float = field(
        1.0, "Of the class convolution and the class scores; released."
    )
    warmup_head_only: bool = field(
        False,
        "Whether the warm-up leaves the convolutions of the encoder as they "
        "are and trains fc6, fc7 and what follows alone, in half the time "
        "(ours).",
    )

    # --- Inference. `inference.tag_threshold` is the class gate's.
    test_size: int = field(
        513, "Side of the padded square, pixels; released.", at_least=1
    )
    gate_value: str = field(
        "zero",
        "Logit of gated categories: zero (released), or neg_inf, which they "
        "cannot win with (ours).",
        choices=("zero", "neg_inf"),
    )
    test_smoothness_xy: float = field(
        3.0,
        "CRF of the test: reach of the smoothness, in pixels of the input "
        "(released); computed on the grid of the logits, not at full size "
        "(ours).",
        above=0,
    )
    test_smoothness_weight: float = field(3.0, "Its weight; released.")
    test_appearance_xy: float = field(
        50.0, "Reach of the appearance, pixels; released.", above=0
    )
    test_appearance_rgb: float = field(
        10.0, "Its reach in grey levels; released.", above=0
    )
    test_appearance_weight: float = field(5.0, "Its weight; released.")
    test_iterations: int = field(10, "Of the mean field; released.")

"""The fields of `config.prior`: every choice that the prior system leaves.

The system is a reconstruction from the released inference code (see
docs/method.md). Letters say how sure a value is: [C] read in that code, [I]
inferred from traces in it, [L] general literature, [D] our decision.
"""

import ml_collections


def prior_group() -> ml_collections.ConfigDict:
    """The defaults; a file in `configs/` changes what it needs."""
    group = ml_collections.ConfigDict()

    # --- Inputs. `config.image.size` is the input of stream S [I: 321].
    group.class_size = 224  # input of streams A and H [C]
    group.hidden_stream = True  # whether H, with hidden cells, is there [I]
    group.hide_grid = 4  # cells along a side [C]
    group.hide_probability = 0.5  # of hiding a cell [C]
    # Tags of the whole picture [D]. "crop_gt" takes them from the true mask
    # of each window, as the release does [C]: an oracle, for comparison only.
    group.tags = "image"
    group.target_masks = ""  # VOC folder of masks, for tags="crop_gt" alone

    # --- Network. `config.model.encoder` is "vgg16" or "vgg_small".
    group.dropout = 0.5  # [C]
    group.frozen_blocks = 0  # lower blocks that are not trained [C: none]
    group.fc6_dilation = 12  # of stream S, for 41 x 41 cells [C]
    # Where block 5, fc6 and fc7 of S begin: "file", as those of the
    # classifier [C], or "classifier": where those have come to by the end of
    # the warm-up [D], for random fc6 and fc7 and few updates.
    group.segment_start = "file"

    # --- Masks on line, see `keras_wsss.models.prior_masks.MaskOptions`.
    group.cam_source = "clean"  # or "hidden", "mean" [I/D]
    group.fusion = "conv5"  # or "fc7" [I]
    group.fusion_streams = ("clean", "segment", "hidden")  # [C]
    group.add_conv4 = False  # conv4_3 in the foreground map too [I]
    group.count_padding = False  # block means as released: True [D]
    group.background = "foreground"  # or "threshold", CAM only [C: ablation]
    group.background_threshold = 0.2  # for "threshold" [C]
    group.crf = True  # CRF on the masks of training [I]
    group.crf_scores = "log"  # or "raw" [D]
    group.smallest_score = 1e-4  # before the log [D]
    group.void_padding = True  # cells outside the picture are void [D]
    group.ignore_ring = False  # background next to foreground is void [I]
    group.mask_forward = "train"  # or "eval": without dropout [I]
    # CRF of training, lengths in cells of 8 pixels: the one of the test,
    # divided by the stride [D].
    group.crf_smoothness_xy = 3 / 8
    group.crf_smoothness_weight = 3.0
    group.crf_appearance_xy = 50 / 8
    group.crf_appearance_rgb = 10.0
    group.crf_appearance_weight = 5.0
    group.crf_iterations = 10

    # --- Losses.
    group.class_loss = "sigmoid"  # or "euclidean" [L/D]
    group.segment_loss = "conditional"  # or "wtp" [C/I]
    group.class_weight = 1.0  # of both classification losses [D]
    group.segment_weight = 1.0  # [D]
    # False keeps the segmentation loss from the shared trunk: the classifier
    # learns as if alone (ablation "separate"; [C]: joint).
    group.segment_trains_trunk = True

    # --- Optimizer. `config.train.bias_multiplier` is 2 [C].
    group.momentum = 0.9  # [L/D]
    group.weight_decay = 5e-4  # of kernels [L/D]
    group.score_multiplier = 10.0  # learning rate of the 1 x 1 scores [C]
    # Of fc6 and fc7: larger where they start from random weights [D].
    group.fc_multiplier = 1.0
    # Of the class convolution and the class scores [C: 1].
    group.head_multiplier = 1.0
    # Whether the warm-up leaves the convolutions of the encoder as they are
    # and trains fc6, fc7 and what follows alone, in half the time [D].
    group.warmup_head_only = False

    # --- Inference. `config.inference.tag_threshold` is the class gate's: 0.1
    # in the release [C].
    group.test_size = 513  # side of the padded square [C]
    # Logit of gated categories: "zero" [C], or "neg_inf", which they cannot
    # win with [D].
    group.gate_value = "zero"
    # CRF of the test, lengths in pixels of the input [C]; computed on the
    # grid of the logits, not at full size [D].
    group.test_smoothness_xy = 3.0
    group.test_smoothness_weight = 3.0
    group.test_appearance_xy = 50.0
    group.test_appearance_rgb = 10.0
    group.test_appearance_weight = 5.0
    group.test_iterations = 10
    return group

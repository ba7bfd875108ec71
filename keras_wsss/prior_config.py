"""The fields of `config.prior`: every choice that the prior system leaves.

The system is a reconstruction from the released inference code (see
docs/prior.md). The comments say how sure a value is: "released" was read in
that code, "inferred" from traces in it, "usual" is what the literature has,
"ours" is our decision.
"""

import ml_collections


def prior_group() -> ml_collections.ConfigDict:
    """The defaults; a file in `configs/` changes what it needs."""
    group = ml_collections.ConfigDict()

    # --- Inputs. `config.image.size` is the input of stream S (inferred: 321).
    group.class_size = 224  # input of streams A and H; released
    group.hidden_stream = True  # H, with hidden cells; inferred
    group.hide_grid = 4  # cells along a side; released
    group.hide_probability = 0.5  # of hiding a cell; released
    # Tags of the whole picture (ours). "crop_gt" takes them from the true mask
    # of each window, as the release does: an oracle, for comparison only.
    group.tags = "image"
    group.target_masks = ""  # VOC folder of masks, for tags="crop_gt" alone

    # --- Network. `config.model.encoder` is "vgg16" or "vgg_small".
    group.dropout = 0.5  # released
    group.frozen_blocks = 0  # lower blocks not trained; released: none
    group.fc6_dilation = 12  # of stream S, for 41 x 41 cells; released
    # Where block 5, fc6 and fc7 of S begin: "file", as those of the
    # classifier (released), or "classifier": where those have come to by the
    # end of the warm-up (ours), for random fc6 and fc7 and few updates.
    group.segment_start = "file"

    # --- Masks on line, see `keras_wsss.systems.prior.masks`.
    group.cam_source = "clean"  # or "hidden", "mean"; inferred, ours
    group.fusion = "conv5"  # or "fc7"; inferred
    group.fusion_streams = ("clean", "segment", "hidden")  # released
    group.add_conv4 = False  # conv4_3 in the foreground too; inferred
    group.count_padding = False  # in block means; ours, released: True
    # Or "threshold", CAM only, which is an ablation in the release.
    group.background = "foreground"
    group.background_threshold = 0.2  # for "threshold"; released
    group.crf = True  # CRF on the masks of training; inferred
    group.crf_scores = "log"  # or "raw"; ours
    group.smallest_score = 1e-4  # before the log; ours
    group.void_padding = True  # cells outside the picture are void; ours
    group.ignore_ring = False  # void beside foreground; inferred
    group.mask_forward = "train"  # or "eval": without dropout; inferred
    # CRF of training, lengths in cells of 8 pixels: the one of the test,
    # divided by the stride (ours).
    group.crf_smoothness_xy = 3 / 8
    group.crf_smoothness_weight = 3.0
    group.crf_appearance_xy = 50 / 8
    group.crf_appearance_rgb = 10.0
    group.crf_appearance_weight = 5.0
    group.crf_iterations = 10

    # --- Losses.
    group.class_loss = "sigmoid"  # or "euclidean"; usual
    group.segment_loss = "conditional"  # or "wtp"; inferred
    group.class_weight = 1.0  # of both classification losses; ours
    group.segment_weight = 1.0  # ours
    # False keeps the segmentation loss from the shared trunk: the classifier
    # learns as if alone (ablation "separate"; released: joint).
    group.segment_trains_trunk = True

    # --- Optimizer. `config.train.bias_multiplier` is 2 (released).
    group.momentum = 0.9  # usual
    group.weight_decay = 5e-4  # of kernels; usual
    group.score_multiplier = 10.0  # rate of the 1 x 1 scores; released
    # Of fc6 and fc7: larger where they start from random weights (ours).
    group.fc_multiplier = 1.0
    # Of the class convolution and the class scores (released: 1).
    group.head_multiplier = 1.0
    # Whether the warm-up leaves the convolutions of the encoder as they are
    # and trains fc6, fc7 and what follows alone, in half the time (ours).
    group.warmup_head_only = False

    # --- Inference. `config.inference.tag_threshold` is the class gate's: 0.1
    # in the release.
    group.test_size = 513  # side of the padded square; released
    # Logit of gated categories: "zero" (released), or "neg_inf", which they
    # cannot win with (ours).
    group.gate_value = "zero"
    # CRF of the test, lengths in pixels of the input (released); computed
    # on the grid of the logits, not at full size (ours).
    group.test_smoothness_xy = 3.0
    group.test_smoothness_weight = 3.0
    group.test_appearance_xy = 50.0
    group.test_appearance_rgb = 10.0
    group.test_appearance_weight = 5.0
    group.test_iterations = 10
    return group

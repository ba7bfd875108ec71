"""The published TransferNet recipe on COCO and VOC 2012. NOT RUN.

Hong, Oh, Lee, Han: Learning Transferrable Knowledge for Semantic Segmentation
with Deep Convolutional Neural Network, CVPR 2016, arXiv 1512.07928.

Masks of the 60 COCO categories that VOC lacks, tags of the 20 VOC categories
(train_aug, 10,582 pictures), scored on VOC val (1,449 pictures). The figures
to meet are the paper's: mean IoU 52.1 on val, 51.2 on test, with the dense
CRF. Prepare the data first, see docs/data.md.

    python train.py --phase attention --config transfernet_voc12 \
        --workdir runs/voc12/attention
    python train.py --phase transfer --config transfernet_voc12 \
        --workdir runs/voc12/transfer --init_from runs/voc12/attention
    python evaluate.py --workdir runs/voc12/transfer --dense_crf

Estimate, from operation counts and not from a run: phase `transfer` needs
about 5e12 multiply-adds per update, so 15,000 updates take 1.5e17
floating-point operations: 1 to 3 hours on a data-centre GPU that sustains 15
to 40 TFLOP/s, 6 to 10 hours on one that sustains 5. Phase `attention` costs
about a third of that, or minutes with --feature_cache (which removes the
10-pixel jitter of the crops, and needs 30 GB). The dense attention's weights
and Adam moments take 2.5 GB of memory, a step of 32 + 32 pairs about 12 GB.
"""

from keras_wsss.config import Config


def get_config() -> Config:
    """Returns the config; what it does not set is as published."""
    return Config.published().replace(
        {
            "name": "transfernet_voc12",
            "split.name": "coco60_voc20",
            # What `python -m keras_wsss.data prepare` writes to data/.
            "data.source_annotations": "data/source/instances.json",
            "data.source_images": "data/source/images",
            "data.target_tags": "data/target/train_aug_tags.csv",
            "data.target_images": "data/target/JPEGImages",
            "data.eval_root": "data/target",
            # The paper trains on all source pictures; 1 % are kept to watch.
            "data.heldout": 0.01,
            "data.heldout_tags": 0.0,  # all of them train
            "inference.tag_threshold": 0.6,
            "inference.always_one_tag": True,
        }
    )

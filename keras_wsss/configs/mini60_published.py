"""TransferNet as published, on the mini set (mini60), for two CPU cores.

Hong, Oh, Lee, Han: Learning Transferrable Knowledge for Semantic Segmentation
with Deep Convolutional Neural Network, CVPR 2016, arXiv 1512.07928.

Same pictures, split and scoring as mini60, which has this project's
additions. Here model, losses and inference are the published ones: dense
attention of 1,024 units, judged by its own classifier; a decoder of the full
width at output stride 1 that sees densified attention and switches alone; no
Dice loss, no self-training; the background counts half.

    python train.py --phase attention --config mini60_published \
        --workdir runs/mini60_published/attention \
        --encoder_weights VGG16_WEIGHTS
    python train.py --phase transfer --config mini60_published \
        --workdir runs/mini60_published/transfer \
        --init_from runs/mini60_published/attention
    python evaluate.py --workdir runs/mini60_published/transfer --noaugment

`--dense_crf` (extra `crf`) adds the published dense CRF to the last command.

What differs from the paper and the authors' release:

* Pictures have 224 pixels in place of 320, so the grid of features has 14
  cells a side in place of 20. The feature cache holds the whole picture and
  its mirror image: no window is moved by up to 10 pixels.
* 600 updates of attention and 400 of transfer in place of 15,000 each, with
  4 source and 8 target pairs in place of 32 and 32. A first guess.
* Source pictures that show target categories are not left out; those pixels
  are ignored. Without these pictures 107 of the 482 would be left.
* A tenth of the source pictures and of the tagged ones is held out, to watch.
* Tags of new pictures come from the tagger, a head on the same features that
  is trained beside the attention. The release took them from a network of its
  own, which is not part of it.
* And what differs in every config: docs/method.md, "Where no field gives the
  published form".

Figures are in docs/results.md: after 400 updates the decoder still answers
"background" everywhere, with `--config.model.initializer=he` in both trainings
too.
"""

from keras_wsss.config import Config
from keras_wsss.configs import mini60_vgg


def get_config() -> Config:
    """Returns the config; what it does not set is as published."""
    config = Config.published()
    return config.replace(
        {
            "name": "mini60_published",
            "split.name": "mini60",
            "data": mini60_vgg.get_config().data,
            # Every visible label is asked for, as published.
            "data.min_pixels": config.data.min_pixels,
            "image.size": 224,
            "image.resize": 224,
            "cache.folder": "runs/cache",
            "cache.switches": True,  # so that mini60 can share it
            "train.checkpoint_every": 200,
            "train.heldout_every": 200,
            "phases.attention.steps": 600,
            "phases.attention.source_pictures": 4,
            "phases.attention.target_pictures": 8,
            "phases.transfer.steps": 400,
            "phases.transfer.source_pictures": 4,
            "phases.transfer.target_pictures": 8,
            "inference.tag_threshold": 0.6,
            "inference.always_one_tag": True,
        }
    )

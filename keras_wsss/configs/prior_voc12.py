"""The prior system on VOC 2012 with the full recipe. NOT RUN.

Redondo-Cabrera, Baptista-Rios, Lopez-Sastre: Learning to Exploit the Prior
Network Knowledge for Weakly-Supervised Semantic Segmentation, IEEE TIP 2019,
arXiv 1804.04882. A reconstruction from the released inference code: learning
rate, policy, momentum, weight decay, loss weights and warm-up are not
published there and are ours; `keras_wsss/config.py` says so of every
field. No figure of the paper is known to us, so there is none to meet.

Tags of the 20 VOC categories (train_aug, 10,582 pictures), scored on VOC val
(1,449 pictures). Prepare the data first, see docs/data.md.

    python train.py --phase joint --config prior_voc12 \
        --workdir runs/prior_voc12 --encoder_weights FULL_VGG16_WEIGHTS
    python evaluate.py --workdir runs/prior_voc12

Give the weights of the whole VGG-16, `keras.applications.VGG16()` saved by
`save_weights`: fc6 and fc7 are made of its fully connected layers. With the
convolutions alone they begin at random, which is not the method.

Estimate, from operation counts and not from a run: an update of one picture
costs about 0.25e12 multiply-adds (stream S at 321 pixels 51e9 forward, A and
H 17e9 each, backward twice that), so 100,000 updates take 5e16 floating-point
operations: 1 to 2 hours on a data-centre GPU that sustains 10 TFLOP/s, which
batches of one picture hardly reach; expect 3 to 6 hours. Memory: about 4 GB.
"""

from keras_wsss.config import Config


def get_config() -> Config:
    """Returns the config; the defaults of `config.prior` are the recipe."""
    return Config.published("prior").replace(
        {
            "name": "prior_voc12",
            "split.name": "coco60_voc20",
            # What `python -m keras_wsss.data prepare` writes to data/.
            "data.target_tags": "data/target/train_aug_tags.csv",
            "data.target_images": "data/target/JPEGImages",
            "data.eval_root": "data/target",
            "train.checkpoint_every": 1000,
            "train.heldout_every": 5000,
        }
    )

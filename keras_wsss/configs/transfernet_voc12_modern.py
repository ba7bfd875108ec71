"""TransferNet on COCO and VOC 2012 as this project would run it. NOT RUN.

Pictures and split of transfernet_voc12; encoder, model, losses and inference
are the defaults (docs/config.md), not the published ones: EfficientNet-Lite0
at 448 pixels, finer maps for the decoder, guide maps, Dice loss, the tagger
as judge. Published order of phases, then self-training.

    python train.py --phase attention --config transfernet_voc12_modern \
        --workdir runs/voc12_modern/attention
    python train.py --phase transfer --config transfernet_voc12_modern \
        --workdir runs/voc12_modern/transfer \
        --init_from runs/voc12_modern/attention
    python pseudo_labels.py --workdir runs/voc12_modern/transfer \
        --out runs/voc12_modern/pseudo_labels
    python train.py --phase transfer --config transfernet_voc12_modern \
        --workdir runs/voc12_modern/self_training \
        --init_from runs/voc12_modern/transfer \
        --config.data.target_masks=runs/voc12_modern/pseudo_labels \
        --config.phases.transfer.warmup_steps=0
    python evaluate.py --workdir runs/voc12_modern/self_training

Estimate, from operation counts and not from a run: the encoder needs 3e9
floating-point operations a picture, the decoder and its gradients 7e9 a pair,
so 15,000 updates of 32 + 32 pairs take 1e16: half an hour on a GPU that
sustains 5 TFLOP/s. Reading 960,000 pictures will be the limit; the feature
cache (36 GB for the 10,582 tagged pictures and their mirror images) removes
it. Larger encoders of docs/encoders.md are the next to try there; none was.
"""

from keras_wsss.config import Config
from keras_wsss.configs import transfernet_voc12


def get_config() -> Config:
    """Returns the config; what it does not set is recommended anyway."""
    phase = {"source_pictures": 32, "target_pictures": 32, "steps": 15_000}
    return Config().replace(
        {
            "name": "transfernet_voc12_modern",
            "split.name": "coco60_voc20",
            "data": transfernet_voc12.get_config().data,
            # Thresholds of tags are chosen on these.
            "data.heldout_tags": 0.05,
            "phases.attention": phase,
            "phases.transfer": phase,
        }
    )

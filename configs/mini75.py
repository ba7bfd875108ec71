"""TransferNet on the mini set, protocol mini75, for two CPU cores.

As mini60, but with masks of all 75 COCO categories other than the five
animals, which are scored together with the background.

    python train.py --phase decoder --config configs/mini75.py \
        --workdir runs/mini75/decoder --encoder_weights VGG16_WEIGHTS
    python train.py --phase transfer --config configs/mini75.py \
        --workdir runs/mini75/transfer --init_from runs/mini75/decoder
    python pseudo_labels.py --workdir runs/mini75/transfer \
        --out runs/mini75/pseudo_labels
    python train.py --phase transfer --config configs/mini75.py \
        --workdir runs/mini75/self_training --init_from runs/mini75/transfer \
        --config.data.target_masks=runs/mini75/pseudo_labels \
        --config.transfer.warmup_steps=0 --config.transfer.target_pairs=8
    python evaluate.py --workdir runs/mini75/self_training
"""

from configs import mini60


def get_config():
    """Returns the config."""
    config = mini60.get_config()
    config.name = "mini75"
    config.split.name = "mini75"
    return config

"""A few hundred photographs of your own: the base of a config file.

What it leaves to the file are the categories and where the data lie
(docs/first_day.md):

    base: photos
    split:
      source: [truck, car, bus, person]
      target: [forklift, pallet jack]
    data:
      source_annotations: masks.json
      source_images: pictures
      target_tags: tags.csv
      target_images: photos

    keras-wsss train --phase attention --config mine.yaml \
        --workdir runs/attention
    keras-wsss train --phase transfer --config mine.yaml \
        --workdir runs/transfer --init_from runs/attention

The network is the recommended one. Pictures are encoded once, and there are
as many updates as give a first mask within ten minutes of two cores. With more
pictures, or for a mask to keep, give mini60's: 600 of `attention` and 1,650 of
`transfer`.
"""

from keras_wsss.config import Config


def get_config() -> Config:
    """Returns the config; what it does not set is recommended anyway."""
    return Config().replace(
        {
            "name": "photos",
            "split.name": "photos",  # so that the file need not name it
            # There are too few to throw away those with a target category.
            "data.exclude_images_with_target": False,
            "cache.folder": "runs/cache",
            "phases.attention.steps": 400,
            "phases.transfer.steps": 500,
            "phases.transfer.warmup_steps": 100,
        }
    )

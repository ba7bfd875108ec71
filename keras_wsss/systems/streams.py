"""The streams of pictures that a run trains on."""

from collections.abc import Sequence
from typing import Any

from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.pipeline import Stream
from keras_wsss.data.records import Record
from keras_wsss.data.sampling import PairSampler
from keras_wsss.systems.system import Job

_SEEDS = {"source": 0, "target": 1}  # the domains' must differ


def make_stream(
    job: Job,
    domain: str,
    records: Sequence[Record],
    pictures: PictureStore,
    labels_per_image: int = 1,
    absent_per_image: int = 0,
    **options: Any,
) -> Stream | None:
    """The stream of one domain; None where the phase has no pictures of it.

    Args:
        job: the run.
        domain: "source" or "target"; decides the order, and which field says
            how many pictures an update has.
        records: its pictures.
        pictures: reads them.
        labels_per_image: labels of a picture that are asked for at a time.
        absent_per_image: absent labels that are asked for besides.
        **options: further fields of `Stream`.
    """
    settings, split = job.settings, job.data.split
    source = domain == "source"
    size = settings.source_pictures if source else settings.target_pictures
    if not size:
        return None
    sampler = PairSampler(
        records,
        labels_per_image,
        seed=2 * job.config.train.seed + _SEEDS[domain],
        absent_per_image=absent_per_image,
        absent_ids=split.source_ids if source else split.target_ids,
        trusted_draws=job.config.data.trusted_draws,
    )
    return Stream(
        sampler, size, job.views, split.num_categories, pictures, **options
    )

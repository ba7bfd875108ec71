"""Run by test_feature_cache_kill: builds a cache until it is killed."""

import sys
from pathlib import Path

from small_encoder import make_encoder, write_pictures

from keras_wsss.data.views import ViewSpec
from keras_wsss.training import feature_cache
from keras_wsss.training.feature_cache import FeatureCache

COUNT = 200


def make_cache(folder: Path) -> FeatureCache:
    """The cache that child and test build; many small batches."""
    return FeatureCache(
        folder / "cache",
        make_encoder(),
        ViewSpec(32, mirror=True),
        encoder_batch=2,
    )


if __name__ == "__main__":
    feature_cache.LOG_SECONDS = 0
    root = Path(sys.argv[1])
    make_cache(root).build(
        write_pictures(root / "pictures", COUNT),
        log=lambda line: print(line, flush=True),
    )
    print("finished", flush=True)

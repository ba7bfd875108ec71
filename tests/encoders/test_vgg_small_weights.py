"""The weights of vgg_small that come with the package."""

from pathlib import Path

import keras
import numpy as np

from benchmarks.pretrain_vgg_small import STAGES, draw_pictures
from keras_wsss.data.views import CAFFE
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.encoder import encoder_digest
from keras_wsss.encoders.layer_weights import read_layer_weights
from keras_wsss.shapes.outlines import OUTLINES

PACKAGED = (
    Path(__file__).parents[2] / "keras_wsss" / "encoders"
) / "vgg_small.weights.h5"


def test_package_weights_are_small_and_of_half_precision():
    assert PACKAGED.stat().st_size <= 2_000_000
    for arrays in read_layer_weights(PACKAGED).values():
        assert all(array.dtype == np.float16 for array in arrays)


def test_package_weights_give_features_near_0_to_1():
    model = get_encoder("vgg_small").build(96)
    before = encoder_digest(model)
    get_encoder("vgg_small").load_weights(model)
    assert encoder_digest(model) != before
    pictures, _ = draw_pictures(STAGES[2], 24, 1, dict(OUTLINES))
    images = pictures.astype(np.float32) - np.array(CAFFE.mean, np.float32)
    features = keras.ops.convert_to_numpy(model(images)[0])
    assert 0.7 < np.percentile(features, 99) < 1.4
    assert 0.01 < features.mean() < 0.5
    # No filter bank that died while learning.
    assert (features.max(axis=(0, 1, 2)) > 0).mean() > 0.5

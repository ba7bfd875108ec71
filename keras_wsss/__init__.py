"""Weakly supervised semantic segmentation for Keras 3 and TensorFlow.

Masks of some categories and tags of the others make a segmentation model of
the others. See README.md for the commands, or, in Python:

    import keras_wsss as kw

    kw.make_shapes("demo/shapes")
    config = kw.load_config("shapes")
    kw.train(config, "decoder", "runs/decoder")
    kw.train(config, "transfer", "runs/transfer", init_from="runs/decoder")
    kw.evaluate("runs/transfer")
    prediction = kw.Predictor.from_workdir("runs/transfer")("picture.jpg")
    kw.export_model("runs/transfer", "model/1")

Names are imported when they are first used: `import keras_wsss` alone loads
neither TensorFlow nor Keras.
"""

import os
from typing import TYPE_CHECKING

# TensorFlow uses oneDNN of its own accord on processors with AVX-512 alone;
# a step is twice as fast with it on those with AVX2 too (docs/performance.md).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_wsss.lazy import lazy_names

if TYPE_CHECKING:
    from keras_wsss.categories import Split as Split
    from keras_wsss.config import Config as Config
    from keras_wsss.config_files import load_config as load_config
    from keras_wsss.encoders import register_encoder as register_encoder
    from keras_wsss.errors import UserError as UserError
    from keras_wsss.evaluation.run import evaluate_run as evaluate
    from keras_wsss.inference.predict_files import (
        predict_files as predict_files,
    )
    from keras_wsss.inference.prediction import Prediction as Prediction
    from keras_wsss.inference.predictor import Predictor as Predictor
    from keras_wsss.inference.pseudo_labels import (
        pseudo_labels as pseudo_labels,
    )
    from keras_wsss.serving.build import export_run as export_model
    from keras_wsss.shapes.make import write_shapes as make_shapes
    from keras_wsss.systems import register_system as register_system
    from keras_wsss.systems.prior.network import Prior as Prior
    from keras_wsss.systems.transfernet.network import (
        TransferNet as TransferNet,
    )
    from keras_wsss.training.run import train as train

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "keras_wsss.categories": ["Split"],
        "keras_wsss.config": ["Config"],
        "keras_wsss.config_files": ["load_config"],
        "keras_wsss.errors": ["UserError"],
        "keras_wsss.evaluation.run": ["evaluate=evaluate_run"],
        "keras_wsss.inference.prediction": ["Prediction"],
        "keras_wsss.inference.predict_files": ["predict_files"],
        "keras_wsss.inference.predictor": ["Predictor"],
        "keras_wsss.inference.pseudo_labels": ["pseudo_labels"],
        "keras_wsss.serving.build": ["export_model=export_run"],
        "keras_wsss.shapes.make": ["make_shapes=write_shapes"],
        "keras_wsss.encoders": ["register_encoder"],
        "keras_wsss.systems": ["register_system"],
        "keras_wsss.systems.prior.network": ["Prior"],
        "keras_wsss.systems.transfernet.network": ["TransferNet"],
        "keras_wsss.training.run": ["train"],
    },
)

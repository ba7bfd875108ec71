"""What cannot be trained is refused before anything is read.

Each of these was found after hours, or by a traceback, in earlier versions.
"""

import os

import pytest
from tiny import run_script, tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.config import Config
from keras_wsss.errors import ConfigError
from keras_wsss.systems.problems import validate
from keras_wsss.training.devices import device_problems
from keras_wsss.training.run import train

NOWHERE = "nowhere"  # nothing of it is looked for


def refused(config, phase, folder, init_from=None):
    """The sentence that `train` refuses a config with."""
    with pytest.raises(ConfigError) as caught:
        train(config, phase, folder / "run", init_from, log=print)
    assert not (folder / "run").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("phase", "changes", "told"),
    [
        ("decoder", {"phases.decoder.decay": "linear"},
         "config.phases.decoder.decay is 'linear'; use one of cosine, poly."),
        ("decoder", {"phases.decoder.source_pictures": -16},
         "source_pictures is -16; use 0 or more."),
        ("decoder", {"phases.decoder.source_pictures": 0},
         "source_pictures is 0, but --phase decoder learns from masks"),
        ("transfer", {"phases.transfer.source_pictures": 0},
         "source_pictures is 0, but --phase transfer learns from masks"),
        ("transfer", {"phases.transfer.target_pictures": 0},
         "target_pictures is 0, but --phase transfer learns from target tags"),
        ("attention", {"phases.attention.source_pictures": 0},
         "learns from tags of source pictures too"),
        ("decoder", {"phases.decoder.warmup_steps": 12},
         "warmup_steps is 12 and config.phases.decoder.steps 12, so no mask"),
        ("decoder", {"train.mask_weight": 0.0},
         "config.train.mask_weight is 0, so no mask would ever teach"),
        ("decoder", {"image.size": 100, "image.resize": 100},
         "config.image.size is 100, which is no multiple of 16, the stride of "
         "vgg_small; use 96."),
        ("decoder", {"image.resize": 48}, "must be at least config.image.size"),
        ("decoder", {"image.min_scale": 0.0}, "use 0.1 or more and at most 1"),
        ("decoder", {"model.encoder": "vgg24"}, "use one of vgg16"),
        ("decoder", {"model.attention": "sparse"}, "use one of dense, conv"),
        ("decoder", {"model.judge": "nobody"}, "one of classifier, tagger"),
        ("decoder", {"model.initializer": "zero"}, "use one of published, he"),
        ("decoder", {"model.normalization": "sum"}, "use one of none, max"),
        ("decoder", {"model.output_stride": 3}, "use one of 1, 2, 4"),
        ("decoder", {"model.decoder_width": 1.5}, "more than 0 and at most 1"),
        ("decoder", {"data.source_format": "xml"}, "Unknown format 'xml'"),
        ("decoder", {"train.feature_dropout": 1.0},
         "feature_dropout is 1.0; use 0 or more and less than 1."),
        ("decoder", {"train.labels_per_image": 0}, "use 1 or more"),
        ("decoder", {"train.deterministic": True, "train.xla": True},
         "config.train.xla cannot go with config.train.deterministic"),
        ("decoder", {"train.deterministic": True,
                     "model.compute_dtype": "bfloat16"},
         "config.train.deterministic it must be float32 or auto."),
        ("decoder", {"train.seed": 2**40}, "train.seed is 1099511627776; use"),
        ("decoder", {"model.judge": "tagger", "train.absent_per_image": 1},
         "which only config.model.judge='classifier' can answer"),
        ("decoder", {"data.source_images": ""}, "data.source_images is empty"),
        ("transfer", {"data.target_tags": ""}, "data.target_tags is empty"),
        ("decoder", {"inference.scales": (1.0, -1.0)}, "scales is (1.0, -1.0)"),
        ("decoder", {"inference.tag_threshold": 2.0}, "at most 1, or None."),
        ("decoder", {"cache.windows": 0}, "config.cache.windows is 0"),
        ("decoder", {"cache.folder": f"{__file__}/cache"},
         f"which cannot be made: {__file__} is no folder; name another one"),
        ("decoder", {"cache.folder": __file__}, "is no folder; name another"),
        ("decoder", {"model.encoder_weights": "missing.h5"},
         "config.model.encoder_weights: missing.h5 does not exist; check the"),
        ("decoder", {"model.encoder": "vgg_small+vgg16",
                     "model.encoder_weights": "+missing.h5"},
         "config.model.encoder_weights: missing.h5 does not exist; check the"),
        ("transfer", {"train.micro_batches": 3},
         "phases.transfer.target_pictures is 4, which config.train.micro_batche"
         "s, 3, does not divide; use a multiple of it."),
        ("decoder", {"train.keep_best": True, "data.heldout": 0.0},
         "config.data.heldout is 0; hold some out, or switch it off."),
        ("decoder", {"split.name": "own", "split.source": ("Cow", "dog"),
                     "split.target": ("cow",)},
         "'cow' and 'Cow' differ in their spelling alone"),
    ],
    ids=str,
)  # fmt: skip
def test_transfernet(phase, changes, told, tmp_path):
    config = tiny_config(NOWHERE).replace(changes)
    init_from = tmp_path / "start" if phase == "transfer" else None
    assert told in refused(config, phase, tmp_path, init_from)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prior.segment_loss": "wpt"}, "'wpt'; use one of conditional, wtp"),
        ({"prior.class_loss": "hinge"}, "use one of sigmoid, euclidean"),
        ({"prior.test_size": 512}, "prior.test_size is 512; stream S takes a "
         "multiple of 8 plus 1, for example 513."),
        ({"image.size": 64}, "config.image.size is 64; stream S takes"),
        ({"prior.gate_value": "one"}, "is 'one'; use one of zero, neg_inf."),
        ({"prior.mask_forward": "test"}, "use one of train, eval"),
        ({"prior.segment_start": "here"}, "use one of file, classifier"),
        ({"prior.tags": "truth"}, "use one of image, crop_gt"),
        ({"prior.tags": "crop_gt"}, "the folder of the true masks"),
        ({"prior.fusion_streams": ()}, "use one or more of clean, segment"),
        ({"prior.fusion_streams": ("hidden",), "prior.hidden_stream": False},
         "fusion_streams is ('hidden',), but config.prior.hidden_stream"),
        ({"prior.cam_source": "mean", "prior.hidden_stream": False},
         "cam_source is 'mean', but config.prior.hidden_stream is False"),
        ({"prior.class_size": 50}, "class_size is 50; streams A and H take"),
        ({"prior.class_size": 64}, "a ratio near that of 321 and 224"),
        ({"prior.hide_grid": 5}, "config.prior.hide_grid 5 does not divide"),
        ({"prior.hide_grid": 0}, "hide_grid is 0; use 1 or more"),
        ({"prior.hide_probability": 1.5}, "use 0 or more and at most 1"),
        ({"prior.dropout": 1.0}, "use 0 or more and less than 1"),
        ({"prior.frozen_blocks": 5}, "use 0 or more and at most 4"),
        ({"prior.fc6_dilation": 0}, "use 1 or more"),
        ({"prior.crf_appearance_rgb": 0.0}, "use more than 0"),
        ({"prior.test_iterations": -1}, "use 0 or more"),
        ({"prior.smallest_score": 0.0}, "use more than 0 and less than 1"),
        ({"prior.momentum": 1.0}, "use 0 or more and less than 1"),
        ({"prior.segment_weight": 0.0}, "would ever teach the stream S"),
        ({"data.tags_complete": False}, "tags_complete is False, but the"),
        ({"train.keep_best": True}, "--phase joint reads none; switch it off"),
        ({"train.xla": True}, "train.xla compiles the updates of TransferNet"),
        ({"phases.joint.source_pictures": 2}, "source_pictures must be 0"),
        ({"phases.joint.target_pictures": 0}, "target_pictures is 0"),
        ({"phases.joint.warmup_steps": 6}, "no mask would ever teach"),
        ({"image.resize": 64}, "must be at least config.image.size"),
    ],
    ids=str,
)  # fmt: skip
def test_prior(changes, told, tmp_path):
    config = tiny_prior_config(NOWHERE).replace(changes)
    assert told in refused(config, "joint", tmp_path)


def test_the_command_names_all_problems_at_once(tmp_path):
    """And before TensorFlow is loaded."""
    done = run_script(
        "train.py", "--phase=joint", "--config=tests/tiny_prior.py",
        f"--workdir={tmp_path / 'run'}", "--config.prior.segment_loss=wpt",
        "--config.prior.test_size=512", "--config.prior.gate_value=one",
        "--config.joint.decay=linear", "--config.split.name=own",
        "--config.split.target=cow", "--config.split.source=Cow",
        code="import sys; sys.modules.update(tensorflow=None, keras=None)",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: 6 things cannot be: (1) config.prior.")
    for told in (
        "segment_loss is 'wpt'",
        "gate_value is 'one'",
        "config.phases.joint.decay is 'linear'",
        "prior.test_size is 512",
        "encoder.weights.h5 does not exist",
        "'cow' and 'Cow' differ",
    ):
        assert told in line
    assert not (tmp_path / "run").exists()


def test_a_learned_decoder_may_stay_as_it_is():
    """What starts from a run is judged by what that run has learned."""
    config = tiny_config(NOWHERE).replace({"phases.transfer.warmup_steps": 12})
    validate(config, "transfer", init_from="a run")
    with pytest.raises(ConfigError, match="no mask would ever teach"):
        validate(config, "transfer")
    config = config.replace({"model.encoder_weights": ""})
    validate(config.replace({"train.mask_weight": 0.0}), "attention")


def test_weights_are_asked_for_where_they_are_read():
    """A run that begun has them, and so has one that another starts."""
    config = tiny_config(NOWHERE)
    with pytest.raises(ConfigError, match=r"weights\.h5 does not exist"):
        validate(config, "decoder")
    validate(config, "decoder", begun=True)
    validate(config, "transfer", init_from="a run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_below_a_folder_that_is_not_ours(tmp_path):
    tmp_path.chmod(0o500)
    config = tiny_config(NOWHERE).replace({"cache.folder": tmp_path / "cache"})
    with pytest.raises(ConfigError, match=f"{tmp_path} is not writable"):
        validate(config, "decoder")


def test_devices_are_told_of_all_at_once():
    """How many there are is not known before TensorFlow is."""
    config = tiny_config(NOWHERE).replace(
        {
            "phases.transfer.source_pictures": 6,
            "train.micro_batches": 2,
            "train.xla": True,
        }
    )
    assert device_problems(config, "transfer", 1) == []
    assert device_problems(config, "transfer", 2) == [
        "config.phases.transfer.source_pictures is 6, which 2 devices cannot "
        "share evenly in 2 parts each; use a multiple of 4.",
        "config.train.xla is for one device, and 2 train; give --strategy one.",
    ]


def test_a_system_that_there_is_not():
    config = Config().replace({"system": "after"})
    with pytest.raises(ConfigError, match="use one of transfernet, prior"):
        validate(config, "decoder")

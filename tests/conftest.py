"""Shared fixtures: tiny data and runs, the wheel, files beside us."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from tiny import (
    ENCODER_WEIGHTS,
    REPOSITORY,
    encoder_weights,
    run_script,
    tiny_config,
)

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_configure(config):
    """Gives TensorFlow two CPU devices, for the tests of strategies.

    It must be said before TensorFlow makes its first tensor, so before any
    test module is imported.
    """
    # Where several processes run the tests, the first one only hands them out.
    if config.getoption("numprocesses", None) and not hasattr(
        config, "workerinput"
    ):
        return
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )


def _shared(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{relative} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def mini_dir() -> Path:
    """The folder of real pictures for development; never committed."""
    return _shared("data/mini")


@pytest.fixture(scope="session")
def weights_path() -> Path:
    """The ImageNet VGG-16 convolutions in Keras layer names."""
    return _shared("weights/vgg16_imagenet_notop.weights.h5")


@pytest.fixture(scope="session")
def golden_path() -> Path:
    """What tensorflow-addons 0.23 computed for unpooling and MultiOptimizer."""
    return _shared("golden/tfa_0_23.npz")


@pytest.fixture
def eager():
    """Without graphs: one small update is quicker than its tracing."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def shapes_dir(tmp_path_factory) -> Path:
    """A few drawn pictures of 64 pixels and a random encoder, as files."""
    from benchmarks.pretrain_vgg_small import write_layer_weights
    from keras_wsss.shapes.make import ShapesSize, write_shapes

    folder = tmp_path_factory.mktemp("shapes") / "data"
    write_shapes(folder, size=ShapesSize(64, 30, 16, 6, negatives=0, without=2))
    write_layer_weights(folder / ENCODER_WEIGHTS, encoder_weights())
    return folder


@pytest.fixture(scope="session")
def decoder_run(shapes_dir, tmp_path_factory):
    """A finished run of `train.py --phase decoder`, and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "decoder"
    done = run_script(
        "train.py",
        "--phase=decoder",
        "--config=tests/tiny.py",
        f"--workdir={workdir}",
        "--config.train.deterministic=True",
        data=shapes_dir,
    )
    assert done.returncode == 0, done.stderr
    return workdir, done


@pytest.fixture(scope="session")
def transfer_run(shapes_dir, decoder_run, tmp_path_factory):
    """A finished run of phase "transfer" from `decoder_run`, and its lines."""
    from keras_wsss.training.run import train

    workdir = tmp_path_factory.mktemp("runs") / "transfer"
    lines = []
    train(
        tiny_config(shapes_dir),
        "transfer",
        workdir,
        init_from=decoder_run[0],
        log=lines.append,
    )
    return workdir, lines


@pytest.fixture(scope="session")
def predictor(transfer_run):
    """Predicts with the weights of `transfer_run`."""
    from keras_wsss.inference.predictor import Predictor

    return Predictor.from_workdir(transfer_run[0])


@pytest.fixture(scope="session")
def serving_options():
    """What `served_export` is made with."""
    from keras_wsss.serving.options import ServingOptions

    return ServingOptions(max_pixels=40_000, max_tags=3, max_batch=8)


@pytest.fixture(scope="session")
def served_export(predictor, serving_options, tmp_path_factory):
    """An export that its own check has passed, and what was reported."""
    from keras_wsss.serving.build import export_model

    out = tmp_path_factory.mktemp("served") / "1"
    lines = []
    export_model(predictor, out, serving_options, log=lines.append)
    return out, lines


@pytest.fixture(scope="session")
def served(served_export):
    """The signatures of `served_export`, loaded."""
    import tensorflow as tf

    model = tf.saved_model.load(str(served_export[0]))
    return model.signatures


@pytest.fixture(scope="session")
def prior_data(shapes_dir, tmp_path_factory) -> Path:
    """As `shapes_dir`, but the folder of source pictures is absent."""
    folder = tmp_path_factory.mktemp("prior") / "data"
    shutil.copytree(shapes_dir, folder, ignore=shutil.ignore_patterns("source"))
    return folder


@pytest.fixture(scope="session")
def prior_run(prior_data, tmp_path_factory):
    """A finished run of `train.py --phase joint`, and the lines it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "joint"
    done = run_script(
        "train.py",
        "--phase=joint",
        "--config=tests/tiny_prior.py",
        f"--workdir={workdir}",
        data=prior_data,
    )
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout.splitlines()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    for name in files:
        path = REPOSITORY / name
        if not name.startswith(("tests", "docs", "benchmarks")) and (
            path.is_file()
        ):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """`keras-wsss` in an environment that has our libraries, not us."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    command = [sys.executable, "-m", "pip", "--python", str(folder)]
    command += ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    ours = sysconfig.get_path("purelib")
    (packages / "libraries.pth").write_text(f"{ours}\n")
    return Path(sysconfig.get_path("scripts", vars=paths)) / "keras-wsss"

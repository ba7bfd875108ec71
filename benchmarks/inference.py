"""What a user of a trained model waits for, side by side in one run.

    python -m benchmarks.inference                  # VGG-16 at 320 pixels
    python -m benchmarks.inference --quick          # small, to see it work
    python -m benchmarks.inference --scale          # 10, 100, 1,000 pictures
    python -m benchmarks.inference --workdir RUN    # a trained model instead
    taskset -c 0 python -m benchmarks.inference --onnx --processor

Both sides of a comparison take turns in the same process, so their ratio
holds whatever else the machine does; the ratio is the median over the turns.
Weights are random unless --workdir is given: time does not depend on them.
Threads that wait for each other are slowed by other work, and not all
libraries alike; one core's processor time (the last line above) is not.
ONNX Runtime needs `pip install '.[edge]'`, the dense CRF `'.[crf]'`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib.util
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from absl import app, flags, logging

from benchmarks.early_help import early_help

_WORKDIR = flags.DEFINE_string("workdir", None, "A run of train.py.")
_QUICK = flags.DEFINE_bool("quick", False, "Small network, few turns.")
_TURNS = flags.DEFINE_integer("turns", 9, "Turns of each comparison.")
_SCALE = flags.DEFINE_bool("scale", False, "Only time and memory by number.")
_ONNX = flags.DEFINE_bool("onnx", False, "Only against ONNX Runtime.")
_PROCESSOR = flags.DEFINE_bool("processor", False, "Time of the processor.")
_COUNTS = flags.DEFINE_list("counts", ["10", "100", "1000"], "For --scale.")

early_help()

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_wsss.commands.cli import exit_with
from keras_wsss.config import Config, split_of
from keras_wsss.encoders.graphs import (
    ConstantWeights,
    with_constant_weights,
)
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.table import markdown_table
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predict_files import Picture, predict_files
from keras_wsss.inference.predictor import Predictor
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality

PICTURE = (375, 500)  # height and width: a usual VOC picture
QUICK_SIZE = 64  # input side of --quick
Function = Callable[[], object]


def make_predictor() -> Predictor:
    """The run of --workdir, or the published network with random weights."""
    if _WORKDIR.value:
        start = time.perf_counter()
        predictor = Predictor.from_workdir(_WORKDIR.value)
        seconds = time.perf_counter() - start
        print(f"Loading {_WORKDIR.value}: {seconds:.2f} s (goal: under 3)\n")
        return predictor
    small = _QUICK.value or _ONNX.value
    return untrained_predictor("conv" if small else "dense")


def untrained_predictor(attention: str) -> Predictor:
    """The published network, or the one of --quick, with random weights."""
    config = Config.published()
    config = config.replace({"model.attention": attention})
    if _QUICK.value:
        config = config.replace(
            {
                "image.size": QUICK_SIZE,
                "model.encoder": "vgg_small",
                "model.decoder_width": 0.25,
            }
        )
    split = split_of(config)
    return Predictor(build_network(config, split), split, config)


def compare(functions: dict[str, Function]) -> dict[str, float]:
    """Seconds of each function (median), run in turns after a first call.

    The key "ratio" has the median of second / first, turn by turn.
    """
    for function in functions.values():
        function()
    clock = time.process_time if _PROCESSOR.value else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(3 if _QUICK.value else _TURNS.value):
        # The one that goes first finds other things in the caches.
        order = list(functions) if turn % 2 else list(functions)[::-1]
        for name in order:
            start = clock()
            functions[name]()
            seconds[name].append(clock() - start)
    result = {name: statistics.median(s) for name, s in seconds.items()}
    first, second = (np.array(s) for s in seconds.values())
    return {**result, "ratio": float(np.median(second / first))}


def row(what: str, functions: dict[str, Function], goal: str) -> dict:
    """A line of the table from two functions, ours first."""
    found = compare(functions)
    ours, other = functions
    print(f"{what}: {found['ratio']:.2f}", flush=True)
    return {
        "what": what,
        "ours": f"{ours}: {1000 * found[ours]:.0f} ms",
        "other": f"{other}: {1000 * found[other]:.0f} ms",
        "ratio": found["ratio"],
        "goal": goal,
    }


def label_rows(predictor: Predictor, image: np.ndarray) -> list[dict]:
    """The encoder once a picture, against the whole network per label."""
    ids = list(predictor.split.scored_ids[:3])

    def together(count: int) -> Function:
        return lambda: OnePicture(predictor, image).probabilities(ids[:count])

    def apart(count: int) -> Function:
        return lambda: [
            OnePicture(predictor, image).probabilities([label])
            for label in ids[:count]
        ]

    return [
        row(
            f"{count} label(s) of a picture",
            {"encoder once": together(count), "per label": apart(count)},
            goal,
        )
        for count, goal in ((1, "1.0"), (3, "1.6"))
    ]


def export_row(predictor: Predictor, image: np.ndarray, folder: Path) -> dict:
    """The whole exported graph against `Predictor.__call__`."""
    from keras_wsss.serving.options import ServingOptions
    from keras_wsss.serving.signatures import ServingModule

    # The network alone, on both sides.
    options = ServingOptions(quality=Quality())
    module = ServingModule(predictor.steps, options)
    tf.saved_model.save(module, str(folder), signatures=module.signatures())
    loaded = tf.saved_model.load(str(folder))
    serve = loaded.signatures["tensors"]
    name = predictor.split.scored[0]
    batch, tags = tf.constant(image[None]), tf.constant([name])
    return row(
        "picture to mask, one tag",
        {
            "SavedModel": lambda: serve(images=batch, tags=tags)[
                "mask"
            ].numpy(),
            "Predictor": lambda: (
                predictor.predict(image, [name], Quality()).mask
            ),
        },
        "1.0",
    )


def onnx_row(predictor: Predictor, folder: Path) -> dict:
    """The network of an exported SavedModel against ONNX Runtime."""
    import onnxruntime
    import tf2onnx

    if predictor.net.fixed_size:
        # tf2onnx needs over 20 GB for the weights of the published attention,
        # which take little of the time.
        predictor = untrained_predictor("conv")
    net = predictor.net
    size = net.views.image_size
    encode = with_constant_weights(net.encoder, (1, size, size, 3))
    constants = ConstantWeights(predictor.steps.variables)

    def network(image: tf.Tensor) -> tf.Tensor:
        labels = tf.constant([[predictor.split.scored_ids[0]]], tf.int32)
        features, *levels = encode(image)
        with constants:
            outputs = net.attention([features, labels], training=False)
            return net.mask_logits(
                [outputs["guide"], labels, *net.select_levels(levels)],
                training=False,
            )

    spec = tf.TensorSpec([1, size, size, 3], tf.float32, name="image")
    function = tf.function(network, autograph=False, input_signature=[spec])
    module = tf.Module()
    module.function = function
    tf.saved_model.save(module, str(folder), signatures=function)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    path = folder / "network.onnx"
    tf2onnx.convert.from_function(
        function,
        [spec],
        opset=18,
        output_path=str(path),
        large_model=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(0).normal(0, 60, (1, size, size, 3))
    image = image.astype(np.float32)
    key = session.get_inputs()[0].name
    expected = next(iter(serve(image=tf.constant(image)).values())).numpy()
    found = session.run(None, {key: image})[0]
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"ONNX Runtime differs by {difference:.1g} of the largest logit.\n")
    constant = tf.constant(image)
    return row(
        f"network alone, {predictor.config.model.attention} attention, one "
        "label",
        {
            "SavedModel": lambda: [
                v.numpy() for v in serve(image=constant).values()
            ],
            "ONNX Runtime": lambda: session.run(None, {key: image}),
        },
        "1.0",
    )


def encoder_operations(encoder) -> float:
    """Floating-point operations of the convolutions, for one picture."""
    total = 0
    for layer in encoder.layers:
        if layer.weights:
            height, width = layer.output.shape[1:3]
            total += 2 * height * width * np.prod(layer.kernel.shape)
    return float(total)


def encoder_row(predictor: Predictor) -> dict:
    """Operations a second of the encoder and of large matrix products."""
    net = predictor.net
    size = net.views.image_size
    image = tf.random.normal([1, size, size, 3], seed=0)
    encode = with_constant_weights(net.encoder, (1, size, size, 3))
    side = 512 if _QUICK.value else 2048
    matrix = tf.random.normal([side, side], seed=0)
    multiply = tf.function(lambda: tf.matmul(matrix, matrix), autograph=False)
    found = compare(
        {
            "encoder": lambda: encode(image)[0].numpy(),
            "product": lambda: multiply().numpy(),
        }
    )
    rate = encoder_operations(net.encoder) / found["encoder"] / 1e9
    fastest = 2 * side**3 / found["product"] / 1e9
    return {
        "what": "encoder, share of the matrix-product rate",
        "ours": f"encoder: {rate:.0f} GFLOP/s",
        "other": f"{side} x {side} product: {fastest:.0f} GFLOP/s",
        "ratio": rate / fastest,
        "goal": "0.8",
    }


def constants_row(predictor: Predictor) -> dict:
    """The encoder with its weights as constants, and as variables."""
    encoder = predictor.net.encoder
    size = predictor.net.views.image_size
    image = tf.random.normal([1, size, size, 3], seed=0)
    constants = with_constant_weights(encoder, (1, size, size, 3))
    variables = tf.function(
        lambda x: encoder(x, training=False), autograph=False
    )
    return row(
        "encoder, its weights constant",
        {
            "constants": lambda: constants(image)[0].numpy(),
            "variables": lambda: variables(image)[0].numpy(),
        },
        "1.0",
    )


def served_constants_row(predictor: Predictor) -> dict:
    """The served graph with its weights as constants, and as variables."""
    from keras_wsss.serving import signatures
    from keras_wsss.serving.options import ServingOptions

    if predictor.net.fixed_size:
        predictor = untrained_predictor("conv")
    batch = tf.constant(picture()[None])
    tags = tf.constant([predictor.split.scored[0]])

    def serve(largest: int) -> Function:
        with mock.patch.object(signatures, "LARGEST_CONSTANT", largest):
            module = signatures.ServingModule(
                predictor.steps, ServingOptions(quality=Quality())
            )
        function = module.signatures()["tensors"]
        # Who holds the function must hold the module's variables too.
        return lambda: (module, function(images=batch, tags=tags)["mask"])

    return row(
        "served graph, all weights constant",
        {
            "constants": serve(signatures.LARGEST_CONSTANT),
            "variables": serve(-1),
        },
        "1.0",
    )


def refiner_row() -> dict:
    """The default refiner against the dense CRF, two labels."""
    from benchmarks import refinement
    from keras_wsss.inference.dense_crf import dense_crf, load_pydensecrf

    load_pydensecrf()
    rng = np.random.default_rng(0)
    image, masks = refinement.drawn_picture(rng, 2)
    coarse = np.stack([refinement.degrade(mask, rng) for mask in masks])
    refine = refinement.default_refiner()
    return row(
        "refinement, two labels (quality: refinement.py)",
        {
            "guided": lambda: refine(image, coarse),
            "dense CRF": lambda: dense_crf(image, coarse),
        },
        "5",
    )


def scale_rows(predictor: Predictor, folder: Path) -> list[dict]:
    """Time and memory of predicting more and more pictures."""
    path = folder / "picture.jpg"
    Image.fromarray(picture()).save(path, quality=90)
    out, raw = folder / "out", Quality()
    predict_files(predictor, [Picture(path, "first")], out, quality=raw)
    rows = []
    for count in map(int, _COUNTS.value):
        pictures = [Picture(path, f"{i % 50}") for i in range(count)]
        start = time.perf_counter()
        predict_files(predictor, pictures, out, quality=raw)
        seconds = time.perf_counter() - start
        rows.append(
            {
                "pictures": count,
                "seconds": seconds,
                "each": 1000 * seconds / count,
                "memory": _memory_mb(),
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                / 1024,
            }
        )
    return rows


def _memory_mb() -> float:
    """Resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def picture() -> np.ndarray:
    """Smooth colours with noise, uint8 [375, 500, 3]."""
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(cells).resize(PICTURE[::-1])
    noise = rng.normal(0, 3, (*PICTURE, 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


def comparisons(predictor: Predictor, folder: Path) -> list[dict]:
    """All lines of the table; what cannot be run is said."""
    if _ONNX.value:
        return [onnx_row(predictor, folder / "network")]
    image = picture()
    rows = label_rows(predictor, image)
    rows.append(export_row(predictor, image, folder / "export"))
    if _installed(("tf2onnx", "onnxruntime"), "edge"):
        rows.append(onnx_row(predictor, folder / "network"))
    rows.append(encoder_row(predictor))
    rows.append(constants_row(predictor))
    rows.append(served_constants_row(predictor))
    if _installed(("pydensecrf",), "crf"):
        rows.append(refiner_row())
    return rows


def _installed(modules: Sequence[str], extra: str) -> bool:
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        print(
            f"Without {', '.join(missing)}, which `pip install "
            f"'.[{extra}]'` installs.\n"
        )
    return not missing


def main() -> None:
    """Prints the tables."""
    logging.set_verbosity(logging.WARNING)
    if _TURNS.value < 1:
        raise ConfigError("--turns must be at least 1.")
    predictor = make_predictor()
    model, size = predictor.config.model, predictor.config.image.size
    print(
        f"{model.encoder} at {size} pixels, {model.attention} "
        f"attention, {len(os.sched_getaffinity(0))} CPU cores\n"
    )
    with tempfile.TemporaryDirectory() as name:
        if _SCALE.value:
            rows = scale_rows(predictor, Path(name))
            columns = {"pictures": "pictures", "seconds": "seconds"}
            columns |= {"ms each": "each", "memory MB": "memory"}
            print(markdown_table(rows, columns | {"peak MB": "peak"}, 1))
            return
        rows = comparisons(predictor, Path(name))
    columns = {"what": "what", "this project": "ours", "beside": "other"}
    print(markdown_table(rows, columns | {"ratio": "ratio", "goal": "goal"}, 2))


if __name__ == "__main__":
    app.run(lambda _: exit_with(main))

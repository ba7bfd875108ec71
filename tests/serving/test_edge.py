"""Exports for LiteRT and ONNX, and the client that runs them."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import REPOSITORY, read_json, run_script

from keras_wsss.data import preprocess
from keras_wsss.data.images import decode_image
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.serving import client_edge, edge_check
from keras_wsss.serving.check import sample_files
from keras_wsss.serving.client_edge import EdgeModel
from keras_wsss.serving.edge import export_edge
from keras_wsss.serving.edge_check import check_edge
from keras_wsss.serving.edge_graph import edge_graphs
from keras_wsss.serving.manifest import verify_manifest
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality

FEW = 4  # pictures to check and calibrate on


@pytest.fixture(scope="module")
def few_pictures(predictor):
    folder = Path(predictor.config.data.target_images)
    return sorted(folder.glob("*.*"))[:FEW]


@pytest.fixture(scope="module")
def export(predictor, few_pictures, tmp_path_factory):
    """Makes an export and keeps it for the other tests."""
    made = {}

    def make(kind: str, precision: str = "float32") -> Path:
        if kind == "onnx":
            for module in ("onnx", "tf2onnx", "onnxruntime"):
                pytest.importorskip(module)
        if (kind, precision) not in made:
            out = tmp_path_factory.mktemp("edge") / "model"
            with pytest.MonkeyPatch.context() as patch:
                # Untrained probabilities lie near the threshold.
                patch.setitem(edge_check.LEAST_AGREEMENT, "int8", 0.75)
                export_edge(
                    predictor, out, kind, precision, few_pictures, few_pictures
                )
            made[kind, precision] = out
        return made[kind, precision]

    return make


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_client_gives_what_the_predictor_gives(export, predictor, kind):
    folder = export(kind)
    manifest = verify_manifest(folder)
    assert manifest["check"]["pictures"] == FEW + len(sample_files())
    assert manifest["check"]["agreement"] > 0.999
    classes = (folder / "classes.txt").read_text().splitlines()
    assert classes == ["background", *predictor.split.categories]
    model = EdgeModel(folder)
    for data in sample_files():
        image = decode_image(data, "sample")
        for tags in ((), ("star", "fish")):
            found = model.predict(image, tags)
            expected = predictor.predict(image, tags or None, Quality())
            assert tuple(found["tag_ids"]) == expected.tags
            # An untrained network's maps of two labels are nearly equal.
            assert np.mean(found["mask"] == expected.mask) > 0.995
            np.testing.assert_allclose(
                found["scores"], expected.tag_scores, atol=1e-4
            )
    with pytest.raises(ValueError, match="Unknown tag 'unicorn'; this model"):
        model.predict(image, ["unicorn"])


@pytest.mark.parametrize("kind", ["litert", "onnx"])
@pytest.mark.parametrize(
    ("precision", "share"), [("float16", 0.6), ("int8", 0.5)]
)
def test_lower_precisions_are_smaller_and_close(export, kind, precision, share):
    def size(folder: Path) -> int:
        files = read_json(folder / "manifest.json")["graphs"].values()
        names = {graph["file"] for graph in files}
        return sum((folder / name).stat().st_size for name in names)

    folder = export(kind, precision)
    assert size(folder) < share * size(export(kind))
    least = {"float16": 0.99, "int8": 0.75}[precision]
    assert verify_manifest(folder)["check"]["agreement"] >= least


def test_the_check_notices_another_model(export, predictor):
    weights = predictor.net.decoder.get_weights()
    image = decode_image(sample_files()[0], "sample")
    try:
        predictor.net.decoder.set_weights([-array for array in weights])
        with pytest.raises(DataError, match="of the masks' pixels agree"):
            check_edge(export("litert"), predictor, "float32", [image] * 2)
    finally:
        predictor.net.decoder.set_weights(weights)


def test_a_network_that_ignores_padding_is_told_of_it(predictor):
    config = predictor.config.replace({"model.ignore_padding": True})
    net = build_network(config, predictor.split)
    steps = type(predictor.steps)(net, predictor.split, config)
    encode = edge_graphs(steps)["encode"]
    assert [spec.name for spec in encode.inputs] == ["image", "size"]
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    inputs = tf.constant(client_edge.square(image, 64)[None])
    found = encode.function(inputs, tf.constant([40, 64]))["features"]
    expected, _ = steps.encode(tf.constant(image), 1.0, False)
    # Features near 250, added up in another order.
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3)
    assert not np.any(found[0, -1])


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (30, 100), (301, 9)])
def test_client_resizes_as_the_predictor(size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    expected = preprocess.square_image(tf.constant(image), 64)
    np.testing.assert_array_equal(client_edge.square(image, 64), expected)
    values = rng.random((32, 32), np.float32)
    expected = preprocess.restore(values[..., None], *size)[..., 0]
    found = client_edge.restore(values, *size)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def model_of(scores, probabilities, **changes) -> EdgeModel:
    """A client of graphs that always say the same."""
    manifest = {
        "format": "none",
        "graphs": {"encode": {"inputs": ["image"]}},
        "side": 2,
        "categories": ["cat", "dog", "cup"],
        "scored_ids": [1, 2],
        "tag_threshold": 0.5,
        "none_threshold": 0.3,
        "mask_threshold": 0.5,
        "rank_by_tag": True,
        **changes,
    }
    model = EdgeModel.__new__(EdgeModel)
    model.categories, model._manifest = manifest["categories"], manifest
    model._graphs = {
        "encode": lambda image: {"scores": np.array(scores, np.float32)},
        "decode": lambda label: {
            "probability": np.full(
                (2, 2), probabilities[int(label[0])], np.float32
            )
        },
    }
    return model


@pytest.mark.parametrize(
    ("scores", "tags", "changes", "ids", "value"),
    [
        ((0.9, 0.6, 1.0), (), {}, [1, 2], 1),  # 0.9 * 0.7 > 0.6 * 0.8
        ((0.9, 0.6, 1.0), (), {"rank_by_tag": False}, [1, 2], 2),
        ((0.9, 0.6, 1.0), ("dog", "cat"), {}, [1, 2], 2),
        ((0.4, 0.35, 1.0), (), {}, [1], 1),  # the best, where none is sure
        ((0.2, 0.1, 1.0), (), {}, [], 0),
        ((0.9, 0.6, 1.0), ("cup",), {}, [3], 0),  # not above the threshold
    ],
)
def test_client_chooses_and_merges(scores, tags, changes, ids, value):
    model = model_of(scores, {1: 0.7, 2: 0.8, 3: 0.5}, **changes)
    found = model.predict(np.zeros((3, 2, 3), np.uint8), tags)
    assert found["tag_ids"] == ids
    np.testing.assert_array_equal(found["mask"], np.full((3, 2), value))


def test_client_command(export, tmp_path, capsys):
    path = tmp_path / "turned.jpg"
    path.write_bytes(sample_files()[1])
    flags = [str(path), f"--model={export('litert')}", f"--out={tmp_path}/out"]
    assert client_edge.main([*flags, "--tags=fish"]) == 0
    assert capsys.readouterr().out.endswith("turned.jpg: fish\n")
    with Image.open(tmp_path / "out" / "turned.png") as mask:
        assert mask.size == (100, 150)
    named = read_json(tmp_path / "out" / "categories.json")
    lines = (Path(export("litert")) / "classes.txt").read_text().splitlines()
    assert list(named.values()) == lines[1:]  # behind the background
    assert list(named)[:2] == ["1", "2"]
    assert client_edge.main([*flags, "--tags=unicorn"]) == 1
    assert "unicorn" in capsys.readouterr().err


def example(heading: str) -> str:
    """The Python code below a heading of docs/serving.md."""
    text = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


@pytest.mark.parametrize("kind", ["litert", "onnx"])
def test_example_of_the_documentation(
    export, predictor, kind, tmp_path, monkeypatch
):
    if kind == "litert":
        pytest.importorskip("ai_edge_litert")
    # Of the square's size: Pillow smooths what it makes smaller.
    image = decode_image(sample_files()[0], "sample")[:64, :64]
    Image.fromarray(image).save(tmp_path / "photo.png")
    (tmp_path / "phone").symlink_to(export(kind))
    monkeypatch.chdir(tmp_path)
    name = {"litert": "LiteRT", "onnx": "ONNX Runtime"}[kind]
    variables = {}
    exec(example(f"Without this project: {name}"), variables)
    best = int(np.argmax(variables["scores"])) + 1
    expected = predictor.predict(image, [best], Quality())
    np.testing.assert_allclose(
        variables["scores"], expected.tag_scores, atol=1e-4
    )
    assert np.mean(variables["mask"] == (expected.mask > 0)) > 0.995


def test_refusals(predictor, tmp_path):
    steps = SimpleNamespace(has_crf=True, method="Prior", network=lambda _: 1)
    with pytest.raises(ConfigError, match="use --format=tf"):
        edge_graphs(steps)
    with pytest.raises(ConfigError, match="exists; give a new folder"):
        export_edge(predictor, tmp_path, "litert")


def test_networks_too_large_are_refused(predictor, monkeypatch):
    name = "keras_wsss.serving.edge_graph.MOST_WEIGHT_BYTES"
    monkeypatch.setattr(name, 1000)
    with pytest.raises(ConfigError, match=r"model\.attention=conv"):
        edge_graphs(predictor.steps)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--format=litert", "--max_tags=3"], "--max_tags means nothing"),
        (["--precision=int8"], "--precision means nothing with --format=tf"),
        (
            ["--format=onnx", "--calibration_images=x"],
            "needs --precision=int8",
        ),
    ],
)
def test_flags_that_do_nothing_are_refused(flags, text, tmp_path):
    flags = ["--workdir=run", f"--out={tmp_path}/1", *flags]
    done = run_script("export/__main__.py", *flags)
    assert done.returncode == 2
    assert text in done.stderr


def test_manifest_tells_what_a_client_must_know(export):
    manifest = read_json(export("litert") / "manifest.json")
    graphs, side = manifest["graphs"], manifest["side"]
    assert graphs["encode"]["inputs"]["image"] == {
        "shape": [1, side, side, 3],
        "dtype": "uint8",
    }
    passed = set(graphs["encode"]["outputs"]) - {"scores"}
    assert set(graphs["decode"]["inputs"]) == {"label", *passed}
    assert manifest["before"]
    assert manifest["after"]


def test_the_client_names_no_two_masks_alike(tmp_path, monkeypatch):
    class Stub:
        categories = ("cat",)

        def __init__(self, *_):
            pass

        def predict(self, image, _):
            return {"mask": image[..., 0], "tag_ids": [1]}

    monkeypatch.setattr(client_edge, "EdgeModel", Stub)
    paths = [tmp_path / name for name in ("a/1.png", "a/1.jpg", "b/1.png")]
    for level, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3), (100 * level,) * 3).save(path)
    out = tmp_path / "out"
    flags = [*map(str, paths), f"--model={tmp_path}", f"--out={out}"]
    assert client_edge.main(flags) == 0
    for name, level in (("1", 0), ("1_2", 100), ("1_3", 200)):
        assert np.asarray(Image.open(out / f"{name}.png")).max() == level

"""A whole export: files, answers, limits; asked over REST and gRPC too."""

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tiny import run_script

from keras_wsss.data.images import decode_image
from keras_wsss.errors import DataError
from keras_wsss.serving import client_rest, reload, signatures
from keras_wsss.serving.build import export_model, known_pictures
from keras_wsss.serving.check import check_export, sample_files
from keras_wsss.serving.manifest import verify_manifest
from keras_wsss.serving.options import ServingOptions
from keras_wsss.serving.signatures import ServingModule
from keras_wsss.systems.quality import Quality, View, choose_quality


def test_files_of_an_export(served_export):
    out, lines = served_export
    assert [path.name for path in out.parent.iterdir()] == ["1"]
    manifest = verify_manifest(out)
    assert manifest["options"]["max_tags"] == 3
    assert manifest["check"]["masks"] >= 11
    warmup = out / "assets.extra" / "tf_serving_warmup_requests"
    assert sum(1 for _ in tf.data.TFRecordDataset(str(warmup))) == 4
    assert "without keras_wsss" in lines[0]


def test_weights_are_stored_once_and_no_gradient(served_export, predictor):
    path = served_export[0] / "saved_model.pb"
    weights = sum(array.nbytes for array in predictor.net.encoder.get_weights())
    # The others too: none is left that is read at every call.
    weights += sum(v.numpy().nbytes for v in predictor.steps.variables)
    assert weights < path.stat().st_size < 1.9 * weights
    data = served_export[0] / "variables/variables.data-00000-of-00001"
    assert data.stat().st_size < 10_000
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    nodes = [
        node
        for function in model.meta_graphs[0].graph_def.library.function
        for node in function.node_def
    ]
    # TensorFlow warns of each wherever the model is loaded.
    assert not [n.name for n in nodes if "_gradient_op_type" in n.attr]


def test_target_pictures_in_sub_folders_are_found(predictor, tmp_path):
    for name in ("b/2.jpg", "b/.hidden.jpg", "a/x/1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    data = {"data.target_images": str(tmp_path)}
    run = SimpleNamespace(config=predictor.config.replace(data))
    found = [tmp_path / "a/x/1.png", tmp_path / "b/2.jpg"]
    assert known_pictures(run, 5) == found
    assert known_pictures(run, 1) == found[:1]


def test_signatures_are_described(served):
    assert set(served) == {"serving_default", "with_tags", "png", "tensors"}
    inputs = served["serving_default"].structured_input_signature[1]
    assert inputs["image_bytes"].shape.as_list() == [None]
    outputs = served["serving_default"].structured_outputs
    assert outputs["mask"].dtype == tf.uint8
    assert set(outputs) == {"mask", "size", "tags", "tag_ids", "scores"}


def test_mixed_batch_equals_the_predictor(served, predictor):
    files = sample_files()
    found = served["with_tags"](
        image_bytes=tf.constant(files),
        tags=tf.constant(["star,fish", "", " heart "]),
    )
    asked = [["fish", "star"], None, ["heart"]]
    for index, (data, tags) in enumerate(zip(files, asked, strict=True)):
        image = decode_image(data, "sample")
        expected = predictor(image, tags)
        height, width = image.shape[:2]
        assert tuple(found["size"][index].numpy()) == (height, width)
        mask = found["mask"][index].numpy()
        assert np.mean(mask[:height, :width] != expected.mask) < 1e-3
        assert np.all(mask[height:] == 255)
        assert np.all(mask[:, width:] == 255)
        ids = found["tag_ids"][index].numpy()
        assert tuple(ids[ids > 0]) == expected.tags
        names = [predictor.split.name_of(i) for i in expected.tags]
        tags = [name.decode() for name in found["tags"][index].numpy() if name]
        assert tags == names
        np.testing.assert_allclose(
            found["scores"][index], expected.tag_scores, atol=1e-4
        )


def test_empty_batch_is_refused(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="no picture"):
        served["serving_default"](image_bytes=tf.zeros([0], tf.string))


def png(width: int, height: int) -> bytes:
    return tf.io.encode_png(np.zeros((height, width, 3), np.uint8)).numpy()


@pytest.mark.parametrize(
    ("signature", "inputs", "text"),
    [
        ("serving_default", {"image_bytes": [b"GIF89a"]}, "neither JPEG nor"),
        ("serving_default", {"image_bytes": [png(201, 200)]}, "more than"),
        ("serving_default", {"image_bytes": [png(401, 1)]}, "longer than"),
        # Each fits, but not all masks padded to 400 x 400.
        (
            "serving_default",
            {"image_bytes": [png(400, 1), png(1, 400)]},
            "use signature png",
        ),
        (
            "with_tags",
            {"image_bytes": [png(9, 9)], "tags": ["fish,unicorn"]},
            "unicorn",
        ),
        (
            "with_tags",
            {"image_bytes": [png(9, 9)], "tags": ["fish,star,heart,arrow"]},
            "more than",
        ),
        (
            "with_tags",
            {"image_bytes": [png(9, 9)], "tags": ["fish", "star"]},
            "one text a picture",
        ),
        (
            "tensors",
            {"images": np.zeros((1, 201, 200, 3), np.uint8), "tags": [""]},
            "more than",
        ),
    ],
)
def test_refused_with_a_reason(served, signature, inputs, text):
    constants = {key: tf.constant(value) for key, value in inputs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        served[signature](**constants)
    assert text in str(caught.value)


def test_png_signature_has_no_padding_and_no_batch_limit(served):
    files = [png(400, 1), png(1, 400)]
    found = served["png"](
        image_bytes=tf.constant(files), tags=tf.constant(["fish", "star"])
    )
    shapes = [tf.io.decode_png(data).shape[:2] for data in found["mask_bytes"]]
    assert shapes == [(1, 400), (400, 1)]


def test_an_export_of_another_model_is_noticed(
    served, served_export, predictor, monkeypatch
):
    """The check must be able to fail: refinement on one side only."""

    def answer_here(saved_model, folder):
        reload.answer(served, folder)

    # That a fresh process answers was seen when `served_export` was made.
    monkeypatch.setattr(
        "keras_wsss.serving.check._answer_in_fresh_process", answer_here
    )
    quality = choose_quality(predictor.steps, refine=False)
    options = ServingOptions(max_pixels=40_000, max_tags=3, quality=quality)
    with pytest.raises(DataError, match=r"of the mask and scores by"):
        check_export(served_export[0], predictor, options, [])


def test_failed_check_leaves_no_version(predictor, tmp_path, monkeypatch):
    def fail(*_):
        raise DataError("differs")

    class Quick(ServingModule):
        def signatures(self):
            return {}

    monkeypatch.setattr("keras_wsss.serving.build.ServingModule", Quick)
    monkeypatch.setattr("keras_wsss.serving.build.check_export", fail)
    with pytest.raises(DataError, match="differs"):
        export_model(predictor, tmp_path / "1", ServingOptions(), log=print)
    assert not list(tmp_path.iterdir())


def test_views_are_averaged_in_the_graph(predictor, monkeypatch):
    # Some of the weights are too large for a graph, as dense attention is.
    monkeypatch.setattr(signatures, "LARGEST_CONSTANT", 1000)
    views = (View(mirror=True), View(0.5))
    options = ServingOptions(40_000, 3, quality=Quality(views))
    data = sample_files()[0]
    module = ServingModule(predictor.steps, options)
    assert 0 < len(module.weights) < len(predictor.steps.variables)
    found = module.signatures()["png"](
        image_bytes=tf.constant([data]), tags=tf.constant(["fish,star"])
    )
    mask = tf.io.decode_png(found["mask_bytes"][0])[..., 0].numpy()
    image = decode_image(data, "sample")
    expected = predictor(image, ["fish", "star"], views, refine=False)
    assert np.mean(mask != expected.mask) < 1e-3


def test_verify_command(served_export, tmp_path):
    copy = shutil.copytree(served_export[0], tmp_path / "1")
    done = run_script("export/__main__.py", f"--verify={copy}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "files are as exported" in done.stdout
    with open(copy / "saved_model.pb", "ab") as file:
        file.write(b"x")
    done = run_script("export/__main__.py", f"--verify={copy}")
    assert done.returncode == 2
    assert "saved_model.pb was changed" in done.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "Give --workdir RUN and --out MODEL/N"),
        (["--workdir=run", "--out=model/1"], "config.json: cannot be read"),
    ],
)
def test_command_errors(tmp_path, flags, text):
    flags = [flag.replace("model", f"{tmp_path}/model") for flag in flags]
    done = run_script("export/__main__.py", *flags)
    assert done.returncode == 2
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


class _RestStandIn(BaseHTTPRequestHandler):
    """TensorFlow Serving's row format, for the client's test."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        rows = body["instances"]
        data = [base64.b64decode(row["image_bytes"]["b64"]) for row in rows]
        function = self.server.signatures[body["signature_name"]]
        try:
            found = function(
                image_bytes=tf.constant(data),
                tags=tf.constant([row["tags"] for row in rows]),
            )
        except tf.errors.InvalidArgumentError as error:
            self._answer(400, {"error": str(error)})
            return
        masks = [
            base64.b64encode(m).decode() for m in found["mask_bytes"].numpy()
        ]
        self._answer(
            200,
            {
                "predictions": [
                    {
                        "mask_bytes": {"b64": masks[i]},
                        "size": found["size"][i].numpy().tolist(),
                        "tag_ids": found["tag_ids"][i].numpy().tolist(),
                        "scores": found["scores"][i].numpy().tolist(),
                        "tags": [t.decode() for t in found["tags"][i].numpy()],
                    }
                    for i in range(len(rows))
                ]
            },
        )

    def _answer(self, code: int, values: dict) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(values).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def rest_url(served):
    server = HTTPServer(("127.0.0.1", 0), _RestStandIn)
    server.signatures = served
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/models/segmentation"
    server.shutdown()
    server.server_close()


def test_rest_client(rest_url, predictor, tmp_path, capsys):
    files = sample_files()
    found = client_rest.predict(rest_url, files, ["fish,star", "", "heart"])
    assert found[0]["tags"] == [
        predictor.split.name_of(i) for i in found[0]["tag_ids"]
    ]
    image = decode_image(files[2], "sample")
    expected = predictor(image, ["heart"]).mask
    assert found[2]["mask"].shape == expected.shape
    assert np.mean(found[2]["mask"] != expected) < 1e-3
    path = tmp_path / "turned.jpg"
    path.write_bytes(files[1])
    flags = [str(path), f"--url={rest_url}", f"--out={tmp_path / 'masks'}"]
    assert client_rest.main([*flags, "--tags=fish"]) == 0
    assert capsys.readouterr().out.endswith("turned.jpg: fish\n")
    with Image.open(tmp_path / "masks" / "turned.png") as mask:
        assert mask.size == (100, 150)
    named = json.loads((tmp_path / "masks" / "categories.json").read_bytes())
    assert named == {str(predictor.split.id_of("fish")): "fish"}
    assert client_rest.main([*flags, "--tags=unicorn"]) == 1
    assert "unicorn" in capsys.readouterr().err


def test_grpc_client(served, served_export, tmp_path, capsys):
    pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    from benchmarks.load_server import WARMUP_FILE, PredictionService, start
    from keras_wsss.serving import client_grpc

    service = PredictionService(served)
    assert service.warm_up(str(served_export[0] / WARMUP_FILE)) == 4
    server, port = start(service, workers=1)
    target = f"127.0.0.1:{port}"
    try:
        with client_grpc.connect(target) as channel:
            found = client_grpc.predict(channel, "segmentation", sample_files())
        assert [row["mask"].shape for row in found] == [
            (120, 160),
            (150, 100),
            (130, 91),
        ]
        path = tmp_path / "turned.jpg"
        path.write_bytes(sample_files()[1])
        flags = [str(path), f"--target={target}", f"--out={tmp_path / 'out'}"]
        assert client_grpc.main([*flags, "--tags=fish"]) == 0
        assert capsys.readouterr().out.endswith("turned.jpg: fish\n")
        assert (tmp_path / "out" / "categories.json").exists()
        assert client_grpc.main([*flags, "--tags=unicorn"]) == 1
        assert "unicorn" in capsys.readouterr().err
    finally:
        server.stop(None)

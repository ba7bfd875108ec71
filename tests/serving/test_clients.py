"""Clients believe no answer, cut tiles alike, and outputs never meet."""

import base64
import io
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from keras_wsss.data.images import read_image
from keras_wsss.serving import client_edge, client_rest


def png(mask, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(mask, np.uint8))
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return {"b64": base64.b64encode(buffer.getvalue()).decode()}


def good(**changes):
    entry = {
        "mask_bytes": png([[0, 2], [0, 0], [2, 0]]),
        "size": [3, 2],
        "tags": ["fish", ""],
        "tag_ids": [2, 0],
        "scores": [0.5, 1],
    }
    entry.update(changes)
    return entry


def bright_is_fish(url, pictures, tags=None):
    """Stands in for a model: fish are bright; a star is the dark, if asked."""
    with Image.open(io.BytesIO(pictures[0])) as image:
        bright = np.asarray(image)[..., 0] > 100
    ids = [1] if bright.any() else []
    mask = bright.astype(np.uint8)
    if tags and tags[0]:
        ids, mask = [2], np.where(bright, 0, 2).astype(np.uint8)
    names = [("fish", "star")[i - 1] for i in ids]
    scores = [float(bright.mean()), 0.0]
    return [{"mask": mask, "tags": names, "tag_ids": ids, "scores": scores}]


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1/models/m"
    yield server
    server.shutdown()
    server.server_close()


def answer(server, value):
    if not isinstance(value, bytes):
        value = json.dumps(value).encode()
    server.answer = value
    return client_rest.predict(server.url, [b"picture"])


def test_a_good_answer_is_taken(server):
    (found,) = answer(server, {"predictions": [good()]})
    assert found["tags"] == ["fish"]
    assert found["tag_ids"] == [2]
    np.testing.assert_array_equal(found["mask"], [[0, 2], [0, 0], [2, 0]])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"<html>Sign in</html>", "no JSON.*what came back: <html>Sign in"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        ([1], r"no list of predictions.*\[1\]"),
        ({"outputs": 1}, "no list of predictions.*outputs"),
        ({"predictions": []}, "0 predictions of 1"),
        ({"predictions": [good(), good()]}, "2 predictions of 1"),
        ({"predictions": [[0.1, 0.9]]}, r"no object.*\[0.1, 0.9\]"),
        ({"predictions": [good(tags=None)]}, "without a list 'tags'"),
        ({"predictions": [good(tags=[1, 2])]}, "without a list 'tags'"),
        ({"predictions": [good(tag_ids=["2"])]}, "without a list 'tag_ids'"),
        ({"predictions": [good(scores=["a"])]}, "without a list 'scores'"),
        ({"predictions": [good(tag_ids=[2, 1])]}, "of different lengths"),
        ({"predictions": [good(mask_bytes=7)]}, "without a PNG"),
        ({"predictions": [good(mask_bytes={"b64": "!"})]}, "without a PNG"),
        ({"predictions": [good(mask_bytes={"b64": ""})]}, "without a PNG"),
        (
            {"predictions": [good(mask_bytes=png([[0, 2]], "RGB"))]},
            "without a PNG",
        ),
        (
            {"predictions": [good(mask_bytes=png([[0, 9]]))]},
            r"ids that are no tag \(9\)",
        ),
        ({"predictions": [good(size=[2, 3])]}, "another size than it says"),
    ],
)
def test_any_other_answer_is_named(server, value, text):
    with pytest.raises(RuntimeError, match=text) as caught:
        answer(server, value)
    assert server.url in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_command_says_it_and_writes_nothing(server, tmp_path, capsys):
    server.answer = b"<html>Sign in</html>"
    (tmp_path / "a.jpg").write_bytes(b"picture")
    out = tmp_path / "out"
    flags = [str(tmp_path / "a.jpg"), f"--url={server.url}", f"--out={out}"]
    assert client_rest.main(flags) == 1
    assert "what came back: <html>Sign in" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_pictures_of_one_name_have_masks_of_their_own(server, tmp_path):
    paths = []
    for name in ("a/1.jpg", "a/1.png", "b/1.jpg", "b/I.jpg", "b/i.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")
        paths.append(str(path))
    (tmp_path / "b" / "link.jpg").symlink_to(paths[0])
    paths.append(str(tmp_path / "b" / "link.jpg"))
    server.answer = json.dumps({"predictions": [good()]}).encode()
    out = tmp_path / "out"
    assert (
        client_rest.main([*paths, f"--url={server.url}", f"--out={out}"]) == 0
    )
    names = sorted(path.name for path in out.glob("*.png"))
    assert names == [
        "1.png",
        "1_2.png",
        "1_3.png",
        "I.png",
        "i_2.png",
        "link.png",
    ]


def test_a_picture_in_the_folder_of_outputs_stays(server, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"picture")
    server.answer = json.dumps({"predictions": [good()]}).encode()
    flags = [str(path), f"--url={server.url}", f"--out={tmp_path}"]
    assert client_rest.main(flags) == 0
    assert path.read_bytes() == b"picture"
    assert (tmp_path / "a_2.png").exists()


def send(data, tags):
    """`bright_is_fish` as the clients ask."""
    return bright_is_fish("", [data], [tags])[0]


@pytest.mark.parametrize("size", [(150, 300), (64, 65), (500, 20)])
def test_tiles_make_up_the_picture(size):
    pixels = np.random.default_rng(0).integers(0, 200, (*size, 3), np.uint8)
    pixels[:, -30:] = 200
    found = client_rest.predict_tiles(send, Image.fromarray(pixels), 64)
    np.testing.assert_array_equal(found["mask"], pixels[..., 0] > 100)
    assert (found["tags"], found["tag_ids"]) == (["fish"], [1])
    assert isinstance(found["scores"], list)
    assert found["scores"][0] == pytest.approx(1, abs=0.5)


def test_tiles_are_cut_of_the_picture_that_training_would_see(
    monkeypatch, tmp_path
):
    """Of 16 bits the upper 8 count; Pillow's own conversion gives white."""
    path = tmp_path / "deep.png"
    grey = np.full((80, 70), 100 << 8, np.uint16)
    Image.fromarray(grey).save(path)
    seen = []

    def tiles(send, picture, side, tags):
        seen.append(np.asarray(picture))
        return {
            "mask": np.zeros((80, 70), np.uint8),
            "tags": [],
            "tag_ids": [],
        }

    monkeypatch.setattr(client_rest, "predict_tiles", tiles)
    flags = [str(path), f"--out={tmp_path}/out", "--tile=64"]
    assert client_rest.main(flags) == 0
    np.testing.assert_array_equal(seen[0], read_image(path))


class EdgeStub:
    """An `EdgeModel` of `bright_is_fish`."""

    categories = ("fish", "star")

    def __init__(self, *_):
        pass

    def predict(self, image, tags=()):
        data = io.BytesIO()
        Image.fromarray(image).save(data, "PNG")
        return send(data.getvalue(), ",".join(tags))


@pytest.fixture(params=["rest", "grpc", "edge"])
def tiling_client(request, monkeypatch):
    """Command line of a client whose model is `bright_is_fish`."""
    if request.param == "rest":
        monkeypatch.setattr(client_rest, "predict", bright_is_fish)
        return client_rest.main
    if request.param == "edge":
        monkeypatch.setattr(client_edge, "EdgeModel", EdgeStub)
        return lambda flags: client_edge.main([*flags, "--model=phone"])
    try:
        import tensorflow_serving.apis  # noqa: F401
    except ImportError:  # its messages are not needed here
        apis = types.ModuleType("tensorflow_serving.apis")
        apis.predict_pb2 = apis.prediction_service_pb2_grpc = None
        monkeypatch.setitem(sys.modules, "tensorflow_serving", apis)
        monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", apis)
    from keras_wsss.serving import client_grpc

    def predict(channel, *arguments):
        return bright_is_fish(*arguments)

    monkeypatch.setattr(client_grpc, "predict", predict)
    return client_grpc.main


def test_what_no_tile_names_is_taken_from_the_whole(tiling_client, tmp_path):
    """A tag that was given: no other one is drawn."""
    pixels = np.zeros((128, 256, 3), np.uint8)
    pixels[:, 128:] = 200
    path = tmp_path / "large.png"
    Image.fromarray(pixels).save(path)
    flags = [str(path), f"--out={tmp_path}/out", "--tile=64", "--tags=star"]
    assert tiling_client(flags) == 0
    with Image.open(tmp_path / "out" / "large.png") as image:
        mask = np.asarray(image)
    assert mask.shape == (128, 256)
    assert (mask[:, :120] == 2).all()
    assert not mask[:, 136:].any()


def test_names_of_ids_lie_beside_the_masks(tmp_path):
    path = tmp_path / "categories.json"
    client_rest.save_names(tmp_path, {"tag_ids": [], "tags": []})
    assert not path.exists()
    client_rest.save_names(tmp_path, {"tag_ids": [2], "tags": ["star"]})
    client_rest.save_names(
        tmp_path, {"tag_ids": [1, 2], "tags": ["\u732b", "star"]}
    )
    assert json.loads(path.read_bytes()) == {"2": "star", "1": "\u732b"}
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="give another --out"):
        client_rest.save_names(tmp_path, {"tag_ids": [2], "tags": ["fish"]})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_of_another_models_masks_is_refused(
    tiling_client, tmp_path, capsys
):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    path = tmp_path / "out" / "categories.json"
    path.parent.mkdir()
    path.write_text('{"1": "cat", "2": "dog"}')
    flags = [f"{tmp_path}/a.png", f"--out={path.parent}", "--tags=star"]
    assert tiling_client(flags) == 1
    assert "give another --out" in capsys.readouterr().err
    assert json.loads(path.read_bytes())["2"] == "dog"
    assert list(path.parent.iterdir()) == [path]


def test_no_tile_is_nothing(tiling_client, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        tiling_client([f"{tmp_path}/a.png", "--tile=0"])
    assert caught.value.code == 2
    assert "--tile: invalid pixels value: '0'" in capsys.readouterr().err

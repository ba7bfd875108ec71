"""Files that try to run code or fill memory, offered as weights or config."""

import ast
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from limits import allocating_at_most
from tiny import tiny_config

from keras_wsss.checkpoints import (
    Checkpoint,
    load_checkpoint,
    load_latest,
    save_checkpoint,
)
from keras_wsss.config_files import load_run_config
from keras_wsss.encoders.layer_weights import read_layer_weights
from keras_wsss.errors import ConfigError, DataError, UserError
from keras_wsss.run_folder import CHECKPOINTS, CONFIG_FILE, read_phase
from keras_wsss.training.run import train

NAME = "step_000000005.npz"


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof: Path):
        self.proof = str(proof)

    def __reduce__(self):
        return os.mkdir, (self.proof,)


def npy_with_header(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(entries: dict[str, bytes], method=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return stream.getvalue()


def pickled(proof: Path) -> bytes:
    return pickle.dumps(Attack(proof))


def object_array(proof: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Attack(proof)], object), allow_pickle=True)
    return stream.getvalue()


def keras_archive(proof: Path) -> bytes:
    """A `.keras` file whose Lambda layer holds code."""
    code = f"import os; os.mkdir({str(proof)!r})"
    config = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": code}},
    }
    return zipped(
        {
            "config.json": json.dumps(config).encode(),
            "metadata.json": b"{}",
            "model.weights.h5": b"\x89HDF\r\n\x1a\n",
        }
    )


def huge_shape(proof: Path) -> bytes:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }"
    return zipped({"array/model/a.npy": npy_with_header(header % 2**38)})


def zip_bomb(proof: Path) -> bytes:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }"
    data = npy_with_header(header % 25_000_000) + bytes(100_000_000)
    return zipped({"array/model/a.npy": data}, zipfile.ZIP_DEFLATED)


def wrong_meta(meta: str):
    """A file whose check sums are right, but not what it says of itself."""

    def make(proof: Path) -> bytes:
        path = save_checkpoint(proof.parent, Checkpoint(5, {}, {}))
        digest = hashlib.sha256(meta.encode()).hexdigest()
        np.savez(path, **{"meta.json": np.array(meta), "sha256": digest})
        return path.read_bytes()

    return make


@pytest.mark.parametrize(
    "make",
    [
        pickled,
        object_array,
        lambda proof: zipped({"array/a.npy": object_array(proof)}),
        keras_archive,
        huge_shape,
        zip_bomb,
        wrong_meta("[]"),
        wrong_meta("{}"),
        wrong_meta('{"step": "x"}'),
        lambda proof: b"",
        lambda proof: b"PK\x03\x04",
        lambda proof: bytes(1000),
    ],
    ids=[
        *("pickle", "npy_object", "npz_object", "keras", "huge_shape"),
        *("zip_bomb", "meta_list", "meta_empty", "meta_step", "empty"),
        *("zip_magic", "zeros"),
    ],
)
def test_no_checkpoint_is_refused_and_runs_nothing(make, tmp_path):
    proof = tmp_path / "proof"
    data = make(proof)
    path = tmp_path / "run" / NAME
    path.parent.mkdir()
    path.write_bytes(data)
    with (
        allocating_at_most(50),
        pytest.raises(DataError, match="damaged checkpoint") as caught,
    ):
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert not proof.exists()
    lines = []
    assert load_latest(path.parent, lines.append) is None
    assert len(lines) == 1


def external_link(path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["secret"] = np.arange(3.0)
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/block1_conv1/vars")
        variables.attrs["name"] = "block1_conv1"
        variables["0"] = h5py.ExternalLink("other.h5", "secret")


def external_data(path: Path) -> None:
    """A dataset whose values lie in another file of the machine."""
    secret = path.with_name("secret.txt")
    secret.write_bytes(bytes(range(8)))
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/block1_conv1/vars")
        variables.attrs["name"] = "block1_conv1"
        variables.create_dataset(
            "0", (8,), np.uint8, external=[(str(secret), 0, 8)]
        )


def declared_huge(path: Path) -> None:
    """Terabytes of fill value in a file of some kilobytes."""
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/block1_conv1/vars")
        variables.create_dataset("0", (2**40,), np.float32, chunks=(2**20,))


def compressed_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/block1_conv1/vars")
        variables.create_dataset(
            "0", data=np.zeros(2**25, np.float32), compression="gzip"
        )


def link_loop(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/block1_conv1")
        group["vars"] = h5py.SoftLink("/layers/block1_conv1/vars")


def strings(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/block1_conv1/vars/0"] = "text"


def odd_names(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/block1_conv1/vars/kernel"] = np.zeros(3)


def flat(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers"] = np.zeros(3)


@pytest.mark.parametrize(
    "write",
    [
        external_link,
        external_data,
        declared_huge,
        compressed_bomb,
        link_loop,
        strings,
        odd_names,
        flat,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)),
        lambda path: path.write_bytes(pickled(path.with_name("proof"))),
        lambda path: path.write_bytes(object_array(path.with_name("proof"))),
        lambda path: path.write_bytes(keras_archive(path.with_name("proof"))),
        os.mkfifo,
        lambda path: path.mkdir(),
    ],
    ids=[
        *("external_link", "external_data", "declared_huge", "bomb", "loop"),
        *("strings", "odd_names", "flat", "empty", "zeros", "pickle"),
        *("npy_object", "keras", "pipe", "folder"),
    ],
)
def test_no_encoder_weights_are_refused(write, tmp_path):
    path = tmp_path / "encoder.weights.h5"
    write(path)
    with (
        allocating_at_most(50),
        pytest.raises(ConfigError, match=r"encoder\.weights\.h5"),
    ):
        read_layer_weights(path)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"train": 5}',
        b'{"__class__": "os.system"}', b'{"train": {"seed": "x"}}',
        b'{"image": {"size": 1e400}}', b"9" * 5000,
    ],
    ids=range(10),
)  # fmt: skip
def test_no_config_is_refused(data, tmp_path):
    path = tmp_path / CONFIG_FILE
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=str(path)):
        load_run_config(tmp_path)


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b"{}", b"[" * 100_000])
def test_no_phase_file_is_refused(data, tmp_path):
    (tmp_path / "phase.json").write_bytes(data)
    with pytest.raises(UserError, match=r"phase\.json"):
        read_phase(tmp_path)


def test_checkpoint_of_another_configuration_names_the_field(
    shapes_dir, decoder_run, tmp_path
):
    """The folder is right, but someone copied a checkpoint into it."""
    run = shutil.copytree(decoder_run[0], tmp_path / "run")
    (run / "results.json").unlink()
    folder = run / CHECKPOINTS
    newest = load_latest(folder)
    meta = json.loads(json.dumps(newest.meta))
    meta["config"]["train"]["seed"] = 7
    save_checkpoint(folder, Checkpoint(newest.step, newest.arrays, meta))
    config = tiny_config(shapes_dir)
    config = config.replace({"train.deterministic": True})
    with pytest.raises(ConfigError, match=r"train\.seed is 7 there and 0"):
        train(config, "decoder", run, log=lambda line: None)


def test_arrays_of_another_kind_are_refused(shapes_dir, decoder_run, tmp_path):
    run = shutil.copytree(decoder_run[0], tmp_path / "run")
    folder = run / CHECKPOINTS
    newest = load_latest(folder)
    arrays = {
        name: np.full(array.shape, "x") if name.endswith("kernel") else array
        for name, array in newest.arrays.items()
    }
    save_checkpoint(folder, Checkpoint(99, arrays, newest.meta))
    with pytest.raises(DataError, match="holds <U1, float32 is needed"):
        train(
            tiny_config(shapes_dir),
            "transfer",
            tmp_path / "transfer",
            init_from=run,
            log=lambda line: None,
        )


def test_no_code_of_the_project_loads_whole_models_or_pickles():
    """Weights only: these calls would run what a file says."""
    root = Path(__file__).parents[2]
    words = ("load_model(", "allow_pickle=True", "Lambda(", "eval(")
    # pickletools only lists what a pickle says, see encoders/torch_arrays.py.
    loaders = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve"}
    for path in [*root.glob("*.py"), *root.glob("keras_wsss/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found = {name.partition(".")[0] for name in names} & loaders
            assert not found, (path, node.lineno, found)
        for line in text.splitlines():
            code = line.partition("#")[0]
            for word in words:
                assert word not in code, (path, line)

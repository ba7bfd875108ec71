"""What one phase has encoded, no later phase encodes again."""

import re

from tiny import tiny_config

from keras_wsss.inference.pseudo_labels import pseudo_labels
from keras_wsss.training.run import train


def _built(lines):
    """Views encoded, and views wanted, by the lines of a command."""
    found = [re.search(r": (\d+) views, .* (\d+) built", s) for s in lines]
    counts = [(int(m[2]), int(m[1])) for m in found if m]
    lines.clear()
    return tuple(map(sum, zip(*counts, strict=True)))


def test_phases_and_pseudo_labels_encode_every_view_once(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir).replace(
        {"cache.folder": str(tmp_path / "cache"), "train.heldout_every": 100}
    )
    for phase in ("attention", "transfer"):
        config = config.replace({f"phases.{phase}": {"steps": 2}})
    lines = []
    first = tmp_path / "attention"
    train(config, "attention", first, log=lines.append)
    built, wanted = _built(lines)
    entries = len(list((tmp_path / "cache").glob("??/*.features")))
    assert 0 < built == entries <= wanted
    second = tmp_path / "transfer"
    train(config, "transfer", second, first, log=lines.append)
    assert _built(lines) == (0, wanted)
    made = pseudo_labels(second, tmp_path / "labels", log=lines.append)
    assert made["written"] > 10
    built, wanted = _built(lines)
    assert (built, wanted) == (0, 2 * made["pictures"])

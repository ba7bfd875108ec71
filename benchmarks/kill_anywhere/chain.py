"""The commands from nothing to a served model, on tiny generated data."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.kill_anywhere.processes import script

TRAIN = (
    "--config=tests/tiny.py",
    "--config.model.encoder_weights=",  # those of the package
    "--config.train.deterministic=True",
    "--config.train.examples=0",  # drawn only
    "--config.train.checkpoint_every=2",
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A link of the chain.

    Attributes:
        name: what the table says.
        run: the command itself.
        folders: what it makes.
        weight: of its share of the kills.
        once: a folder that appears as a whole, and that it refuses to make
            again.
    """

    name: str
    run: Callable[[], None]
    folders: tuple[str, ...]
    weight: int
    once: str = ""


def chain(root: Path) -> list[Command]:
    """The commands, in a folder."""
    os.environ["KERAS_WSSS_TINY"] = str(root / "data")
    transfer = root / "transfer"

    def train(phase: str, *flags: str) -> Callable[[], None]:
        return script(
            "train.py",
            f"--phase={phase}",
            f"--workdir={root / phase}",
            f"--feature_cache={root / 'cache' / phase}",
            *TRAIN,
            *flags,
        )

    def data() -> None:
        from keras_wsss.shapes.make import ShapesSize, write_shapes

        write_shapes(
            root / "data",
            size=ShapesSize(64, 30, 16, 6, negatives=2, without=0),
        )

    return [
        Command("data", data, ("data",), 1, once="data"),
        Command(
            "decoder phase", train("decoder"), ("cache/decoder", "decoder"), 3
        ),
        Command(
            "transfer phase",
            train("transfer", f"--init_from={root / 'decoder'}"),
            ("cache/transfer", "transfer"),
            3,
        ),
        Command(
            "evaluation",
            script(
                "evaluate.py",
                f"--workdir={transfer}",
                f"--out={root / 'evaluation'}",
            ),
            ("evaluation",),
            2,
        ),
        Command(
            "export",
            script(
                "export",
                f"--workdir={transfer}",
                f"--out={root / 'served' / '1'}",
                "--noaugment",  # with the next, a quarter of the seconds
                "--norefine",
            ),
            ("served",),
            2,
            once="served/1",
        ),
    ]

"""What every command of the project shares: errors without tracebacks."""

import dataclasses
import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags

from keras_wsss.errors import ConfigError, Terminated, UserError, printable
from keras_wsss.quiet_start import load_tensorflow

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
# No space left, quota used up, file too large, file system read-only.
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What comes of a path that somebody gave: a file where a folder should be, a
# folder where a file should be, no permission, a loop of links, no such place.
_WRONG_PATH = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
)


def exit_with(main: Callable[[], int | None]) -> NoReturn:
    """Runs `main` and exits: user errors become one sentence on stderr.

    Args:
        main: returns the exit code; None means 0.
    """
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except OSError as error:
        if error.errno in _NOT_WRITTEN:
            text = _not_written(error)
        elif error.errno in _WRONG_PATH and error.filename:
            text = _wrong_path(error)
        else:
            raise
        print(f"error: {printable(text)}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except Terminated as error:
        print(f"terminated: {error}", file=sys.stderr)
        code = EXIT_TERMINATED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code)


def _not_written(error: OSError) -> str:
    where = f"{error.filename} " if error.filename else "A file "
    return (
        f"{where}could not be written ({error.strerror}). Make room and "
        "repeat the command; files that were complete before are intact."
    )


def _wrong_path(error: OSError) -> str:
    # Of a renaming, the second is the place that was asked for.
    path = error.filename2 or error.filename
    return (
        f"{path} cannot be used ({error.strerror}). Give another path, or "
        "change what is there."
    )


def define_workdir() -> flags.FlagHolder:
    """The flag of every command that needs a run."""
    return flags.DEFINE_string(
        "workdir", None, "Run folder of a training.", required=True
    )


def define_max_pixels() -> flags.FlagHolder:
    """The flag of every command that opens pictures for a run."""
    return flags.DEFINE_integer(
        "max_pixels",
        None,
        "Largest width times height of a picture; config.data.max_pixels "
        "if not given.",
        lower_bound=1,
    )


def say(line: str) -> None:
    """Prints a line at once, also into a file or pipe."""
    print(line, flush=True)


def no_arguments(argv: list[str]) -> None:
    """Refuses words that are no flags, for commands that take none.

    Raises:
        ConfigError: names the first of them.
    """
    if len(argv) > 1:
        raise ConfigError(f"Unknown argument '{argv[1]}'; see --help.")


def start_computing() -> None:
    """Imports TensorFlow, and prints what computes as a command's first line.

    For commands that compute in one process on one device.
    """
    load_tensorflow()
    from keras_wsss.devices import announce_devices

    announce_devices()


def define_checkpoint() -> flags.FlagHolder:
    """The flag of every command that loads the weights of a run."""
    return flags.DEFINE_enum(
        "checkpoint",
        "last",
        ["last", "best"],
        "Which weights of the run: the 'last' ones, or those that were "
        "'best' on held-out source masks, if it was trained with "
        "--config.train.keep_best=True.",
    )


@dataclasses.dataclass(frozen=True)
class QualityFlags:
    """`--augment`, `--refine` and `--crf`, of all commands that make masks."""

    augment: flags.FlagHolder
    refine: flags.FlagHolder
    crf: flags.FlagHolder

    def given(self) -> dict[str, Any]:
        """Arguments of `choose_quality`; None where no flag was given."""
        return {
            "augment": self.augment.value,
            "refine": self.refine.value,
            "own_crf": self.crf.value,
        }


def define_quality() -> QualityFlags:
    """The flags that decide what is done for a picture.

    Without any, a command gives what `choose_quality` says of the network.
    """
    return QualityFlags(
        flags.DEFINE_bool(
            "augment",
            None,
            "Average over mirrored pictures and the config's scales; on "
            "if not given.",
        ),
        flags.DEFINE_bool(
            "refine",
            None,
            "Let masks follow the picture's colours and edges; on if not "
            "given, unless the network's own CRF is.",
        ),
        flags.DEFINE_bool(
            "crf",
            None,
            "Let the network's own CRF smooth its logits, as the "
            "published inference of the prior system does; on if not "
            "given, where there is one.",
        ),
    )


@dataclasses.dataclass(frozen=True)
class TileFlags:
    """`--tile` and `--tile_overlap`, of all commands that make masks here."""

    tile: flags.FlagHolder
    overlap: flags.FlagHolder

    def given(self) -> dict[str, Any]:
        """Further arguments of `choose_quality`."""
        return {
            "tile": self.tile.value,
            "tile_overlap": self.overlap.value,
        }


def define_tiles() -> TileFlags:
    """The flags that cut large pictures."""
    return TileFlags(
        flags.DEFINE_integer(
            "tile",
            None,
            "Side in pixels of the overlapping tiles that larger pictures are "
            "cut into, each of which the network sees at its full size; 0 is "
            "the side of its input. Pictures are not cut if not given.",
            lower_bound=0,
        ),
        flags.DEFINE_float(
            "tile_overlap",
            None,
            "Share of a tile's side that neighbours have in common, 0 to 0.5; "
            "0.5 if not given.",
        ),
    )


@dataclasses.dataclass(frozen=True)
class FormatFlags:
    """`--format` and what formats can be told, of commands that make masks."""

    formats: flags.FlagHolder
    coco_ids: flags.FlagHolder
    coco_polygons: flags.FlagHolder
    image_url: flags.FlagHolder

    def given(self) -> dict[str, Any]:
        """Arguments "formats" and "options" of what writes masks.

        Raises:
            ConfigError: no such format.
        """
        from keras_wsss.data.writers import get_writer
        from keras_wsss.data.writers.writer import WriterOptions

        names = [name for text in self.formats.value for name in split(text)]
        for name in names:
            get_writer(name)
        if self.coco_ids.value and "coco" not in names:
            raise ConfigError("--coco_ids needs --format=coco.")
        return {
            "formats": names,
            "options": WriterOptions(
                Path(self.coco_ids.value) if self.coco_ids.value else None,
                self.coco_polygons.value,
                self.image_url.value,
            ),
        }


def define_formats() -> FormatFlags:
    """The flags that decide what masks are written as."""
    return FormatFlags(
        flags.DEFINE_multi_string(
            "format",
            ["png"],
            "What masks are written as: png (always), coco, cvat, labelstudio; "
            "several with commas or several times.",
        ),
        flags.DEFINE_string(
            "coco_ids",
            None,
            "COCO file whose ids of pictures and categories --format=coco "
            "uses; numbers from 1 if not given.",
        ),
        flags.DEFINE_bool(
            "coco_polygons",
            False,
            "Polygons in place of run lengths in --format=coco.",
        ),
        flags.DEFINE_string(
            "image_url",
            "/data/local-files/?d=",
            "What --format=labelstudio puts before a picture's name.",
        ),
    )


def define_compute_dtype() -> flags.FlagHolder:
    """The flag that says in which precision a trained network computes."""
    return flags.DEFINE_enum(
        "compute_dtype",
        None,
        ["auto", "float32", "bfloat16", "float16"],
        "Type that the network computes in; the run's if not given. auto is "
        "bfloat16 where GPU or processor have it.",
    )


def define_shard() -> flags.FlagHolder:
    """The flag that names a share of the pictures."""
    return flags.DEFINE_string(
        "shard",
        None,
        "Share of the pictures that this job does, e.g. 3/8 for the third of "
        "8 jobs, which together do every picture once; all if not given. "
        "Lists and single files of a share go to OUT/shards/3-of-8.",
    )


def define_batch() -> flags.FlagHolder:
    """The flag that says how many pictures the encoder takes at once."""
    return flags.DEFINE_integer(
        "batch",
        None,
        "Pictures that the encoder takes at once; 1 without a GPU if not "
        "given. More may move single pixels: sums are of another order.",
        lower_bound=1,
    )


def split(text: str) -> list[str]:
    """Words between commas, without space around them or empty ones."""
    return [word.strip() for word in text.split(",") if word.strip()]


def run_app(run: Callable[[list[str]], int | None]) -> NoReturn:
    """Parses absl flags, runs `run` with what is left of argv, and exits.

    Unlike `absl.app.run` alone, wrong flags and config fields are user
    errors too.

    Args:
        run: returns the exit code; None means 0.
    """

    def main(argv: list[str]) -> None:
        exit_with(lambda: run(argv))

    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except SystemExit:  # after --help, which is no fault as absl has it
        sys.exit(0)
    except BrokenPipeError:  # of `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except flags.UnrecognizedFlagError as error:
        if not error.flagname.startswith("config."):
            exit_with(_raising(f"{_sentence(error)}; see --help."))
        from keras_wsss.commands.config_flag import unknown_field

        exit_with(_raising(unknown_field(error.flagname)))
    except (flags.Error, UserError) as error:
        exit_with(_raising(f"{_sentence(error)}; see --help."))


def _raising(text: str) -> Callable[[], None]:
    def fail() -> None:
        raise ConfigError(text)

    return fail


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")

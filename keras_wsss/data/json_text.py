"""JSON files of strangers, read within limits."""

import json
import os
from pathlib import Path
from typing import Any

from keras_wsss.data.problems import check_text, read_text
from keras_wsss.errors import DataError

_SMALL = 16_000_000  # characters; less text cannot take much memory
_TEXT_PER_BRACKET = 8  # characters; real files have 30 and more


def check_brackets(path: Path, what: str) -> None:
    """Refuses a large file of little but brackets.

    Args:
        path: the file.
        what: it should be, for messages.

    Raises:
        DataError: each bracket would take 20 times its text as an object.
    """
    size = brackets = 0
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= _SMALL:
            return
        while block := file.read(1 << 20):
            size += len(block)
            brackets += block.count(b"[") + block.count(b"{")
    if brackets * _TEXT_PER_BRACKET > size:
        raise DataError(
            f"{path}: not a {what} ({brackets} brackets in {size} "
            "characters); export the file again."
        )


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        what: it should be, for messages, e.g. "COCO instances file".

    Raises:
        DataError: missing, too large, no JSON, or nothing but brackets.
    """
    check_text(path)
    check_brackets(path, what)
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno} column {error.colno}: not JSON "
            f"({error.msg}); download or export the file again."
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}: not a {what} (its lists are nested too deeply); export "
            "the file again."
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: not a {what} ({error}).") from None

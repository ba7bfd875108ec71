"""The lists of a large JSON object, element by element.

A file of a million annotations takes ten times its text as Python objects, so
one element is decoded at a time. What is out of the ordinary is left to
`json_text.read_json`, which says what is wrong.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_WINDOW = 1 << 20  # bytes that are decoded at a time
_LONGEST = 1 << 26  # bytes of an element; longer ones are not streamed
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class IrregularError(Exception):
    """The file is not of the form that can be streamed."""


class Element(NamedTuple):
    """One element of a list.

    Attributes:
        value: what JSON decodes it to.
        start: its first byte in the file.
        size: its bytes.
    """

    value: Any
    start: int
    size: int


class JsonLists:
    """A file with an object of lists, each key once.

    A list may be read before its turn: `ahead` looks for it from the end, and
    `elements` finds out whether that was right.

    Args:
        path: the file.
        keys: of the lists.
    """

    def __init__(self, path: Path, keys: tuple[str, ...]):
        self._path = path
        self._keys = keys
        self._ahead: dict[str, int] = {}

    def ahead(self, key: str) -> Iterator[Element]:
        """Elements of a list that `elements` has not come to yet.

        Raises:
            IrregularError: it is not found, or is no list.
        """
        with open(self._path, "rb") as file:
            start = _rfind(file, json.dumps(key).encode())
            text = _Text(file, start)
            self._ahead[key] = start
            text.value()
            text.take(":")
            yield from text.elements()

    def elements(self) -> Iterator[tuple[str, Iterator[Element]]]:
        """The lists of the keys, in their order; each must be used up.

        Raises:
            IrregularError: anything but an object with each of the keys once,
                of which each is a list.
        """
        seen: set[str] = set()
        with open(self._path, "rb") as file:
            text = _Text(file, len(_BOM) * (file.read(len(_BOM)) == _BOM))
            text.take("{")
            while True:
                start = text.position()
                key = text.value()
                if not isinstance(key, str) or key in seen:
                    raise IrregularError
                if self._ahead.get(key, start) != start:
                    raise IrregularError  # read another one before
                seen.add(key)
                text.take(":")
                if key in self._keys:
                    yield key, text.elements()
                else:
                    text.value()
                if text.take(",}") == "}":
                    break
            if not text.ends() or not seen.issuperset(self._keys):
                raise IrregularError


def _rfind(file, wanted: bytes) -> int:
    end = file.seek(0, 2)
    while end > 0:
        start = max(end - _WINDOW, 0)
        file.seek(start)
        found = file.read(end - start + len(wanted) - 1).rfind(wanted)
        if found >= 0:
            return start + found
        end = start
    raise IrregularError


class _Text:
    """A window of a UTF-8 file that moves on; `self._at` is its cursor."""

    def __init__(self, file, start: int):
        self._file = file
        self._base = start  # byte of the file where the window begins
        self._text, self._at = "", 0
        self._size = 0  # of the window in bytes
        self._read(_WINDOW)

    def position(self) -> int:
        """Byte of the cursor, behind white space."""
        self._skip()
        return self._base + self._bytes(0, self._at)

    def ends(self) -> bool:
        """Whether nothing but white space is left."""
        self._skip()
        return self._at == len(self._text) and not self._more()

    def take(self, allowed: str) -> str:
        """The next character, which must be one of those allowed."""
        self._skip()
        found = self._text[self._at : self._at + 1]
        if not found or found not in allowed:
            raise IrregularError
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, decoded."""
        return self._value()[0]

    def elements(self) -> Iterator[Element]:
        """Elements of the list that comes next."""
        self.take("[")
        self._skip()
        if self._text.startswith("]", self._at):
            self._at += 1
            return
        known, at = self._base, 0  # a character of the window, and its byte
        while True:
            base = self._base
            value, first, last = self._value()
            if self._base != base:
                known, at = self._base, 0
            start = known + self._bytes(at, first)
            size = self._bytes(first, last)
            known, at = start + size, last
            yield Element(value, start, size)
            base = self._base
            if self.take(",]") == "]":
                return
            if self._base != base:
                known, at = self._base, 0

    def _value(self) -> tuple[Any, int, int]:
        """A value, and where in the window it begins and ends."""
        self._skip()
        while True:
            try:
                value, end = _scan(self._text, self._at)
                # A number at the end of the window may go on.
                if end < len(self._text) or not self._more():
                    first, self._at = self._at, end
                    return value, first, end
            except StopIteration:
                if not self._more():
                    raise IrregularError from None
            except json.JSONDecodeError:
                if not self._more():
                    raise IrregularError from None
            except (RecursionError, ValueError):
                raise IrregularError from None

    def _skip(self) -> None:
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) or not self._more():
                return

    def _bytes(self, first: int, last: int) -> int:
        """Bytes of a part of the window."""
        if self._text.isascii():
            return last - first
        return len(self._text[first:last].encode())

    def _more(self) -> bool:
        """Moves the window to the cursor and makes it longer."""
        taken = self._bytes(0, self._at)
        rest = self._size - taken
        if rest > _LONGEST:
            raise IrregularError
        self._base += taken
        self._at = 0
        return self._read(2 * rest if rest > _WINDOW // 2 else _WINDOW) > rest

    def _read(self, size: int) -> int:
        """Reads the window anew; gives its bytes."""
        self._file.seek(self._base)
        data = self._file.read(size)
        for _ in range(4):  # the last character may have been cut
            try:
                self._text = data.decode("utf-8")
                break
            except UnicodeDecodeError as error:
                if error.start < len(data) - 3:
                    raise IrregularError from None
                data = data[: error.start]
        self._size = len(data)
        return self._size

"""The objects of a VOC annotation, by a reader that knows no entities: what came with data is not expanded."""

from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate

from stopgrad.errors import UserError

_NAME, _DIFFICULT = ["annotation", "object", "name"], ["annotation", "object", "difficult"]


def objects(file: Path) -> list[tuple[str, bool]]:
    """Return (class, difficult?) of every object in ``file``; an object without the word is not difficult.

    Raises UserError for a file that cannot be read, is not XML, declares a document type or entities, or has an object without a class.
    """
    reader = _Reader(file)
    try:
        reader.parser.Parse(file.read_bytes(), True)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except ExpatError as error:
        raise UserError(f"{file}: is damaged ({error}); take it from its source again") from None
    if not reader.path_seen:
        raise UserError(f"{file}: is no annotation of VOC (its outermost element is none); take it from its source again")
    return reader.found


class _Reader:
    """Where in the file the parser is, and what it has met."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: list[tuple[str, bool]] = []
        self.path_seen = False
        self._path: list[str] = []
        self._texts = {"name": "", "difficult": ""}
        self.parser = ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _refuse(self, *declared: object) -> None:
        raise UserError(f"{self.file}: declares a document type, which annotations of VOC do not; it is not read, remove the declaration")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self.path_seen = self.path_seen or self._path == ["annotation"]
        if self._path == ["annotation", "object"]:
            self._texts = {"name": "", "difficult": ""}

    def _text(self, text: str) -> None:
        if self._path in (_NAME, _DIFFICULT):  # parts of an object have names too, one deeper
            self._texts[self._path[-1]] += text

    def _end(self, tag: str) -> None:
        if self._path == ["annotation", "object"]:
            name, difficult = (self._texts[word].strip() for word in ("name", "difficult"))
            if not name or difficult not in ("", "0", "1"):
                raise UserError(f"{self.file}: an object has no name, or is difficult {difficult!r}, which is neither 0 nor 1; mend it")
            self.found.append((name, difficult == "1"))
        self._path.pop()

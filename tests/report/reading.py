"""A page as a browser would find it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from stopgrad.report.page import write_report
from tests.report.runs import picture


class Page(HTMLParser):
    """What a browser would find: the text, the tags with their attributes, and the data of the script."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.feed(self.html)
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.html, re.DOTALL)
        assert data is not None
        self.data = json.loads(data[1])
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside[: len(self.inside) - 1 - self.inside[::-1].index(tag)]

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] not in ("script", "style"):
            self.words.append(data)

    def chart(self, key: str) -> list[dict[str, Any]]:
        return next(c["series"] for c in self.data["charts"] if c["key"] == key)


def page(*runs: Path) -> Page:
    return Page(write_report(runs, runs[0] / "report.html", picture))


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))

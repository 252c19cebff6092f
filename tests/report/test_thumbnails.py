import base64
import io

import numpy as np
import pytest
from PIL import Image

from stopgrad.report.thumbnails import pack


def test_every_tile_lies_where_the_sheet_says() -> None:
    colours = {"a": (250, 0, 0), "b": (0, 250, 0), "d": (0, 0, 250), "e": (250, 250, 0), "f": (9, 9, 9)}
    pictures = [(key, Image.new("RGB", (50, 30), colour)) for key, colour in colours.items()]
    sheet, places = pack([*pictures[:2], ("c", None), *pictures[2:]], tile=16, quality=90)
    assert sheet is not None
    assert places.keys() == colours.keys()
    kind, content = sheet.uri.split(",")
    assert kind == "data:image/jpeg;base64"
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert drawn.shape == (sheet.rows * 16, sheet.columns * 16, 3)
    for key, i in places.items():
        row, column = divmod(i, sheet.columns)
        tile = drawn[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
        assert np.abs(tile.astype(int) - colours[key]).max() <= 4  # no neighbour bleeds in


def test_positions_are_the_corners_of_the_sheet() -> None:
    sheet, _ = pack([(i, Image.new("L", (8, 8))) for i in range(6)], tile=16, quality=80)
    assert sheet is not None
    assert (sheet.columns, sheet.rows) == (3, 2)
    assert [sheet.position(i) for i in (0, 2, 4, 5)] == ["0.000% 0.000%", "100.000% 0.000%", "50.000% 100.000%", "100.000% 100.000%"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_any_mode_is_drawn(mode: str) -> None:
    sheet, places = pack([(0, Image.new(mode, (20, 40)))], tile=16, quality=80)
    assert sheet is not None
    assert sheet.position(places[0]) == "0.000% 0.000%"


def test_no_picture_no_sheet() -> None:
    assert pack([("a", None)], tile=16, quality=80) == (None, {})


def test_the_centre_is_shown() -> None:
    picture = Image.new("RGB", (96, 32), (255, 255, 255))
    picture.paste((0, 0, 0), (32, 0, 64, 32))
    sheet, _ = pack([(0, picture)], tile=32, quality=90)
    assert sheet is not None
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet.uri.split(",")[1]))))
    assert drawn.max() < 10

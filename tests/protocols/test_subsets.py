from pathlib import Path

import pytest
import torch

from stopgrad.errors import UserError
from stopgrad.protocols.subsets import balanced, digest, read_list, remarks, write_list

LABELS = torch.arange(400) % 4
SKEWED = torch.tensor([0] * 100 + [1] * 2 + [2] * 30)


def name(i: int) -> str:
    return f"class {i % 4}/{i:03}.png"


@pytest.mark.parametrize(("share", "each"), [(0.01, 1), (0.05, 5), (0.1, 10), (0.001, 1), (1.0, 100)])
def test_every_class_has_as_many(share: float, each: int) -> None:
    rows = balanced(LABELS, share, seed=0)
    assert LABELS[rows].bincount().tolist() == [each] * 4
    assert rows.tolist() == sorted(set(rows.tolist()))


def test_a_smaller_share_lies_within_a_larger_one_and_a_seed_decides() -> None:
    few, more = (balanced(LABELS, share, seed=0).tolist() for share in (0.05, 0.1))
    assert set(few) < set(more)
    assert balanced(LABELS, 0.05, seed=0).tolist() == few
    assert balanced(LABELS, 0.05, seed=1).tolist() != few
    assert digest(torch.tensor(few)) == digest(balanced(LABELS, 0.05, seed=0)) != digest(torch.tensor(more))


def test_the_choice_is_pinned() -> None:
    """A list that is drawn anew in another version would be another experiment."""
    assert balanced(LABELS, 0.01, seed=0).tolist() == [75, 90, 241, 304]


def test_a_class_with_fewer_gives_all_and_it_is_said() -> None:
    rows = balanced(SKEWED, 0.25, seed=0)
    assert SKEWED[rows].bincount().tolist() == [11, 2, 11]
    assert remarks(SKEWED, rows, 0.25) == [
        "24 labels are used, 18.18% of 132: at least one a class, and as many of each",
        "the classes have 2 to 11 labelled images: some have no more",
    ]
    assert remarks(LABELS, balanced(LABELS, 0.1, 0), 0.1) == []


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(UserError, match="share: of the labels, above 0 and at most 1, not"):
        balanced(LABELS, share, seed=0)


def test_a_list_goes_there_and_back(tmp_path: Path) -> None:
    rows = balanced(LABELS, 0.05, seed=0)
    write_list(tmp_path / "few.txt", name, rows)
    assert (tmp_path / "few.txt").read_text().splitlines() == [name(i) for i in rows.tolist()]
    assert read_list(tmp_path / "few.txt", name, LABELS, 4).tolist() == rows.tolist()


@pytest.mark.parametrize("strange", ["Grüße/ä b.png", "latin-1 \udce9.png", "#1.png"])
def test_any_name_of_one_line_goes_there_and_back(strange: str, tmp_path: Path) -> None:
    def named(i: int) -> str:
        return strange if i == 0 else name(i)

    write_list(tmp_path / "few.txt", named, torch.arange(4))
    assert read_list(tmp_path / "few.txt", named, LABELS, 4).tolist() == [0, 1, 2, 3]


def test_a_name_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the image a\\nb\.png has a line break"):
        write_list(tmp_path / "few.txt", lambda i: "a\nb.png", torch.arange(1))
    assert not (tmp_path / "few.txt").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [name(0), "nowhere.png", *map(name, (1, 2, 3))],
            "nowhere.png is not among the 400 training images; a line is an image's name",
        ),
        ([*map(name, (0, 1, 2, 3)), name(2)], r"class 2/002\.png is listed more than once"),
        ([*map(name, (0, 2, 4))], r"no image of 2 of the 4 classes is listed \(classes 1, 3\)"),
        ([], r"no image of 4 of the 4 classes is listed \(classes 0, 1, 2, 3\)"),
    ],
    ids=["not there", "twice", "a class without", "empty"],
)
def test_a_list_that_does_not_fit_is_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match=message):
        read_list(tmp_path / "few.txt", name, LABELS, 4)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"few\.txt: cannot be read \(No such file"):
        read_list(tmp_path / "few.txt", name, LABELS, 4)

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stopgrad.errors import UserError
from stopgrad.report import embeddings
from stopgrad.report.embeddings import choose_queries, nearest, open_table, plane, vectors
from tests.report.runs import clusters, write_embeddings


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "PIECE", 7)


def unit(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.usefixtures("small_pieces")
def test_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    names, labels, points = clusters(60, width=5)
    write_embeddings(tmp_path / "e.parquet", names, labels, points)
    table = open_table(tmp_path / "e.parquet")
    queries = [3, 41, 0, 59]
    rows, cosines = nearest(table, queries, 6)
    similar = unit(points) @ unit(points).T
    np.fill_diagonal(similar, -2)
    np.testing.assert_array_equal(rows, np.argsort(-similar, axis=1)[queries, :6])
    np.testing.assert_allclose(cosines, -np.sort(-similar, axis=1)[queries, :6], atol=1e-6)
    np.testing.assert_allclose(vectors(table, [50, 2, 2]), unit(points)[[50, 2, 2]], atol=1e-6)


@pytest.mark.usefixtures("small_pieces")
def test_equal_neighbours_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.parquet", [str(i) for i in range(20)], [None] * 20, np.ones((20, 3)))
    table = open_table(tmp_path / "e.parquet")
    assert nearest(table, [2], 4)[0].tolist() == [[0, 1, 3, 4]]
    assert table.labels is None


def test_vectors_that_are_zero_or_not_finite_are_nobodys_neighbour(tmp_path: Path) -> None:
    points = np.array([[1.0, 0], [0, 0], [np.nan, 1], [1, 1]])
    write_embeddings(tmp_path / "e.parquet", list("abcd"), [0, 1, 1, None], points)
    table = open_table(tmp_path / "e.parquet")
    assert table.labels == ["0", "1", "1", ""]
    rows, _ = nearest(table, [0, 1], 3)
    assert rows.tolist() == [[3, -1, -1], [-1, -1, -1]]


def test_queries_take_every_class_before_any_twice_whatever_the_order(tmp_path: Path) -> None:
    names, labels, points = clusters(50)
    write_embeddings(tmp_path / "a.parquet", names, labels, points)
    write_embeddings(tmp_path / "b.parquet", names[::-1], labels[::-1], points[::-1])
    a, b = open_table(tmp_path / "a.parquet"), open_table(tmp_path / "b.parquet")
    rows = choose_queries(a, 6)
    assert sorted(labels[r] for r in rows[:4]) == sorted(set(labels))
    assert [a.names[r] for r in rows] == [b.names[r] for r in choose_queries(b, 6)]


def test_plane_is_the_principal_components() -> None:
    rng = np.random.default_rng(0)
    points = (rng.standard_normal((200, 6)) * [1, 5, 0.5, 3, 0.1, 0.2]).astype(np.float32)
    flat, shares = plane(points)
    values, axes = np.linalg.eigh(np.cov(points.T))
    expected = (points - points.mean(axis=0)) @ axes[:, ::-1][:, :2]
    for i in range(2):
        assert abs(np.corrcoef(flat[:, i], expected[:, i])[0, 1]) == pytest.approx(1, abs=1e-5)
    assert np.abs(flat).max() == pytest.approx(1)
    assert shares == pytest.approx((values[-1] / values.sum(), values[-2] / values.sum()), rel=1e-4)
    assert flat[points[:, 1].argmax(), 0] > 0  # the sign is fixed by the largest loading, here of channel 1


def test_plane_of_what_has_none() -> None:
    flat, shares = plane(np.ones((5, 3), dtype=np.float32))
    assert (flat == 0).all()
    assert shares == (0, 0)
    flat, shares = plane(np.array([[np.nan, 1], [1, 0], [0, 1]], dtype=np.float32))
    assert np.isnan(flat[0]).all()
    assert shares == pytest.approx((1, 0), abs=1e-6)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"e\.parquet: not readable as Parquet"):
        open_table(tmp_path / "e.parquet")
    pq.write_table(pa.table({"path": ["a"], "embedding": [[1.0]]}), tmp_path / "e.parquet")
    with pytest.raises(UserError, match="no column 'label'"):
        open_table(tmp_path / "e.parquet")

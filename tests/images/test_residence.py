"""Where images go is decided from free memory, and the numbers are said."""

import subprocess
import sys
from pathlib import Path

import pytest

from stopgrad.errors import UserError
from stopgrad.images import residence
from stopgrad.images.residence import decide, free_device, free_ram, megabytes

GB = 10**9


@pytest.mark.parametrize(
    ("needed", "ram", "device", "kind", "line"),
    [
        (1 * GB, 16 * GB, None, "ram", "1.0 GB of decoded images: in RAM (16.0 GB free)"),
        (1 * GB, 16 * GB, 8 * GB, "device", "1.0 GB of decoded images: on the device (8.0 GB free)"),
        (5 * GB, 16 * GB, 8 * GB, "ram", "5.0 GB of decoded images: in RAM (16.0 GB free)"),
        (12 * GB, 16 * GB, 100 * GB, "stream", "12.0 GB of decoded images: streamed, decoded again every epoch (16.0 GB of RAM free)"),
        (7_840_000, 16 * GB, None, "ram", "7.8 MB of decoded images: in RAM (16.0 GB free)"),
    ],
)
def test_what_fits_is_kept_and_the_rest_streamed(needed: int, ram: int, device: int | None, kind: str, line: str) -> None:
    decided = decide(needed, "auto", ram, device)
    assert (decided.kind, decided.line) == (kind, line)


def test_what_is_asked_for_is_done_or_refused_with_both_numbers() -> None:
    assert decide(15 * GB, "ram", 16 * GB, 80 * GB).kind == "ram"
    assert decide(1 * GB, "ram", 16 * GB, None).line == "1.0 GB of decoded images: in RAM, as data.residence says (16.0 GB free)"
    assert decide(15 * GB, "device", 16 * GB, 80 * GB).kind == "device"
    assert decide(1, "stream", 16 * GB, 80 * GB).kind == "stream"
    assert decide(1 * GB, "device", 16 * GB, None) == residence.Residence(
        "ram", "1.0 GB of decoded images: in RAM, the device has no memory of its own (16.0 GB free)"
    )
    with pytest.raises(UserError, match=r"data\.residence: ram needs 17\.0 GB, but RAM has 16\.0 GB free"):
        decide(17 * GB, "ram", 16 * GB, None)
    with pytest.raises(UserError, match=r"data\.residence: device needs 9\.0 GB, but the device has 8\.0 GB free"):
        decide(9 * GB, "device", 16 * GB, 8 * GB)


def test_what_is_mapped_needs_no_room_in_ram() -> None:
    assert decide(99 * GB, "auto", GB, None, "packs/in") == residence.Residence("ram", "99.0 GB of decoded images: mapped from packs/in")
    assert decide(99 * GB, "ram", GB, 8 * GB, "packs/in").kind == "ram"
    assert decide(9 * GB, "auto", GB, 8 * GB, "packs/in").kind == "ram"
    assert decide(3 * GB, "auto", GB, 8 * GB, "packs/in").line == "3.0 GB of decoded images: on the device (8.0 GB free)"
    assert decide(7 * GB, "device", GB, 8 * GB, "packs/in").kind == "device"
    assert decide(1 * GB, "stream", GB, None, "packs/in").kind == "stream"


def test_free_memory_is_what_the_system_says() -> None:
    total = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) * 1024
    assert 0 < free_ram() < total
    assert free_device("cpu") is None


def test_limits_of_control_groups_count(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text("1000\n")
    (tmp_path / "a" / "memory.current").write_text("700\n")
    (tmp_path / "a" / "memory.stat").write_text("anon 600\ninactive_file 50\nactive_file 50\n")
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("10\n")
    assert residence._group_limits("0::/a/b\n", tmp_path) == [350]
    old = tmp_path / "memory" / "job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("500\n")
    (old / "memory.usage_in_bytes").write_text("600\n")
    assert residence._group_limits("4:memory:/job\n1:cpu:/job\n", tmp_path) == [0]
    assert residence._group_limits("0::/elsewhere\n", tmp_path) == []


def test_numbers_of_bytes_are_for_people() -> None:
    assert [megabytes(n) for n in (0, 9_400_000, 999_900_000, 139_800_000_000)] == ["0.0 MB", "9.4 MB", "999.9 MB", "139.8 GB"]


@pytest.mark.whole
def test_looking_at_images_imports_no_torch() -> None:
    modules = "sources, decode, inspect, residence, survey, bundled"
    code = f"import sys; from stopgrad.images import {modules}; residence.free_ram(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

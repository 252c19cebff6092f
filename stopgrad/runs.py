"""The run directory: where training, judging and the report meet. Files appear whole or not at all."""

import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stopgrad.config import Run, from_json, to_json
from stopgrad.errors import UserError
from stopgrad.files import write_whole
from stopgrad.world import world


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a .jsonl file; none when it is absent. A torn last line (a kill while writing) is passed over."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    records = [json.loads(line) for line in lines[:-1] if line]
    if lines[-1]:
        with suppress(ValueError):
            records.append(json.loads(lines[-1]))
    return records


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one record to a .jsonl file, in one write; a torn last line goes first. Raises UserError when the disk does not take it."""
    try:
        with open(path, "a+b") as file:
            if (end := file.tell()) and os.pread(file.fileno(), 1, end - 1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); make room and run the same command again, it resumes") from None


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write a .jsonl file anew."""
    write_whole(path, b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records))


def backbone_file(path: Path) -> Path:
    """Return the backbone file of a run directory, or ``path`` itself when it is a file. Raises UserError when there is none yet."""
    if not path.exists():
        raise UserError(f"{path}: no such run directory or backbone file; name the --out of a stopgrad pretrain")
    if path.is_dir():
        directory = RunDirectory(path)
        if not directory.backbone.exists():
            state = directory.status().get("state", "not begun") if directory.exists() else "not there"
            raise UserError(f"{path}: no trained backbone here (the run is {state}); run stopgrad pretrain to its end")
        return directory.backbone
    return path


class RunDirectory:
    """The files of one run, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = world().first
        """Whether this process writes: of several that train together, the first."""
        self.config = path / "config.json"
        self.environment = path / "environment.json"
        self.status_file = path / "status.json"
        self.bad_images = path / "bad_images.jsonl"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.backbone = path / "backbone.safetensors"
        self.evaluations = path / "evaluations.jsonl"
        self.embeddings = path / "embeddings.parquet"
        self.report = path / "report.html"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config.exists()

    def refuse_others(self) -> None:
        """Raise UserError when something else than a run lies here."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: a file is in the way; choose another --out")
        if self.path.is_dir() and not self.exists() and any(not _left_by_a_start(p.name) for p in self.path.iterdir()):
            raise UserError(f"{self.path}: the folder holds other files and no run; choose another --out")

    def create(self) -> None:
        """Make the folder. Raises UserError when something else lies there."""
        if not self.writes:
            return
        self.refuse_others()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be made ({error.strerror}); choose another --out") from None

    def read_config(self) -> Run:
        """Return the run's configuration. Raises UserError when there is none."""
        if not self.exists():
            runs = [folder.parent.name for folder in sorted(self.path.glob("*/config.json"))]
            hint = f"; there are runs in it: {', '.join(runs[:5])}{', …' if runs[5:] else ''}" if runs else ""
            raise UserError(f"{self.path}: no run here (config.json is missing){hint}")
        try:
            return from_json(json.loads(self.config.read_text()))
        except ValueError as error:
            raise UserError(f"{self.config}: {error}") from None

    def write_config(self, run: Run) -> None:
        """Write the resolved configuration."""
        self._write(self.config, _pretty(to_json(run)))

    def write_environment(self, fingerprint: str) -> None:
        """Write what the numbers also depend on: versions, machine, command, commit, and the images' fingerprint."""
        self._write(self.environment, _pretty(environment() | {"images_sha256": fingerprint}))

    def began_with(self) -> str:
        """Return the fingerprint of the images that the run began with."""
        return str(json.loads(self.environment.read_text())["images_sha256"])

    def status(self) -> dict[str, Any]:
        """Return status.json; empty when there is none."""
        return json.loads(self.status_file.read_text()) if self.status_file.exists() else {}

    def update_status(self, **changes: Any) -> None:
        """Change fields of status.json."""
        self._write(self.status_file, _pretty(self.status() | changes))

    def cut_metrics(self, step: int) -> None:
        """Drop the records after ``step``: a resumed run writes them again."""
        if self.writes:
            write_lines(self.metrics, [r for r in read_lines(self.metrics) if r["step"] <= step])

    def _write(self, path: Path, content: bytes) -> None:
        if self.writes:
            write_whole(path, content)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the only right to write here; the system lets go of it however the process ends. Raises UserError when it is taken."""
        if not self.writes:
            yield
            return
        try:
            lock = open(self.path / "lock", "ab")  # noqa: SIM115 - held below
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); choose another --out") from None
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path}: another process is writing this run; wait for it or choose another --out") from None
            yield

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Make the folder and hold it locked. When no run stands in it at the end, what was made for one is taken away again."""
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        before = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        self.create()
        with self.locked():
            try:
                yield
            finally:
                if self.writes and not self.exists():
                    self._take_away(made, before)

    def _take_away(self, made: list[Path], before: set[str]) -> None:
        for path in self.path.iterdir():
            if path.name not in before and _left_by_a_start(path.name):
                path.unlink()
        with suppress(OSError):  # somebody else has put something there
            for folder in made:
                folder.rmdir()


def _left_by_a_start(name: str) -> bool:
    """Whether a run that ended before its config.json stood may have left the file."""
    return name in ("lock", "environment.json", "bad_images.jsonl", "status.json") or name.startswith(".tmp-")


def environment() -> dict[str, Any]:
    """Return versions, machine, command and commit. Imports nothing heavy: versions come from the packages' metadata."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "processes": world().size,
        "versions": {name: _version(name) for name in ("stopgrad", "torch", "torchvision", "timm", "numpy", "pillow")},
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit this code stands at, with ``+`` when files differ from it; None outside its own checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _pretty(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()

"""The README's commands exist and its Python runs as printed."""

import re
import shlex
from pathlib import Path

import pytest

from stopgrad.cli import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", README, re.S)
    return [line.split("  ")[0] for block in blocks for line in block.splitlines() if line.startswith("stopgrad ")]


def test_there_are_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_readme_parses(line: str) -> None:
    parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([\w-]+)", README, re.M))))
def test_every_make_target_in_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.whole
def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    (printed,) = re.findall(r"<!-- python -->\n```\n(.*?)```", README, re.S)
    for line, shown in zip(capsys.readouterr().out.splitlines(), printed.splitlines(), strict=True):
        assert line.split()[:2] == shown.split()[:2]
        near = 8 if line.startswith("backbone") else 1  # per cent: three epochs end elsewhere where sums are rounded otherwise, by up to 5
        assert abs(float(line.split()[2][:-1]) - float(shown.split()[2][:-1])) < near, (line, shown)
    assert (tmp_path / "runs/quick/backbone.safetensors").exists()


def test_nothing_tracked_names_a_registry() -> None:
    for path in [*ROOT.glob("*.txt"), *ROOT.glob("*.toml"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"://[a-z.]*(pypi|npmjs|debian)\.", path.read_text()), path

"""The command line answers mistakes at once, in one line, with exit status 2, and loses nothing."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.cli import main, parser
from stopgrad.config import METHODS
from stopgrad.plan import recipe_name
from stopgrad.recipes import IMAGES, RECIPES, method_of
from stopgrad.runs import RunDirectory

VERBS = ["demo", "inspect", "pretrain", "evaluate", "report", "embed", "export", "recipes", "methods", "show"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stopgrad", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(20):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), i, np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    example = said.split("example:")[1].split()
    assert example[:2] == ["stopgrad", verb]
    parser().parse_args(example[1:])  # the example itself is right


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pretrian"], "did you mean pretrain?"),
        (["pretrain", "x", "--epoch", "3"], "did you mean --epochs?"),
        (["export", "x", "--to", "tim"], "did you mean timm?"),
        (["pretrain"], "required: IMAGES"),
        (["show", "simsiam/cifar"], "no recipe 'simsiam/cifar'"),
        (["show", "byol/images"], "stopgrad inspect IMAGES --method byol"),
        (["pretrain", ".", "--method", "byo"], "no method 'byo'; did you mean 'byol'?"),
        (["inspect", ".", "--method", "byo"], "did you mean 'byol'?"),
        (["pretrain", ".", "--recipe", "byol/imagnet"], "did you mean 'byol/imagenet'?"),
        (["pretrain", ".", "--method", "byol", "--recipe", "demo", "--set", "method.similarity=cosine"], "no field 'similarity'"),
        (["pretrain", ".", "--method", "byol", "--set", "method.momentun=1"], "did you mean 'momentum'?"),
        (["pretrain", ".", "--recipe", "moco/cifar10", "--set", "method.prototypes=9"], "no field 'prototypes'; the fields here: projector"),
        (["pretrain", ".", "--bn", "splitt"], "did you mean split?"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(words)
    except SystemExit as ended:
        status = ended.code
    error = capsys.readouterr().err
    assert status == 2
    assert said in error
    assert error.count("\n") == 1


MISTAKES = [
    (["--help"], 0),
    (["--version"], 0),
    (["pretrain", "--help"], 0),
    (["pretrain", "nowhere"], 2),
    (["pretrain", "{photos}", "--recipe", "simsian/cifar10"], 2),
    (["pretrain", "{photos}", "--recipe", "simsiam/cifar10", "--set", "optim.lrr=1"], 2),
    (["pretrain", "{photos}", "--recipe", "simsiam/cifar10", "--set", "optim.lr"], 2),
    (["pretrain", "{photos}", "--recipe", "simsiam/cifar10", "--epochs", "many"], 2),
    (["pretrain", "{photos}", "--on-collapse", "explode"], 2),
    (["pretrain", "{photos}", "--method", "byol", "--recipe", "simclr/cifar11"], 2),
    (["pretrain", "{photos}", "--method", "swav", "--set", "method.queu=1"], 2),
    (["evaluate", "nowhere", "--protocol", "kn"], 2),
    (["export", "nowhere", "--to", "onnx"], 2),
    (["recipes"], 0),
    (["methods"], 0),
    (["show", "simsiam/cifar10"], 0),
    (["show", "simsiam/cifar10", "--diff", "simsiam/imagenet"], 0),
]


@pytest.mark.parametrize(("words", "status"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_help_and_mistakes_import_no_torch(words: list[str], status: int, photos: Path) -> None:
    filled = [w.format(photos=photos) for w in words]
    code = (
        f"import sys\nfrom stopgrad.cli import main\ntry:\n    status = main({filled!r})\nexcept SystemExit as e:\n    status = e.code\n"
        "assert 'torch' not in sys.modules, 'torch'\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=photos.parent)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status:
        assert done.stderr.count("\n") == 1
        assert [p.name for p in photos.parent.iterdir()] == ["photos"]  # nothing written


@pytest.mark.whole
def test_mistakes_are_answered_in_half_a_second(photos: Path) -> None:
    """Of processor time, which is what it takes on a machine that has nothing else to do."""
    for words in (["--help"], ["pretrain", "nowhere"], ["pretrain", str(photos), "--recipe", "simsiam/cifar10", "--set", "optim.lrr=1"]):
        times = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run(*words)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(times) < 0.5, (words, times)


SMALL = [
    "net.backbone=resnet10",
    "net.stem=small",
    "net.width=8",
    "method.projector=32,32",
    "method.predictor_hidden=8",
    "views.size=16",
    "train.batch=8",
]


def small(photos: Path, out: Path, *more: str) -> list[str]:
    return ["pretrain", str(photos), "--labels", "none", "--out", str(out), "--epochs", "2", *(w for s in SMALL for w in ("--set", s)), *more]


@pytest.mark.parametrize(
    ("recipe", "method", "meant"),
    [
        (None, None, "images"),
        (None, "simsiam", "images"),
        ("simsiam/images", None, "images"),
        ("images", "simsiam", "images"),
        (None, "byol", "byol/images"),
        ("byol/images", "byol", "byol/images"),
        ("byol/imagenet-100", "byol", "byol/imagenet-100"),
        ("demo", "simsiam", "demo"),
    ],
)
def test_a_method_is_its_recipe_for_ones_own_images(recipe: str | None, method: str | None, meant: str) -> None:
    assert recipe_name(recipe, method) == meant


def test_recipes_are_listed_by_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [name for m in METHODS for name in (*IMAGES, *RECIPES) if method_of(name) == m]
    assert lines[0].startswith("images")


@pytest.mark.whole
def test_a_method_is_fitted_to_the_images(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(photos), "--method", "moco"]) == 0
    said = capsys.readouterr().out
    assert "stopgrad pretrain --method moco would choose:" in said
    assert "a queue of 8 keys" in said
    assert "pretrain " + str(photos) + " --method moco" in said
    out = tmp_path / "moco"
    words = [w for s in SMALL if "predictor" not in s for w in ("--set", s)]
    assert main(["pretrain", str(photos), "--method", "moco", "--bn", "local", "--epochs", "1", "--out", str(out), *words]) == 0
    run = RunDirectory(out).read_config()
    assert (run.recipe, run.method.name, run.train.bn) == ("moco/images", "moco", "local")
    assert main(["pretrain", str(photos), "--recipe", "moco/images", "--bn", "local", "--epochs", "1", "--out", str(out), *words]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["inspect", str(photos), "--labels", "none", "--method", "supcon"]) == 2
    assert "supcon: needs labels" in capsys.readouterr().err


@pytest.mark.whole
def test_a_run_is_resumed_only_as_it_was_asked(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(small(photos, out)) == 0
    capsys.readouterr()
    assert main(small(photos, out)) == 0
    assert "finished (2 epochs); nothing to do" in capsys.readouterr().out
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for more, said in [
        (["--set", "optim.lr=9"], "optim.lr is"),
        (["--epochs", "4"], "another schedule"),
        (["--recipe", "simsiam/cifar10"], "holds a run of recipe images"),
    ]:
        assert main(small(photos, out, *more)) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(photos / "new.png")
    assert main(small(photos, tmp_path / "run2", "--set", f"net.init={out}")) == 0
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.whole
def test_other_images_are_another_run(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(small(photos, out, "--set", "train.epochs=2000", "--set", "optim.lr=1e30", "--set", "train.checkpoint_seconds=0")) == 4  # diverges
    assert "not finite" in capsys.readouterr().err
    (photos / "3.png").unlink()
    assert main(small(photos, out, "--set", "train.epochs=2000", "--set", "optim.lr=1e30", "--set", "train.checkpoint_seconds=0")) == 2
    assert "other images" in capsys.readouterr().err


@pytest.mark.whole
def test_a_folder_with_other_files_is_left_alone(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.md").write_text("precious")
    assert main(small(photos, tmp_path / "thesis")) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["text.md"]


@pytest.mark.whole
def test_an_output_that_nobody_reads_is_no_crash() -> None:
    """As in ``stopgrad inspect bundled | head -1``."""
    words = [sys.executable, "-m", "stopgrad", "recipes"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141

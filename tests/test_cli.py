"""The command line answers mistakes at once, in one line, with exit status 2, and loses nothing."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stopgrad.cli import COMMANDS, main, parser
from stopgrad.config import METHODS
from stopgrad.config.transfer import DataSet
from stopgrad.plan import recipe_name
from stopgrad.recipes import IMAGES, RECIPES, method_of
from stopgrad.runs import RunDirectory

VERBS = COMMANDS


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
        (["pretrain", ".", "--set", "method.name=byol"], "by --method byol"),
        (["pretrain", ".", "--epochs", "-1"], "stopgrad: train.epochs: at least 1, not -1"),
        (["pretrain", ".", "--set", "train.batch=0"], "stopgrad: train.batch: BN needs at least 2 images, not 0\n"),
        (["pretrain", ".", "--set", "views.size=1"], "stopgrad: views.size: at least 8 pixels, not 1: a ResNet halves"),
        (["pretrain", ".", "--batch", "64", "--set", "train.batch=32"], "--batch 64 and --set train.batch=32 contradict each other"),
        (["pretrain", ".", "--on-collapse", "stop", "--set", "train.on_collapse=warn"], "--on-collapse stop and --set"),
        (["pretrain", ".", "--backbone", "resnet99"], "resnet50, resnet101, resnet152"),
        (["pretrain", ".", "--device", "gpu"], "none of auto, cpu, cuda, cuda:N"),
        (["pretrain", ".", "--recipe", "byol/images", "--method", "simclr"], "byol/images and --method simclr contradict"),
        (["pretrain", "tests", "--out", "/dev/null/run"], "/dev/null/run: cannot be written (Not a directory)"),
        (["pretrain", ".", "--optim.lr", "3"], "a setting is given by --set optim.lr=VALUE"),
        (["show", "demo+em"], "pretrain IMAGES --recipe demo --method em"),
        (["show", "byol"], "did you mean 'byol/images'"),
        (["pack", ".", "."], "stopgrad: .: exists; choose another place"),
        (["pack", ".", "new", "--set", "data.max_bda=1"], "there are data.max_bad and data.max_pixels, --short-side and --channels"),
        (["pack", ".", "new", "--short-side", "4"], "data.short_side: at least 8 pixels, not 4"),
        (["compare", ".", "--methods", "simsiam,byol"], "separate by spaces: simsiam byol"),
        (["compare", ".", "--methods", "byol", "--set", "method.prototypes=3"], "byol: method.prototypes: no field"),
        (["compare", ".", "--set", "train.seed=4"], "--seed 0 and --set train.seed=4"),
        (["evaluate", ".", "--protocol", "knn,lbfgs"], "separate by spaces: knn lbfgs"),
        (["evaluate", ".", "--set", "k=0"], "knn: k is 0; take at least one neighbour"),
        (["evaluate", ".", "--set", "knn.temperature=0"], "knn: the temperature is 0.0; take one above 0"),
        (["evaluate", ".", "--protocol", "linear", "--set", "batch=0"], "linear: batch and epochs are at least 1"),
        (["evaluate", ".", "--set", "lbfgs.held_out=1"], "held_out is a share between 0 and 1"),
        (["evaluate", ".", "--protocol", "svm", "--set", "costs=nan"], "is not a number"),
        (["evaluate", ".", "--set", "k"], "a field and its value, such as k=VALUE"),
        (["evaluate", ".", "--set", "k=many"], "k: 'many' is not a whole number"),
        (["evaluate", ".", "--set", "temprature=1"], "did you mean 'temperature'?"),
        (["evaluate", ".", "--set", "linear.lr=1"], "linear is none of the protocols asked for (knn, lbfgs)"),
        (["evaluate", ".", "--protocol", "linear", "--settings", "byoll"], "none of the protocols has them; there are linear: simsiam"),
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
    *(
        (["pretrain", "{photos}", "--set", wrong], 2)
        for wrong in ("train.epochs=-1", "train.batch=0", "train.threads=-1", "net.width=0", "views.size=1", "views.0.blur=2")
    ),
    (["pretrain", "{photos}", "--recipe", "demo", "--set", "train.accumulate=3"], 2),
    (["pretrain", "{photos}", "--recipe", "demo", "--method", "byol", "--set", "method.stop_gradient=false"], 2),
    (["pretrain", "{photos}", "--method", "byol", "--set", "method.stop_gradient=false"], 2),
    (["pretrain", "{photos}", "--method", "swav", "--bn", "split"], 2),
    (["pretrain", "{photos}", "--batch", "64", "--set", "train.batch=32"], 2),
    (["pretrain", "{photos}", "--backbone", "resnet99"], 2),
    (["pretrain", "{photos}", "--backbone", "vit_b_16", "--set", "net.stem=small"], 2),
    (["pretrain", "{photos}", "--set", "net.init=nosuch"], 2),
    (["pretrain", "{photos}", "--backbone", "vit_b_61"], 2),
    (["pretrain", "{photos}", "--out", "{photos}"], 2),
    (["pretrain", "{photos}", "--out", "/dev/null/run"], 2),
    (["pretrain", "{photos}", "--batch", "999"], 2),
    (["pretrain", "{photos}", "--recipe", "simsiam/cifar10"], 2),
    (["evaluate", "{done}", "--head", "9"], 2),
    (["evaluate", "{done}", "--data", "{photos}"], 2),
    (["embed", "{done}", "{photos}", "--out", "table.csv"], 2),
    (["report", "{begun}", "--out", "page.txt"], 2),
    (["compare", "{photos}"], 2),
    (["pretrain", "{photos}", "--recipe", "demo", "--out", "{begun}", "--set", "optim.lr=9"], 2),
    (["pack", "{photos}"], 2),
    (["pack", "nowhere", "new"], 2),
    (["pack", "{photos}", "{begun}"], 2),
    (["pack", "{photos}", "new", "--short-side", "0"], 2),
    (["pack", "{photos}", "new", "--short-side", "4"], 2),
    (["pack", "{photos}", "new", "--channels", "rgb"], 2),
    (["pack", "{photos}", "new", "--set", "optim.lr=1"], 2),
    (["pack", "{photos}", "new", "--set", "data.max_bad=2"], 2),
    (["compare", "{photos}", "--epochs", "0"], 2),
    (["compare", "{photos}", "--methods", "simsiam,byol"], 2),
    (["evaluate", "nosuch"], 2),
    (["evaluate", "{begun}"], 2),
    (["evaluate", "{begun}", "--data", "nosuch"], 2),
    (["report", "nosuch"], 2),
    (["report", "{photos}"], 2),
    (["report", "{begun}", "--out", "{photos}"], 2),
    (["embed", "nosuch", "{photos}"], 2),
    (["embed", "{begun}", "{photos}"], 2),
    (["export", "nosuch", "--to", "timm"], 2),
    (["export", "{begun}", "--to", "timm"], 2),
    (["evaluate", "{done}", "--out", "elsewhere"], 2),
    (["evaluate", "{done}", "--size", "64"], 2),
    (["demo", "--out", "{photos}"], 2),
    (["recipes"], 0),
    (["methods"], 0),
    (["show", "simsiam/cifar10"], 0),
    (["show", "simsiam/cifar10", "--diff", "simsiam/imagenet"], 0),
]


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that was stopped before it had a backbone; beside it ``done``, one that has."""
    directory = RunDirectory(tmp_path / "begun")
    directory.create()
    directory.write_config(RECIPES["demo"]())
    (done := RunDirectory(tmp_path / "done")).write_config(RECIPES["demo"]())
    done.backbone.touch()  # no command of these looks into it
    return directory.path


mistakes = pytest.mark.parametrize(("words", "status"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")


@mistakes
def test_help_and_mistakes_import_no_torch(words: list[str], status: int, photos: Path, begun: Path) -> None:
    filled = [w.format(photos=photos, begun=begun, done=begun.with_name("done")) for w in words]
    before = sorted(photos.parent.rglob("*"))
    code = (
        f"import sys\nfrom stopgrad.cli import main\ntry:\n    status = main({filled!r})\nexcept SystemExit as e:\n    status = e.code\n"
        "assert 'torch' not in sys.modules, 'torch'\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=photos.parent)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if status:
        assert done.stderr.count("\n") == 1
        assert sorted(photos.parent.rglob("*")) == before  # nothing written


@pytest.mark.whole
@mistakes
def test_mistakes_are_answered_in_half_a_second(words: list[str], status: int, photos: Path, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processor time, the quickest of some tries; on a machine that is slow just now, of what four bare imports of numpy take beside it."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # numpy's others spin while they start: time of a processor that nothing waits for
    asked = [sys.executable, "-m", "stopgrad", *(w.format(photos=photos, begun=begun, done=begun.with_name("done")) for w in words)]
    times, bound = [1.0], 0.5
    while len(times) < 6 and min(times) >= bound:
        took, returned = processor_time(asked)
        assert returned == status
        times.append(took)
        bound = max(bound, 4 * processor_time([sys.executable, "-c", "import numpy"])[0])
    assert min(times) < bound, (times, bound)


def processor_time(command: list[str]) -> tuple[float, int]:
    """Return the seconds of processor time that ``command`` takes, and its exit status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    returned = subprocess.run(command, capture_output=True, check=False).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, returned


@pytest.mark.parametrize(("sent", "status", "said"), [("SIGTERM", 143, "ended by SIGTERM"), ("SIGINT", 130, "interrupted")])
def test_a_stop_before_the_training_ends_with_a_word(sent: str, status: int, said: str) -> None:
    code = (
        "import os, signal, time, stopgrad.cli, stopgrad.__main__ as m\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell that started the tests in the background ignores it
        f"stopgrad.cli.main = lambda: (os.kill(os.getpid(), signal.{sent}), time.sleep(9))\n"
        "raise SystemExit(m.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, f"stopgrad: {said}\n")


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
    continued = small(photos, tmp_path / "run2", "--set", f"net.init={out}")
    assert main(continued) == 0
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    out.rename(tmp_path / "elsewhere")  # the weights were taken when run2 began
    capsys.readouterr()
    assert main(continued) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.whole
def test_other_images_are_another_run(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = small(photos, out, "--epochs", "2000", "--set", "optim.lr=1e30", "--set", "train.checkpoint_seconds=0")
    assert main(words) == 4  # diverges
    assert "not finite" in capsys.readouterr().err
    (photos / "3.png").unlink()
    assert main(words) == 2
    assert "other images" in capsys.readouterr().err


@pytest.mark.whole
def test_a_folder_with_other_files_is_left_alone(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.md").write_text("precious")
    assert main(small(photos, tmp_path / "thesis")) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["text.md"]


@pytest.mark.whole
def test_a_run_that_is_refused_leaves_nothing(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, before = tmp_path / "runs" / "new" / "run", sorted(tmp_path.rglob("*"))
    (tmp_path / "mine").mkdir()
    for folder in (out, tmp_path / "mine"):
        assert main([w.replace("train.batch=8", "train.batch=64") for w in small(photos, folder)]) == 2
        assert "train.batch: 64 is more than the 20 images" in capsys.readouterr().err
    (tmp_path / "mine").rmdir()  # which was there before: it stays, empty
    assert sorted(tmp_path.rglob("*")) == before
    (photos / "torn.png").write_bytes((photos / "1.png").read_bytes()[:40])
    assert main(small(photos, out)) == 2
    said = capsys.readouterr()
    assert "1 of 21 images (4.8%) cannot be used, data.max_bad allows 1.0%: torn.png" in said.err
    assert "bad_images.jsonl" not in said.out + said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.whole
def test_inspect_and_pretrain_speak_of_the_same_images(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(photos / "torn.png")
    (photos / "torn.png").write_bytes((photos / "torn.png").read_bytes()[:-30])  # its header is whole
    assert main(["inspect", str(photos), "--labels", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "images      20 usable"
    assert lines[-2].startswith("1 of 21 images (4.8%) cannot be used, data.max_bad allows 1.0%")
    assert lines[-1] == f"next: stopgrad pretrain {photos} --labels none --set data.max_bad=0.05"
    assert main(small(photos, tmp_path / "run", "--set", "data.max_bad=0.05")) == 0
    assert "20 usable images, 1 set aside\n" in capsys.readouterr().out


@pytest.mark.whole
def test_views_larger_than_the_images_are_remarked_on(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([w.replace("views.size=16", "views.size=24") for w in small(photos, tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "note: views of 24 pixels enlarge the images, whose median shorter side is 16\n" in said
    assert "note: data.size is 16, below views of 24 pixels" in said
    assert "views of 16" not in said  # nor a reason for what was set otherwise


@pytest.mark.whole
def test_photos_are_packed_and_inspected(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "torn.png").write_bytes((photos / "1.png").read_bytes()[:40])
    words = ["pack", str(photos), str(tmp_path / "packed"), "--short-side", "8", "--labels", "none"]
    assert main(words) == 2
    assert "1 of 21 images (4.8%) cannot be used, data.max_bad allows 1.0%: torn.png" in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()
    assert main([*words, "--set", "data.max_bad=0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("20/20 images")
    assert lines[1].startswith("set aside: torn.png (")
    assert lines[2] == f"{tmp_path / 'packed'}: images 20 to train on; 3 channels, shorter side at most 8, 0.0 MB"
    assert lines[3] == f"next: stopgrad pretrain {tmp_path / 'packed'}"
    assert main(words) == 2
    assert "packed: exists" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "packed")]) == 0
    assert "shorter side 8 to 8 pixels" in capsys.readouterr().out


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


@pytest.mark.whole
def test_training_does_not_import_what_only_compiling_needs(photos: Path, tmp_path: Path) -> None:
    """torch's compiler costs seconds at every start, and a single setter of torch's imports it."""
    words = small(photos, tmp_path / "run", "--epochs", "1")
    code = (
        f"import sys; from stopgrad.cli import main; status = main({words!r})\n"
        "assert not {'torch._dynamo', 'torch._inductor', 'torchvision', 'timm'} & sys.modules.keys(); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_detection_takes_a_data_set_with_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[DataSet] = []

    def detected(what: object, data: DataSet, *more: object) -> list[dict[str, object]]:
        asked.append(data)
        line = {"protocol": "detection", "features": "random", "metric": "ap", "value": 0.25, "test_images": 200, "scores": {"box_ap": 0.25}}
        return [line | {"data": data.name}]

    monkeypatch.setattr("stopgrad.detecting.detected", detected)
    monkeypatch.chdir(tmp_path)
    words = ["evaluate", "resnet18", "--protocol", "detection", "--settings", "small", "--size", "32", "--device", "cpu"]
    for text, name in ((f"coco={tmp_path}", "coco"), (str(tmp_path), tmp_path.name)):
        assert main([*words, "--data", text]) == 0
        assert asked[-1] == DataSet(name=name, path=str(tmp_path))
        assert "25.0%" in capsys.readouterr().out

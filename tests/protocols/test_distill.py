import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import stopgrad
from stopgrad.accuracies import accuracies
from stopgrad.cli import main
from stopgrad.config import Net
from stopgrad.config.tuning import SEMI, Distill
from stopgrad.distilling import Student, distill
from stopgrad.errors import UserError
from stopgrad.images.opened import open_images
from stopgrad.images.pool import Pool
from stopgrad.images.source import Splits
from stopgrad.images.sources import from_arrays
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.classifier import About, Classifier, Reading, classifier_on, load_classifier, save_classifier
from stopgrad.nets.files import digest, save
from stopgrad.nets.foreign import fresh
from stopgrad.protocols.distill import distil, soft_cross_entropy
from stopgrad.protocols.features import Labelled, Preparation, features
from stopgrad.report.table import table
from stopgrad.runs import read_lines

CPU = torch.device("cpu")
NET = Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False)
SETTINGS = Distill(name="toy", temperature=0.5, nesterov=True, lr=(0.3,), lr_rule="fixed", batch=20, epochs=(10,), scale=(0.8, 1.0))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_the_loss_and_its_gradient_are_the_papers(temperature: float) -> None:
    """Against the sum over images and classes, and (P_S − P_T) / τ, in float64."""
    rng = np.random.default_rng(0)
    s, t = rng.normal(0, 2, (7, 5)), rng.normal(0, 2, (7, 5))
    p_s, p_t = (np.exp(x / temperature) / np.exp(x / temperature).sum(1, keepdims=True) for x in (s, t))
    expected = -sum(p_t[x, y] * np.log(p_s[x, y]) for x in range(7) for y in range(5)) / 7
    student, teacher = torch.tensor(s, requires_grad=True), torch.tensor(t, requires_grad=True)
    loss = soft_cross_entropy(student, teacher, temperature)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert student.grad is not None
    assert np.allclose(student.grad.numpy(), (p_s - p_t) / temperature / 7, atol=1e-12)


def test_extreme_logits_stay_finite() -> None:
    student, teacher = torch.tensor([[1e4, -1e4, 0.0]]), torch.tensor([[-1e4, 1e4, 0.0]])
    assert soft_cross_entropy(student, teacher, 0.1).isfinite()


def teacher_on(small: nn.Module) -> Classifier:
    """Names one of three classes by how bright an image is; nothing was trained."""
    teacher = classifier_on(Backbone(small, 8, 1), 3, "normal", seed=1)
    with torch.no_grad():
        teacher.fc.weight.mul_(300)
    return teacher.eval()


def test_the_student_comes_near_the_teacher_without_labels(bright: tuple[Pool, Tensor], prep: Preparation, small: nn.Module) -> None:
    pool, labels = bright
    teacher, before = teacher_on(small), copy.deepcopy(small.state_dict())
    torch.manual_seed(0)
    student = classifier_on(Backbone(nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 6, 1), 3, "zero", 0)
    images = Labelled.resident(pool, labels)

    def agreement() -> float:
        said = [features(net, images, prep, CPU).argmax(1) for net in (student, teacher)]
        return float((said[0] == said[1]).float().mean())

    first, loss = agreement(), distil(teacher, student, images.fetch, 60, prep, SETTINGS, None, lambda line: None)
    assert len(features(teacher, images, prep, CPU).argmax(1).unique()) > 1  # or there would be nothing to learn
    assert first < 0.7
    assert agreement() > 0.9
    assert loss < 1.0
    for name, value in small.state_dict().items():
        assert torch.equal(value, before[name]), name  # the teacher's BN does not move
    assert not teacher.training


@pytest.fixture
def splits(bright: tuple[Pool, Tensor]) -> Splits:
    pool, labels = bright
    pixels = pool.planes(torch.arange(60)).numpy()[:, 0]
    return Splits(from_arrays((pixels[:40], labels.numpy()[:40])), from_arrays((pixels[40:], labels.numpy()[40:])))


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = classifier_on(build(NET, 1, 8), 3, "normal", 0)
    about = About(net=NET, size=8, share=1.0, mean=(0.5,), std=(0.25,), classes=("0", "1", "2"), outputs="softmax", extra={})
    save_classifier(tmp_path / "teacher.safetensors", network, about)
    return tmp_path / "teacher.safetensors"


SHORT = replace(SETTINGS, epochs=(2,))


def test_a_folder_holds_the_student_and_how_well_it_does(taught: Path, splits: Splits, tmp_path: Path) -> None:
    told: list[str] = []
    records = distill(taught, splits, replace(NET, width=2), SHORT, tmp_path / "out", CPU, told.append)
    files, (record, of_the_teacher) = Student(tmp_path / "out"), records
    assert read_lines(files.evaluations) == records
    assert sorted(p.name for p in files.path.iterdir()) == ["classifier.safetensors", "evaluations.jsonl", "what.json"]
    student, teacher = load_classifier(files.classifier), load_classifier(taught)
    assert (student.net, student.classes) == (replace(NET, width=2), ("0", "1", "2"))
    assert student.extra == {"teacher_sha256": teacher.sha256, "settings": "toy"}
    assert splits.test is not None
    assert splits.test.labels is not None
    pool, prep = Pool.of_array(splits.test.array()), Preparation(8, 1.0, (0.5,), (0.25,))  # type: ignore[arg-type]
    labels = torch.from_numpy(splits.test.labels)
    said = [features(one.network, Labelled.resident(pool, labels), prep, CPU).argmax(1) for one in (student, teacher)]
    assert record["top1"] == float((said[0] == labels).double().mean())
    assert record["settings"]["teacher_top1"] == float((said[1] == labels).double().mean())
    assert record["settings"]["agreement"] == pytest.approx(float((said[0] == said[1]).double().mean()))
    assert (record["features"], of_the_teacher["features"]) == ("student", "teacher")
    assert of_the_teacher["top1"] == record["settings"]["teacher_top1"]
    assert [r["weights_sha256"] for r in records] == [digest(one.network.backbone) for one in (student, teacher)]
    assert (record["protocol"], record["variant"], record["train_images"], record["settings"]["steps"]) == ("distill", "toy", 40, 4)
    assert any(line.startswith("distill (toy): step 4/4, loss ") for line in told)


def test_who_asks_for_the_same_again_has_it(taught: Path, splits: Splits, tmp_path: Path) -> None:
    """And whoever asks for something else is told what differs; nothing is touched either way."""
    told: list[str] = []

    def ask(teacher: Path = taught, images: Splits = splits, student: Net | None = None, settings: Distill = SHORT) -> list[dict[str, Any]]:
        return distill(teacher, images, student, settings, tmp_path / "out", CPU, told.append)

    first, files = ask(), Student(tmp_path / "out")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files.path.iterdir()}
    told.clear()
    assert ask() == first
    assert told == [f"{tmp_path / 'out'}: done already, by the same settings, teacher and images; nothing is trained"]
    other = tmp_path / "other.safetensors"
    loaded = load_classifier(taught)
    with torch.no_grad():
        loaded.network.fc.bias.add_(1)
    save_classifier(other, loaded.network, About(**{k: v for k, v in vars(loaded).items() if k not in ("network", "sha256")}))
    fewer = splits._replace(train=from_arrays((np.zeros((4, 10, 10), np.uint8), np.arange(4) % 3)))
    for differs, again in (
        (r"epochs 3 instead of 2, seed 1 instead of 0", lambda: ask(settings=replace(SHORT, epochs=(3,), seed=1))),
        (r"width 2 instead of 4", lambda: ask(student=replace(NET, width=2))),
        (r"another teacher \([0-9a-f]{8} instead of [0-9a-f]{8}\)", lambda: ask(other)),
        (r"other training images", lambda: ask(images=fewer)),
        (r"other test images", lambda: ask(images=splits._replace(test=None))),
    ):
        with pytest.raises(UserError, match=rf"out: holds a student already: {differs}; choose another --out"):
            again()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files.path.iterdir()} == before
    files.what.unlink()
    with pytest.raises(UserError, match=r"holds a student already: what\.json does not tell of what; choose another --out"):
        ask()


def test_the_tables_show_the_teacher_beside_the_student(taught: Path, splits: Splits, tmp_path: Path) -> None:
    records = distill(taught, splits, None, SHORT, tmp_path / "out", CPU, lambda line: None)
    lines = accuracies(records)
    assert [line.split("  ")[0] for line in lines[2:4]] == ["student", "its teacher"]
    assert f"{records[1]['top1']:.1%}" in lines[3]
    agreed = f"the student says what its teacher says of {100 * records[0]['settings']['agreement']:.1f} % of the test images"
    assert any(agreed in line for line in lines)
    page = table([tmp_path / "out"])
    assert [line.split(" | ")[0] for line in page if line.startswith("| out")] == ["| out, student", "| out, teacher"]
    assert any(agreed in line for line in page)
    assert not [line for line in page if "instead of" in line]  # both were measured alike


@pytest.mark.parametrize("test", [True, False])
def test_the_command_names_the_file_written(test: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing can be judged also a next step, which can be typed as it stands; typed again it is done."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(60):
        Path(f"photos/{i % 3}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 10), np.uint8)).save(f"photos/{i % 3}/{i}.png")
    network = classifier_on(fresh(NET, 1, 8), 3, "normal", 0)
    about = About(net=NET, size=8, share=1.0, mean=(0.5,), std=(0.25,), classes=("0", "1", "2"), outputs="softmax", extra={})
    save_classifier(Path("t.safetensors"), network, about)
    command = ["distill", "t.safetensors", "photos", "--settings", "small", "--set", "epochs=1", "--out", "out", "--device", "cpu"]
    command += [] if test else ["--labels", "none"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "network: out/classifier.safetensors" in said
    assert ("its teacher" in said) == test
    assert ("next: stopgrad evaluate out/classifier.safetensors --data LABELLED" in said) == (not test)
    assert main(command) == 0
    again = capsys.readouterr().out
    assert ("loss " in said, "loss " in again) == (True, False), "nothing was trained"
    assert again.endswith(said[said.index("student") if test else said.index("network: ") :])


@pytest.fixture
def large() -> tuple[np.ndarray, np.ndarray]:
    """1,200 images of 40 x 40 pixels, in three classes that noise all but hides, so that another way to read them decides many otherwise."""
    rng, labels = np.random.default_rng(0), np.arange(1200) % 3
    pixels = rng.integers(0, 246, (1200, 40, 40)) + 5 * labels[:, None, None]
    return pixels.astype(np.uint8), labels


def fine_tuned(images: tuple[np.ndarray, np.ndarray], folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the file of a backbone without training, fine-tuned on few labels by ``evaluate``, and the line that says how well it does."""
    backbone = folder / "backbone.safetensors"
    save(backbone, fresh(NET, 1, 16), NET, 16, (0.5,), (0.25,), {})
    semi = replace(SEMI["small-10"], steps=20, batch=10)
    (record,) = stopgrad.evaluate(backbone, (semi,), data=images, features=("backbone",), out=folder / "judged", device="cpu")
    return folder / "judged" / record["classifier"], record


def test_the_teacher_is_judged_as_evaluate_judges_it(large: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """On images larger than the network's, which are not reduced on reading unless they were when it was judged."""
    teacher, said = fine_tuned(large, tmp_path)
    assert load_classifier(teacher).reading == Reading(short_side=None, max_pixels=64_000_000)
    splits = open_images(large, "auto")
    record, of_the_teacher = distill(teacher, splits, None, replace(SHORT, epochs=(1,), batch=540), tmp_path / "out", CPU, lambda line: None)
    assert record["settings"]["teacher_top1"] == said["top1"]
    assert (of_the_teacher["top1"], of_the_teacher["per_class"], of_the_teacher["top5"]) == (said["top1"], said["per_class"], said["top5"])
    assert record["notes"] == []
    assert load_classifier(tmp_path / "out/classifier.safetensors").reading == load_classifier(teacher).reading


def test_a_file_that_does_not_say_how_images_are_read_is_read_as_before(large: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    teacher, said = fine_tuned(large, tmp_path)
    loaded = load_classifier(teacher)
    about = {name: value for name, value in vars(loaded).items() if name not in ("network", "sha256", "reading")}
    save_classifier(teacher, loaded.network, About(**about))
    assert load_classifier(teacher).reading is None
    told: list[str] = []
    record, _ = distill(teacher, open_images(large, "auto"), None, replace(SHORT, epochs=(1,), batch=540), tmp_path / "out", CPU, told.append)
    assert "does not say how its images were read: here at a shorter side of at most 19 pixels" in record["notes"][0]
    assert record["notes"][0] in told
    assert record["settings"]["teacher_top1"] != said["top1"]  # or the two tests could not tell one way from the other
    assert load_classifier(tmp_path / "out/classifier.safetensors").reading == Reading(short_side=19, max_pixels=64_000_000)


def test_a_teacher_whose_classes_go_together_is_refused(taught: Path, splits: Splits, tmp_path: Path) -> None:
    loaded = load_classifier(taught)
    about = {name: value for name, value in vars(loaded).items() if name not in ("network", "sha256")}
    save_classifier(taught, loaded.network, About(**about | {"outputs": "sigmoid"}))
    with pytest.raises(UserError, match=r"teacher.safetensors: says of every class by itself whether an image shows it \(sigmoid\), and a student"):
        distill(taught, splits, None, SHORT, tmp_path / "out", CPU, lambda line: None)
    assert not (tmp_path / "out").exists()


def test_what_is_killed_goes_on_where_it_stood(taught: Path, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*anything: object) -> None:
        raise KeyboardInterrupt

    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("stopgrad.distilling.save_classifier", dying)
        with pytest.raises(KeyboardInterrupt):
            distill(taught, splits, None, SHORT, tmp_path / "out", CPU, told.append)
    before = len(told)
    distill(taught, splits, None, SHORT, tmp_path / "out", CPU, told.append)
    assert not [line for line in told[before:] if "step" in line]  # nothing was trained again
    distill(taught, splits, None, SHORT, tmp_path / "undisturbed", CPU, told.append)
    assert Student(tmp_path / "out").classifier.read_bytes() == Student(tmp_path / "undisturbed").classifier.read_bytes()


def test_labels_of_the_training_images_are_not_read(taught: Path, splits: Splits, tmp_path: Path) -> None:
    none = replace(splits.train, labels=None, classes=None)
    assert distill(taught, Splits(none, None), None, SHORT, tmp_path / "none", CPU, lambda line: None) == []
    distill(taught, splits, None, SHORT, tmp_path / "some", CPU, lambda line: None)
    assert not Student(tmp_path / "none").evaluations.exists()
    assert Student(tmp_path / "none").classifier.read_bytes() == Student(tmp_path / "some").classifier.read_bytes()


def test_what_cannot_be_distilled_is_refused(taught: Path, splits: Splits, tmp_path: Path) -> None:
    def asked(settings: Distill, images: Splits, teacher: Path = taught, student: Net | None = None) -> None:
        distill(teacher, images, student, settings, tmp_path / "out", CPU, lambda line: None)

    assert splits.test is not None
    others = splits._replace(test=replace(splits.test, classes=("cat", "dog", "hen", "fox")))
    with pytest.raises(UserError, match=r"its test images have 4 classes \(cat, dog, hen, …\), and .*teacher.safetensors names 3 \(0, 1, 2, …\)"):
        asked(SHORT, others)
    with pytest.raises(UserError, match="toy: lr, weight_decay, epochs: one of each: without labels there is nothing to choose by"):
        asked(replace(SHORT, lr=(0.1, 0.2)), splits)
    with pytest.raises(UserError, match="toy: temperature: above 0, not 0"):
        asked(replace(SHORT, temperature=0.0), splits)
    with pytest.raises(UserError, match="nowhere: no such file"):
        asked(SHORT, splits, tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()

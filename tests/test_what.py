"""One way in: a run's backbone file, an export, a foreign checkpoint and a name are judged alike, and say where they are from."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stopgrad
from stopgrad.cli import main
from stopgrad.config import Net
from stopgrad.config.protocols import Knn
from stopgrad.config.tuning import SEMI
from stopgrad.errors import UserError
from stopgrad.nets.classifier import load_classifier
from stopgrad.nets.files import digest, load, save
from stopgrad.nets.foreign import Asked, fresh
from stopgrad.publish.export import export
from stopgrad.publish.imported import import_backbone
from stopgrad.runs import append_line, read_lines
from tests.images.test_voc import annotation
from tests.nets.foreign_files import resnet, simsiam

KNN = (Knn(k=5),)


def images() -> tuple[np.ndarray, np.ndarray]:
    """Two classes that their brightness tells apart."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    return (60 + 100 * labels[:, None, None, None] + rng.integers(-20, 20, (60, 16, 16, 3))).astype(np.uint8), labels


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    torch.save(simsiam()[0], tmp_path / "theirs.pth.tar")
    return tmp_path / "theirs.pth.tar"


def test_another_projects_file_is_judged_beside_pixels_and_its_random_self(file: Path) -> None:
    told: list[str] = []
    records = stopgrad.evaluate(file, KNN, data=images(), size=32, device="cpu", tell=told.append)
    assert [r["features"] for r in records] == ["pixels", "random", "backbone"]
    assert any("layout simsiam; images of 32 pixels" in line and "but for size" in line for line in told)
    weights = {r["features"]: r["weights_sha256"] for r in records}
    assert weights["backbone"] == digest(stopgrad.load_backbone(file))
    assert weights["random"] not in (None, weights["backbone"])
    (folder,) = Path("evaluations").iterdir()
    assert re.fullmatch(r"theirs-[0-9a-f]{8}", folder.name)
    assert read_lines(folder / "evaluations.jsonl") == records
    about = json.loads((folder / "what.json").read_text())
    said = about["settings"]
    assert (said["origin"], said["layout"], about["digest"]) == ("theirs.pth.tar", "simsiam", weights["backbone"])
    assert (said["size"], said["std"], said["net"]["backbone"]) == (32, [0.229, 0.224, 0.225], "resnet18")
    again = stopgrad.evaluate(file, KNN, data=images(), size=32, device="cpu", features=("random",))
    assert (again[0]["top1"], again[0]["weights_sha256"]) == (records[1]["top1"], weights["random"])
    assert len(read_lines(folder / "evaluations.jsonl")) == 4


def voc(root: Path) -> Path:
    """Images that are red, green, both or neither, each a class; of some it does not count whether they are red."""
    for below in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / below).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(96):
        top, red = i % 2, i // 2 % 2
        pixels = np.clip(rng.normal([60 + 130 * red, 60 + 130 * top, 60], 25, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{i:06}.png")
        shown = [("green", 0)] * top + [("red", int(i % 12 == 3))] * red
        (root / f"Annotations/{i:06}.xml").write_text(annotation(*shown))
    (root / "ImageSets/Main/trainval.txt").write_text("".join(f"{i:06}\n" for i in range(64)))
    (root / "ImageSets/Main/test.txt").write_text("".join(f"{i:06}\n" for i in range(64, 96)))
    return root


def test_images_of_several_classes_are_fine_tuned_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line: 11-point precision by the name of the data set, area without; the table, the report and the file say what it is."""
    monkeypatch.chdir(tmp_path)
    net = Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False)
    save(Path("b.safetensors"), fresh(net, 3, 16), net, 16, (0.5,) * 3, (0.25,) * 3, {})
    year = voc(tmp_path / "VOC2007")
    ask = ["evaluate", "b.safetensors", "--protocol", "finetune", "--settings", "small", "--features", "backbone", "--device", "cpu", "--out", "e"]
    ask += ["--set", "batch=16", "--set", "epochs=20"]
    for data, metric in ((str(year), "map"), (f"voc07={year}", "map11")):
        assert main([*ask, "--data", data]) == 0
        record = read_lines(Path("e/evaluations.jsonl"))[-1]
        assert (record["protocol"], record["metric"], record["top1"]) == ("finetune", metric, None)
        assert record["value"] > 0.9
        assert record["settings"]["outputs"] == "sigmoid"
        assert load_classifier(Path("e") / record["classifier"]).outputs == "sigmoid"
    assert "11-point mAP" in capsys.readouterr().out
    assert main(["table", "e"]) == 0
    said = capsys.readouterr().out
    assert "VOC2007 · Fine-tuning, mAP" in said
    assert "voc07 · Fine-tuning, 11-point mAP" in said
    assert "top-1" not in said
    assert "11-point mAP" in stopgrad.write_report(["e"]).read_text()
    assert main([*ask[:3], "semi", *ask[6:], "--data", str(year)]) == 2
    assert "semi: needs one class an image, and these may show several; take --protocol svm, lbfgs or finetune" in capsys.readouterr().err


def test_the_report_shows_such_a_folder(file: Path) -> None:
    for name, features in (("a", ("random", "backbone")), ("b", ("backbone",))):
        stopgrad.evaluate(file, KNN, data=images(), size=32, device="cpu", features=features, out=name)
    page = stopgrad.write_report(["a"]).read_text()
    assert page.count("theirs.pth.tar") >= 1
    assert "vs random" in page
    both = stopgrad.write_report(["a", "b"], "both.html").read_text()
    assert both.count("theirs") > page.count("theirs")


def test_a_name_without_weights_is_its_random_self(file: Path) -> None:
    records = stopgrad.evaluate("torchvision/squeezenet1_1", KNN, data=images(), size=32, device="cpu")
    assert [r["features"] for r in records] == ["pixels", "random"]
    with pytest.raises(UserError, match="has pixels and random, none of which is asked for"):
        stopgrad.evaluate("torchvision/squeezenet1_1", KNN, data=images(), size=32, device="cpu", features=("backbone",))
    with pytest.raises(UserError, match="a network without weights; name some"):
        stopgrad.load_backbone("torchvision/squeezenet1_1")
    with pytest.raises(UserError, match="no images go with it"):
        stopgrad.evaluate("torchvision/squeezenet1_1", KNN, device="cpu")


def test_a_fine_tuned_network_is_taken_by_its_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Judged, put beside, exported and imported: its classifier is known, left out, and a line says so."""
    monkeypatch.chdir(tmp_path)
    net = Net(backbone="resnet10", stem="small", width=4, zero_init_residual=False)
    save(Path("b.safetensors"), fresh(net, 3, 16), net, 16, (0.5,) * 3, (0.25,) * 3, {})
    semi = replace(SEMI["small-10"], steps=5)
    (record,) = stopgrad.evaluate("b.safetensors", (semi,), data=images(), features=("backbone",), out="judged", device="cpu")
    tuned = Path("judged") / record["classifier"]
    inside = load_classifier(tuned).network.backbone
    told: list[str] = []
    records = stopgrad.evaluate(tuned, KNN, data=images(), device="cpu", tell=told.append)
    assert [r["features"] for r in records] == ["pixels", "random", "backbone"]
    assert records[2]["weights_sha256"] == digest(inside) != digest(load(Path("b.safetensors")).backbone)
    left = f"{tuned}: a network that was fine-tuned to 2 classes; its backbone is taken, the classifier (fc) is left out"
    assert left in told
    (folder,) = Path("evaluations").glob(f"{tuned.stem}-*")
    about = json.loads((folder / "what.json").read_text())
    assert about["digest"] == digest(inside)
    assert (about["settings"]["origin"], about["settings"]["layout"]) == (tuned.name, "stopgrad.classifier")
    assert (about["settings"]["size"], about["settings"]["mean"]) == (16, [0.5] * 3)
    assert not stopgrad.load_backbone(tuned).training
    assert export(tuned, "safetensors", Path("e.safetensors"))[1] == f"# {left}."
    assert import_backbone(tuned, Path("i.safetensors"), Asked())[0] == left
    assert digest(load(Path("e.safetensors")).backbone) == digest(load(Path("i.safetensors")).backbone) == digest(inside)
    with pytest.raises(UserError, match="stopgrad's own file, which says itself what it is; leave --layout away"):
        stopgrad.load_backbone(tuned, layout="torchvision")
    for i, (pixels, label) in enumerate(zip(*images(), strict=True)):
        Path(f"shown/{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(f"shown/{label}/{i}.png")
    ask = ["--protocol", "knn", "--set", "knn.k=5", "--features", "backbone", "--device", "cpu"]
    assert main(["evaluate", "b.safetensors", "--data", "shown=shown", "--beside", str(tuned), "--out", "beside", *ask]) == 0
    assert left in capsys.readouterr().out
    assert [r["features"] for r in read_lines(Path("beside/evaluations.jsonl"))] == ["backbone", str(tuned)]


def test_exported_files_come_back_with_the_same_features(file: Path) -> None:
    backbone = fresh(Net(backbone="resnet10", stem="small", width=8, zero_init_residual=False), 3, 32)
    small = Path("small.safetensors")
    save(small, backbone, Net(backbone="resnet10", stem="small", width=8, zero_init_residual=False), 32, (0.4,), (0.2,), {"step": "7"})
    timms = Net(backbone="timm/resnet10t", zero_init_residual=False)
    save(Path("timms.safetensors"), fresh(timms, 3, 32), timms, 32, (0.4,), (0.2,), {})
    export(small, "torchvision", Path("small.pth"))
    export(small, "safetensors", Path("again.safetensors"))
    export(Path("timms.safetensors"), "timm", Path("timm"))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        right = backbone.eval()(x)
        for what, stem in (("small.safetensors", None), ("again.safetensors", None), ("small.pth", "small")):
            assert torch.equal(stopgrad.load_backbone(what, stem=stem)(x), right), what
        assert torch.equal(stopgrad.load_backbone("timm")(x), stopgrad.load_backbone("timms.safetensors")(x))
    with pytest.raises(UserError, match="stopgrad's own file, which says itself what it is; leave --layout away"):
        stopgrad.load_backbone("small.safetensors", layout="moco")
    with pytest.raises(UserError, match="has the stem small, not cifar"):
        stopgrad.load_backbone("small.safetensors", stem="cifar")
    records = stopgrad.evaluate("timm", KNN, data=images(), device="cpu", features=("backbone",))
    assert records[0]["settings"]["mean"] == [0.4]  # the export says how it was trained
    assert next(Path("evaluations").iterdir()).name.startswith("timm-")


def test_import_writes_a_file_of_our_own(file: Path) -> None:
    lines = import_backbone(file, Path("ours.safetensors"), Asked(size=64))
    assert "resnet18, width 16, imagenet stem, 128 features an image of 3 channels" in lines[-1]
    found = load(Path("ours.safetensors"))
    assert (found.size, found.extra["origin"], found.extra["layout"]) == (64, "theirs.pth.tar", "simsiam")
    assert found.sha256 == digest(stopgrad.load_backbone(file))
    with pytest.raises(UserError, match=r"ours.safetensors: exists; choose another place, or replace it by --overwrite"):
        import_backbone(file, Path("ours.safetensors"), Asked())
    import_backbone(file, Path("ours.safetensors"), Asked(), overwrite=True)
    with pytest.raises(UserError, match="is a backbone file of stopgrad's own already"):
        import_backbone(Path("ours.safetensors"), Path("other.safetensors"), Asked())
    assert not Path("other.safetensors").exists()


@pytest.mark.whole
def test_training_starts_from_another_projects_file(file: Path) -> None:
    settings = {
        "net.backbone": "resnet18",
        "net.width": 16,
        "net.stem": "imagenet",
        "views.size": 16,
        "data.size": 16,
        "train.batch": 16,
        "train.epochs": 1,
    }
    settings |= {"method.projector": (32, 32), "method.predictor_hidden": 8, "optim.lr": 1e-12, "net.init": str(file)}
    stopgrad.pretrain(images()[0], "run", settings=settings, device="cpu", listeners=stopgrad.Listeners())
    a, b = stopgrad.load_backbone(file), stopgrad.load_backbone("run")
    for (name, x), (_, y) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6, msg=name)
    torch.save({"state_dict": resnet("resnet50", 8).state_dict()}, "r50.pth")
    for changed, said in (
        ({"net.init": "r50.pth"}, r"the backbone of r50\.pth is not a resnet18"),
        ({"net.stem": "small"}, "first convolution is 7x7"),
    ):
        with pytest.raises(UserError, match=f"net.init: .*{said}"):
            stopgrad.pretrain(images()[0], "other", settings=settings | changed, device="cpu", listeners=stopgrad.Listeners())


def test_a_torn_last_line_is_not_joined_to_the_next(tmp_path: Path) -> None:
    lines = tmp_path / "evaluations.jsonl"
    append_line(lines, {"a": 1})
    with lines.open("ab") as file:
        file.write(b'{"a": 2, "b')
    append_line(lines, {"a": 3})
    assert lines.read_bytes() == b'{"a": 1}\n{"a": 3}\n'


def test_a_fine_tuning_is_kept_and_not_done_again(file: Path) -> None:
    few = replace(SEMI["small-1"], share=0.5, steps=2, batch=8)
    told: list[str] = []

    def evaluate() -> list[dict[str, Any]]:
        return stopgrad.evaluate(file, [few], data=images(), size=32, device="cpu", out="few", tell=told.append)

    records = evaluate()
    assert [r["features"] for r in records] == ["random", "backbone"]  # pixels cannot be fine-tuned
    network = Path("few", records[1]["classifier"])
    assert network.exists()
    assert len(network.with_name(f"{network.stem}-labels.txt").read_text().split()) == records[1]["train_images"]
    assert not list(Path("few").glob("tuning/*"))
    network.unlink()
    assert [r["top1"] for r in evaluate()] == [r["top1"] for r in records]
    assert not network.exists()
    assert len(read_lines(Path("few", "evaluations.jsonl"))) == 2
    assert any("judged already" in line for line in told)
    with pytest.raises(UserError, match="cannot be fine-tuned"):
        stopgrad.evaluate(file, [few], data=images(), size=32, device="cpu", out="few", features=("pixels",))
    with pytest.raises(UserError, match=r"what\.json: is of size 32, asked for 64; choose another --out"):
        stopgrad.evaluate(file, KNN, data=images(), size=64, device="cpu", out="few")

"""The page shows every protocol: a column a data set, protocol, variant and metric, and backbones that are no run's."""

import re
from pathlib import Path

import pytest

from stopgrad.errors import UserError
from stopgrad.report.page import write_report
from tests.report.judged import detection, everything, line, make_run, make_what
from tests.report.reading import Page, page
from tests.report.test_sweeps import swept


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A run judged by every protocol, beside random initialisation, and beside pixels where there are any."""
    return make_run(tmp_path / "run", [line("knn", 0.55, "pixels"), *everything("random", 0), *everything("backbone", 0.12)])


def rows(found: Page) -> list[str]:
    """The data-column of every cell of the results, in order."""
    return [str(a["data-column"]) for t, a in found.tags if t == "td" and "data-column" in a]


def test_every_protocol_has_its_columns(judged: Path) -> None:
    text = page(judged).text
    assert "kNN Linear (L-BFGS) Semi-supervised, 1 % Semi-supervised, 10 % Raw pixels 55.0" in text
    assert "Random initialisation 62.0 60.0–64.0 62.0 60.0–64.0 40.0 50.0 This run 74.0 72.0–76.0 +12.0 vs random" in text
    own = "Own images cifar10 flowers102 voc07 Distillation Fine-tuning Fine-tuning, mean per class Linear SVM, 11-point mAP"
    assert f"{own} Random initialisation 71.0 70.0 50.0 30.0 This run 83.0 +12.0" in text
    boxes = "coco Detection, coco-1x, box AP Detection, coco-1x, mask AP Random initialisation 20.0 AP50 40.0 · AP75 18.0 17.0 AP50 36.0 · AP75 15.0"
    assert f"{boxes} This run 32.0 +12.0 vs random · AP50 52.0 · AP75 30.0 29.0 +12.0 vs random · AP50 48.0 · AP75 27.0" in text
    assert "Per cent, top-1 accuracy where the head of a column does not say otherwise, on images not trained on" in text
    assert "frozen, but is trained further under Semi-supervised, Distillation, Fine-tuning and Detection;" in text
    tuned = "tuned: lr and weight decay on 20 % of the training images held out"
    assert f"Semi-supervised, 1 % train images 120 · name simclr · lr 0.05 · epochs 60 · {tuned}" in text
    assert f"cifar10 · Fine-tuning; flowers102 · Fine-tuning train images 12,000 · name simclr · lr 0.05 · epochs 60 · {tuned}" in text
    assert text.count("few images a class") == 1


def test_no_row_without_a_figure_among_several_tables(judged: Path) -> None:
    found = page(judged)
    assert found.text.count("Raw pixels") == 1
    assert rows(found).count("coco · Detection, coco-1x, box AP") == 2


def test_the_head_shows_the_metric(tmp_path: Path) -> None:
    lines = [line("finetune", 0.5, metric="mean_per_class", data="pets"), line("semi", 0.4, variant="1 %")]
    text = page(make_run(tmp_path / "run", lines)).text
    assert "Semi-supervised, 1 % 40.0 % top-1 pets · Fine-tuning 50.0 % mean per class" in text


def test_no_top1_is_promised_where_there_is_none(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "run", [line("svm", 0.3, metric="map11", data="voc07")])).text
    assert "Per cent, by the metrics named, on images not trained on" in text
    assert "op-1" not in text


def test_metrics_that_were_judged_otherwise_have_settings_of_their_own(tmp_path: Path) -> None:
    few = line("knn", 0.5, data="a", test_images=4, settings={"k": 7})
    many = line("knn", 0.6, metric="mean_per_class", data="a", test_images=120, settings={"k": 60})
    text = page(make_run(tmp_path / "run", [few, many])).text
    assert re.search(r"a · kNN test images 4 · k 7 a · kNN, mean per class test images 120 · k 60", text)


def test_a_result_that_does_not_tell_what_it_tuned_is_compared(tmp_path: Path) -> None:
    new = {"settings": {"l2": 1e-3, "tuned_on": "l2 by top1 on 2000 training images held out"}}
    text = page(make_run(tmp_path / "run", [line("lbfgs", 0.3, "random"), line("lbfgs", 0.5, **new)])).text
    assert "50.0 +20.0 vs random" in text
    assert "tuned: l2 by top1 on 2,000 training images held out" in text
    assert "tuned: not stated" not in text
    assert "held out (" not in text


def test_images_of_one_name_are_never_mixed_in_a_column(tmp_path: Path) -> None:
    x, y = ({"data": "photos", "images_sha256": digest * 32} for digest in ("ab", "cd"))
    run = make_run(tmp_path / "a", [line("knn", 0.3, **x), line("knn", 0.7, **y)])
    other = make_run(tmp_path / "b", [line("knn", 0.5, "random", **y), line("knn", 0.6, **y)], seed=1)
    text = page(run, other).text
    assert "photos (abababab) photos (cdcdcdcd) kNN kNN Random initialisation – 50.0 a 30.0 70.0 b – 60.0 +10.0 vs random" in text
    assert "photos (abababab)" not in page(other).text


def test_detection_knows_images_by_another_fingerprint(tmp_path: Path) -> None:
    boxes = detection((0.2, 0.4, 0.18), (0.17, 0.36, 0.15), images_sha256="cd" * 32)
    text = page(make_run(tmp_path / "run", [line("svm", 0.5, data="coco", images_sha256="ab" * 32), boxes])).text
    assert "coco Linear SVM Detection, coco-1x, box AP" in text


def test_metrics_are_never_mixed_in_a_column(tmp_path: Path) -> None:
    lines = [line("finetune", 0.3, "random"), line("finetune", 0.5, metric="map"), line("finetune", 0.7, metric="mean_per_class")]
    text = page(make_run(tmp_path / "run", lines)).text
    assert "Fine-tuning Fine-tuning, mean per class Fine-tuning, mAP Random initialisation 30.0 – – This run – 70.0 50.0" in text
    assert "vs random" not in text


def test_only_trained_protocols_and_half_of_the_scores(tmp_path: Path) -> None:
    found = detection((0.3, 0.5, 0.2), (0.1, 0.2, 0.1))
    found["scores"] |= {"mask_ap": None, "mask_ap75": None, "box_ap_small": 0.125}
    text = page(make_run(tmp_path / "run", [found])).text
    assert "The backbone is trained further under Detection;" in text
    assert (
        "Detection, coco-1x, box AP Detection, coco-1x, mask AP50 Detection, coco-1x, box ap small This run 30.0 AP50 50.0 · AP75 20.0 20.0 12.5"
        in text
    )


def test_a_backbone_that_is_no_run_stands_beside_runs(judged: Path, tmp_path: Path) -> None:
    what = make_what(tmp_path / "resnet18", [line("knn", 0.5, "random"), line("knn", 0.82)], pretrained=True, channels=3)
    text = page(judged, what).text
    assert "2 backbones compared" in text
    assert "resnet18 torchvision/resnet18 · not trained here · weights 777777777777 · pretrained yes · channels 3" in text
    assert "resnet18 82.0 +32.0 vs random" in text  # over its own network, not the run's
    assert text.count("This run was started with") == 1


def test_a_backbone_that_is_no_run_has_a_page(tmp_path: Path) -> None:
    what = make_what(tmp_path / "net", [line("knn", 0.82)], name="net", digest="")
    found = page(what)
    assert "stopgrad report net Results Next net not trained here Results" in found.text
    assert "net 82.0" in found.text
    assert "report.html in the folder" in found.text
    for section in ("Curves", "Nearest neighbours", "Configuration"):
        assert section not in found.text
    (what / "what.json").unlink()
    assert "net 82.0" in page(what).text
    (what / "what.json").write_text("{}")
    with pytest.raises(UserError, match=r"what\.json: a record has no field 'name'"):
        page(what)


def test_many_backbones_share_colours_as_seeds_do(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"r{i}", [line("knn", 0.5)], seed=i) for i in range(10)]
    what = make_what(tmp_path / "net", [line("knn", 0.5)])
    html = write_report([*runs, what], tmp_path / "page.html").read_text()
    assert '<i class="swatch s0"></i><bdi>r0</bdi>' in html
    assert '<i class="swatch s1"></i><b><bdi>net</bdi></b>' in html


def test_sweeps_of_several_columns_are_told_apart(tmp_path: Path) -> None:
    lines = [swept("backbone", 1, [0.1, 0.3]) | {"data": data} for data in ("", "pets")]
    html = page(make_run(tmp_path / "run", lines)).html
    assert "<bdi>This run, Linear (L-BFGS)</bdi>" in html
    assert "<bdi>This run, pets · Linear (L-BFGS)</bdi>" in html


def test_a_grid_is_told_by_its_size(tmp_path: Path) -> None:
    tried = {f"lr {i}": 0.5 for i in range(49)}
    settings = {"lr": 0.1, "held_out_accuracy": tried}
    assert "lr 0.1 · held out accuracy of 49 tried" in page(make_run(tmp_path / "run", [line("finetune", 0.5, settings=settings)])).text

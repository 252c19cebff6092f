"""The table to paste: its numbers are those of the files, nothing is the best of several, and what was judged otherwise is marked."""

import csv
import io
import json
import re
import shutil
import statistics
from pathlib import Path

import pytest

from stopgrad.errors import UserError
from stopgrad.report.evaluations import parse
from stopgrad.report.table import _letter, table
from tests.report.judged import everything, line, make_run, make_what
from tests.report.runs import write_lines

READ = "every figure is the last judging of a run's last step, none the best of several."
MEAN = f"mean ± standard deviation (n - 1) over n seeds; {READ}"
BYOL = {"name": "byol", "projector": [512, 256], "predictor_hidden": 512, "predictor_layers": 2, "momentum": 0.99, "stop_gradient": True}
BYOL |= {"predictor_lr": 1.0, "beta": 0.0, "temperature": 0.1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two methods, two seeds of one of them, baselines judged beside the first of every seed."""
    out = tmp_path / "comparison"
    first = [line("knn", 0.785, "pixels"), line("knn", 0.473, "random", weights_sha256="r0"), line("knn", 0.689)]
    make_run(out / "simsiam-0", first)
    make_run(out / "simsiam-1", [line("knn", 0.491, "random", weights_sha256="r1"), line("knn", 0.711)], seed=1)
    make_run(out / "byol-0", [line("knn", 0.785, "pixels"), line("knn", 0.473, "random", weights_sha256="r0"), line("knn", 0.56)], method=BYOL)
    return out


def test_markdown(folder: Path) -> None:
    assert table([folder]) == [
        "|                       |   n |        kNN |",
        "| --------------------- | --: | ---------: |",
        "| Raw pixels            |   1 |       78.5 |",
        "| Random initialisation |   2 | 48.2 ± 1.3 |",
        "| byol                  |   1 |       56.0 |",
        "| simsiam               |   2 | 70.0 ± 1.6 |",
        "",
        f"- Top-1 accuracy, per cent; {MEAN}",
        "- kNN: 200 neighbours, T 0.1; 2,000 test images.",
    ]


def test_csv(folder: Path) -> None:
    how = '"200 neighbours, T 0.1; 2,000 test images"'
    assert table([folder], "csv") == [
        "row,knn/top1,knn/top1/std,knn/top1/n,knn/top1/how",
        f"Raw pixels,78.5,,1,{how}",
        f"Random initialisation,48.2,1.3,2,{how}",
        f"byol,56.0,,1,{how}",
        f"simsiam,70.0,1.6,2,{how}",
    ]


def test_latex(folder: Path) -> None:
    assert table([folder], "latex") == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"& n & kNN \\",
        r"\midrule",
        r"Raw pixels & 1 & 78.5 \\",
        r"Random initialisation & 2 & 48.2 $\pm$ 1.3 \\",
        r"byol & 1 & 56.0 \\",
        r"simsiam & 2 & 70.0 $\pm$ 1.6 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"{\footnotesize\noindent Top-1 accuracy, per cent; " + MEAN.replace("±", r"$\pm$") + r"\par}",
        r"{\footnotesize\noindent kNN: 200 neighbours, T 0.1; 2,000 test images.\par}",
    ]


def test_mean_and_spread_are_those_of_the_statistics_module(tmp_path: Path) -> None:
    values = [0.6131, 0.6544, 0.7012, 0.5999, 0.6321]
    for seed, value in enumerate(values):
        make_run(tmp_path / f"r{seed}", [line("knn", value)], seed)
    mean, spread = 100 * statistics.mean(values), 100 * statistics.stdev(values)
    assert f"| {mean:.1f} ± {spread:.1f} |" in table([tmp_path])[2]
    (row,) = csv.DictReader(io.StringIO("\n".join(table([tmp_path], "csv"))))
    assert (row["knn/top1"], row["knn/top1/std"], row["knn/top1/n"]) == (f"{mean:.1f}", f"{spread:.1f}", "5")


def test_the_last_judging_of_the_last_step_counts_not_the_best(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line("knn", 0.9, step=200), line("knn", 0.8), line("knn", 0.6), line("lbfgs", 0.99, step=200)])
    found = table([run])
    assert found[2].split() == ["|", "simsiam", "|", "60.0", "|"]
    assert "90.0" not in "\n".join(found)
    assert "99.0" not in "\n".join(found)
    assert found[-2:] == [
        f"- run: Linear (L-BFGS) was judged at step 200, the run is at step 400: left out; stopgrad evaluate {run}.",
        "- run: kNN of the backbone was judged 2 times; the last counts.",
    ]
    write_lines(run / "evaluations.jsonl", [line("knn", 0.9, step=200)])
    with pytest.raises(UserError, match=r"table: run: kNN was judged at step 200, the run is at step 400: left out; stopgrad evaluate .*run$"):
        table([run])


def test_seeds_of_a_protocol_on_the_same_weights_are_measurements_too(tmp_path: Path) -> None:
    lines = [
        line("semi", value, variant="1 %", weights_sha256="w", settings={"lr": 0.1, "seed": seed})
        for seed, value in ((0, 0.9), (0, 0.3), (1, 0.4), (2, 0.5))
    ]
    found = table([make_run(tmp_path / "run", lines)])
    assert found[2] == "| simsiam |   3 |          40.0 ± 10.0 |"
    assert found[-1] == "- run: Semi-supervised, 1 % of the backbone was judged 2 times; the last counts."


def test_rows_that_differ_in_a_column_are_marked(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path / f"a{seed}", [line("knn", 0.5 + seed / 50, images_sha256="ab" * 32), line("lbfgs", 0.5)], seed)
    few = line("knn", 0.6, settings={"k": 20, "temperature": 0.1})
    make_run(tmp_path / "b", [few, line("lbfgs", 0.6, train_images=120)], method=BYOL)
    make_run(tmp_path / "c", [line("knn", 0.7, images_sha256="ef" * 32)], optim={"lr": 0.5})
    found = table([tmp_path])
    assert found[2:5] == [
        "| simsiam, optim.lr 0.03 |   2 | 51.0 ± 1.4 |      50.0 ± 0.0 |",
        "| byol                   |   1 |   60.0 (a) |        60.0 (b) |",
        "| simsiam, optim.lr 0.5  |   1 |   70.0 (c) |                 |",
    ]
    assert found[7:] == [
        "- kNN: 200 or 20 neighbours, T 0.1; 2,000 test images.",
        "- Linear (L-BFGS): a linear classifier on frozen features, 12,000 or 120 labels; 2,000 test images.",
        "- (a) k 20 instead of 200.",
        "- (b) train images 120 instead of 12,000.",
        "- (c) other images (efefefef instead of abababab).",
    ]
    assert r"byol & 1 & 60.0\textsuperscript{a} & 60.0\textsuperscript{b} \\" in table([tmp_path], "latex")
    rows = list(csv.DictReader(io.StringIO("\n".join(table([tmp_path], "csv")))))
    assert rows[1]["knn/top1/how"] == "20 neighbours, T 0.1; 2,000 test images; k 20 instead of 200"
    assert rows[2]["lbfgs/top1"] == rows[2]["lbfgs/top1/how"] == ""


def test_a_name_that_means_several_sets_of_images_is_a_column_each(tmp_path: Path) -> None:
    x, y, z = ({"data": "photos", "images_sha256": digest * 32} for digest in ("ab", "cd", "ef"))
    own = [line("lbfgs", 0.5, images_sha256="01" * 32), line("lbfgs", 0.6, images_sha256="23" * 32)]
    make_run(tmp_path / "a", [*own, line("knn", 0.3, **x), line("knn", 0.7, **y), line("knn", 0.4, **x), line("knn", 0.9, data="photos")])
    make_run(tmp_path / "b", [line("knn", 0.5, **y)], method=BYOL)
    found = table([tmp_path])
    heads = ["Linear (L-BFGS)", "photos · kNN", "photos (abababab) · kNN", "photos (cdcdcdcd) · kNN"]
    assert [head.strip() for head in found[0].split("|")[2:-1]] == heads
    assert [cell.strip() for cell in found[2].split("|")[1:-1]] == ["simsiam", "60.0", "90.0", "40.0", "70.0"]
    assert [cell.strip() for cell in found[3].split("|")[1:-1]] == ["byol", "", "", "", "50.0"]
    assert found[-2:] == [
        "- a: Linear (L-BFGS) of the backbone was judged 2 times; the last counts.",
        "- a: photos (abababab) · kNN of the backbone was judged 2 times; the last counts.",
    ]
    assert "photos (abababab)/knn/top1" in table([tmp_path], "csv")[0]
    assert r"\multicolumn{1}{c}{photos (abababab)} & \multicolumn{1}{c}{photos (cdcdcdcd)}" in "\n".join(table([tmp_path], "latex"))
    make_run(tmp_path / "c", [line("knn", 0.5, **z)], optim={"lr": 0.5})
    other = table([tmp_path / "b", tmp_path / "c"])  # of two runs, one name is one column
    assert "| photos · kNN |" in other[0]
    assert other[-1] == "- (a) other images (efefefef instead of cdcdcdcd)."


def test_seeds_of_one_row_that_were_judged_otherwise_are_marked(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", [line("knn", 0.5 + seed / 10, settings={"k": 20 if seed == 2 else 200, "temperature": 0.1})], seed)
    found = table([tmp_path])
    assert found[2] == "| simsiam |   3 | 60.0 ± 10.0 (a) |"
    assert found[-1] == "- (a) k 20 instead of 200, in 1 of its 3."


def test_what_a_protocol_chose_by_itself_is_no_difference(tmp_path: Path) -> None:
    words = "lr and weight decay on 20 % of the training images held out"
    for i, method in enumerate(({}, BYOL)):
        chosen = {"lr": 0.1 * (i + 1), "weight_decay": 10.0 ** -(i + 3), "epochs": 60, "tuned_on": words}
        make_run(tmp_path / str(i), [line("finetune", 0.5, data="cifar10", settings=chosen)], method=method)
    found = table([tmp_path])
    assert found[2:4] == ["| simsiam |                  50.0 |", "| byol    |                  50.0 |"]
    assert found[-1] == f"- cifar10 · Fine-tuning: lr 0.1 or 0.2, 60 epochs, 12,000 labels, tuned: {words}; 2,000 test images."


def test_a_result_that_does_not_tell_what_it_tuned_is_no_other(tmp_path: Path) -> None:
    old = {"l2": 0.1, "held_out_images": 2000, "held_out_accuracy": {"0.1": 0.5}}
    new = old | {"tuned_on": "l2 by top1 on 2000 training images held out"}
    rates = {"lr": 0.1}, {"lr": 0.2, "tuned_on": "lr on 20 % of the training images held out"}
    lines = [[line("lbfgs", 0.5, settings=old), line("linear", 0.5, settings=rates[0])], [line("lbfgs", 0.6, settings=new)]]
    lines[1].append(line("linear", 0.6, settings=rates[1]))
    for i, method in enumerate(({}, BYOL)):
        make_run(tmp_path / str(i), lines[i], method=method)
    found = table([tmp_path])
    assert found[-2] == (
        "- Linear (L-BFGS): a linear classifier on frozen features, 12,000 labels, tuned: l2 by top1 on 2,000 training images held out; "
        "2,000 test images."
    )
    assert not any(note.startswith("- (a)") for note in found)
    write_lines(tmp_path / "0" / "evaluations.jsonl", [line("linear", 0.5, settings=rates[0] | {"tuned_on": "nothing"})])
    assert any("tuned: nothing instead of" in note or "instead of nothing" in note for note in table([tmp_path]))


def test_baselines_that_runs_do_not_agree_on_are_rows_of_their_own(tmp_path: Path) -> None:
    for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.4)):
        make_run(tmp_path / name, [line("knn", value, "pixels"), line("knn", 0.3, "random"), line("knn", 0.6)], method={} if name == "a" else BYOL)
    found = table([tmp_path])
    assert [re.split(r" +\| +", row)[0] for row in found[2:-3]] == [
        "| Raw pixels, of a",
        "| Raw pixels, of c",
        "| Random initialisation",
        "| simsiam",
        "| byol",
    ]


def test_random_initialisations_of_other_networks_are_not_averaged(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [line("knn", 0.3, "random"), line("knn", 0.6)])
    make_run(tmp_path / "b", [line("knn", 0.4, "random"), line("knn", 0.7)], net={"backbone": "resnet50"})
    found = table([tmp_path])
    assert [row.split("|")[1].strip() for row in found[2:6]] == [
        "Random initialisation, of a",
        "Random initialisation, of b",
        "simsiam, net.backbone resnet18",
        "simsiam, net.backbone resnet50",
    ]


def test_runs_that_go_on_from_the_seeds_of_one_row_are_one_row(tmp_path: Path) -> None:
    for seed in range(2):
        origin = make_run(tmp_path / "first" / str(seed), [], seed)
        make_run(tmp_path / "second" / str(seed), [line("knn", 0.5 + seed / 10)], seed, net={"init": str(origin / "backbone.safetensors")})
    assert table([tmp_path / "second"])[2] == "| simsiam |   2 | 55.0 ± 7.1 |"
    shutil.rmtree(tmp_path / "first")  # what they started from is no longer known but by its place
    assert len([row for row in table([tmp_path / "second"]) if row.startswith("| simsiam")]) == 2


def test_every_protocol_and_a_backbone_that_is_no_run(tmp_path: Path) -> None:
    make_run(tmp_path / "run", [line("knn", 0.5, "pixels"), *everything("random", 0), *everything("backbone", 0.12)])
    make_what(tmp_path / "what", everything("backbone", 0.2), pretrained=True)
    head, _, *rows = table([tmp_path], "latex")[3:10]
    single = [rf"\multicolumn{{1}}{{c}}{{{data}}}" for data in ("cifar10", "flowers102", "voc07")]
    assert head == " & ".join([r"& \multicolumn{5}{c}{}", *single, r"\multicolumn{6}{c}{coco} \\"])
    scores = [f"{region} AP{at}" for region in ("box", "mask") for at in ("", "50", "75")]
    assert rows[0].removesuffix(r" \\").split(" & ")[-6:] == [f"Detection, coco-1x, {score}" for score in scores]
    assert rows[2] == r"Raw pixels & 50.0 &  &  &  &  &  &  &  &  &  &  &  &  &  \\"
    assert rows[4] == r"simsiam & 74.0 & 74.0 & 52.0 & 62.0 & 83.0 & 82.0 & 62.0 & 42.0 & 32.0 & 52.0 & 30.0 & 29.0 & 48.0 & 27.0 \\"
    codes = table([tmp_path], "csv")[0].split(",")[1::4]
    assert codes == [
        *("knn/top1", "lbfgs/top1", "semi/1 %/top1", "semi/10 %/top1", "distill/top1", "cifar10/finetune/top1"),
        *("flowers102/finetune/mean_per_class", "voc07/svm/map11"),
        *(f"coco/detection/coco-1x/{region}_ap{at}" for region in ("box", "mask") for at in ("", "50", "75")),
    ]
    notes = "\n".join(table([tmp_path]))
    assert "Semi-supervised, 1 %: simclr's, lr 0.05, 60 epochs, 120 labels, tuned: lr and weight decay on 20 % of the training" in notes
    assert "- coco · Detection, coco-1x: lr 0.02, 90,000 iterations, 12,000 images; 2,000 test images." in notes
    assert "- Random initialisation; simsiam; torchvision/resnet18: few images a class." in notes


def test_metrics_that_were_judged_otherwise_have_notes_of_their_own(tmp_path: Path) -> None:
    few = line("knn", 0.5, data="a", test_images=4, settings={"k": 7, "temperature": 0.1})
    many = line("knn", 0.6, metric="mean_per_class", data="a", test_images=120, settings={"k": 60, "temperature": 0.1})
    assert table([make_run(tmp_path / "run", [few, many])])[-2:] == [
        "- a · kNN: 7 neighbours, T 0.1; 4 test images.",
        "- a · kNN, mean per class: 60 neighbours, T 0.1; 120 test images.",
    ]


def test_other_backbones_beside_a_run_stand_under_their_own_name(tmp_path: Path) -> None:
    beside = {"data": "photos", "notes": ["few images"]}
    names = ("runs_b", "/x/imp-moco.pth.tar.safetensors", "timm/resnet50.a1_in1k", "/x/a.pt", "/y/a.pt", "runs/c/backbone.safetensors", "simsiam")
    lines = [line("knn", 0.5 + i / 100, name, step=None, **beside) for i, name in enumerate(names)]
    make_run(tmp_path / "a", [line("knn", 0.4, **beside), line("knn", 0.3, "head 1", step=400, **beside), *lines])
    make_run(tmp_path / "b", [line("knn", 0.4, **beside), *lines[:1]], method=BYOL)
    lone = make_run(tmp_path / "lone" / "a", [line("knn", 0.9, "simsiam", **beside)])
    found = table([tmp_path / "a", tmp_path / "b"])
    assert [row.split("|")[1].strip() for row in found[2:12]] == [
        *("simsiam", "simsiam, head 1", "byol", "runs_b", "imp-moco", "resnet50.a1_in1k", "/x/a.pt", "/y/a.pt", "c", "simsiam, beside"),
    ]
    assert found[-1] == "- simsiam; simsiam, head 1; byol; runs_b; imp-moco; resnet50.a1_in1k; /x/a.pt; /y/a.pt; c; simsiam, beside: few images."
    assert table([lone])[2].startswith("| simsiam |")
    make_run(tmp_path / "d", [line("knn", 0.45, "runs_b", **beside)])  # other weights by the same word
    assert [row.split("|")[1].strip() for row in table([tmp_path / "a", tmp_path / "d"])[4:6]] == ["runs_b, of a", "runs_b, of d"]


def test_notes_of_what_is_not_shown_are_not_shown(tmp_path: Path) -> None:
    lines = [line("knn", 0.5), line("knn", 0.6), line("lbfgs", 0.4, step=200), line("linear", 0.5), line("linear", 0.7)]
    run = make_run(tmp_path / "run", lines)
    assert len([note for note in table([run]) if note.startswith("- run: ")]) == 3
    assert [note for note in table([run], protocols=["linear"]) if note.startswith("- run: ")] == [
        "- run: Linear (SGD or LARS) of the backbone was judged 2 times; the last counts."
    ]


def test_one_is_singular(tmp_path: Path) -> None:
    knn = line("knn", 0.5, settings={"k": 1, "temperature": 0.1})
    run = make_run(tmp_path / "run", [knn, line("finetune", 0.5, settings={"name": "simclr", "lr": 0.1, "epochs": 1, "steps": 1})])
    found = table([run])
    assert "- Fine-tuning: simclr's, lr 0.1, 1 epoch, 1 step, 12,000 labels; 2,000 test images." in found
    assert "- kNN: 1 neighbour, T 0.1; 2,000 test images." in found


def test_a_part_of_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", everything("backbone", 0.1))
    assert table([run], "csv", ["knn", "semi"])[0].count("/how") == 3
    assert table([run], "csv", ["knn"], ["top1", "top5"])[1].startswith("simsiam,72.0,,1,")
    assert table([run], "csv", ["knn"], ["top5"])[1].startswith("simsiam,82.0,,1,")
    assert table([run], "csv", metrics=["box_ap50"])[0].startswith("row,coco/detection/coco-1x/box_ap50,")
    with pytest.raises(UserError, match=r"nothing of --protocol linear and --metric map was judged here; there is --protocol knn or lbfgs or semi"):
        table([run], "csv", ["linear"], ["map"])


def test_top5_beside_another_metric_is_never_in_its_column(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line("finetune", 0.5, metric="mean_per_class", top1=0.6), line("finetune", 0.7)])
    assert table([run])[0] == "|         | Fine-tuning | Fine-tuning, mean per class |"
    assert table([run])[2] == "| simsiam |        70.0 |                        50.0 |"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; name run directories"):
        table([tmp_path / "none"])
    with pytest.raises(UserError, match=r"no run here, nor a folder of one \(config.json or evaluations.jsonl is missing\)"):
        table([tmp_path])
    run = make_run(tmp_path / "a b", [])
    with pytest.raises(UserError, match=r"^table: .*a b: not judged yet; stopgrad evaluate '.*a b'$"):
        table([run])
    (run / "backbone.safetensors").unlink()
    with pytest.raises(UserError, match=r"not trained to its end \(finished\), and not judged"):
        table([run])
    other = make_run(tmp_path / "c", [line("knn", 0.5)], method=BYOL)
    assert table([run, other, other])[-1].endswith("not trained to its end (finished), and not judged.")
    assert len(table([other, other])) == 6  # named twice, counted once
    (other / "evaluations.jsonl").write_text('{"protocol": "knn", "features": "backbone", "top1": 1.5}\n')
    with pytest.raises(UserError, match=r"top1 1\.5 is not within 0\.\.1; the file is damaged"):
        table([other])


def test_a_collapsed_seed_is_said(folder: Path) -> None:
    status = folder / "simsiam-1" / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"verdict": {"state": "collapsed"}}))
    assert table([folder])[-1] == "- simsiam-1: collapsed."


def test_names_are_escaped(tmp_path: Path) -> None:
    name = "a|b_c & 50% #1 {x} \\ ~^ *_d_* \u202e"
    make_what(tmp_path / "w", [line("knn", 0.5, data="d_1|2")], name=name)
    rows = table([tmp_path])
    assert rows[2].startswith(r"| a\|b_c & 50% #1 {x} \\ ~^ \*\_d\_\* \\u202e |")
    assert r"d_1\|2 · kNN" in rows[0]
    assert len({len(row) for row in rows[:3]}) == 1
    tabular = table([tmp_path], "latex")
    assert (
        r"a\textbar{}b\_c \& 50\% \#1 \{x\} \textbackslash{} \textasciitilde{}\textasciicircum{} *\_d\_* \textbackslash{}u202e & 50.0 \\" in tabular
    )
    assert tabular[3] == r"& \multicolumn{1}{c}{d\_1\textbar{}2} \\"
    (row,) = csv.DictReader(io.StringIO("\n".join(table([tmp_path], "csv"))))
    assert row["row"] == name.replace("\u202e", r"\u202e")


def test_rows_of_one_name_are_told_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "a", [line("knn", 0.5)])
    make_run(tmp_path / "b", [line("knn", 0.5)], recipe="other", optim={"lr": 1.0})
    assert [row.split("|")[1].strip() for row in table([tmp_path])[2:4]] == ["simsiam, recipe small_images", "simsiam, recipe other"]
    make_run(tmp_path / "c", [line("knn", 0.5)], optim={"lr": 1.0, "momentum": 0.5, "weight_decay": 0.1, "nesterov": True})
    assert [row.split("|")[1].strip() for row in table([tmp_path])[2:5]] == ["simsiam, a", "simsiam, b", "simsiam, c"]
    make_what(tmp_path / "w0", [line("knn", 0.5)], name="net", digest="0")
    make_what(tmp_path / "w1", [line("knn", 0.6)], name="net", digest="1")
    assert [row.split("|")[1].strip() for row in table([tmp_path / "w0", tmp_path / "w1"])[2:4]] == ["net, w0", "net, w1"]
    for seed in range(2):  # random weights of a seed that is told
        make_what(tmp_path / f"v{seed}", [line("knn", 0.5 + seed / 10)], name="net", digest=str(seed), seed=seed)
    assert table([tmp_path / "v0", tmp_path / "v1"])[2] == "| net |   2 | 55.0 ± 7.1 |"


def test_letters_do_not_end() -> None:
    assert [_letter(i) for i in (0, 25, 26, 27, 52, 701, 702)] == ["a", "z", "aa", "ab", "ba", "zz", "aaa"]


@pytest.mark.parametrize(
    ("tuned_on", "found"),
    [
        ("lr by top1 on 100 training images held out", {"lr"}),
        ("lr, weight decay and epochs on 20 % of the training images", {"lr", "weight_decay", "epochs", "steps"}),
        ("C by map11 over 3 folds of the training images", {"costs"}),
        ("nothing", set()),
    ],
)
def test_what_a_protocol_finds_by_itself_is_no_difference(tuned_on: str, found: set[str]) -> None:
    settings = {"tuned_on": tuned_on, "lr": 1, "weight_decay": 0, "epochs": 3, "steps": 9, "costs": [1], "tried": [1, 2], "labelled_sha256": "00"}
    (figure,) = parse({"protocol": "semi", "features": "backbone", "top1": 0.5, "settings": settings})
    assert settings.keys() - figure.asked.keys() == found | {"tried", "labelled_sha256"}
    (listed,) = parse({"protocol": "semi", "features": "backbone", "top1": 0.5, "settings": settings | {"listed": "mine.txt"}})
    assert "labelled_sha256" in listed.asked

"""A run survives the trip through JSON, and every mistake is answered with the field's name."""

from dataclasses import replace

import pytest

from stopgrad.config import Run, differences, from_json, problems, set_value, to_json
from stopgrad.errors import UserError
from tests.toys import toy_run


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("optim.lr", "1e-3", 1e-3),
        ("train.epochs", "7", 7),
        ("train.compile", "reduce-overhead", "reduce-overhead"),
        ("data.short_side", "64", 64),
        ("method.projector", "64,32", (64, 32)),
        ("method.projector", "none", ()),
        ("method.projector_bn", "false,true", (False, True)),
        ("views.1.scale", "0.08,1", (0.08, 1.0)),
        ("method.similarity", "cross_entropy", "cross_entropy"),
        ("net.init", "none", None),
    ],
)
def test_set_value_changes_exactly_the_named_field(toy: Run, path: str, text: str, value: object) -> None:
    changed = set_value(toy, path, text)
    assert set(differences(toy, changed)) <= {path}
    node: object = changed
    for key in path.split("."):
        node = node[int(key)] if isinstance(node, tuple) and key.isdigit() else getattr(node, key)
    assert node == value


def test_a_field_of_all_views_is_set_at_once(toy: Run) -> None:
    assert differences(toy, set_value(toy, "views.size", "16")) == {"views.0.size": (8, 16), "views.1.size": (8, 16)}


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("optim.lrr", "1", "did you mean 'lr'"),
        ("optm.lr", "1", "did you mean 'optim'"),
        ("optim.lr", "fast", "optim.lr: 'fast' is not a number"),
        ("train.epochs", "1.5", "not a whole number"),
        ("optim.lr", "inf", "'inf' is not a number"),
        ("views.0.scale", "nan,1", "'nan' is not a number"),
        ("train.recompute", "yes", "true or false"),
        ("train.compile", "true", "'true' is none of no, default, reduce-overhead, max-autotune"),
        ("method.similarity", "cosin", "did you mean 'cosine'"),
        ("method.projector_bn", "true", "2 values"),
        ("method.projector_bn", "none", "2 values"),
        ("optim", "1", "optim has kind, lr"),
        ("optim.lr.x", "1", "lr is a value"),
        ("views.2.size", "1", "there are 2"),
        ("method.name", "byol", "by --method byol"),
    ],
)
def test_wrong_overrides_name_the_field(toy: Run, path: str, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        set_value(toy, path, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["train"].update(epoch=3), "train.epoch: no such field; did you mean 'epochs'"),
        (lambda r: r["train"].pop("epochs"), "train.epochs: missing"),
        (lambda r: r["optim"].update(lr="0.1"), "optim.lr: '0.1' is not a number"),
        (lambda r: r["train"].update(epochs=True), "train.epochs: True is not a whole number"),
        (lambda r: r["method"].update(name="simsiamm"), "no method 'simsiamm'; did you mean 'simsiam'"),
        (lambda r: r.update(schema=99), "written in form 99"),
        (lambda r: r.update(schema=1), "reads forms 2 to 6; train it again with this version, or use the version that wrote it"),
        (lambda r: r.update(schema=2, train=7), "train: an object with named fields"),
        (lambda r: r.update(views={}), "views: any number of values"),
    ],
)
def test_wrong_records_name_the_field(toy: Run, change: object, said: str) -> None:
    record = to_json(toy)
    change(record)  # type: ignore[operator]
    with pytest.raises(UserError, match=said):
        from_json(record)


@pytest.mark.parametrize(("form", "unknown"), [(2, ("threads", "recompute")), (3, ("recompute",))])
def test_what_older_forms_did_not_say_is_as_it_was_then(toy: Run, form: int, unknown: tuple[str, ...]) -> None:
    record = to_json(toy) | {"schema": form}
    kept = replace(toy, train=replace(toy.train, threads=0)) if "threads" in unknown else toy
    for name in unknown:
        record["train"].pop(name)
    assert from_json(record) == kept
    assert not record["train"].keys() & set(unknown)


@pytest.mark.parametrize(
    ("name", "gained"), [("simclr", ("loss", "semi_hard", "margin", "normalise")), ("byol", ("predictor_layers", "beta", "temperature"))]
)
def test_a_method_that_older_forms_wrote_is_as_it_was_then(name: str, gained: tuple[str, ...]) -> None:
    run = toy_run(name)
    record = to_json(run) | {"schema": 5}
    for field in gained:
        record["method"].pop(field)
    assert problems(from_json(record)) == []
    assert set(differences(from_json(record), run)) <= {"method.temperature"}, "of no effect without negatives"


def test_views_that_older_forms_wrote_have_nothing_of_what_few_have(toy: Run) -> None:
    record = to_json(toy) | {"schema": 5}
    for view in record["views"]:
        for name in ("shared_crop", "rotate", "policy", "sobel", "noise", "noise_sigma", "cutout", "cutout_side"):
            view.pop(name)
    assert from_json(record) == toy
    assert not any(view.further for view in toy.views)


@pytest.mark.parametrize(
    "few", [{"shared_crop": "0.5,1"}, {"policy": "imagenet"}, {"rotate": "0.1"}, {"sobel": "1"}, {"noise": "0.2"}, {"cutout": "0.01"}]
)
def test_a_view_with_any_of_what_few_have_says_so(toy: Run, few: dict[str, str]) -> None:
    for name, text in few.items():
        run = set_value(toy, f"views.{name}", text)
        assert all(view.further for view in run.views)
        assert problems(run) == []
        assert from_json(to_json(run)) == run


@pytest.mark.parametrize(("said", "mode"), [(False, "no"), (True, "default")])
def test_an_older_form_says_whether_and_not_how_to_compile(toy: Run, said: bool, mode: str) -> None:
    record = to_json(toy) | {"schema": 4}
    record["train"] |= {"compile": said}
    assert from_json(record) == set_value(toy, "train.compile", mode)
    assert record["train"]["compile"] is said


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("train.batch", "7", None),
        ("train.threads", "0", None),
        ("train.threads", "-1", "train.threads: 0 (settled when the run begins) or more, not -1"),
        ("data.size", "0", "data.size: at least 1 pixel, not 0"),
        ("data.size", "7", "data.size: at least 8 pixels, not 7"),
        ("views.0.size", "0", "views.0.size: at least 1 pixel, not 0"),
        ("train.accumulate", "3", "train.accumulate: 3 does not divide train.batch"),
        ("views.0.scale", "0.9,0.5", "views.0.scale"),
        ("views.1.jitter", "1,1,1,0.6", "hue at most 0.5"),
        ("views.rotate", "1.5", "views.rotate: a probability from 0 to 1, not 1.5"),
        ("views.1.sobel", "-1", "views.1.sobel: a probability from 0 to 1, not -1.0"),
        ("views.noise", "2", "views.noise: a probability"),
        ("views.cutout", "2", "views.cutout: a probability"),
        ("views.noise_sigma", "0.3,0.2", "views.noise_sigma: 0 <= smallest <= largest, not (0.3, 0.2)"),
        ("views.cutout_side", "0", "views.cutout_side: a share of the view's side above 0, at most 1, not 0.0"),
        ("views.shared_crop", "0,1", "views.shared_crop: none, or 0 < smallest <= largest <= 1, not (0.0, 1.0)"),
        ("views.0.shared_crop", "0.5,1", "views.shared_crop: the same in all views, or they do not share it"),
        ("data.channels", "5", None),
        ("data.mean", "0.1,0.2", "data.mean: 2 values for 1 channels"),
        ("data.std", "0", "data.std"),
        ("optim.warmup_epochs", "3", "optim.warmup_epochs"),
        ("train.batch", "1", "BN needs at least 2"),
    ],
)
def test_contradictions_name_the_field(toy: Run, path: str, text: str, said: str | None) -> None:
    found = problems(set_value(toy, path, text))
    assert found == [] if said is None else any(said in line for line in found)


def test_a_policy_of_autoaugment_is_for_grey_and_colour_and_has_a_name(toy: Run) -> None:
    run = set_value(toy, "views.policy", "cifar10")
    assert problems(set_value(run, "data.channels", "3")) == []
    assert any("views.policy: AutoAugment is for images of 1 or 3 channels, not 5" in line for line in problems(set_value(run, "data.channels", "5")))
    with pytest.raises(UserError, match="'imagenett' is none of imagenet, cifar10; did you mean 'imagenet'"):
        set_value(toy, "views.policy", "imagenett")


def test_more_than_one_problem_is_told_at_once(toy: Run) -> None:
    assert len(problems(replace(toy, train=replace(toy.train, epochs=0, batch=1)))) == 2


def test_values_out_of_range_come_without_what_they_contradict(toy: Run) -> None:
    run = replace(toy, optim=replace(toy.optim, warmup_epochs=1.0), train=replace(toy.train, epochs=-1))
    assert problems(run) == ["train.epochs: at least 1, not -1"]
    assert problems(set_value(toy, "train.batch", "0")) == ["train.batch: BN needs at least 2 images, not 0"]
    assert len(problems(set_value(toy, "views.size", "1"))) == 1  # once for all views
    assert problems(set_value(toy, "views.1.size", "1"))[0].startswith("views.1.size: at least 8 pixels")


@pytest.mark.parametrize("backbone", ["module:Own", "vit_b_16"])
def test_how_little_is_enough_is_known_of_our_resnets_only(toy: Run, backbone: str) -> None:
    net = replace(toy.net, backbone=backbone, stem="imagenet", width=64, zero_init_residual=False)
    assert net.own == (backbone == "module:Own")
    for path in ("views.size", "data.size"):
        assert problems(set_value(replace(toy, net=net), path, "4")) == []
        assert problems(set_value(replace(toy, net=net), path, "0")) == [f"{path}: at least 1 pixel, not 0"]


def test_what_only_resnets_have_is_refused_of_others(toy: Run) -> None:
    found = problems(set_value(toy, "net.backbone", "vit_b_16"))
    assert [line.split(":")[0] for line in found] == ["net.stem", "net.width"]

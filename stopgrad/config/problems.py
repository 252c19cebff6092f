"""What is wrong with a run, told before it is begun: values out of range, and values that do not go together."""

from stopgrad.config.run import RESNETS, Data, Net, Optim, Run, Train, View, resnet_only

SMALLEST = 8
"""Side of the smallest view for our ResNets, pixels: their strides multiply to 8 at least, a smaller one is less than one place of the last stage."""


def problems(run: Run) -> list[str]:
    """Return what is wrong with ``run``, one line each, naming the field; an empty list when it can be trained.

    Values out of range come alone: what they contradict is told when they are mended.
    """
    views = _of_views([_view_problems(view) for view in run.views])
    wrong = _data_problems(run.data) + views + _net_problems(run.net) + _optim_problems(run.optim) + _train_problems(run.train)
    return wrong or run.method.problems(len(run.views), run.train.epochs) + _too_small(run) + _contradictions(run)


def _data_problems(data: Data) -> list[str]:
    return _unmet(
        (data.channels >= 1, f"data.channels: at least 1, not {data.channels}"),
        (all(s > 0 for s in data.std), f"data.std: every value above 0, not {data.std}"),
        (0 <= data.max_bad <= 1, f"data.max_bad: a share from 0 to 1, not {data.max_bad}"),
        (data.workers >= -1, f"data.workers: -1 (one a core), 0 or more, not {data.workers}"),
        (data.short_side is None or data.short_side >= 8, f"data.short_side: at least 8 pixels, not {data.short_side}"),
        (data.size >= 1, f"data.size: at least 1 pixel, not {data.size}"),
        (data.max_pixels >= 1, f"data.max_pixels: at least 1, not {data.max_pixels}"),
    )


def _net_problems(net: Net) -> list[str]:
    return _unmet((net.width >= 1, f"net.width: at least 1, not {net.width}"))


def _optim_problems(optim: Optim) -> list[str]:
    return _unmet(
        (optim.lr > 0, f"optim.lr: above 0, not {optim.lr}"),
        (0 <= optim.momentum < 1, f"optim.momentum: from 0 to below 1, not {optim.momentum}"),
        (optim.weight_decay >= 0, f"optim.weight_decay: 0 or more, not {optim.weight_decay}"),
        (optim.trust > 0, f"optim.trust: above 0, not {optim.trust}"),
        (optim.warmup_epochs >= 0, f"optim.warmup_epochs: 0 or more, not {optim.warmup_epochs}"),
        (0 <= optim.warmup_from <= 1, f"optim.warmup_from: a share of the peak from 0 to 1, not {optim.warmup_from}"),
        (0 <= optim.floor <= 1, f"optim.floor: a share of the peak from 0 to 1, not {optim.floor}"),
    )


def _train_problems(train: Train) -> list[str]:
    return _unmet(
        (train.epochs >= 1, f"train.epochs: at least 1, not {train.epochs}"),
        (train.batch >= 2, f"train.batch: BN needs at least 2 images, not {train.batch}"),
        (train.threads >= 0, f"train.threads: 0 (settled when the run begins) or more, not {train.threads}"),
        (train.accumulate >= 1, f"train.accumulate: at least 1, not {train.accumulate}"),
        (train.bn_splits >= 1, f"train.bn_splits: at least 1, not {train.bn_splits}"),
        (train.log_every >= 1, f"train.log_every: at least 1, not {train.log_every}"),
        (train.keep >= 1, f"train.keep: at least 1, not {train.keep}"),
        (train.milestone_every >= 0, f"train.milestone_every: 0 (none) or more epochs, not {train.milestone_every}"),
        (train.monitor_every > 0, f"train.monitor_every: above 0 epochs, not {train.monitor_every}"),
        (train.checkpoint_seconds >= 0, f"train.checkpoint_seconds: 0 or more, not {train.checkpoint_seconds}"),
    )


def _contradictions(run: Run) -> list[str]:
    """Return where values that can each be one do not go together."""
    data, optim, train, method = run.data, run.optim, run.train, run.method
    part = train.batch // train.accumulate
    groups = train.bn_splits if train.bn == "split" else 1
    return resnet_only(run.net) + _unmet(
        (
            data.channels in (1, 3) or all(view.policy is None for view in run.views),
            f"views.policy: AutoAugment is for images of 1 or 3 channels, not {data.channels}; take --set views.policy=none",
        ),
        (len({view.shared_crop for view in run.views}) == 1, "views.shared_crop: the same in all views, or they do not share it"),
        (len(data.mean) in (1, data.channels), f"data.mean: {len(data.mean)} values for {data.channels} channels; give 1 or {data.channels}"),
        (len(data.std) in (1, data.channels), f"data.std: {len(data.std)} values for {data.channels} channels; give 1 or {data.channels}"),
        (not (method.one_part and train.accumulate > 1), f"train.accumulate: {method.name} takes whole batches, its loss is over all of one"),
        (
            not (method.joins_views and train.bn == "split"),
            f"train.bn: {method.name} passes several views together, which split BN would cut; take sync or local",
        ),
        (optim.schedule == "cosine" or bool(optim.drop_epochs), "optim.drop_epochs: optim.schedule=steps needs at least one"),
        (
            optim.schedule == "cosine" or not optim.drop_epochs or min(optim.drop_epochs) < train.epochs,
            f"optim.drop_epochs: none below train.epochs ({train.epochs})",
        ),
        (not optim.nesterov or optim.kind == "sgd", "optim.nesterov: for SGD, LARS has none"),
        (optim.warmup_epochs <= train.epochs, f"optim.warmup_epochs: {optim.warmup_epochs:g} are more than train.epochs ({train.epochs})"),
        (train.batch % train.accumulate == 0, f"train.accumulate: {train.accumulate} does not divide train.batch ({train.batch})"),
        (not train.recompute or train.compile == "no", "train.recompute: does not go with train.compile; choose one of them"),
        (part >= 2, f"train.accumulate: BN needs at least 2 images a part, not {part}"),
        (part % groups == 0, f"train.bn_splits: {groups} does not divide the {part} images of a part"),
        (part // groups >= 2 or part < 2, f"train.bn_splits: BN needs at least 2 images a part, not {part // groups}"),
    )


def _too_small(run: Run) -> list[str]:
    """Return which sides are too small for our ResNets. What other networks can see, they say themselves when they are built."""
    if run.net.backbone not in RESNETS:
        return []

    def small(field: str, size: int) -> list[str]:
        line = f"{field}: at least {SMALLEST} pixels, not {size}: a ResNet halves a view three times or more, and must still see something"
        return _unmet((size >= SMALLEST, line))

    return small("data.size", run.data.size) + _of_views([small("size", view.size) for view in run.views])


def _unmet(*conditions: tuple[bool, str]) -> list[str]:
    return [line for holds, line in conditions if not holds]


def _of_views(found: list[list[str]]) -> list[str]:
    """Return what was found in each view; what is wrong with all of them, once."""
    common = [line for line in found[0] if all(line in lines for lines in found)] if found else []
    return [f"views.{line}" for line in common] + [f"views.{i}.{line}" for i, lines in enumerate(found) for line in lines if line not in common]


def _view_problems(view: View) -> list[str]:
    chances = {"flip": view.flip, "jitter_p": view.jitter_p, "grey": view.grey, "blur": view.blur, "solarise": view.solarise}
    chances |= {"rotate": view.rotate, "sobel": view.sobel, "noise": view.noise, "cutout": view.cutout}
    shared = view.shared_crop
    found = [f"{name}: a probability from 0 to 1, not {chance}" for name, chance in chances.items() if not 0 <= chance <= 1]
    return found + _unmet(
        (view.size >= 1, f"size: at least 1 pixel, not {view.size}"),
        (0 < view.scale[0] <= view.scale[1] <= 1, f"scale: 0 < smallest <= largest <= 1, not {view.scale}"),
        (0 < view.ratio[0] <= view.ratio[1], f"ratio: 0 < smallest <= largest, not {view.ratio}"),
        (0 < view.blur_sigma[0] <= view.blur_sigma[1], f"blur_sigma: 0 < smallest <= largest, not {view.blur_sigma}"),
        (all(s >= 0 for s in view.jitter) and view.jitter[3] <= 0.5, f"jitter: strengths of 0 or more, hue at most 0.5, not {view.jitter}"),
        (shared is None or 0 < shared[0] <= shared[1] <= 1, f"shared_crop: none, or 0 < smallest <= largest <= 1, not {shared}"),
        (0 <= view.noise_sigma[0] <= view.noise_sigma[1], f"noise_sigma: 0 <= smallest <= largest, not {view.noise_sigma}"),
        (0 < view.cutout_side <= 1, f"cutout_side: a share of the view's side above 0, at most 1, not {view.cutout_side}"),
    )

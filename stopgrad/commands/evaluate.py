"""``stopgrad evaluate``."""

from argparse import ArgumentParser, Namespace

from stopgrad.accuracies import accuracies
from stopgrad.beforehand import refuse_head, refuse_missing, refuse_untrained
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_device, add_run, layers, word
from stopgrad.config.named import NAMED, chosen
from stopgrad.onward import next_lines
from stopgrad.runs import RunDirectory

SUMMARY = "judge a run's backbone beside raw pixels and random initialisation"
EXAMPLE = "stopgrad evaluate runs/photos --protocol knn lbfgs"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_run(p)
    names, usual = tuple(NAMED), ["knn", "lbfgs"]
    p.add_argument("--protocol", nargs="+", type=word, choices=names, default=usual, help="how (default: knn lbfgs); linear is the papers' SGD/LARS")
    p.add_argument("--data", metavar="IMAGES", help="labelled images; default: those of the run")
    p.add_argument("--labels", choices=("auto", "folders"), default="auto", help="where the labels of --data come from (default: %(default)s)")
    kinds = ("pixels", "random", "backbone")
    p.add_argument("--features", nargs="+", type=word, choices=kinds, default=kinds, help="what is judged (default: all three)")
    p.add_argument(
        "--head", type=layers, default=0, metavar="LAYERS", help="judge features from inside the head: after this many layers of the projector"
    )
    p.add_argument("--settings", metavar="WHOSE", help=f"settings by name; {_whose()}")
    p.add_argument("--set", dest="pairs", metavar="FIELD=VALUE", action="append", default=[], help="any field of the settings, such as linear.lr=10")
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad evaluate``."""
    settings = chosen(asked.protocol, asked.settings, asked.pairs)
    refuse_untrained(asked.run_directory)
    refuse_head(asked.run_directory, asked.head)
    if asked.data is not None:
        refuse_missing(asked.data)
    from stopgrad.images.opened import judged_images

    splits = judged_images(RunDirectory(asked.run_directory).read_config(), asked.run_directory, asked.data, asked.labels)
    from stopgrad.api import evaluate as judge

    records = judge(asked.run_directory, settings, data=splits, features=asked.features, head=asked.head, device=asked.device, tell=print)
    print("\n".join(accuracies(records)))
    print(f"written to {asked.run_directory / 'evaluations.jsonl'}")
    print("\n".join(next_lines(asked.run_directory)))
    return DONE


def _whose() -> str:
    return "; ".join(f"{protocol}: {', '.join(named)}" for protocol, named in NAMED.items() if len(named) > 1)

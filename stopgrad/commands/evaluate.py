"""``stopgrad evaluate``."""

from argparse import ArgumentParser, Namespace

from stopgrad.accuracies import accuracies
from stopgrad.beforehand import refuse_head, refuse_missing, refuse_untrained
from stopgrad.commands.training import DONE
from stopgrad.commands.words import add_device, add_run, count, layers, positive, word
from stopgrad.onward import next_lines
from stopgrad.runs import RunDirectory

SUMMARY = "judge a run's backbone beside raw pixels and random initialisation"
EXAMPLE = "stopgrad evaluate runs/photos --protocol knn lbfgs"


def add(p: ArgumentParser) -> None:
    """Declare the words."""
    add_run(p)
    names, usual = ("knn", "lbfgs", "linear"), ["knn", "lbfgs"]
    p.add_argument("--protocol", nargs="+", type=word, choices=names, default=usual, help="how (default: knn lbfgs); linear is the papers' SGD/LARS")
    p.add_argument("--data", metavar="IMAGES", help="labelled images; default: those of the run")
    p.add_argument("--labels", choices=("auto", "folders"), default="auto", help="where the labels of --data come from (default: %(default)s)")
    kinds = ("pixels", "random", "backbone")
    p.add_argument("--features", nargs="+", type=word, choices=kinds, default=kinds, help="what is judged (default: all three)")
    p.add_argument(
        "--head", type=layers, default=0, metavar="LAYERS", help="judge features from inside the head: after this many layers of the projector"
    )
    p.add_argument("--settings", choices=("simsiam", "moco", "simclr"), default="simsiam", help="whose linear protocol (default: %(default)s)")
    p.add_argument("--k", type=count, default=200, help="kNN: neighbours (default: %(default)s, at most a fifth of the images)")
    p.add_argument("--temperature", type=positive, default=0.1, help="kNN: temperature (default: %(default)s)")
    add_device(p)


def run(asked: Namespace) -> int:
    """``stopgrad evaluate``."""
    refuse_untrained(asked.run_directory)
    refuse_head(asked.run_directory, asked.head)
    if asked.data is not None:
        refuse_missing(asked.data)
    from stopgrad.images.opened import judged_images

    splits = judged_images(RunDirectory(asked.run_directory).read_config(), asked.run_directory, asked.data, asked.labels)
    from stopgrad.api import evaluate as judge
    from stopgrad.config.protocols import LINEAR, Knn, Lbfgs, Linear

    settings: dict[str, Knn | Lbfgs | Linear] = {
        "knn": Knn(k=asked.k, temperature=asked.temperature),
        "lbfgs": Lbfgs(),
        "linear": LINEAR[asked.settings],
    }
    protocols = [settings[name] for name in asked.protocol]
    records = judge(asked.run_directory, protocols, data=splits, features=asked.features, head=asked.head, device=asked.device, tell=print)
    print("\n".join(accuracies(records)))
    print(f"written to {asked.run_directory / 'evaluations.jsonl'}")
    print("\n".join(next_lines(asked.run_directory)))
    return DONE

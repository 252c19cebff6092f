"""What a run is: frozen values, their JSON, and overrides by path. Imports nothing heavy: ``--help`` needs it."""

from stopgrad.config.codec import differences, from_json, net_from_json, set_value, to_json
from stopgrad.config.contrastive import MoCoConfig, SimCLRConfig, SupConConfig
from stopgrad.config.found import Found
from stopgrad.config.method import MethodConfig
from stopgrad.config.methods import METHODS, SupervisedConfig
from stopgrad.config.problems import problems
from stopgrad.config.run import RESNETS, Data, Net, Optim, Run, Train, View
from stopgrad.config.siamese import BYOLConfig, EMConfig, SimSiamConfig, SwAVConfig

__all__ = [
    "METHODS",
    "RESNETS",
    "BYOLConfig",
    "Data",
    "EMConfig",
    "Found",
    "MethodConfig",
    "MoCoConfig",
    "Net",
    "Optim",
    "Run",
    "SimCLRConfig",
    "SimSiamConfig",
    "SupConConfig",
    "SupervisedConfig",
    "SwAVConfig",
    "Train",
    "View",
    "differences",
    "from_json",
    "net_from_json",
    "problems",
    "set_value",
    "to_json",
]

"""What is compiled, and when: backbones in training; evaluation is left as it is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from stopgrad.config.run import Compile
from stopgrad.errors import UserError
from stopgrad.nets.backbones import Backbone, build
from stopgrad.nets.compiled import begin_step, compile_backbones, refuse_graphs
from tests.toys import toy_run


class Stand:
    """In the place of torch.compile: counts what passes it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.passed = 0

    def __call__(self, function: object, *, mode: str, dynamic: bool) -> object:
        self.asked.append((mode, dynamic))

        def compiled(x: Tensor) -> Tensor:
            self.passed += 1
            return function(x)  # type: ignore[operator, no-any-return]

        return compiled


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()
    monkeypatch.setattr(torch, "compile", stand)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    return stand


def backbone() -> Backbone:
    return build(toy_run().net, 1, 8)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune"])
def test_only_training_is_compiled(stand: Stand, mode: Compile) -> None:
    net, x = backbone(), torch.rand(2, 1, 8, 8)
    compile_backbones([net], mode)
    compile_backbones([net], mode)  # of another run on the same module: what is compiled is the module's own forward
    assert stand.asked == [(mode, False)] * 2
    net.train()(x)
    assert stand.passed == 1
    net.eval()(x)
    assert stand.passed == 1
    compile_backbones([net], "no")
    net.train()(x)
    assert stand.passed == 1
    assert "forward" not in vars(net)


def test_a_compiled_backbone_has_the_same_state(stand: Stand) -> None:
    net = backbone()
    keys = list(net.state_dict())
    compile_backbones([net], "default")
    assert list(net.state_dict()) == keys
    assert not any(isinstance(module, nn.Module) for module in vars(net).values())


@pytest.mark.parametrize(("mode", "marks"), [("no", 0), ("default", 0), ("reduce-overhead", 1), ("max-autotune", 1)])
def test_a_step_of_graphs_says_that_it_begins(monkeypatch: pytest.MonkeyPatch, mode: Compile, marks: int) -> None:
    marked: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marked.append(1))
    begin_step(toy_run(compile=mode).train, torch.device("cuda"))
    assert len(marked) == marks
    begin_step(toy_run(compile=mode).train, torch.device("cpu"))
    assert len(marked) == marks


def test_bn_that_is_synchronised_over_processes_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    train = replace(toy_run().train, compile="default", bn="sync")
    refuse_graphs(train, torch.device("cpu"))
    monkeypatch.setattr("stopgrad.nets.compiled.size", lambda: 2)
    refuse_graphs(replace(train, bn="local"), torch.device("cpu"))
    with pytest.raises(UserError, match=r"synchronised over 2 processes; take train\.compile=no, or --bn local"):
        refuse_graphs(train, torch.device("cpu"))

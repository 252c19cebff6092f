"""SimSiam as alternating optimisation. Chen & He, arXiv:2011.10566, Sec. 5: min over θ and η of E ‖F_θ(T(x)) − η_x‖².

η has one vector an image. Alternate: k steps on θ with η fixed (which is the stop-gradient), then η_x ← F_θ(T'(x)) for the images of
the k coming batches (Eq. 9); or let η_x follow as a moving average, kept for every image, without a predictor (Sec. 5.2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stopgrad import distributed
from stopgrad.config import EMConfig
from stopgrad.errors import UserError
from stopgrad.images.residence import free_ram, megabytes
from stopgrad.methods.base import Coming, Method, Output, Task, When, apart
from stopgrad.methods.losses import cosine
from stopgrad.nets.backbones import Backbone
from stopgrad.nets.heads import mlp
from stopgrad.nets.norm import unmoved_statistics
from stopgrad.optim import Group


class EM(Method):
    """N images, d features; both views are T and T' in turn, as in SimSiam."""

    settings = EMConfig
    takes = ("images",)
    eta: Tensor
    """Alternation: (k, 2 batch, d), of k batches the target of the first views and of the second. Memory: (images, d), 0 where none was seen."""

    def __init__(self, backbone: Backbone, cfg: EMConfig, task: Task) -> None:
        super().__init__()
        d = cfg.projector[-1]
        self.cfg = cfg
        self.k = cfg.steps or task.steps_per_epoch
        self.now = 0
        self.backbone = backbone
        self.projector = mlp((backbone.features, *cfg.projector), True, True, output_affine=False)
        self.h = mlp((d, cfg.predictor_hidden, d), True, False) if cfg.predictor == "trained" else nn.Identity()
        self.register_buffer("eta", torch.zeros((task.images, d) if cfg.memory is not None else (self.k, 2 * task.batch, d)))

    @classmethod
    def make(cls, backbone: Backbone, cfg: EMConfig, task: Task) -> "EM":
        """Raises UserError when there is no room for the targets."""
        vectors = task.images if cfg.memory is not None else (cfg.steps or task.steps_per_epoch) * 2 * task.batch
        if (needed := 4 * vectors * cfg.projector[-1]) > (free := free_ram()) / 2:
            raise UserError(
                f"method.steps: the targets of that many steps take {megabytes(needed)}, more than half of the {megabytes(free)} free; "
                "take fewer (--set method.steps=10) or a smaller batch or output"
            )
        return cls(backbone, cfg, task)

    def f(self, x: Tensor) -> Tensor:
        """Return the projections of a view, (N, d)."""
        z: Tensor = self.projector(self.backbone(x))
        return z

    @torch.no_grad()
    def before_step(self, when: When, coming: Coming) -> None:
        """Every k steps: η_x ← F_θ(T'(x)) for the images of the k coming batches (Eq. 9)."""
        self.now = when.step % self.k
        if self.cfg.memory is None and self.now == 0:
            with unmoved_statistics(self):
                for j, (x1, x2) in enumerate(coming(self.k)):
                    self.eta[j] = torch.cat([distributed.gather(self.f(x2)), distributed.gather(self.f(x1))])

    def forward(self, x1: Tensor, x2: Tensor, images: Tensor) -> Output:  # type: ignore[override]  # two views, as in the paper
        """Return the mean distance of both views' predictions from η (Eq. 7), as a cosine (footnote 3)."""
        z1, z2 = self.f(x1), self.f(x2)
        p1, p2 = self.h(z1), self.h(z2)
        if self.cfg.memory is None:
            eta1, eta2 = (distributed.mine(eta) for eta in self.eta[self.now].chunk(2))
        else:
            eta1, eta2 = self.remembered(images, z2), self.remembered(images, z1)
            self.remember(images, (eta1 + eta2) / 2)
        loss = cosine(p1, eta1) / 2 + cosine(p2, eta2) / 2
        return Output(loss, (z1.detach(), z2.detach()), (p1.detach(), p2.detach()) if self.cfg.predictor == "trained" else ())

    def param_groups(self) -> list[Group]:
        """The predictor stands apart: its rate may stay constant (Table 1c)."""
        return apart(self, "h.", fixed_lr=self.cfg.predictor_fixed_lr)

    @torch.no_grad()
    def remembered(self, images: Tensor, z: Tensor) -> Tensor:
        """Return η_x = m·η_x + (1 − m)·F(T'(x)) (Sec. 5.2), of unit vectors; F(T'(x)) where the image is new."""
        assert self.cfg.memory is not None
        z, old = F.normalize(z.float(), dim=1), self.eta[images]
        known = old.any(dim=1, keepdim=True)
        return torch.where(known, self.cfg.memory * old + (1 - self.cfg.memory) * z, z)

    @torch.no_grad()
    def remember(self, images: Tensor, eta: Tensor) -> None:
        """Keep what every process found, in every process."""
        self.eta[distributed.gather(images)] = distributed.gather(eta)

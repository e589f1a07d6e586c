"""A critic that tells the student's answers from the teachers': structured distillation's holistic term."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.func import functional_call

from segdistill.compare import probabilities


class Critic(nn.Module):
    """A Wasserstein critic with gradient penalty on class probabilities (Liu et al., 2019, arXiv:1903.04197).

    The student gains by answers that the critic takes for a teacher's (`holistic`); the critic learns to tell them
    apart (`own_loss`), by an optimizer of its own. Both gradients come from one backward pass: the critic that judges
    the student is a copy without gradient, and the answers that the critic learns from are detached. Close to the
    source: it is MONAI's patch discriminator with instance norm, without self-attention; like the published code's it
    does not see the image.

    Args:
        classes: channels of the probabilities.
        spatial_dims: 2 or 3.
        width: channels of its first layer.
        layers: how often it halves the image.
        penalty: weight of the gradient penalty.
    """

    def __init__(
        self, classes: int, spatial_dims: int, width: int = 32, layers: int = 2, penalty: float = 10.0
    ) -> None:
        super().__init__()
        self.penalty = penalty
        self.judge = PatchDiscriminator(
            spatial_dims, channels=width, in_channels=classes, out_channels=1, num_layers_d=layers, norm="INSTANCE"
        )  # fmt: skip

    def score(self, probabilities: Tensor) -> Tensor:
        """(batch, class, *space) -> (batch,): the larger, the more like a teacher."""
        return self.judge(probabilities)[-1].flatten(1).mean(1)

    def holistic(self, student: Tensor) -> Tensor:
        """The student's loss, -mean score; its gradient reaches the student alone."""
        fixed = {name: value.detach() for name, value in self.judge.named_parameters()}
        return -functional_call(self.judge, fixed, (student,))[-1].flatten(1).mean(1).mean()

    def losses(self, logits: Tensor, taught: Sequence[Tensor], regions: bool) -> tuple[Tensor, Tensor]:
        """The student's loss before the critic, and the critic's own against each teacher, on average.

        Args:
            logits, taught: (batch, class, *space) of the student, and of each teacher.
            regions: they are sigmoid logits.
        """
        with torch.autocast(logits.device.type, enabled=False):
            own, *others = (probabilities(each.float(), regions) for each in (logits, *taught))
            return self.holistic(own), torch.stack([self.own_loss(own, other) for other in others]).mean()

    def own_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The critic's loss: mean score of the student - of the teacher + penalty (|gradient| - 1)^2 between them."""
        student, teacher = student.detach(), teacher.detach()
        share = torch.rand(len(student), *[1] * (student.ndim - 1), device=student.device)
        between = (share * teacher + (1 - share) * student).requires_grad_()
        (slope,) = torch.autograd.grad(self.score(between).sum(), between, create_graph=True)
        length = (slope.flatten(1).square().sum(1) + 1e-12).sqrt()
        return (self.score(student) - self.score(teacher)).mean() + self.penalty * (
            length - 1
        ).square().mean()

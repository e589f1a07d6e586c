"""What each stage costs: all together are the network; each is what lies between it and the one before."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from segdistill.cost.by_stage import OTHER
from segdistill.cost.counting import Counts, count
from segdistill.model import Facts, build_network, resolve_network
from segdistill.networks.stages import name_stages

SPECS = [
    {"type": "unet", "channels": [4, 8, 8]},
    {"type": "unet_plus_plus", "filters": 4},
    {"type": "swin_unetr", "feature_size": 12},
    {"type": "unetr", "feature_size": 4, "hidden_size": 24, "mlp_size": 48, "heads": 2},
    {"type": "resnet18_student", "filters": 4},
    {"type": "h_denseformer", "filters": 4, "depth": 4},
]


def counted(spec: dict[str, object], size: tuple[int, ...]) -> Counts:
    facts = Facts(len(size), 2, 3, size)
    return count(build_network(resolve_network(spec, facts, "student"), facts, "student"), (2, *size))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec["type"]))
def test_stages_together_are_the_network(spec: dict[str, object]) -> None:
    counts = counted(spec, (64, 64))
    assert sum(one.macs for one in counts.stages) == counts.macs > 0
    assert sum(one.parameters for one in counts.stages) == counts.parameters
    names = [one.stage for one in counts.stages]
    assert len(names) == len(set(names)) > 2


class Small(nn.Module):
    """Two convolutions and a head; one layer that is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1, stride=2)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.head = nn.Conv2d(2, 2, 1)
        self.spare = nn.Linear(3, 5)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.up(self.norm(self.down(image))))
        return out


def test_what_lies_between_two_stages_belongs_to_the_second() -> None:
    network = name_stages(Small(), {"encoder/2": "down", "decoder/1": "up"})
    found = {one.stage: (one.macs, one.parameters) for one in count(network, (1, 8, 8)).stages}
    assert found["encoder/2"] == (4 * 9 * 16, 4 * 9 + 4)
    assert found["decoder/1"] == (4 * 2 * 4 * 16, 8 + 4 * 2 * 4 + 2), "with the norm before it"
    assert found["logits"] == (2 * 2 * 64, 6)
    assert found[OTHER] == (0, 20)

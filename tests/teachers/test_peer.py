from __future__ import annotations

import pytest
import torch
from torch import nn

from segdistill.teachers.average import Average
from segdistill.teachers.peer import Peer
from segdistill.teachers.teacher import Teacher


def test_by_default_each_takes_the_other_as_it_is_and_sees_everything() -> None:
    assert Peer() == Peer(detach=True, site=None)


@pytest.mark.parametrize(
    "options, learns", [({}, False), ({"peer": Peer()}, True), ({"average": Average()}, True)]
)
def test_peer_is_trained_and_the_others_are_frozen(options: dict[str, object], learns: bool) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    teacher = Teacher(network, **options).freeze()  # type: ignore[arg-type]
    said = teacher.knowledge(torch.randn(2, 1, 4, 4), ["logits"])["logits"]
    is_peer = "peer" in options
    assert teacher.learns == learns
    assert said.requires_grad == is_peer
    assert network.training == is_peer
    assert all(p.requires_grad == is_peer for p in network.parameters())

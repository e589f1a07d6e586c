from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segdistill.data.patches import UNLABELLED
from segdistill.losses.segmentation import IGNORE
from segdistill.truth import Truth, absent

every_space = pytest.mark.parametrize("space", [(4, 6), (4, 2, 6)], ids=["2-D", "3-D"])


def draw(space: tuple[int, ...], layers: int = 1, classes: int = 3) -> Tensor:
    """Two labelled samples with ignored voxels, and one without label."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, classes if layers == 1 else 2, (3, layers, *space), generator=generator)
    hidden = torch.rand(3, 1, *space, generator=generator) < 0.3
    label = label.masked_fill(hidden, IGNORE).to(torch.int16)
    label[2] = UNLABELLED
    return label


@every_space
def test_planes_of_classes(space: tuple[int, ...]) -> None:
    label = draw(space)
    truth = Truth(label, 3, regions=False)
    planes, labelled, where = truth.planes(space), truth.labelled(space), truth.where(space)
    assert planes.shape == (3, 3, *space) and labelled.shape == (3, 1, *space)
    assert where is not None
    for sample in range(3):
        for voxel in range(math.prod(space)):
            known = int(label[sample, 0].flatten()[voxel])
            found = planes[sample].flatten(1)[:, voxel].tolist()
            assert found == [float(known == k) for k in range(3)]
            assert labelled[sample].flatten()[voxel] == (known >= 0)
            assert where[sample].flatten()[voxel] == (known != IGNORE)


@every_space
def test_planes_of_regions(space: tuple[int, ...]) -> None:
    label = draw(space, layers=2)
    truth = Truth(label, 2, regions=True)
    assert torch.equal(truth.planes(space), (label == 1).float())
    assert torch.equal(truth.labelled(space), (label[:, :1] >= 0).float())


def test_images_without_label() -> None:
    """Supervision leaves them out, distillation acts on all of them."""
    label = torch.full((1, 1, 2, 2), UNLABELLED)
    truth = Truth(label, 2, regions=False)
    assert bool((truth.at((2, 2)) == IGNORE).all())
    assert truth.where((2, 2)) is None
    assert truth.planes((2, 2)).sum() == 0 and truth.labelled((2, 2)).sum() == 0


def test_where_everything_counts_there_is_no_weight() -> None:
    assert Truth(torch.zeros(1, 1, 2, 2, dtype=torch.int16), 2, regions=False).where((2, 2)) is None
    nothing = Truth(torch.full((1, 1, 2, 2), IGNORE), 2, regions=False).where((2, 2))
    assert nothing is not None and nothing.sum() == 0


def test_coarser_sizes() -> None:
    """The label takes a voxel's value, the weight the share of the voxels that count."""
    label = torch.tensor([[0, 0, 1, IGNORE], [0, 0, IGNORE, IGNORE]]).reshape(1, 1, 2, 4)
    truth = Truth(label, 2, regions=False)
    where = truth.where((1, 2))
    assert where is not None and where.flatten().tolist() == [1.0, 0.25]
    assert set(truth.at((1, 2)).flatten().tolist()) <= {0, 1, IGNORE}
    assert truth.at((1, 2)).dtype == label.dtype
    assert truth.planes((1, 2)).shape == (1, 2, 1, 2)
    assert truth.labelled((1, 2)).flatten().tolist() == (truth.at((1, 2)) >= 0).flatten().float().tolist()


def test_some_samples() -> None:
    label = draw((4, 4))
    part = Truth(label, 3, regions=False).of(torch.tensor([2, 0]))
    whole = Truth(label, 3, regions=False)
    assert torch.equal(part.planes((4, 4)), whole.planes((4, 4))[[2, 0]])
    where = part.where((4, 4))
    assert where is not None and where[0].min() == 1 and where[1].min() == 0


def test_absent_classes() -> None:
    """Of the labelled samples: the third has none, and a sample of regions may have no plane at all."""
    planes = torch.zeros(3, 2, 2, 2)
    planes[0, 0, 0, 0] = 1
    labelled = torch.tensor([True, True, False])
    assert absent(planes, labelled).tolist() == [1.0, 2.0]

from __future__ import annotations

import pytest
import torch

from segdistill.losses.relation.prototypes import check_label, labelled_voxels, pair_mean, prototypes


def test_mean_of_each_class() -> None:
    values = torch.tensor([[[1.0, 3.0, 5.0, 100.0], [0.0, 2.0, 4.0, 100.0]]])
    planes = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    means, present = prototypes(values, planes)
    assert means.tolist() == [[[2.0, 1.0], [5.0, 4.0], [0.0, 0.0]]]
    assert present.tolist() == [[1.0, 1.0, 0.0]]


def test_pairs_of_present_classes() -> None:
    values = torch.arange(9.0).view(1, 3, 3)
    values = (values + values.mT) / 2  # 0-1: 2, 0-2: 4, 1-2: 6
    assert float(pair_mean(values, torch.tensor([[1.0, 1.0, 1.0]]))) == 4
    assert float(pair_mean(values, torch.tensor([[0.0, 1.0, 1.0]]))) == 6
    assert float(pair_mean(values, torch.tensor([[0.0, 1.0, 0.0]]))) == 0


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 3, 4, 4), (2, 3, 4)], ids=str)
def test_label_on_another_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="on the grid of the maps"):
        check_label(torch.zeros(2, 5, 4, 4), torch.zeros(shape))
    check_label(torch.zeros(2, 5, 4, 4), torch.zeros(2, 3, 4, 4))


def test_labelled_voxels_of_maps_of_two_widths() -> None:
    label, where = torch.zeros(1, 3, 2, 2, dtype=torch.float64), torch.tensor([[[[1.0, 0.0], [0.5, 1.0]]]])
    label[0, 1, 0, 1] = 1
    own, other, planes, weight = labelled_voxels(torch.ones(1, 2, 2, 2), torch.ones(1, 5, 2, 2), label, where)
    assert own.shape == (1, 2, 4) and other.shape == (1, 5, 4)
    assert planes.dtype == torch.float32 and planes[0, 1].tolist() == [0, 1, 0, 0]
    assert weight.tolist() == [[1, 0, 0.5, 1]]

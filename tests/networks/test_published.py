"""Teach-Former's Table 1, number for number: its H-DenseFormer, Swin, UNETR and UX-Net rows at full size."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature

import pytest
from torch import nn

from segdistill.cost import Counts, count
from segdistill.networks import NETWORKS, PRESETS, expand_preset

INPUT = {3: (2, 144, 144, 144), 2: (3, 384, 384)}  # PET-CT of HECKTOR21; T2W, DWI and ADC of PI-CAI22


@dataclass(frozen=True)
class Published:
    preset: str
    spatial_dims: int
    millions: float  # "Param" as printed
    gflops: float  # "GFLOPs" as printed: multiply-adds in thop's convention
    parameters: int  # all that the network has
    gmacs: float  # true multiply-adds


TABLE = [
    Published("t1", 3, 11.38, 960.38, 11_561_288, 706.513),
    Published("s1", 3, 1.53, 62.73, 1_573_016, 47.420),
    Published("t1", 2, 4.98, 32.33, 5_197_032, 27.020),
    Published("s1", 2, 1.25, 3.31, 1_312_224, 3.841),
    Published("t2", 3, 5.38, 280.91, 5_584_700, 280.149),
    # Printed 75.68, probably a misprint of 74.68: every other number of the four Swin rows is met.
    Published("s2", 3, 1.35, 74.676, 1_548_704, 76.576),
    Published("t2", 2, 11.04, 37.94, 11_057_276, 35.839),
    Published("s2", 2, 2.76, 9.64, 2_782_388, 9.195),
    Published("t3", 3, 95.76, 282.18, 96_342_434, 257.083),
    Published("t3", 2, 87.51, 59.42, 87_973_122, 62.635),
    Published("s3", 3, 5.12, 41.51, 5_119_568, 37.765),
    Published("s3", 2, 4.71, 20.27, 4_718_882, 18.141),
]


def build(
    spec: dict[str, object], spatial_dims: int, in_channels: int, out_channels: int, size: tuple[int, ...]
) -> nn.Module:
    settings = dict(spec)
    part = NETWORKS[str(settings.pop("type"))].part
    if "image_size" in signature(part).parameters:
        settings["image_size"] = size
    return part(spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels, **settings)


def counts_of(spec: dict[str, object], spatial_dims: int, shape: tuple[int, ...], classes: int = 2) -> Counts:
    return count(build(spec, spatial_dims, shape[0], classes, shape[1:]), shape)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.preset}-{row.spatial_dims}d")
def test_table_1(row: Published) -> None:
    counts = counts_of(expand_preset(row.preset, row.spatial_dims), row.spatial_dims, INPUT[row.spatial_dims])
    assert counts.parameters == row.parameters
    assert counts.macs / 1e9 == pytest.approx(row.gmacs, abs=5.1e-4)
    assert counts.thop_parameters / 1e6 == pytest.approx(row.millions, abs=0.01)
    assert counts.thop_macs / 1e9 == pytest.approx(row.gflops, abs=0.01)


def test_the_table_holds_every_preset_in_2d_and_3d() -> None:
    assert {(row.preset, row.spatial_dims) for row in TABLE} == {
        (name, dims) for name in PRESETS for dims in (2, 3)
    }


def test_light_swin_3d_to_the_digit() -> None:
    counts = counts_of(expand_preset("s2", 3), 3, INPUT[3])
    assert round(counts.thop_macs / 1e9, 3) == 74.676


def test_swin_without_the_stage_that_nothing_uses() -> None:
    counts = counts_of({**expand_preset("t2", 3), "unused_stage": False}, 3, INPUT[3])
    assert counts.thop_parameters / 1e6 == pytest.approx(3.904, abs=1e-3)
    assert counts.thop_macs / 1e9 == pytest.approx(279.46, abs=0.01)


def test_numbers_of_the_networks_own_papers() -> None:
    wide = counts_of({"type": "h_denseformer", "filters": 16}, 3, INPUT[3])
    assert wide.thop_parameters / 1e6 == pytest.approx(3.641, abs=1e-3)
    shallow = counts_of({"type": "h_denseformer", "filters": 32, "depth": 12}, 2, INPUT[2])
    assert shallow.thop_parameters / 1e6 == pytest.approx(4.245, abs=1e-3)
    assert shallow.thop_macs / 1e9 == pytest.approx(31.54, abs=0.01)
    assert sum(p.numel() for p in build({"type": "ux_net"}, 3, 1, 14, ()).parameters()) == 53_006_510


def test_an_unknown_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="t1, t2, t3, s1, s2, s3"):
        expand_preset("t9", 3)


def test_expanding_gives_a_copy() -> None:
    expand_preset("t1", 3)["filters"] = 1
    assert expand_preset("t1", 3)["filters"] == 32

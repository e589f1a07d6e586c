"""Teach-Former's Table 1, number for number, at full size; and the other presets."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature

import pytest
from torch import nn

from segdistill.cost import Counts, count
from segdistill.cost.meta import WithoutMemory
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


# Preset, channels and classes of the count, parameters; where they are from is told by the networks' docstrings.
OTHERS = [
    ("h_denseformer_16", 3, 2, 2, None),
    ("h_denseformer_12", 2, 3, 2, None),
    ("nnunet", 3, 1, 14, 31_205_254),
    ("nnunet", 2, 1, 2, 46_324_558),
    ("nnunet_resenc", 3, 1, 14, 102_359_430),
    ("nnunet_resenc", 2, 1, 3, 105_918_322),
    ("segresnet_16", 3, 4, 3, 4_702_227),
    ("segresnet_16", 2, 4, 3, 1_576_851),
    ("segresnet_32", 3, 4, 3, 18_798_627),
    ("segresnet_32", 2, 4, 3, 6_299_427),
    ("ra_unet_i", 2, 1, 1, 737_897),
    ("ra_unet_ii", 3, 1, 1, 4_420_849),
    ("lcov_net", 3, 1, 17, 2_785_764),
    ("lcov_net_isbi", 3, 1, 1, 806_113),
    ("mobile_unet_quarter", 3, 1, 2, 232_244),
    ("mobile_unet_quarter", 2, 3, 1, 179_531),
]


@pytest.mark.parametrize(("name", "spatial_dims", "channels", "classes", "parameters"), OTHERS)
def test_other_presets(
    name: str, spatial_dims: int, channels: int, classes: int, parameters: int | None
) -> None:
    with WithoutMemory():
        network = build(
            expand_preset(name, spatial_dims), spatial_dims, channels, classes, (64,) * spatial_dims
        )
    if parameters is not None:
        assert sum(p.numel() for p in network.parameters()) == parameters


def test_every_preset_is_tested_in_all_of_its_dimensions() -> None:
    tested = {(row.preset, row.spatial_dims) for row in TABLE} | {(name, dims) for name, dims, *_ in OTHERS}
    assert tested == {(name, dims) for name, preset in PRESETS.items() for dims in preset.settings}


def test_a_preset_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"preset ra_unet_ii: it is for 3-D images, these are 2-D"):
        expand_preset("ra_unet_ii", 2)


def test_the_row_of_mdvit() -> None:
    counts = counts_of({"type": "mdvit"}, 2, INPUT[2])
    assert (counts.parameters, counts.macs / 1e9) == (34_966_250, pytest.approx(23.620, abs=5.1e-4))
    assert counts.thop_parameters / 1e6 == pytest.approx(30.30, abs=0.01)
    assert counts.thop_macs / 1e9 == pytest.approx(24.95, abs=0.01)


def test_the_row_of_missu_is_not_met_and_the_nearest_is_this() -> None:
    nearest = counts_of({"type": "missu"}, 3, (2, 128, 128, 128))
    assert nearest.thop_parameters == 4_406_530  # printed: 4.24 M
    assert nearest.thop_macs / 1e9 == pytest.approx(154.485, abs=1e-3)  # printed: 154.38


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

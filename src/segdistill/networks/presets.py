"""Networks at published sizes that are not their defaults: Teach-Former's teachers and light students, and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

TEACH_FORMER = "Hossain et al., 2025 (Teach-Former), Table 1"


@dataclass(frozen=True)
class Preset:
    """A network at a published size: what a recipe would write, by spatial dimensions (2, 3, or both)."""

    reference: str
    summary: str
    settings: Mapping[int, Mapping[str, Any]]

    def expand(self, spatial_dims: int) -> dict[str, Any]:
        """`{type, **settings}` for 2 or 3 spatial dimensions.

        Raises:
            ValueError: the preset is for the other number of dimensions.
        """
        if spatial_dims not in self.settings:
            there = " and ".join(f"{dims}-D" for dims in self.settings)
            raise ValueError(
                f"it is for {there} images, these are {spatial_dims}-D; write its network and settings"
            )
        return dict(self.settings[spatial_dims])


def _preset(reference: str, summary: str, both: Any = None, *, two: Any = None, three: Any = None) -> Preset:
    by_dims = {2: two or both, 3: three or both}
    kept = {dims: MappingProxyType(settings) for dims, settings in by_dims.items() if settings is not None}
    return Preset(reference, summary, MappingProxyType(kept))


PRESETS: dict[str, Preset] = {
    "t1": _preset(
        TEACH_FORMER,
        "teacher H-DenseFormer: 11.38 M parameters in 3-D, 4.98 M in 2-D",
        {"type": "h_denseformer", "filters": 32, "depth": 24},
    ),
    "t2": _preset(
        TEACH_FORMER,
        "teacher Swin UNETR with a bottleneck at 1/16: 5.38 M in 3-D, 11.04 M in 2-D",
        two={"type": "swin_unetr", "feature_size": 48},
        three={"type": "swin_unetr", "feature_size": 24},
    ),
    "t3": _preset(TEACH_FORMER, "teacher UNETR: 95.76 M in 3-D, 87.51 M in 2-D", {"type": "unetr"}),
    "s1": _preset(
        TEACH_FORMER,
        "light H-DenseFormer: 1.53 M in 3-D, 1.25 M in 2-D",
        {"type": "h_denseformer", "filters": 8, "depth": 24, "deep_supervision": False},
    ),
    "s2": _preset(
        TEACH_FORMER,
        "light Swin UNETR: 1.35 M in 3-D, 2.76 M in 2-D",
        two={"type": "swin_unetr", "feature_size": 24},
        three={"type": "swin_unetr", "feature_size": 12},
    ),
    "s3": _preset(
        TEACH_FORMER,
        "light 3D UX-Net: 5.12 M in 3-D, 4.71 M in 2-D",
        two={"type": "ux_net", "feature_sizes": (24, 48, 96, 192), "hidden_size": 384},
        three={"type": "ux_net", "feature_sizes": (6, 12, 24, 48), "hidden_size": 384},
    ),
    "h_denseformer_16": _preset(
        "Shi et al., MICCAI 2023",
        "H-DenseFormer's 3-D width: 3.64 M",
        three={"type": "h_denseformer", "filters": 16},
    ),
    "h_denseformer_12": _preset(
        "Shi et al., MICCAI 2023",
        "H-DenseFormer's 2-D depth: 4.25 M",
        two={"type": "h_denseformer", "filters": 32, "depth": 12},
    ),
    "nnunet": _preset(
        "Isensee et al., Nature Methods 2021",
        "nnU-Net's plan for patches of 128^3 or 512^2: 31.2 M in 3-D, 46.3 M in 2-D",
        two={
            "type": "nnunet_plain",
            "features_per_stage": (32, 64, 128, 256, 512, 512, 512, 512),
            "strides": (1, *[2] * 7),
        },
        three={"type": "nnunet_plain"},
    ),
    "nnunet_resenc": _preset(
        "Isensee et al., MICCAI 2024",
        "nnU-Net with a residual encoder, by which its planner measures at 128^3 or 512^2: 102.4 M in 3-D, 105.9 M "
        "in 2-D",
        two={
            "type": "nnunet_residual",
            "features_per_stage": (32, 64, 128, 256, 512, 512, 512),
            "strides": (1, *[2] * 6),
            "n_blocks_per_stage": (1, 3, 4, 6, 6, 6, 6),
        },
        three={"type": "nnunet_residual"},
    ),
    "segresnet_16": _preset(
        "MONAI's BraTS model",
        "SegResNet as MONAI trains it: 4.70 M in 3-D",
        {"type": "segresnet", "filters": 16, "dropout": 0.2},
    ),
    "segresnet_32": _preset(
        "Myronenko, BrainLes 2018",
        "SegResNet at the paper's width, without the autoencoder: 18.80 M in 3-D",
        {"type": "segresnet", "filters": 32, "dropout": 0.2},
    ),
    "ra_unet_i": _preset(
        "Jin et al., Front. Bioeng. Biotechnol. 2020",
        "RA-UNet-I, which finds the liver in slices: 0.74 M",
        two={"type": "ra_unet", "filters": 16},
    ),
    "ra_unet_ii": _preset(
        "Jin et al., Front. Bioeng. Biotechnol. 2020",
        "RA-UNet-II: 4.42 M",
        three={"type": "ra_unet", "filters": 32},
    ),
    "lcov_net": _preset(
        "Zhao et al., TMI 2023",
        "LCOV-Net with knowledge distillation: 2.79 M for 17 classes",
        three={"type": "depthwise_unet", "separable": "spatiotemporal", "deep_supervision": True},
    ),
    "lcov_net_isbi": _preset(
        "Zhao et al., ISBI 2021",
        "LCOV-Net: 0.8 M",
        three={"type": "depthwise_unet", "separable": "spatiotemporal", "channels": (32, 64, 128, 256)},
    ),
    "mobile_unet_quarter": _preset(
        "Sandler et al., CVPR 2018",
        "Mobile U-Net at a quarter of the width: 0.18 M in 2-D, 0.23 M in 3-D",
        {"type": "mobile_unet", "multiplier": 0.25},
    ),
}


def expand_preset(name: str, spatial_dims: int) -> dict[str, Any]:
    """`{type, **settings}` of a preset in 2-D or 3-D; ValueError for a name, or dimensions, that it has not."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; choose from: {', '.join(PRESETS)}")
    try:
        return PRESETS[name].expand(spatial_dims)
    except ValueError as error:
        raise ValueError(f"preset {name}: {error}") from None

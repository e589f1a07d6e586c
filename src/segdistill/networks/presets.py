"""The teachers and light students of Teach-Former's Table 1, at their published sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A network at a published size: what a recipe would write, by spatial dimensions."""

    reference: str
    summary: str
    settings: Mapping[int, Mapping[str, Any]]

    def expand(self, spatial_dims: int) -> dict[str, Any]:
        """`{type, **settings}` for 2 or 3 spatial dimensions."""
        return dict(self.settings[spatial_dims])


def _preset(summary: str, two: dict[str, Any], three: dict[str, Any]) -> Preset:
    reference = "Hossain et al., 2025 (Teach-Former), Table 1"
    return Preset(
        reference, summary, MappingProxyType({2: MappingProxyType(two), 3: MappingProxyType(three)})
    )


PRESETS: dict[str, Preset] = {
    "t1": _preset(
        "teacher H-DenseFormer: 11.38 M parameters in 3-D, 4.98 M in 2-D",
        {"type": "h_denseformer", "filters": 32, "depth": 24},
        {"type": "h_denseformer", "filters": 32, "depth": 24},
    ),
    "t2": _preset(
        "teacher Swin UNETR with a bottleneck at 1/16: 5.38 M in 3-D, 11.04 M in 2-D",
        {"type": "swin_unetr", "feature_size": 48},
        {"type": "swin_unetr", "feature_size": 24},
    ),
    "t3": _preset(
        "teacher UNETR: 95.76 M in 3-D, 87.51 M in 2-D",
        {"type": "unetr"},
        {"type": "unetr"},
    ),
    "s1": _preset(
        "light H-DenseFormer: 1.53 M in 3-D, 1.25 M in 2-D",
        {"type": "h_denseformer", "filters": 8, "depth": 24, "deep_supervision": False},
        {"type": "h_denseformer", "filters": 8, "depth": 24, "deep_supervision": False},
    ),
    "s2": _preset(
        "light Swin UNETR: 1.35 M in 3-D, 2.76 M in 2-D",
        {"type": "swin_unetr", "feature_size": 24},
        {"type": "swin_unetr", "feature_size": 12},
    ),
    "s3": _preset(
        "light 3D UX-Net: 5.12 M in 3-D, 4.71 M in 2-D",
        {"type": "ux_net", "feature_sizes": (24, 48, 96, 192), "hidden_size": 384},
        {"type": "ux_net", "feature_sizes": (6, 12, 24, 48), "hidden_size": 384},
    ),
}


def expand_preset(name: str, spatial_dims: int) -> dict[str, Any]:
    """`{type, **settings}` of a preset in 2-D or 3-D; ValueError for a name that is none."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; choose from: {', '.join(PRESETS)}")
    return PRESETS[name].expand(spatial_dims)

"""Other widths of the same topology."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from segdistill.cost.meta import WithoutMemory
from segdistill.networks import NETWORKS
from segdistill.networks.width import at_width, parse_share, shares
from segdistill.parts import complete


def built(settings: dict[str, Any], spatial_dims: int) -> nn.Module:
    from segdistill.model import Facts, build_network

    size = (64, 64, 64)[:spatial_dims] if spatial_dims == 3 else (64, 64)
    with WithoutMemory():
        return build_network(settings, Facts(spatial_dims, 2, 3, size), "network")


def shapes(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters()]


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 4)], ids=str)
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if row.widths])
def test_a_narrower_network_is_the_same_but_for_its_width(
    name: str, spatial_dims: int, share: Fraction
) -> None:
    settings = complete(NETWORKS, {"type": name}, "network")
    if (name, share) == ("axial_transformer", Fraction(1, 4)):  # 16 filters are the least for eight heads
        settings["heads"] = 4
    narrow = complete(NETWORKS, at_width(settings, NETWORKS[name].widths, share), "network")
    changed = {key for key in settings if settings[key] != narrow[key]}
    assert changed == set(NETWORKS[name].widths)
    wide, thin = built(settings, spatial_dims), built(narrow, spatial_dims)
    assert shapes(wide) == shapes(thin)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (wide, thin)]
    assert float(share) ** 2 * 0.6 < sizes[1] / sizes[0] < float(share) * 1.2


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=5), st.fractions(Fraction(1, 8), 4), st.integers(1, 6)
)
def test_widths_are_multiples_and_in_proportion(widths: list[int], share: Fraction, step: int) -> None:
    widths = [step * width for width in widths]
    try:
        scaled = at_width({"channels": widths}, {"channels": step}, share)["channels"]
    except ValueError:
        assert widths[0] * share < step * Fraction(3, 4) or widths[0] < 4 * step
        return
    assert all(width >= step and width % step == 0 for width in scaled)
    reached = Fraction(scaled[0], widths[0])
    assert all(
        abs(new - max(step, old * reached)) <= Fraction(step, 2)
        for old, new in zip(widths, scaled, strict=True)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "missformer", "dims": [64, 128, 256, 512], "heads": [1, 8, 8, 16]},
        {"type": "swin_unetr", "feature_size": 48, "heads": [3, 6, 24, 24]},
        {"type": "mdvit", "heads": [1, 2, 1]},
        {"type": "transbts", "heads": 4},
    ],
    ids=lambda settings: settings["type"],
)
def test_all_widths_of_a_family_can_be_built(settings: dict[str, Any]) -> None:
    whole = complete(NETWORKS, settings, "network")
    widths = NETWORKS[whole["type"]].widths
    family = shares(whole, widths, Fraction(1))
    assert len(family) > 3
    for share in family:
        built(complete(NETWORKS, at_width(whole, widths, share), "network"), 2)


def test_a_step_may_follow_from_the_settings() -> None:
    widths = {"feature_size": lambda settings: settings["heads"]}
    assert at_width({"feature_size": 24, "heads": 6}, widths, Fraction(1, 3))["feature_size"] == 6


def test_a_width_that_is_far_from_the_share_is_refused_with_what_is_there() -> None:
    with pytest.raises(ValueError, match=r"a multiple of 8.*1/4.*nearest is 8, 1/1"):
        at_width({"filters": 8}, {"filters": 8}, Fraction(1, 4))


def test_all_shares_of_a_family() -> None:
    assert shares({"channels": [4, 8]}, {"channels": 1}, Fraction(3, 2)) == [
        Fraction(n, 4) for n in (1, 2, 3, 4, 5, 6)
    ]
    assert shares({"channels": [12]}, {"channels": 4}, Fraction(1)) == [Fraction(n, 3) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "share"), [("1/4", Fraction(1, 4)), (0.25, Fraction(1, 4)), (2, Fraction(2))]
)
def test_shares_are_written_as_people_write_them(text: object, share: Fraction) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["a", "1/0", "0", -1, None, True, "1/5000", [1]])
def test_what_is_no_share_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 1/4"):
        parse_share(text)

"""HLFD's equations, written out by hand, against its recipe: as the paper has them, and as the published code does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.losses.segmentation import DiceFocal
from segdistill.networks.resnet18_student import ResNet18Student
from segdistill.networks.stages import catch
from segdistill.networks.unet_plus_plus import UNetPlusPlus
from segdistill.recipe import Recipe
from segdistill.teachers.teacher import Teacher
from segdistill.training.assemble import term

TEACHER = {"e2": "encoder/4/x20", "e3": "encoder/2/x11", "e4": "encoder/8/x30", "e5": "encoder/16/x40"}
TEACHER |= {"d5": "decoder/1/x01", "d4": "decoder/1/x02", "d3": "decoder/1/x03"}
STUDENT = {"e1": "encoder/2", "e2": "encoder/4", "e3": "encoder/8", "e4": "encoder/16"}
STUDENT |= {
    "d5": "decoder/1/layer3",
    "d4": "decoder/1/layer2",
    "d3": "decoder/1/layer1",
    "d2": "decoder/1/stem",
}


def made(overrides: tuple[str, ...] = (), dims: int = 2) -> tuple[Distiller, Tensor, Tensor]:
    torch.manual_seed(0)
    recipe = Recipe.load("hlfd", overrides=overrides)
    student = ResNet18Student(dims, 1, 2, filters=4)
    teacher = UNetPlusPlus(dims, 1, 2, filters=4)
    image = torch.randn(2, 1, *(64, 64, 32)[:dims])
    label = torch.randint(0, 2, image.shape)
    weights = {key: value for key, value in recipe.segmentation.loss.items() if key != "type"}
    model = Distiller(
        student, {"unet_plus_plus": Teacher(teacher)}, segmentation=DiceFocal(**weights),
        terms={name: term(name, section, {}) for name, section in recipe.terms.items()}, example=image[:1],
    )  # fmt: skip
    return model.eval(), image, label


def attention(feature: Tensor) -> Tensor:
    return F.normalize(feature.abs().pow(4).mean(1).flatten(1), dim=1)


def importance(own: Tensor, other: Tensor) -> Tensor:
    return (attention(own) - attention(other)).square().sum(1).mean()


def divergence(own: Tensor, other: Tensor) -> Tensor:
    """T^2 KL(teacher || student) over channels, mean over voxels."""
    p, q = (each.div(4).softmax(1) for each in (own, other))
    return 16 * (q * (q / p).log()).sum(1).mean()


def area(feature: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(feature, like.shape[2:], mode="area")


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("parity", ["paper", "code"])
def test_equations_by_hand(parity: str, dims: int) -> None:
    model, image, label = made((f"parity={parity}",), dims)
    torch.manual_seed(3)  # what the code's projections are drawn from
    losses = model(image, label)

    with torch.no_grad(), catch(model.student, STUDENT.values()) as s_maps:
        model.student(image)
    teacher = model.teachers["unet_plus_plus"].network
    with torch.no_grad(), catch(teacher, TEACHER.values()) as t_maps:
        out = teacher(image)
    s, t = (
        {key: maps[stage] for key, stage in names.items()}
        for names, maps in ((STUDENT, s_maps), (TEACHER, t_maps))
    )

    joined = torch.cat([area(t["e2"], t["e4"]), area(t["e3"], t["e4"]), t["e4"]], dim=1)
    linear = {2: "bilinear", 3: "trilinear"}[dims]
    ufd = importance(s["e1"], F.interpolate(joined, s["e1"].shape[2:], mode=linear, align_corners=False))
    ifd = torch.stack([importance(area(s[name], t["e5"]), t["e5"]) for name in ("e2", "e3", "e4")]).sum()
    width = s["d5"].shape[1]
    torch.manual_seed(3)
    pixel = model.projectors["unified_pixel:0:unet_plus_plus"]
    _, unified = pixel(s["d5"], torch.cat([t["d5"], t["d4"], t["d3"]], dim=1))
    upd = divergence(s["d5"], unified)
    ipd = torch.zeros(())
    for number, name in enumerate(("d4", "d3", "d2")):
        own, _ = model.projectors[f"individual_pixel:{number}:unet_plus_plus"](s[name], out)
        ipd = ipd + divergence(own, out)
    factor = 1.0 if parity == "paper" else 2 / width
    expected = {"unified_feature": 0.45 * ufd, "individual_feature": 0.45 * ifd}
    expected |= {"unified_pixel": 0.05 * factor * upd, "individual_pixel": 0.05 * ipd}
    assert {name: losses[name].item() for name in expected} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-4
    )


def test_paper_keeps_its_projections_and_the_code_draws_them_anew() -> None:
    for parity, anew in (("paper", False), ("code", True)):
        model, image, label = made((f"parity={parity}",))
        first, again = model(image, label), model(image, label)
        for name in ("unified_pixel", "individual_pixel"):
            assert (first[name].item() != again[name].item()) == anew
        assert first["unified_feature"].item() == again["unified_feature"].item()


def test_projection_of_the_teacher_does_not_learn_and_does_not_collapse() -> None:
    """Many steps of the distillation's gradient: the projected target stays what it was."""
    model, image, label = made()
    model.train()
    pixel = model.projectors["unified_pixel:0:unet_plus_plus"]
    assert not list(pixel.parameters())
    teacher_map = torch.randn(2, 12, 64, 64)
    before = pixel(torch.zeros(2, 16, 64, 64), teacher_map)[1]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        model(image, label)["total"].backward()
        optimizer.step()
    after = pixel(torch.zeros(2, 16, 64, 64), teacher_map)[1]
    assert torch.equal(before, after) and after.var() > 0.3 * teacher_map.var()


def test_parity_is_refused_where_there_is_no_published_code_to_follow() -> None:
    with pytest.raises(SegdistillError, match="parity: recipe 'hinton' has no parity with published code"):
        Recipe.load("hinton", overrides=["parity=code"])


def test_kept_recipe_of_a_run_with_parity_loads_again() -> None:
    recipe = Recipe.load("hlfd", overrides=["parity=code", "terms.unified_pixel.weight=0.5"])
    assert recipe.terms["unified_pixel"].weight == 0.5
    kept = recipe.model_dump(mode="json")
    assert Recipe.load(kept) == recipe
    with pytest.raises(SegdistillError, match="followed the published code"):
        Recipe.load(kept, overrides=["parity=paper"])

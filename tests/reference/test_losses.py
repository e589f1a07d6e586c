from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from segdistill.distiller import Distiller
from segdistill.losses import LOSSES, SEGMENTATION_LOSSES, DiceFocal
from segdistill.networks.unet import UNet
from segdistill.recipe import Recipe
from segdistill.teachers.teacher import Teacher
from segdistill.training.assemble import term


def test_loss_tells_all_a_user_must_know(section: Callable[[str, str], str]) -> None:
    told = section("losses.md", "kl")
    assert f"```text\n{LOSSES['kl'].formula}\n```" in told
    for words in (
        "[arXiv:1503.02531](https://arxiv.org/abs/1503.02531)", "Memory: `O(N K)`", "Needs: the two maps only",
        "each reaches it as a two-class problem", "a weight means the same at every patch size",
        "[hinton](recipes.md#hinton)",
        "- `temperature` (number > 0; default `1.0`): T > 0;", "(one of `forward`, `reverse`; default `forward`)",
        "it seeks one mode of the teacher", "Refused: fewer than two channels.",
    ):  # fmt: skip
        assert words in told, words
    assert "Needs: the label" in section("losses.md", "decoupled_kl")
    assert "the samples of a batch are compared" in section("losses.md", "rkd_batch")
    assert "Widths of the two maps: may differ" in section("losses.md", "attention_transfer")
    assert "by default they must be equal" in section("losses.md", "attention_similarity")
    assert "refused, as it needs the shares" in section("losses.md", "prior_corrected_kl")


def test_examples_of_losses_load_and_teach(examples: Callable[[str], dict[str, Any]]) -> None:
    """Every term as printed, all in one recipe, on tiny networks: finite, and the student learns from each."""
    found = examples("losses.md")
    assert list(found) == [*LOSSES, *SEGMENTATION_LOSSES]
    for name in SEGMENTATION_LOSSES:
        assert Recipe.load(found[name]).segmentation.loss["type"] == name
    terms = {name: found[name]["terms"][name] for name in LOSSES}
    recipe = Recipe.load({"teachers": {"teacher": {"run": "runs/teacher"}}, "terms": terms})
    torch.manual_seed(0)
    student, teacher = UNet(2, 1, 3, channels=(2, 4, 4)), UNet(2, 1, 3, channels=(3, 6, 6))
    image, label = torch.randn(3, 1, 16, 16), torch.randint(0, 3, (3, 1, 16, 16), dtype=torch.int16)
    model = Distiller(
        student,
        {"teacher": Teacher(teacher)},
        segmentation=DiceFocal(),
        terms={name: term(name, each, {"regions": False}) for name, each in recipe.terms.items()},
        example=image[:1],
    ).train()
    losses = model(image, label)
    weights = [parameter for parameter in student.encoder.parameters() if parameter.requires_grad]
    for name in terms:
        slopes = torch.autograd.grad(losses[name], weights, retain_graph=True, allow_unused=True)
        told = torch.stack([slope.abs().max() for slope in slopes if slope is not None])
        assert torch.isfinite(losses[name]) and torch.isfinite(told).all() and told.max() > 0, name

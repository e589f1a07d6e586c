from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segdistill.align import resize
from segdistill.compare import two_classes
from segdistill.data.patches import UNLABELLED
from segdistill.distiller import Distiller
from segdistill.losses.boundary.band_kl import BandKL
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import IGNORE, DiceFocal
from segdistill.networks.stages import name_stages
from segdistill.phases import Phase
from segdistill.projectors.autoencoder import Autoencoder
from segdistill.projectors.convolution import Convolution
from segdistill.projectors.interpolation import Interpolation
from segdistill.schedules import Constant, Linear, Window
from segdistill.teachers.combination import Entropy, Mean
from segdistill.teachers.peer import Peer
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term


class Tiny(nn.Module):
    """Two maps, one at half size, and `heads` outputs in training mode."""

    def __init__(self, width: int, classes: int = 2, heads: int = 1, dims: int = 2) -> None:
        super().__init__()
        convolution, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dims]
        self.high = nn.Sequential(convolution(1, width, 3, padding=1), norm(width), nn.Tanh())
        self.low = nn.Sequential(convolution(width, 2 * width, 2, stride=2), nn.Tanh())
        self.out = convolution(width, classes, 1)
        self.outs = nn.ModuleList(convolution(2 * width, classes, 1, stride=2**n) for n in range(heads - 1))
        self.runs = 0

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        self.runs += 1
        full = self.high(image)
        half = self.low(full)
        logits = self.out(full)
        return [logits, *(out(half) for out in self.outs)] if self.outs and self.training else logits


def tiny(width: int, seed: int = 0, **options: Any) -> Tiny:
    torch.manual_seed(seed)
    network = Tiny(width, **options)
    name_stages(network, {"decoder/1": "high", "encoder/2": "low"})
    return network


def batch(dims: int = 2, ignored: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    space = (8, 8, 4)[:dims]
    image = torch.randn(2, 1, *space, generator=generator)
    label = torch.randint(0, 2, (2, 1, *space), generator=generator).to(torch.int16)
    return image, label.masked_fill(
        torch.rand(2, 1, *space, generator=generator) < 0.3, IGNORE
    ) if ignored else label


def distiller(student: nn.Module | None = None, **options: Any) -> Distiller:
    teachers = {"big": Teacher(tiny(5, seed=1), weight=0.5), "other": Teacher(tiny(3, seed=2), weight=2.0)}
    settings: dict[str, Any] = {"teachers": teachers, "segmentation": DiceFocal(), "example": batch()[0][:1]}
    return Distiller(tiny(2) if student is None else student, **(settings | options))


@pytest.mark.parametrize("dims", [2, 3])
def test_central_equation_by_hand(dims: int) -> None:
    """Two teachers with weights, several pairs, fused maps, projectors, heads, schedules, and w_0, all at once."""
    student, big, other = (
        tiny(n, seed, dims=dims, heads=h) for n, seed, h in ((2, 0, 3), (5, 1, 1), (3, 2, 1))
    )
    model = Distiller(
        student,
        {"big": Teacher(big, weight=0.5), "other": Teacher(other, weight=2.0)},
        segmentation=DiceFocal(),
        terms={
            "response": Term(KL(2.0), weight=Linear(0.0, 1.0, 10), teachers=("big",)),
            "hint": Term(
                MSE(), (("encoder/2", "encoder/2"), ("decoder/1", "decoder/1")), Constant(0.3), projector=Convolution
            ),
            "fused": Term(AttentionTransfer(), ((("encoder/2", "decoder/1"), "decoder/1"),), Constant(0.7)),
            "later": Term(MSE(), weight=Window(5, 9)),
        },
        segmentation_weight=0.25,
        head_weights=(1.0, 0.5),
        example=torch.zeros(1, 1, *(8, 8, 4)[:dims]),
    )  # fmt: skip
    model.train()
    image, label = batch(dims)
    losses = model(image, label, epoch=4.0)

    full = student.high(image)
    half = student.low(full)
    heads = [student.out(full), *(out(half) for out in student.outs)]
    supervised = torch.zeros(())
    for weight, head in zip((1.0, 0.5, 0.25), heads, strict=True):  # the last weight repeats halved
        target = F.interpolate(label.float(), head.shape[2:], mode="nearest-exact").long()
        supervised = supervised + weight * DiceFocal()(head, target)
    hint = fused = torch.zeros(())
    for name, teacher, weight in (("big", big, 0.5), ("other", other, 2.0)):
        own, its = (half, full), (teacher.low(teacher.high(image)), teacher.high(image))
        for number, (s, t) in enumerate(zip(own, its, strict=True)):
            projected = model.projectors[f"hint:{number}:{name}"].project(s)
            hint = hint + weight * (projected - t).square().mean()
        joined = torch.cat([half, resize(full, half.shape[2:])], dim=1)
        fused = fused + weight * AttentionTransfer()(joined, resize(its[1], half.shape[2:]))
    response = 0.5 * KL(2.0)(heads[0], big.out(big.high(image)))

    expected = {
        "segmentation": 0.25 * supervised, "response": 0.4 * response, "hint": 0.3 * hint, "fused": 0.7 * fused,
    }  # fmt: skip
    assert list(losses) == [*expected, "total"]
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in (expected | {"total": sum(expected.values())}).items()}, rel=1e-5
    )


def test_student_alone_needs_no_example() -> None:
    student = tiny(2)
    image, label = batch()
    model = Distiller(student, segmentation=DiceFocal())
    losses = model(image, label)
    assert list(losses) == ["segmentation", "total"]
    assert losses["total"].item() == pytest.approx(DiceFocal()(student(image), label).item())
    with pytest.raises(ValueError, match="terms need `example`"):
        distiller(terms={"response": Term(KL())}, example=None)


def test_teacher_is_not_run_while_nobody_listens() -> None:
    model = distiller(
        terms={
            "first": Term(KL(), weight=Window(0, 2), teachers=("big",)),
            "second": Term(KL(), weight=Window(1, 3), teachers=("other",)),
        }
    )
    big, other = model.teachers["big"].network, model.teachers["other"].network
    seen = []
    for epoch in range(4):
        before = big.runs, other.runs
        losses = model(*batch(), epoch=epoch)
        seen.append(
            (
                [name for name in losses if name not in ("segmentation", "total")],
                big.runs - before[0],
                other.runs - before[1],
            )
        )
    assert seen == [(["first"], 1, 0), (["first", "second"], 1, 1), (["second"], 0, 1), ([], 0, 0)]


def test_teachers_are_frozen_and_stay_outside() -> None:
    model = distiller(terms={"hint": Term(MSE(), (("decoder/1", "decoder/1"),), projector=Convolution)})
    model.train()
    teachers = [teacher.network for teacher in model.teachers.values()]
    before = [{k: v.clone() for k, v in teacher.state_dict().items()} for teacher in teachers]
    model(*batch())["total"].backward()
    for teacher, state in zip(teachers, before, strict=True):
        assert not teacher.training
        assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
        assert all(torch.equal(v, state[k]) for k, v in teacher.state_dict().items())
    own = {id(p) for p in model.parameters()}
    assert not own & {id(p) for teacher in teachers for p in teacher.parameters()}
    assert not any("teacher" in name for name in model.state_dict())


def test_projectors_learn_beside_the_student_not_in_it() -> None:
    model = distiller(terms={"hint": Term(MSE(), (("decoder/1", "decoder/1"),), projector=Convolution)})
    model(*batch())["total"].backward()
    projectors = {name: p for name, p in model.named_parameters() if name.startswith("projectors.")}
    assert set(projectors) == {
        f"projectors.hint:0:{teacher}.project.{kind}" for teacher in ("big", "other") for kind in ("weight", "bias")
    }  # fmt: skip
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in projectors.values())
    assert set(projectors) < set(model.state_dict())
    assert set(model.student.state_dict()) == set(tiny(2).state_dict())


def test_no_projector_where_the_widths_agree() -> None:
    model = distiller(terms={"response": Term(KL(), projector=Convolution)})
    assert len(model.projectors) == 0
    assert [row["projected"] for row in model.pairing] == [False, False]


def test_pairing_tells_what_was_resized_and_projected() -> None:
    term = Term(MSE(), (("decoder/1", "encoder/2"),), teachers=("big",), projector=Interpolation)
    model = distiller(terms={"hint": term})
    (row,) = model.pairing
    assert (row["term"], row["student"], row["teacher"]) == ("hint", "decoder/1", "big: encoder/2")
    assert (list(row["student_map"]), list(row["teacher_map"])) == ([2, 8, 8], [10, 4, 4])
    assert row["resized"] and row["projected"]


def test_looking_at_the_widths_leaves_the_student_as_it_was() -> None:
    student = tiny(2).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    distiller(student, terms={"response": Term(KL())}, example=batch()[0])
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


@pytest.mark.parametrize(
    "term", [Term(KL()), Term(MSE(), (("decoder/1", "decoder/1"),), projector=Interpolation)]
)
def test_ignored_voxels_teach_nothing(term: Term) -> None:
    model = distiller(terms={"term": term}).eval()
    image, label = batch(ignored=True)
    maps: list[Tensor] = []
    catch = (model.student.out if term.pairs[0][0] == "logits" else model.student.high).register_forward_hook(
        lambda _, __, output: (output.retain_grad(), maps.append(output))[0]
    )
    model(image, label)["term"].backward()
    catch.remove()
    gradient = maps[0].grad
    assert gradient is not None
    assert gradient.masked_select(label == IGNORE).abs().max() == 0
    assert gradient.masked_select(label != IGNORE).abs().max() > 0


def test_batch_with_nothing_but_ignored_voxels() -> None:
    model = distiller(
        terms={"response": Term(KL()), "map": Term(AttentionTransfer(), (("decoder/1", "decoder/1"),))}
    )
    image, label = batch()
    losses = model(image, torch.full_like(label, IGNORE))
    losses["total"].backward()
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        dict.fromkeys(losses, 0.0), abs=1e-6
    )
    assert all(torch.isfinite(p.grad).all() for p in model.student.parameters() if p.grad is not None)


@pytest.mark.parametrize("ignored", [False, True])
def test_regions_are_problems_of_two_classes_each(ignored: bool) -> None:
    """Summed over the regions: the mean over voxels of KL between the Bernoulli distributions of each."""
    student, teacher = tiny(2, classes=3), tiny(4, seed=1, classes=3)
    image, label = batch(ignored=ignored)
    label = label.expand(-1, 3, -1, -1)
    model = Distiller(
        student, {"big": Teacher(teacher)}, segmentation=DiceFocal(regions=True), terms={"response": Term(KL())},
        regions=True, example=image[:1],
    ).eval()  # fmt: skip
    p, q = student(image).sigmoid(), teacher(image).sigmoid()
    divergence = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).sum(1)
    counted = label[:, 0] != IGNORE
    expected = torch.stack([d[c].mean() for d, c in zip(divergence, counted, strict=True)]).mean()
    assert model(image, label)["response"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_two_classes() -> None:
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    two = two_classes(z)
    assert two.shape == (6, 2, 4, 4)
    assert torch.allclose(two.softmax(1)[:, 1], z.sigmoid().flatten(0, 1))


class InADict(nn.Module):
    """As torchvision's segmenters answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = tiny(2)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": self.body(image)}


def test_any_module_is_a_student_or_a_teacher() -> None:
    plain = nn.Conv2d(1, 2, 3, padding=1)
    for student, teacher in ((plain, InADict()), (InADict(), tiny(3)), (InADict(), nn.Conv2d(1, 2, 1))):
        terms = {"response": Term(KL())}
        model = distiller(student, teachers={"own": Teacher(teacher)}, terms=terms)
        model(*batch())["total"].backward()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())


@pytest.mark.parametrize("name", ["student", "teacher", "a.b", "ü 1"])
def test_teacher_of_any_name(name: str) -> None:
    terms = {"hint": Term(MSE(), (("decoder/1", "encoder/2"),), projector=Convolution, teachers=(name,))}
    model = distiller(teachers={name: Teacher(tiny(3, seed=1))}, terms=terms)
    model(*batch())["total"].backward()


def test_aliases_of_stages() -> None:
    term = Term(
        AttentionTransfer(), (("encoder/deepest", "encoder/deepest"), ("decoder/last", "decoder/last"))
    )
    named = Term(AttentionTransfer(), (("encoder/2", "encoder/2"), ("decoder/1", "decoder/1")))
    model = distiller(terms={"alias": term, "named": named}).eval()
    losses = model(*batch())
    assert losses["alias"].item() == pytest.approx(losses["named"].item())


@pytest.mark.parametrize(
    "name, term, told",
    [
        (
            "a",
            Term(KL(), (("encoder/16", "logits"),)),
            r"the student \(Tiny\) has no stage 'encoder/16'.*encoder/2",
        ),
        (
            "a",
            Term(KL(), (("logits", "decoder/9"),)),
            r"the teacher big \(Tiny\) has no stage 'decoder/9'.*decoder/1",
        ),
        ("a", Term(KL(), ((("logits", "deep"), "logits"),)), r"the student \(Tiny\) has no stage 'deep'"),
        ("a", Term(KL(), teachers=("bigg",)), r"'bigg' is not a teacher \(teachers: big, other\)"),
        (
            "a",
            Term(MSE(), (("decoder/1", "decoder/1"),)),
            r"student has 2 channels, decoder/1 of big 5; give.*projector",
        ),
        ("total", Term(KL()), "there is a loss of that name already"),
        ("segmentation", Term(KL()), "there is a loss of that name already"),
    ],
)
def test_what_cannot_be_compared(name: str, term: Term, told: str) -> None:
    with pytest.raises(ValueError, match=rf"terms\.{name}.*{told}"):
        distiller(terms={name: term})


def test_term_without_any_teacher() -> None:
    with pytest.raises(ValueError, match=r"terms\.a: there is no teacher to compare with"):
        distiller(teachers={}, terms={"a": Term(KL())})


def own_terms(**options: Any) -> dict[str, Term]:
    """The student's deeper map follows its last one, which is its own teacher."""
    hint = AttentionTransfer()
    return {"own": Term(hint, (("encoder/2", "decoder/1"),), teacher_is="student", **options)}


@pytest.mark.parametrize("dims", [2, 3])
def test_student_as_its_own_teacher(dims: int) -> None:
    """No teacher is needed, and the gradient goes through the student's side alone."""
    student = tiny(2, dims=dims)
    image, label = batch(dims)
    model = Distiller(student, segmentation=DiceFocal(), terms=own_terms(), example=image[:1])
    losses = model(image, label)
    assert list(losses) == ["segmentation", "own", "total"]
    full = student.high(image)
    half = student.low(full)
    expected = AttentionTransfer()(half, resize(full, half.shape[2:]).detach())
    assert losses["own"].item() == pytest.approx(expected.item(), rel=1e-4)
    parameters = [*student.high.parameters(), *student.low.parameters()]
    found = torch.autograd.grad(losses["own"], parameters, retain_graph=True)
    for one, other in zip(found, torch.autograd.grad(expected, parameters), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert model.pairing[0]["teacher"] == "the student itself: decoder/1"


@pytest.mark.parametrize("combine", [Mean(), Entropy()])
def test_student_as_its_own_teacher_beside_others(combine: Any) -> None:
    """Its own answer is no teacher's, so that it takes no part in how these are combined."""
    model = distiller(terms=own_terms() | {"response": Term(KL())}, combine=combine).eval()
    without = distiller(terms={"response": Term(KL())}, combine=combine).eval()
    image, label = batch()
    losses = model(image, label)
    assert losses["response"].item() == pytest.approx(without(image, label)["response"].item(), rel=1e-5)
    alone = Distiller(tiny(2), segmentation=DiceFocal(), terms=own_terms(), example=image[:1]).eval()
    assert losses["own"].item() == pytest.approx(alone(image, label)["own"].item(), rel=1e-5)


def test_student_with_fewer_inputs_than_its_teacher() -> None:
    student = tiny(2)
    image, label = batch()
    both = torch.cat([image, -image], dim=1)
    wide = nn.Conv2d(2, 2, 1)
    terms = own_terms() | {"response": Term(KL())}
    model = distiller(
        student, teachers={"wide": Teacher(wide), "narrow": Teacher(tiny(3), inputs=(0,))}, terms=terms,
        example=both[:1], inputs=(1,),
    ).eval()  # fmt: skip
    expected = KL()(student(-image), wide(both)) + KL()(student(-image), tiny(3).eval()(image))
    assert model(both, label)["response"].item() == pytest.approx(expected.item(), rel=1e-4)


def missing_classes(regions: bool) -> Tensor:
    """Class 1 or region 1 lacks in the first sample and all of it in the second; the third has no label."""
    if not regions:
        label = torch.randint(0, 2, (3, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 2
        label[1] = 0
    else:
        label = torch.zeros(3, 3, 8, 8, dtype=torch.long)
        label[0, [0, 2], 2:6] = 1
    label[2] = UNLABELLED
    return label


@pytest.mark.parametrize(
    "regions, counts", [(False, [0.0, 2.0, 1.0, 2.0]), (True, [1.0, 2.0, 1.0, 2.0])]
)  # fmt: skip
def test_classes_that_are_left_out_are_counted(regions: bool, counts: list[float]) -> None:
    """An image in which no region is present is labelled, too."""
    teachers = {"big": Teacher(tiny(5, seed=1, classes=3))}
    model = distiller(
        tiny(2, classes=3), teachers=teachers, terms={"edge": Term(BandKL()), "response": Term(KL())}, regions=regions,
        segmentation=DiceFocal(regions=regions),
    )  # fmt: skip
    image = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model(image, missing_classes(regions))
    assert list(model.left_out) == ["edge"]
    assert model.left_out["edge"].tolist() == counts
    model(image, missing_classes(regions))
    assert model.left_out["edge"].tolist() == [2 * count for count in counts]


@pytest.mark.parametrize("side, absent", [("teacher", 0.0), ("student", 1.0)])
def test_classes_are_counted_at_the_size_that_is_compared(side: Any, absent: float) -> None:
    """A single voxel of a class is there at full size, and not at half."""
    label = torch.zeros(1, 1, 8, 8, dtype=torch.long)
    label[0, 0, 2, 2] = 1
    term = Term(BandKL(), (("logits", "encoder/2"),), projector=Interpolation, resize=side, teachers=("big",))
    model = distiller(terms={"edge": term}).eval()
    model(batch()[0][:1], label)
    assert model.left_out["edge"].tolist() == [0.0, absent, 1.0]


def test_unlabelled_images_are_distilled_and_not_supervised() -> None:
    student = tiny(2).eval()
    model = distiller(student, terms={"response": Term(KL(), teachers=("big",))}).eval()
    image, label = batch()
    losses = model(image, torch.full_like(label, UNLABELLED))
    assert losses["segmentation"].item() == pytest.approx(0, abs=1e-6)
    big = model.teachers["big"].network
    assert losses["response"].item() == pytest.approx(0.5 * KL()(student(image), big(image)).item(), rel=1e-4)


def learned_by_itself(**options: Any) -> dict[str, Term]:
    return {"hint": Term(MSE(), (("decoder/1", "encoder/2"),), projector=Autoencoder, **options)}


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_projectors_learn_by_themselves(side: Any) -> None:
    """One loss a term: the sum over teachers of what each projector learns from the teacher's map alone."""
    model = distiller(terms=learned_by_itself(resize=side, weight=Constant(0.5))).eval()
    image, label = batch()
    losses = model(image, label)
    assert list(losses) == ["segmentation", "hint", "hint reconstruction", "total"]
    expected = torch.zeros(())
    for name, teacher in model.teachers.items():
        known = teacher.network.low(teacher.network.high(image))
        known = resize(known, (8, 8)) if side == "teacher" else known
        expected = expected + model.projectors[f"hint:0:{name}"].own_loss(known)
    assert losses["hint reconstruction"].item() == pytest.approx(expected.item(), rel=1e-4)
    for name, of in (("hint", {"project"}), ("hint reconstruction", {"encode", "decode"})):
        found = torch.autograd.grad(
            losses[name], list(model.projectors.parameters()), allow_unused=True, retain_graph=True
        )
        names = [each for each, _ in model.projectors.named_parameters()]
        assert {each.split(".")[1] for each, g in zip(names, found, strict=True) if g is not None} == of


def test_student_is_its_own_teacher_in_a_latent_space() -> None:
    """The encoder of the student's own map learns, too, and moves no weight of the student."""
    terms = learned_by_itself(teacher_is="student", project_always=True)
    model = distiller(teachers={}, terms=terms).train()
    losses = model(*batch())
    gradients = torch.autograd.grad(
        losses["hint reconstruction"], list(model.student.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(gradient is None for gradient in gradients)
    losses["total"].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.projectors.parameters())


def test_peer_is_run_once() -> None:
    """What it said is what the projector learns from."""
    peer = tiny(5, seed=1)
    model = distiller(teachers={"peer": Teacher(peer, peer=Peer())}, terms=learned_by_itself())
    before = peer.runs
    losses = model(*batch())
    assert peer.runs == before + 1
    gradients = torch.autograd.grad(losses["hint reconstruction"], list(peer.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def in_phases(**options: Any) -> Distiller:
    phases = (
        Phase("projectors", 0, 2, student=False),
        Phase("hints", 2, 4, terms=("hint",), segmentation=0.0, reconstruction=False),
        Phase("all", 4, 6, segmentation=0.5),
    )
    terms = learned_by_itself() | {"response": Term(KL())}
    return distiller(**({"terms": terms, "phases": phases} | options)).train()


@pytest.mark.parametrize(
    "epoch, names",
    [
        (0, ["hint reconstruction", "total"]),
        (1.9, ["hint reconstruction", "total"]),
        (2, ["segmentation", "hint", "total"]),
        (5, ["segmentation", "hint", "response", "hint reconstruction", "total"]),
        (9, ["segmentation", "hint", "response", "hint reconstruction", "total"]),
    ],
)
def test_what_acts_in_a_phase(epoch: float, names: list[str]) -> None:
    model = in_phases()
    losses = model(*batch(), epoch=epoch)
    assert list(losses) == names
    assert losses["total"].item() == pytest.approx(sum(losses[name].item() for name in names[:-1]), rel=1e-5)


def test_supervision_in_a_phase() -> None:
    image, label = batch()
    model = in_phases().eval()
    expected = DiceFocal()(model.student(image), label).item()
    assert model(image, label, epoch=2)["segmentation"].item() == 0
    assert model(image, label, epoch=4)["segmentation"].item() == pytest.approx(0.5 * expected, rel=1e-5)


def test_projectors_alone_learn_before_the_student() -> None:
    """The student is not even run: its batch norm stays as it is."""
    model = in_phases()
    before = {name: value.clone() for name, value in model.student.state_dict().items()}
    runs = model.student.runs
    model(*batch(), epoch=0)["total"].backward()
    assert model.student.runs == runs
    assert all(torch.equal(value, before[name]) for name, value in model.student.state_dict().items())
    learned = {name.split(".")[1] for name, p in model.projectors.named_parameters() if p.grad is not None}
    assert learned == {"encode", "decode"}
    assert all(p.grad is None for p in model.student.parameters())


def test_projectors_stay_as_the_phase_before_left_them() -> None:
    model = in_phases()
    model(*batch(), epoch=2)["total"].backward()
    learned = {name.split(".")[1] for name, p in model.projectors.named_parameters() if p.grad is not None}
    assert learned == {"project"}


def test_projectors_alone_learn_from_the_student_and_from_peers() -> None:
    terms = {
        "own": Term(MSE(), (("encoder/2", "decoder/1"),), projector=Autoencoder, teacher_is="student"),
        "hint": Term(MSE(), (("decoder/1", "encoder/2"),), projector=Autoencoder),
    }
    teachers = {"peer": Teacher(tiny(5, seed=1), peer=Peer(site=1))}
    model = in_phases(terms=terms, teachers=teachers)
    image, label = batch()
    statistics = {name: value.clone() for name, value in model.student.state_dict().items()}
    for site in ([0, 1], [0, 0]):
        losses = model(image, label, site=torch.tensor(site))
        assert list(losses) == ["own reconstruction", "hint reconstruction", "total"]
        assert (losses["hint reconstruction"] == 0) == (site == [0, 0])
        losses["total"].backward()
    assert model.student.training
    assert all(torch.equal(value, statistics[name]) for name, value in model.student.state_dict().items())
    trained = [*model.student.parameters(), *teachers["peer"].network.parameters()]
    assert all(p.grad is None for p in trained)


def test_learners_of_a_plain_student() -> None:
    student = tiny(2)
    student.out.requires_grad_(False)
    model = distiller(student, terms=learned_by_itself())
    learners = model.learners()
    assert list(learners) == ["student"]
    found = [id(p) for p in learners["student"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in model.parameters() if p.requires_grad}
    assert not {id(p) for p in student.out.parameters()} & set(found)


def test_one_channel_where_two_are_needed() -> None:
    with pytest.raises(
        ValueError, match=r"terms\.response: 2 channels at least, got 1: turn a sigmoid head z into"
    ):
        distiller(
            nn.Conv2d(1, 1, 1), teachers={"one": Teacher(nn.Conv2d(1, 1, 1))}, terms={"response": Term(KL())}
        )

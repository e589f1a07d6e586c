from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segdistill.distiller import Distiller
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import IGNORE, DiceCE
from segdistill.networks.stages import name_stages
from segdistill.projectors.convolution import Convolution
from segdistill.projectors.reconstruction import Reconstruction
from segdistill.schedules import Constant
from segdistill.teachers.combination import Mean
from segdistill.teachers.peer import Peer
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term

both_dims = pytest.mark.parametrize("dims", [2, 3])


class Net(nn.Module):
    """A hidden map, logits, and a deep supervision head at half size in training."""

    def __init__(self, width: int, dims: int, heads: int = 1) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.hidden = nn.Sequential(convolution(1, width, 3, padding=1), nn.Tanh())
        self.out = convolution(width, 2, 1)
        self.coarse = convolution(width, 2, 2, stride=2) if heads > 1 else None

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        hidden = self.hidden(image)
        logits = self.out(hidden)
        return logits if self.coarse is None else [logits, self.coarse(hidden)]


def net(seed: int, width: int = 3, dims: int = 2, heads: int = 1) -> Net:
    torch.manual_seed(seed)
    network = Net(width, dims, heads)
    name_stages(network, {"decoder/1": "hidden"} | ({"logits/2": "coarse"} if heads > 1 else {}))
    return network


def batch(dims: int = 2, count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    space = [4] * dims
    image = torch.randn(count, 1, *space, generator=generator)
    label = torch.randint(0, 2, (count, 1, *space), generator=generator)
    return image, label.masked_fill(torch.rand(count, 1, *space, generator=generator) < 0.2, IGNORE)


def distiller(student: nn.Module, teachers: dict[str, Teacher], dims: int = 2, **options: Any) -> Distiller:
    settings: dict[str, Any] = {"terms": {"mutual": Term(KL(), weight=Constant(0.3))}}
    return Distiller(
        student, teachers, segmentation=DiceCE(), example=torch.zeros(1, 1, *[4] * dims), **(settings | options)
    )  # fmt: skip


def kl(learner: Tensor, source: Tensor, label: Tensor) -> Tensor:
    """mean over batch and labelled voxels of KL(p_source || p_learner), the source as it is."""
    p, q = learner.softmax(1), source.detach().softmax(1)
    divergence, known = (q * (q / p).log()).sum(1), label[:, 0] != IGNORE
    return torch.stack([d[k].mean() for d, k in zip(divergence, known, strict=True)]).mean()


def same_gradient(loss: Tensor, expected: Tensor, network: nn.Module) -> None:
    parameters = list(network.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True)
    for one, other in zip(found, torch.autograd.grad(expected, parameters, retain_graph=True), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@both_dims
def test_student_and_one_peer(dims: int) -> None:
    """L_s = seg + w KL(p_peer || p_s), L_p = seg + w KL(p_s || p_peer), each with the other's answer as it is."""
    student, peer = net(0, dims=dims), net(1, 5, dims=dims)
    model = distiller(
        student, {"peer": Teacher(peer, weight=2.0, peer=Peer())}, dims, segmentation_weight=0.7
    )
    image, label = batch(dims)
    losses = model(image, label)
    s, p = student(image), peer(image)
    expected = {
        "segmentation": 0.7 * DiceCE()(s, label), "mutual": 0.3 * 2.0 * kl(s, p, label),
        "peer peer": 0.7 * DiceCE()(p, label), "mutual of peer": 0.3 * kl(p, s, label),
    }  # fmt: skip
    assert list(losses) == [*expected, "total"]
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-4), name
    same_gradient(losses["total"], expected["segmentation"] + expected["mutual"], student)
    same_gradient(losses["total"], expected["peer peer"] + expected["mutual of peer"], peer)


def test_two_peers_learn_from_each_other_too() -> None:
    student, a, b = net(0), net(1), net(2)
    model = distiller(student, {"a": Teacher(a, peer=Peer()), "b": Teacher(b, peer=Peer())})
    image, label = batch()
    losses = model(image, label)
    s, p, q = student(image), a(image), b(image)
    assert losses["mutual"].item() == pytest.approx(
        0.3 * (kl(s, p, label) + kl(s, q, label)).item(), rel=1e-4
    )
    expected = 0.3 * (kl(p, s, label) + kl(p, q, label)) / 2
    assert losses["mutual of a"].item() == pytest.approx(expected.item(), rel=1e-4)
    same_gradient(losses["total"], expected + DiceCE()(p, label), a)


def test_three_peers_learn_from_the_others_on_average() -> None:
    student, *peers = (net(seed) for seed in range(4))
    model = distiller(student, {f"p{n}": Teacher(peer, peer=Peer()) for n, peer in enumerate(peers)})
    image, label = batch()
    s, p, q, r = student(image), *(peer(image) for peer in peers)
    expected = 0.3 * (kl(p, s, label) + kl(p, q, label) + kl(p, r, label)) / 3
    assert model(image, label)["mutual of p0"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_peers_that_a_term_does_not_listen_to_take_no_part_in_it() -> None:
    student, a, b = net(0), net(1), net(2)
    teachers = {"a": Teacher(a, peer=Peer()), "b": Teacher(b, peer=Peer())}
    model = distiller(student, teachers, terms={"mutual": Term(KL(), teachers=("a",))})
    image, label = batch()
    losses = model(image, label)
    assert losses["mutual of a"].item() == pytest.approx(kl(a(image), student(image), label).item(), rel=1e-4)
    assert "mutual of b" not in losses and "peer b" in losses


def test_one_term_moves_both_where_nothing_is_detached() -> None:
    student, peer = net(0), net(1)
    model = distiller(student, {"peer": Teacher(peer, peer=Peer(detach=False))})
    image, label = batch()
    losses = model(image, label)
    assert list(losses) == ["segmentation", "mutual", "peer peer", "total"]
    s, p = student(image), peer(image)
    divergence = (p.softmax(1) * (p.log_softmax(1) - s.log_softmax(1))).sum(1)
    known = label[:, 0] != IGNORE
    both = 0.3 * torch.stack([d[k].mean() for d, k in zip(divergence, known, strict=True)]).mean()
    same_gradient(losses["total"], both + DiceCE()(s, label), student)
    same_gradient(losses["total"], both + DiceCE()(p, label), peer)


def test_frozen_teacher_beside_a_peer() -> None:
    student, peer, big = net(0), net(1), net(2)
    model = distiller(student, {"peer": Teacher(peer, peer=Peer()), "big": Teacher(big)})
    image, label = batch()
    losses = model(image, label)
    s, p, q = student(image), peer(image), big(image)
    assert losses["mutual"].item() == pytest.approx(
        0.3 * (kl(s, p, label) + kl(s, q, label)).item(), rel=1e-4
    )
    assert losses["mutual of peer"].item() == pytest.approx(0.3 * kl(p, s, label).item(), rel=1e-4)


@both_dims
def test_peers_of_sites_see_their_images_alone(dims: int) -> None:
    student, a, b = (net(seed, dims=dims) for seed in range(3))
    teachers = {"a": Teacher(a, peer=Peer(site=0)), "b": Teacher(b, peer=Peer(site=1))}
    model = distiller(student, teachers, dims)
    image, label = batch(dims)
    losses = model(image, label, site=torch.tensor([1, 0, 1, 1]))
    s = student(image)
    first, others = slice(1, 2), [0, 2, 3]
    p, q = a(image[first]), b(image[others])
    expected = kl(s[first], p, label[first]) / 4 + kl(s[others], q, label[others]) * 3 / 4
    assert losses["mutual"].item() == pytest.approx(0.3 * expected.item(), rel=1e-4)
    assert losses["mutual of b"].item() == pytest.approx(
        0.3 * 3 / 4 * kl(q, s[others], label[others]).item(), rel=1e-4
    )
    assert losses["peer a"].item() == pytest.approx(DiceCE()(p, label[first]).item() / 4, rel=1e-4)


def test_names_of_losses_do_not_depend_on_the_batch() -> None:
    """Devices that see different sites reduce the same losses."""
    student, a, b = net(0), net(1, 5), net(2, 5)
    hint = Term(MSE(), (("decoder/1", "decoder/1"),), projector=Reconstruction)
    teachers = {"a": Teacher(a, peer=Peer(site=0)), "b": Teacher(b, peer=Peer(site=1))}
    model = distiller(student, teachers, terms={"mutual": Term(KL()), "hint": hint})
    image, label = batch()
    found = []
    for site in ([0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]):
        losses = model(image, label, site=torch.tensor(site))
        losses["total"].backward()
        assert all(torch.isfinite(loss) for loss in losses.values())
        found.append([*losses])
    assert "hint reconstruction" in found[0] and "mutual of b" in found[0]
    assert all(names == found[0] for names in found)
    assert losses["mutual"] == losses["mutual of a"] == losses["peer a"] == losses["hint reconstruction"] == 0


def test_images_without_sites() -> None:
    model = distiller(net(0), {"a": Teacher(net(1), peer=Peer(site=0))})
    with pytest.raises(
        ValueError, match=r"teachers\.a\.peer\.site: the images have no sites; set data\.sites"
    ):
        model(*batch())


@both_dims
def test_peer_with_deep_supervision(dims: int) -> None:
    student, peer = net(0, dims=dims), net(1, dims=dims, heads=2)
    terms = {"mutual": Term(KL(), (("logits", "logits"), ("logits", "logits/2")))}
    model = distiller(student, {"a": Teacher(peer, peer=Peer())}, dims, terms=terms)
    image, label = batch(dims)
    losses = model(image, label)
    full, half = peer(image)
    coarse = F.interpolate(label.float(), half.shape[2:], mode="nearest-exact").long()
    assert losses["peer a"].item() == pytest.approx(
        (DiceCE()(full, label) + 0.5 * DiceCE()(half, coarse)).item(), rel=1e-4
    )
    assert torch.isfinite(losses["mutual of a"])


def test_peers_compare_their_own_heads() -> None:
    """Peers learn from each other's stages of one name, whatever the student's stage is called."""
    student, a, b = net(0), net(1, heads=2), net(2, heads=2)
    teachers = {"a": Teacher(a, peer=Peer()), "b": Teacher(b, peer=Peer())}
    model = distiller(student, teachers, terms={"mutual": Term(KL(), (("logits", "logits/2"),))})
    image, label = batch()
    label = label.clamp_min(0)
    losses = model(image, label)
    own, its = a(image)[1], b(image)[1]
    grown = F.interpolate(own, (4, 4), mode="bilinear", align_corners=False)
    small = torch.zeros(len(image), 1, 2, 2)
    expected = (kl(grown, student(image), label) + kl(own, its, small)) / 2
    assert losses["mutual of a"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_mirrored_term_leaves_the_projector_to_the_student() -> None:
    """Else the student's projection would come to meet the peer, which is its own teacher."""
    student, peer = net(0, 2), net(1, 5)
    hint = Term(MSE(), (("decoder/1", "decoder/1"),), projector=Convolution)
    model = distiller(student, {"peer": Teacher(peer, peer=Peer())}, terms={"hint": hint})
    model(*batch())["hint of peer"].backward()
    assert all(p.grad is None for p in [*model.projectors.parameters(), *student.parameters()])
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in peer.parameters())


def test_features_of_peers() -> None:
    """The projector is the student's: its own widths to a peer's, in either direction of learning."""
    student, peer = net(0, 2), net(1, 5)
    hint = Term(MSE(), (("decoder/1", "decoder/1"),), projector=Convolution)
    model = distiller(student, {"a": Teacher(peer, peer=Peer())}, terms={"hint": hint})
    image, label = batch()
    label = label.clamp_min(0)
    losses = model(image, label)
    s, p = model.projectors["hint:0:a"].project(student.hidden(image)), peer.hidden(image)
    assert losses["hint"].item() == pytest.approx((s - p).square().mean().item(), rel=1e-4)
    assert losses["hint of a"].item() == pytest.approx((s - p).square().mean().item(), rel=1e-4)
    assert all(g is None for g in torch.autograd.grad(
        losses["hint of a"], list(student.parameters()), allow_unused=True, retain_graph=True
    ))  # fmt: skip
    same_gradient(losses["hint of a"], (s.detach() - p).square().mean(), peer.hidden)


def test_everyone_has_an_optimizer_of_its_own() -> None:
    student, a, b, big = net(0), net(1), net(2), net(3, 5)
    student.out.bias.requires_grad_(False)  # type: ignore[union-attr]
    teachers = {"a": Teacher(a, peer=Peer()), "b.c": Teacher(b, peer=Peer(detach=False)), "big": Teacher(big)}
    hint = Term(MSE(), (("decoder/1", "decoder/1"),), teachers=("big",), projector=Convolution)
    model = distiller(student, teachers, terms={"hint": hint, "mutual": Term(KL())})
    learners = model.learners()
    assert list(learners) == ["student", "peer a", "peer b.c"]
    found = [id(p) for group in learners.values() for p in group]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in model.parameters() if p.requires_grad}
    assert id(student.out.bias) not in found
    model(*batch())["total"].backward()
    assert all(p.grad is not None for group in learners.values() for p in group)


def test_peers_are_in_the_state_dict_and_in_train_mode() -> None:
    peer = net(1)
    model = distiller(net(0), {"a": Teacher(peer, peer=Peer())}).train()
    model(*batch())
    assert peer.training
    saved = {name for name in model.state_dict() if name.startswith("learning.")}
    assert len(saved) == len(peer.state_dict())


def test_peer_of_weight_zero_is_not_heard_but_learns() -> None:
    student, a, b = net(0), net(1), net(2)
    teachers = {"a": Teacher(a, peer=Peer()), "b": Teacher(b, weight=0.0, peer=Peer())}
    image, label = batch()
    losses = distiller(student, teachers, combine=Mean())(image, label)
    s = student(image)
    assert losses["mutual"].item() == pytest.approx(0.3 * kl(s, a(image), label).item(), rel=1e-4)
    assert losses["mutual of b"].item() > 0

"""Each term's share of the student's gradient: is anything taught at all?"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import default_collate, default_convert

from segdistill.data.patches import UNLABELLED, Patches
from segdistill.distiller import Distiller
from segdistill.recipe import Recipe
from segdistill.run import Run

LOW, HIGH = 0.01, 0.99
AT_MOST = 4  # samples; relations of a batch need some
UNSEEN = 2**40  # numbers of samples that training does not reach


def watch_shares(
    fabric: Fabric, run: Run, distiller: Distiller, patches: Patches, recipe: Recipe, epoch: int
) -> None:
    """Log the shares on one batch in epochs 0, 1 and every `train.share_every`; warn, once a term, of what stays so."""
    every = recipe.train.share_every
    if not (distiller.terms or distiller.critic) or not every or (epoch % every and epoch != 1):
        return
    at_once = recipe.data.batch_size // (
        fabric.world_size * recipe.train.accumulate
    )  # what memory is known to hold
    drawn = labelled_samples(patches, min(AT_MOST, at_once))
    batch: Any = default_collate(list(drawn.values()))
    if patches.recordings:
        batch["told"] = default_convert(patches.told(list(drawn)))
    batch = fabric.to_device(batch)
    # Statistics of batch norm would move by a batch that a resumed run never sees.
    kept = [(buffer, buffer.clone()) for buffer in distiller.buffers()]
    with fabric.autocast():
        found = gradient_shares(distiller, **batch, epoch=float(epoch))
    for buffer, before in kept:
        buffer.copy_(before)
    distiller.left_out = {}
    if not found:
        return  # a phase in which the student does not learn
    events = run.events()
    run.log("share", epoch=epoch, share=found)
    told = {event.get("term") for event in events if event["event"] == "warning"}
    earlier = [warnings(event["share"]) for event in events if event["event"] == "share"]
    last = epoch + 1 == recipe.train.epochs
    for name, message in warnings(found).items():
        if name not in told and (last or (earlier and name in earlier[-1])):
            run.warn(message, epoch=epoch, term=name)


def labelled_samples(patches: Patches, count: int) -> dict[int, dict[str, Any]]:
    """The first samples that training does not reach, those without label left out: they have no supervised loss."""
    drawn = ((number, patches[number]) for number in itertools.count(UNSEEN))
    labelled = (one for one in drawn if (one[1]["label"] != UNLABELLED).any())
    return dict(itertools.islice(labelled, count))


def gradient_shares(
    distiller: Distiller, image: Tensor, label: Tensor, epoch: float, **more: Any
) -> dict[str, float]:
    """Norm of each weighted loss's gradient on the student's parameters, as shares of their sum, for one batch.

    Args:
        more: of the batch, as the distiller takes it.
    """
    losses = distiller(image, label, epoch, **more)
    taught = {
        "segmentation",
        "holistic",
        *distiller.terms,
    }  # the others are what projectors, peers and a critic learn
    parameters = [p for p in distiller.student.parameters() if p.requires_grad]
    norms: dict[str, float] = {}
    for name, loss in losses.items():
        if name in taught:
            gradients = (
                torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                if loss.requires_grad
                else ()
            )
            squares = [g.float().square().sum() for g in gradients if g is not None]
            norms[name] = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
    total = sum(norms.values())
    return {name: norm / total if total else 0.0 for name, norm in norms.items()}


def warnings(shares: dict[str, float]) -> dict[str, str]:
    """What to say about each term that hardly acts, or drowns the rest."""
    found = {}
    for name, share in shares.items():
        if share < LOW:
            found[name] = (
                f"{name} gives {share:.2%} of the student's gradient: at this weight it teaches next to nothing; "
                "raise its weight or choose another normalisation"
            )
        elif share > HIGH and len(shares) > 1:
            found[name] = (
                f"{name} gives {share:.2%} of the student's gradient: the rest hardly acts; lower its weight"
            )
    return found

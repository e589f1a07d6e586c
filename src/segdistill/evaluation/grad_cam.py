"""What a network looks at: Grad-CAM of a segmentation, on a patch and on a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from monai.visualize.class_activation_maps import GradCAM, ModelWithHooks
from torch import Tensor, nn

from segdistill.data.dataset import Case
from segdistill.data.grid import Grid, from_grid
from segdistill.data.patches import cut
from segdistill.data.preprocessing import preprocess_case
from segdistill.errors import SegdistillError
from segdistill.evaluation.predict import Predictor, decide
from segdistill.evaluation.sliding_window import evaluating
from segdistill.networks.stages import first_output, resolve, stage_table

DEEPEST = "encoder/deepest"
Over = Literal["predicted", "reference"]


def grad_cam(
    network: nn.Module,
    image: Tensor,
    stage: str = DEEPEST,
    class_index: int = 1,
    mask: Tensor | None = None,
    *,
    regions: bool = False,
) -> Tensor:
    """Where the maps of `stage` speak for a class: MONAI's Grad-CAM (Selvaraju et al., 2017, arXiv:1610.02391).

    A segmentation has no single score, so the one explained is the mean logit of the class over a set of voxels
    (Seg-Grad-CAM; Vinogradova et al., AAAI 2020, arXiv:2002.11434): those of `mask`, by default those that the
    network itself gives to the class. Each channel of the stage is weighted by the mean of the score's gradient over
    space; the weighted sum, negative parts cut off, is brought to the size of the patch linearly and divided by its
    maximum, so that maps of different networks compare in place, not in strength.

    The network runs in eval mode and is left as it was: modes, gradients and hooks.

    Args:
        image: (C, *patch), 2-D or 3-D, preprocessed, on the network's device.
        stage: any stage of the network. Where it is read from its module's output by a function, that function may
            select and rearrange values, but not change them.
        class_index: channel of the logits; 0 is the background unless the classes are regions.
        mask: (*patch), the voxels to explain.
        regions: classes overlap, so a voxel belongs to each whose logit is above 0; else to the class of the largest.

    Returns:
        (*patch) float32 on the CPU, in [0, 1]; all 0 where there is no voxel to explain, or no positive evidence.

    Raises:
        ValueError: unknown stage or class, a mask of another shape, a stage that the logits do not depend on.
    """
    if mask is not None and mask.shape != image.shape[1:]:
        raise ValueError(f"mask {tuple(mask.shape)} must be (*patch), {tuple(image.shape[1:])}")
    explained: Any = _StageGradients(network, resolve(network, stage), mask, regions)
    with evaluating(network), torch.enable_grad():
        heat = GradCAM(explained, "", postprocessing=_share_of_maximum)(image[None], class_idx=class_index)
    return heat[0, 0].float().cpu()


class _StageGradients(ModelWithHooks):
    """What MONAI's Grad-CAM asks of a network: class scores (1, K), the map of a stage, and its gradient.

    MONAI finds maps by the names of modules and never takes its hooks off. Stages may also be read from tuples or
    tokens, so the module's whole output is made a leaf here, by a hook that lives for one forward pass.
    """

    def __init__(self, network: nn.Module, stage: str, mask: Tensor | None, regions: bool) -> None:
        super().__init__(network, ())
        self.stage, self.mask, self.regions = stage, mask, regions

    def __call__(
        self, x: Tensor, class_idx: int | None = None, retain_graph: bool = False, **kwargs: Any
    ) -> tuple[Tensor, tuple[Tensor], tuple[Tensor]]:
        assert class_idx is not None
        module, reading = stage_table(self.model)[self.stage]
        outputs: list[Any] = []
        leaves: list[Tensor] = []

        def leaf(value: Tensor) -> Tensor:
            leaves.append(value.detach().requires_grad_())
            return leaves[-1]

        def hook(_: nn.Module, __: Any, output: Any) -> Any:
            leaves.clear()
            outputs[:] = [_each(output, leaf)]
            return _each(outputs[0], Tensor.clone)  # what comes next may change it in place

        handle = module.register_forward_hook(hook)
        try:
            logits = first_output(self.model(x))
        finally:
            handle.remove()
        if not 0 <= class_idx < logits.shape[1]:
            raise ValueError(f"class_index {class_idx} must be one of 0 to {logits.shape[1] - 1}")
        scores = self._scores(logits, class_idx)
        score = self.class_score(scores, class_idx)
        found: tuple[Tensor | None, ...] = ()
        if score.requires_grad and leaves:
            found = torch.autograd.grad(score, leaves, retain_graph=retain_graph, allow_unused=True)
        if all(gradient is None for gradient in found):
            raise ValueError(
                f"the logits of {type(self.model).__name__} do not depend on its stage '{self.stage}'"
            )
        filled = iter([torch.zeros_like(b) if g is None else g for g, b in zip(found, leaves, strict=True)])
        gradients = _each(outputs[0], lambda _: next(filled))
        read = reading or (lambda output: output)
        return scores, (read(outputs[0]).detach(),), (read(gradients).contiguous(),)

    def _scores(self, logits: Tensor, class_idx: int) -> Tensor:
        """(1, K): the mean of each class's logits over the voxels to explain; 0 where there are none."""
        if self.mask is not None:
            voxels = self.mask.to(logits.device)
        elif self.regions:
            voxels = logits[0, class_idx] > 0
        else:
            voxels = logits[0].argmax(0) == class_idx
        weight = voxels.to(logits.dtype)
        return (logits * weight).flatten(2).sum(2) / weight.sum().clamp(min=1)


@dataclass(frozen=True)
class CaseCam:
    """Grad-CAM of one network on one patch of a case, brought to the grid of the case's files.

    Attributes:
        heat: (*space) float32 in [0, 1].
        predicted: (*space) bool, what the network gives to the class within the patch.
        seen: (*space) bool, the patch.
        dice: of the class, in the patch, on the network's grid; None where neither mask has a voxel.
        voxels: how many voxels were explained.
    """

    heat: np.ndarray
    predicted: np.ndarray
    seen: np.ndarray
    dice: float | None
    voxels: int


def cam_of_case(
    predictor: Predictor,
    case: Case,
    class_name: str,
    centre: Sequence[int],
    *,
    stage: str = DEEPEST,
    over: Over = "predicted",
) -> CaseCam:
    """Preprocess a case as the network was trained, cut one patch around a voxel, and explain a class there.

    Where volumes are read as slices, the patch lies in the slice of that voxel, and its maps stand for the slices
    beside it too.

    Args:
        case: with a label.
        centre: a voxel of the case's files; the patch is moved to lie within the image where it can.
        over: the voxels explained, those that the network predicts in the patch or those of the reference.

    Raises:
        SegdistillError: unknown class or stage, or a voxel that the plan's crop cuts away.
    """
    plan, slices = predictor.plan, predictor.slices
    if class_name not in plan.classes:
        raise SegdistillError(f"no class {class_name!r}; choose from {', '.join(plan.classes)}")
    number = plan.classes.index(class_name)
    image, label, grid = preprocess_case(case.images, case.label, plan)
    assert label is not None
    where = voxel_on_grid(centre, grid)
    if not all(0 <= place < size for place, size in zip(where, grid.target, strict=True)):
        raise SegdistillError(f"case {case.id}: data.crop cuts away the centre of {class_name}")
    channel, value = (number, 1) if plan.regions else (0, number + 1)
    label = label[channel : channel + 1]
    if slices is not None:
        image, label = slices.take(image, where[slices.axis]), slices.take(label, where[slices.axis])
        where = tuple(place for axis, place in enumerate(where) if axis != slices.axis)
    start = [_start(*each) for each in zip(where, predictor.patch_size, image.shape[1:], strict=True)]
    patch = torch.from_numpy(cut(image, start, predictor.patch_size)).to(predictor.device)
    reference = cut(label, start, predictor.patch_size)[0]
    index = number if plan.regions else number + 1
    try:
        network = predictor.at(predictor.site_of(case.id))
        predicted = _predicted(predictor, network, patch, channel, value)
        explained = predicted if over == "predicted" else reference == value
        heat = grad_cam(network, patch, stage, index, torch.from_numpy(explained))
    except ValueError as error:  # a stage that is not there, or a size that does not fit
        raise SegdistillError(str(error)) from error
    maps = np.stack([heat.numpy(), predicted, np.ones_like(predicted)]).astype(np.float32)
    maps = cut(maps, [-place for place in start], image.shape[1:])  # back to where the patch was cut
    if slices is not None:
        maps = np.repeat(np.expand_dims(maps, 1 + slices.axis), grid.target[slices.axis], 1 + slices.axis)
    heat_there, predicted_there, seen = from_grid(maps, grid)
    return CaseCam(
        heat=heat_there.clip(0, 1),
        predicted=predicted_there > 0.5,
        seen=seen > 0.5,
        dice=_dice(predicted & (reference != -1), reference == value),
        voxels=int(explained.sum()),
    )


def centre_voxel(mask: np.ndarray, spacing: Sequence[float]) -> tuple[int, ...]:
    """The voxel of a mask (*space) that is nearest, in mm, to the mask's centre of mass.

    Raises:
        ValueError: the mask is empty.
    """
    voxels = np.argwhere(mask)
    if not len(voxels):
        raise ValueError("an empty mask has no centre")
    distance = ((voxels - voxels.mean(axis=0)) * np.asarray(spacing)) ** 2
    return tuple(int(place) for place in voxels[distance.sum(axis=1).argmin()])


def voxel_on_grid(voxel: Sequence[int], grid: Grid) -> tuple[int, ...]:
    """The voxel of the target grid that holds the centre of a voxel of the original one; may lie outside of it."""
    found = []
    for k, axis in enumerate(grid.axes):
        before, after = grid.oriented[k], grid.resampled[k]
        place = before - 1 - voxel[axis] if grid.flips[k] else voxel[axis]
        found.append((2 * place + 1) * after // (2 * before) - grid.origin[k])
    return tuple(found)


def _predicted(
    predictor: Predictor, network: nn.Module, patch: Tensor, channel: int, value: int
) -> np.ndarray:
    """(*patch) bool: one forward pass, decided as in `predict`."""
    with evaluating(network), torch.no_grad():
        logits = first_output(network(patch[None]))[0].float()
    regions = predictor.plan.regions
    probabilities = (logits.sigmoid() if regions else logits.softmax(0)).cpu().numpy()
    return np.asarray(decide(probabilities, regions, predictor.settings.threshold)[channel] == value)


def _start(centre: int, size: int, limit: int) -> int:
    """Where a patch around `centre` begins: inside the image, or evenly around it where it is smaller."""
    return -((size - limit) // 2) if limit < size else min(max(centre - size // 2, 0), limit - size)


def _dice(predicted: np.ndarray, reference: np.ndarray) -> float | None:
    total = int(predicted.sum()) + int(reference.sum())
    return 2 * int((predicted & reference).sum()) / total if total else None


def _share_of_maximum(heat: Tensor) -> Tensor:
    # MONAI's own scaling turns the map upside down, and lifts its smallest value to an end of the scale.
    largest = heat.amax()
    return heat / largest if largest > 0 else heat


def _each(output: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest of tuples, lists and dicts, its tensors changed."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, Mapping):
        return {key: _each(value, change) for key, value in output.items()}
    if isinstance(output, list | tuple):
        changed = [_each(value, change) for value in output]
        return tuple(changed) if isinstance(output, tuple) else changed
    return output

"""Predict whole images on their own grids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segdistill.data.grid import from_grid
from segdistill.data.image import check_writable, suffix, write_label
from segdistill.data.plan import Plan
from segdistill.data.preprocessing import preprocess_case
from segdistill.data.sites import site_in
from segdistill.data.slices import Slices
from segdistill.device import choose_device
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.model import facts_of, load_network
from segdistill.networks.domains import at_site, domains_of
from segdistill.parts import unknown
from segdistill.run import Run
from segdistill.sections.evaluate import EvaluateSection

Listen = Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Predictor:
    """A trained network with all that it needs to answer for an image file."""

    network: nn.Module
    plan: Plan
    patch_size: tuple[int, ...]
    slices: Slices | None
    settings: EvaluateSection
    device: torch.device
    sites: tuple[str, ...] = ()
    expression: str | None = None

    @classmethod
    def of(cls, run: Run, *, network: nn.Module | None = None, device: str = "auto") -> Predictor:
        """The best student of a run.

        Args:
            network: where the run trained a module of the caller's own: such a module, whose weights are then loaded.

        Raises:
            SegdistillError: the run has no checkpoint, or one of another architecture.
        """
        recipe = run.recipe
        slices = None if recipe.data.slices is None else Slices(**recipe.data.slices.model_dump())
        place = choose_device(device)
        network = load_network(run, network=network).to(place)
        sites = tuple(run.info.get("sites") or ())
        return cls(
            network,
            run.plan,
            facts_of(run).image_size,
            slices,
            recipe.evaluate,
            place,
            sites,
            recipe.data.sites,
        )

    def probabilities(self, images: Sequence[Path], site: str | None = None) -> Iterator[np.ndarray]:
        """Of each class, background first, or of each overlapping region: (*original space) float32, one by one.

        What the plan's crop had cut away is 0 in all of them. Arguments as of `classes`.
        """
        image, _, grid = preprocess_case(images, None, self.plan)
        logits = predict_logits(
            self.at(site),
            image,
            self.patch_size,
            overlap=self.settings.overlap,
            batch_size=self.settings.window_batch,
            mirror=self.settings.mirror,
            slices=self.slices,
            device=self.device,
        )
        if self.plan.regions:
            logits.sigmoid_()
        else:
            for part in logits.unbind(1):  # one by one: no second copy of all classes
                part.copy_(part.softmax(0))
        maps = logits.numpy()
        for c in range(len(maps)):
            yield from_grid(maps[c : c + 1], grid)[0]

    def classes(
        self, images: Sequence[Path], site: str | None = None, listen: Listen | None = None
    ) -> np.ndarray:
        """(L, *original space) int16: class indices, or 0/1 for each overlapping region.

        Args:
            images: the files of one case, one a channel, or one file with all of them.
            site: where they are from, for a network that adapts to it; None: nowhere in particular.
            listen: passes on the probabilities, one by one, and may learn from them (`CaseCalibration.listen`).
        """
        maps = self.probabilities(images, site)
        return decide(listen(maps) if listen else maps, self.plan.regions, self.settings.threshold)

    def count(self, classes: np.ndarray) -> dict[str, int]:
        """Voxels of each class or region in an answer of `classes`."""
        if self.plan.regions:
            return {name: int(region.sum()) for name, region in zip(self.plan.classes, classes, strict=True)}
        return {name: int((classes == index).sum()) for index, name in enumerate(self.plan.classes, 1)}

    @property
    def adapts(self) -> bool:
        """Whether the network adapts to the site of an image."""
        return domains_of(self.network) > 1

    def site_of(self, name: str) -> str | None:
        """The site that the run's `data.sites` finds in the name of a case, where the network adapts to it."""
        if not self.adapts or self.expression is None:
            return None
        found = site_in(name, self.expression)
        return found if found in self.sites else None

    def at(self, site: str | None) -> nn.Module:
        """The network for images of a site; None: none in particular.

        Raises:
            SegdistillError: the network does not adapt to sites, or not to this one.
        """
        if site is None:
            return self.network
        if not self.adapts:
            raise SegdistillError(f"site {site!r}: the run's network does not adapt to sites; leave it out")
        if site not in self.sites:
            raise SegdistillError(f"site: {unknown(site, self.sites)}; the run's network knows no other")
        return at_site(self.network, self.sites.index(site))

    def write(
        self, images: Sequence[Path], out: Path, site: str | None = None, listen: Listen | None = None
    ) -> np.ndarray:
        """Predict and write a mask on the grid of the first image, with the dataset's label values.

        Raises:
            SegdistillError: images that do not fit, or a mask that cannot be written by that name.
        """
        check_writable(out, self.plan.spatial_dims)
        if out.exists() and any(image.exists() and out.samefile(image) for image in images):
            raise SegdistillError(
                f"{out} is one of the images; a mask does not replace it: choose another --out"
            )
        classes = self.classes(images, site, listen)
        write_label(out, self.plan.dataset.decode(classes), like=images[0])
        return classes


def decide(probabilities: Iterable[np.ndarray], regions: bool, threshold: float | None = None) -> np.ndarray:
    """Probabilities (*space) of each class as indices (1, *space) int16, or as 0/1 of each region (R, *space).

    An array (C, *space) does as well; what makes the classes one by one never has all of them in memory.
    The likeliest class wins, and a region is where it is above 0.5. With a threshold the likeliest foreground
    class wins wherever it is above that, and a region is where it is above that.
    """
    if regions:
        return np.stack([(each > (threshold or 0.5)).astype(np.int16) for each in probabilities])
    classes = iter(enumerate(probabilities))
    if threshold is not None:
        next(classes)  # the background
    first, largest = next(classes)
    largest = largest.copy()
    winner = np.full(largest.shape, first, np.int16)
    for index, each in classes:
        winner[each > largest] = index
        np.maximum(largest, each, out=largest)
    if threshold is not None:
        winner[~(largest > threshold)] = 0
    return winner[None]


def case_name(image: Path) -> str:
    """The name of the case that an image file is of: without suffix and number of the channel."""
    return re.sub(r"_\d{4}$", "", image.name.removesuffix(suffix(image)))


def predict(
    run: Run | str | Path,
    images: Sequence[str | Path],
    out: str | Path,
    *,
    network: nn.Module | None = None,
    site: str | None = None,
) -> Path:
    """Segment one case with the best student of a run.

    Args:
        run: a run, or its folder.
        images: the files of the case, one a channel in the dataset's order, or one file with all channels.
        out: the mask to write; format by suffix, on exactly the grid of the first image.
        network: a module of the caller's own that the run trained.
        site: where the images are from, for a network that adapts to it; None: found in the first file's name.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    files, predictor = [Path(image) for image in images], Predictor.of(run, network=network)
    predictor.write(files, Path(out), site or predictor.site_of(case_name(files[0])))
    return Path(out)

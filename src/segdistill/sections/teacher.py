"""Who teaches, and how trained teachers answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from segdistill.quantity import Quantity
from segdistill.sections.section import Fraction, NonNegative, Part, PositiveInt, Section, Settings


class PeerSection(Section):
    """A peer is trained beside the student, and each learns from the other."""

    detach: bool = True
    """Each takes what the other says as it is; else one term moves both."""
    site: str | None = None
    """The site whose images it sees, one of those that `data.sites` finds; `each`: one such peer for every site;
    null: all images."""


class AverageSection(Section):
    """The moving average of the student's weights."""

    momentum: Fraction = 0.999
    final: Fraction | None = None
    """Momentum at the end, reached along half a cosine."""


class SeesSection(Section):
    """How a network that comes without a record sees images: what is not said is as the student sees them."""

    inputs: list[str] | None = None
    """Image channels, by name, in its order."""
    spacing: list[Annotated[float, Field(gt=0)] | None] | None = None
    """Mm along x, y, z; null along an axis keeps each case's own."""
    channels: dict[str, Part] = {}
    """Intensity part by channel name."""
    patch_size: list[PositiveInt] | None = None
    """Voxels of a window."""


class TeacherSection(Section):
    """A teacher: a trained model from anywhere, a peer, or the student's moving average.

    A run that does not exist is trained first where `network` is given.
    """

    run: str | None = None
    path: str | Annotated[list[str], Field(min_length=1)] | None = None
    """Instead of `run`, a trained model of any kind: a run, an nnU-Net results folder, a MONAI bundle, a TorchScript,
    torch.export or ONNX file, a folder of soft predictions. Several, or a pattern such as runs/fold_?, are one."""
    source: Part | None = None
    """What is at `path` and how it is read; found out where it is not said (`segdistill list sources`)."""
    folds: Literal["matched", "out_of_fold"] | None = None
    """Of several models at `path`, one for each fold. matched: the student of a fold is taught by the one of the same
    fold, which has not seen its validation cases; out_of_fold: each case is taught by the one that has not seen it.
    null: their answers are averaged."""
    sees: SeesSection | None = None
    """How a teacher sees images, where it is not as the student does; one with a record of its own takes `inputs`
    alone."""
    stand_in: bool = False
    """Stands for a teacher of yours: gives way where another teacher is named beside it."""
    weight: NonNegative = 1.0
    network: Part | None = None
    """Of a run: how to train it. Of a peer: what it is; without it the student's own network."""
    train: Settings = {}
    """Overrides of `train` for training this teacher."""
    peer: PeerSection | None = None
    average: AverageSection | None = None
    classes: list[str] | dict[str, str | list[str]] | None = None
    """What to learn from it: shared names, or {student's class: teacher's class or classes}; null: all."""
    view: Settings | None = None
    """How its copy of the images is changed (noise, brightness, contrast); null: it sees what the student sees."""

    @property
    def frozen(self) -> bool:
        """Whether it is trained already, or before the student is."""
        return self.peer is None and self.average is None

    @property
    def paths(self) -> list[str]:
        """`path` as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path or ())


class KnowledgeSection(Section):
    """How trained teachers answer: from a cache of what they say about whole cases, or anew in every step."""

    type: Literal["auto", "cached", "online"] = "auto"
    """auto: cached where that is right and fits the disk; cached: an error where it does not fit; online: never."""
    disk: Quantity = 20e9
    """Bytes that the answers for this run may take on disk, all teachers together, such as 20G."""
    logits: Literal["float16", "uint8"] = "float16"
    """How logits are kept; uint8 halves their disk, and its error is stated by `segdistill cache info`."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a window that the next one covers again."""
    mirror: bool = False
    """Average over flips: 2^d times the work."""
    window_batch: PositiveInt = 2


Knowledge = Annotated[
    KnowledgeSection, BeforeValidator(lambda told: {"type": told} if isinstance(told, str) else told)
]
"""`{type: ..., ...}`; the type alone does."""

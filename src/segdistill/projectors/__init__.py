"""Projectors bring two maps of different width together. To add one: one file here and one row in the table.

A projector is a module `part(student_width, teacher_width, spatial_dims, *, settings)`, called as
`part(student, teacher)` on maps of one size (batch, channel, *space); it returns both with one width. Its parameters
are trained with the student and never exported. One that learns to compress the teacher's map must not learn so from
the distillation's gradient, which is smallest where everything collapses to one point: it detaches what it returns of
the teacher, and says by `own_loss(teacher) -> scalar` what it learns from instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segdistill.projectors.alignment import Alignment
from segdistill.projectors.autoencoder import Autoencoder
from segdistill.projectors.convolution import Convolution
from segdistill.projectors.interpolation import Interpolation
from segdistill.projectors.masked_generation import MaskedGeneration
from segdistill.projectors.random_convolution import RandomConvolution
from segdistill.projectors.reconstruction import Reconstruction


@dataclass(frozen=True)
class Row:
    """A projector: the class, where it was published, one line about it.

    Attributes:
        always: it is used where the widths agree, too.
    """

    part: Any
    reference: str
    summary: str
    always: bool = False


PROJECTORS: dict[str, Row] = {
    "alignment": Row(
        Alignment,
        "Qi et al., 2024, doi:10.1109/JBHI.2024.3385098",
        "Globally pooled maps, a small network a side (GKD's alignment networks)",
        always=True,
    ),
    "autoencoder": Row(
        Autoencoder,
        "He et al., 2019, arXiv:1903.04688",
        "Student meets teacher in the latent space of the teacher's autoencoder (knowledge adaptation)",
        always=True,
    ),
    "convolution": Row(
        Convolution,
        "Romero et al., 2015, arXiv:1412.6550",
        "Learned 1x1 convolution on the student's side (FitNets)",
    ),
    "interpolation": Row(
        Interpolation, "Hossain et al., 2025", "Parameter-free interpolation of the channels (Teach-Former)"
    ),
    "masked_generation": Row(
        MaskedGeneration,
        "Yang et al., 2022, arXiv:2205.01529",
        "The teacher's map is generated from the student's, partly masked (MGD, DSP-KD)",
        always=True,
    ),
    "random_convolution": Row(
        RandomConvolution,
        "Gorade et al., 2024 (HLFD)",
        "A fixed random orthogonal projection, or one drawn anew in every call as HLFD's code does",
    ),
    "reconstruction": Row(
        Reconstruction,
        "Kim et al., 2018, arXiv:1802.04977",
        "Teacher compressed by a learned 1x1 convolution from which its map can be given back",
    ),
}

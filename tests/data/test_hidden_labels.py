"""Cases whose labels are hidden are images and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from segdistill.data.hidden_labels import HiddenLabels
from segdistill.data.patches import UNLABELLED, Patches


@dataclass(frozen=True)
class Case:
    image: np.ndarray
    label: np.ndarray
    foreground: np.ndarray


@dataclass(frozen=True)
class Store:
    cases: dict[str, Case] = field(default_factory=dict)

    def case(self, id: str, /) -> Case:
        return self.cases[id]


def a_store() -> Store:
    label = np.ones((1, 8, 8, 8), np.int16)
    foreground = np.array([[1, 4, 4, 4]])
    return Store({name: Case(np.full((1, 8, 8, 8), value, np.float32), label, foreground)
                  for name, value in (("known", 1.0), ("hidden", 2.0))})  # fmt: skip


def test_only_the_image_is_seen() -> None:
    seen = HiddenLabels(a_store(), ["hidden"])
    assert seen.case("known").label is not None and len(seen.case("known").foreground) == 1
    assert seen.case("hidden").label is None and len(seen.case("hidden").foreground) == 0
    assert (seen.case("hidden").image == 2).all()


def test_no_sample_shows_a_hidden_label() -> None:
    patches = Patches(
        HiddenLabels(a_store(), ["hidden"]), ["known"], (4, 4, 4), seed=0, unlabelled=["hidden"], unlabelled_share=0.5
    )  # fmt: skip
    for number in range(40):
        sample = patches[number]
        hidden = bool((sample["image"] == 2).all())
        assert ((sample["label"] == UNLABELLED).all()) == hidden
        assert ((sample["label"] == 1).all()) == (not hidden)

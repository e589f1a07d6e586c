from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.networks.stages import name_stages
from segdistill.projectors.convolution import Convolution
from segdistill.projectors.interpolation import Interpolation
from segdistill.sections.objective import RESERVED
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Teacher
from segdistill.term import (
    SELF,
    Term,
    check_terms,
    is_response,
    key_of,
    map_of,
    names_of,
    pair,
    same_size,
    wanted,
    wanted_of_student,
)

every_space = pytest.mark.parametrize("space", [(4, 4), (4, 4, 2)], ids=["2-D", "3-D"])


def maps(space: tuple[int, ...], width: int, half: bool = False) -> dict[str, Tensor]:
    small = tuple(size // 2 for size in space)
    return {
        "logits": torch.randn(1, 2, *(small if half else space)),
        "decoder/1": torch.randn(1, width, *space),
        "encoder/2": torch.randn(1, 2 * width, *small),
    }


@pytest.mark.parametrize(
    "options, heard",
    [
        ({}, {"a", "b"}),
        ({"teachers": ("b",)}, {"b"}),
        ({"teacher_is": "student"}, {SELF}),
    ],
)
def test_whom_it_listens_to(options: dict[str, Any], heard: set[str]) -> None:
    term = Term(KL(), **options)
    assert {name for name in ("a", "b", SELF) if term.listens_to(name)} == heard


def test_stages_that_are_asked_for() -> None:
    first = Term(KL(), ((("logits", "decoder/1"), "logits"), ("logits", "encoder/2")))
    second = Term(KL(), (("encoder/4", "encoder/8"),), teacher_is="student")
    assert first.stages(0) == ("logits", "decoder/1") and first.stages(1) == ("logits", "encoder/2")
    assert wanted([first, second], 1) == ("logits", "encoder/2", "encoder/8")
    assert wanted_of_student([first, second]) == ("logits", "decoder/1", "encoder/4", "encoder/8")
    assert names_of("logits") == ("logits",)


@pytest.mark.parametrize(
    "stage, yes",
    [("logits", True), ("logits/2", True), ("decoder/1", False), (("logits", "logits/2"), True),
     (("logits", "decoder/1"), False)],
)  # fmt: skip
def test_what_is_a_response(stage: str | tuple[str, ...], yes: bool) -> None:
    assert is_response(stage) is yes


@every_space
def test_several_stages_are_one_map_of_the_smallest_size(space: tuple[int, ...]) -> None:
    known = maps(space, 3)
    assert map_of(known, "logits") is known["logits"]
    assert map_of(known, ("decoder/1", "encoder/2")).shape == (1, 9, *(size // 2 for size in space))


@every_space
def test_one_side_keeps_its_size(space: tuple[int, ...]) -> None:
    known = maps(space, 3)
    small, large = known["encoder/2"], known["decoder/1"]
    s, t = same_size(Term(KL(), resize="teacher"), small, large)
    assert s is small and t.shape[2:] == small.shape[2:]
    s, t = same_size(Term(KL(), resize="student"), small, large)
    assert s.shape[2:] == large.shape[2:] and t is large


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, 3, 1)
        self.out = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.out(self.body(image))


def net() -> nn.Module:
    return name_stages(Net(), {"decoder/1": "body"})


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=rf"terms\.{name}: there is a loss of that name already"):
        check_terms({name: Term(KL())}, net(), {"a": Teacher(net())})


def test_terms_that_ask_for_what_is_not_there() -> None:
    check_terms({"own": Term(MSE(), (("decoder/1", "decoder/1"),), teacher_is="student")}, net(), {})
    with pytest.raises(ValueError, match=r"terms\.x: there is no teacher to compare with"):
        check_terms({"x": Term(KL())}, net(), {})
    with pytest.raises(ValueError, match=r"terms\.x\.teachers: 'b' is not a teacher \(teachers: a\)"):
        check_terms({"x": Term(KL(), teachers=("b",))}, net(), {"a": Teacher(net())})
    own = Term(KL(), (("logits", "encoder/2"),), teacher_is="student")
    with pytest.raises(ValueError, match=r"the student \(Net\) has no stage 'encoder/2' \(stages: decoder/1"):
        check_terms({"x": own}, net(), {"a": Teacher(net())})
    check_terms(
        {"x": Term(KL(), (("logits", "logits"),), teachers=("a",))},
        net(),
        {"a": Teacher(net()), "b": Teacher(nn.Identity())},
    )


@every_space
def test_pairs_are_told_and_projected(space: tuple[int, ...]) -> None:
    term = Term(MSE(), (("decoder/1", "encoder/2"), ("logits", "logits")), projector=Convolution)
    table, projectors = pair({"hint": term}, maps(space, 3), {"a.b": maps(space, 5), "c": maps(space, 3)})
    assert [(row["teacher"], row["resized"], row["projected"]) for row in table] == [
        ("a.b: encoder/2", "teacher", True), ("a.b: logits", False, False),
        ("c: encoder/2", "teacher", True), ("c: logits", False, False),
    ]  # fmt: skip
    assert list(projectors) == [key_of("hint", 0, "a.b"), key_of("hint", 0, "c")]
    assert [row["key"] for row in table] == [key_of("hint", n, name) for name in ("a.b", "c") for n in (0, 1)]


def test_projector_for_equal_widths() -> None:
    term = Term(MSE(), (("decoder/1", "decoder/1"),), projector=Convolution, project_always=True)
    (row,), projectors = pair({"hint": term}, maps((4, 4), 3), {"a": maps((4, 4), 3)})
    assert row["projected"] and len(projectors) == 1


def test_widths_that_nothing_brings_together() -> None:
    known, other = maps((4, 4), 3), {"a": maps((4, 4), 5)}
    with pytest.raises(
        ValueError, match=r"terms\.x: decoder/1 of the student has 3 .*, decoder/1 of a 5; give.*projector"
    ):
        pair({"x": Term(MSE(), (("decoder/1", "decoder/1"),))}, known, other)
    with pytest.raises(ValueError, match=r"decoder/1 \+ encoder/2 of the student has 9 channels"):
        pair({"x": Term(MSE(), ((("decoder/1", "encoder/2"), "decoder/1"),))}, known, other)
    pair({"x": Term(AttentionTransfer(), (("decoder/1", "decoder/1"),))}, known, other)


def test_projector_that_does_not_fit_is_told_with_its_place() -> None:
    def refuse(**_: int) -> nn.Module:
        raise ValueError("too narrow")

    term = Term(MSE(), (("decoder/1", "decoder/1"),), projector=refuse)
    with pytest.raises(ValueError, match=r"terms\.x: .*cannot bring them together: too narrow"):
        pair({"x": term}, maps((4, 4), 3), {"a": maps((4, 4), 5)})


def test_widths_of_logits_are_those_of_the_shared_classes() -> None:
    student, teacher = {"logits": torch.randn(1, 3, 4, 4)}, {"a": {"logits": torch.randn(1, 4, 4, 4)}}
    labels = {"a": LabelMap(((0, 2), (1,)), ((0, 3), (1, 2)))}
    (row,), projectors = pair({"x": Term(KL(), projector=Interpolation)}, student, teacher, labels)
    assert (row["student_map"][0], row["teacher_map"][0], row["projected"]) == (2, 2, False)
    assert len(projectors) == 0

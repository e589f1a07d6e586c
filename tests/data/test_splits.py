"""Splits: disjoint, complete, by patient, the same every time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.data.dataset import Case, Dataset
from segdistill.data.splits import Splits, make_splits
from segdistill.errors import SegdistillError


def dataset(*ids: str, subsets: dict[str, str] | None = None, unlabelled: tuple[str, ...] = ()) -> Dataset:
    cases = tuple(
        Case(id, (Path(f"{id}.nii"),), None if id in unlabelled else Path("y.nii"), (subsets or {}).get(id))
        for id in ids
    )
    return Dataset("D", Path("D"), "nnunet_raw", ("CT",), {"tumour": 1}, None, False, cases, 3)


PATIENTS = [f"p{i:02d}" for i in range(10)]
SETS = ("train", "validation", "test")


@given(
    sizes=st.lists(st.integers(1, 3), min_size=7, max_size=30),
    seed=st.integers(0, 99),
    folds=st.integers(2, 5),
    data=st.data(),
)
def test_disjoint_complete_and_by_patient(sizes: list[int], seed: int, folds: int, data: Any) -> None:
    ids = [f"p{p:02d}_{scan}" for p, size in enumerate(sizes) for scan in range(size)]
    shuffled = dataset(*data.draw(st.permutations(ids)))
    tests, validations = [], []
    for fold in range(folds):
        splits = make_splits(shuffled, seed=seed, folds=folds, fold=fold, group=r"^(p\d+)_")
        assert sorted(splits.train + splits.validation + splits.test) == sorted(ids)
        patients = [{id[:3] for id in getattr(splits, name)} for name in SETS]
        assert sum(map(len, patients)) == len(sizes)
        assert splits == make_splits(dataset(*ids), seed=seed, folds=folds, fold=fold, group=r"^p\d+")
        tests.append(splits.test)
        validations.append(splits.validation)
    assert len(set(tests)) == 1
    assert sorted(id for part in validations for id in part) == sorted(set(ids) - set(tests[0]))


def test_sizes_and_seed() -> None:
    one, other = (
        make_splits(dataset(*PATIENTS), seed=0, folds=4),
        make_splits(dataset(*PATIENTS), seed=1, folds=4),
    )
    assert [len(getattr(one, name)) for name in SETS] == [6, 2, 2]
    assert one != other


def test_unlabelled_cases_are_left_out() -> None:
    splits = make_splits(dataset(*PATIENTS, "new", unlabelled=("new",)))
    assert "new" not in splits.train + splits.validation + splits.test


def test_lists_stay_as_they_are() -> None:
    splits = make_splits(dataset(*PATIENTS), test=["p01", "p00"], validation=["p02"])
    assert splits == Splits(tuple(PATIENTS[3:]), ("p02",), ("p00", "p01"))
    splits = make_splits(dataset(*PATIENTS), train=PATIENTS[:4], validation=PATIENTS[4:6])
    assert splits.test == tuple(PATIENTS[6:])
    splits = make_splits(dataset(*PATIENTS), train=PATIENTS[:4], test=PATIENTS[4:6])
    assert splits.validation == tuple(PATIENTS[6:])
    assert make_splits(dataset(*PATIENTS), test=0).test == ()


def test_folders_are_respected() -> None:
    subsets = {id: SETS[0] if i < 6 else SETS[1] for i, id in enumerate(PATIENTS)}
    found = dataset(*PATIENTS, subsets=subsets)
    assert make_splits(found) == Splits(tuple(PATIENTS[:6]), tuple(PATIENTS[6:]), ())
    asked = make_splits(found, test=0.2)
    assert (
        len(asked.test) == 2
        and set(asked.test) < set(PATIENTS[:6])
        and asked.validation == tuple(PATIENTS[6:])
    )
    three = dataset(*PATIENTS, subsets={**subsets, "p09": "test"})
    assert make_splits(three) == Splits(tuple(PATIENTS[:6]), tuple(PATIENTS[6:9]), ("p09",))
    assert make_splits(three, validation=["p00"]).test == ("p09",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 9}, "9 folds need as many patients, but 8"),
        ({"folds": 1}, "at least 2 folds"),
        ({"fold": 5}, "fold: 5 of folds: 5"),
        ({"test": ["nobody"]}, "no such case"),
        ({"validation": ["new"]}, "no label"),
        ({"validation": []}, "validation set is empty"),
        ({"test": PATIENTS}, "folds need|empty"),
        ({"test": 1.0}, "share"),
        ({"test": ["p00"], "validation": ["p00"]}, "two sets"),
        ({"group": r"^(q\d)"}, "does not match"),
        ({"group": "("}, "regular expression"),
        ({"group": r"^p\d", "validation": ["p00"], "test": 0}, "two sets"),
    ],
)
def test_what_cannot_be_split_is_said(arguments: dict[str, Any], message: str) -> None:
    found = dataset(*PATIENTS, "new" if "group" not in arguments else "p10", unlabelled=("new", "p10"))
    with pytest.raises(SegdistillError, match=message):
        make_splits(found, **arguments)


def test_a_patient_in_two_folders_is_said() -> None:
    subsets = {"p00_a": "train", "p00_b": "validation", "p01_a": "train"}
    with pytest.raises(SegdistillError, match="'p00' is in two sets"):
        make_splits(dataset(*subsets, subsets=subsets), group=r"^p\d+")


def test_file_round_trip(tmp_path: Path) -> None:
    splits = make_splits(dataset(*PATIENTS, "Müller 1"))
    splits.save(tmp_path / "splits.json")
    assert Splits.load(tmp_path / "splits.json") == splits


@pytest.mark.parametrize("text", ["{", "[]", '{"train": []}', '{"train": [1], "validation": [], "test": []}'])
def test_a_wrong_file_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(SegdistillError, match="splits"):
        Splits.load(tmp_path / "splits.json")


def test_few_labels_are_a_part_of_more_and_the_same_patients_are_evidence() -> None:
    ids = [f"p{p:02d}_{scan}" for p in range(40) for scan in range(2)]
    parts = [make_splits(dataset(*ids), group=r"^p\d+", labelled=share) for share in (0.01, 0.25, 0.5, 1)]
    whole = parts[-1]
    assert [len(part.train) for part in parts] == [2, 12, 24, 50]
    for small, large in pairwise(parts):
        assert set(small.train) < set(large.train)
        assert (small.test, small.validation) == (whole.test, whole.validation)
        assert {id[:3] for id in small.train}.isdisjoint(id[:3] for id in set(large.train) - set(small.train))

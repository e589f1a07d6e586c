"""Which cases train, which choose the checkpoint, which are evidence: by patient, from a seed or lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from segdistill.atomic import write_json
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.data.dataset import Dataset

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Splits:
    """Case ids, sorted; no patient is in two of the three. `test` may be empty."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what `save` wrote (or a person did).

        Raises:
            SegdistillError: no such file, not JSON, or not three lists of case ids.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SegdistillError(f"{path} cannot be read as splits ({error}); it should be JSON") from error
        names = ("train", "validation", "test")
        if (
            not isinstance(values, dict)
            or set(values) != set(names)
            or not all(
                isinstance(ids, list) and all(isinstance(i, str) for i in ids) for ids in values.values()
            )
        ):
            raise SegdistillError(f"{path} should hold three lists of case ids: train, validation, test")
        return cls(*(tuple(values[name]) for name in names))


def make_splits(
    dataset: Dataset,
    *,
    seed: int = 0,
    folds: int = 5,
    fold: int = 0,
    test: float | Sequence[str] | None = None,
    validation: Sequence[str] | None = None,
    train: Sequence[str] | None = None,
    group: str | None = None,
    labelled: float = 1.0,
) -> Splits:
    """Split the labelled cases by patient.

    What is given as a list stays as it is. Else the dataset's own folders (train/, val/, test/) decide. Else
    the patients are put in an order that follows from the seed and their names alone; the first ones are the
    test set, the same for every fold, and the rest is cut into `folds` parts; number `fold` validates.

    Args:
        test: case ids, or the share of all patients; None: the test/ folder, or nothing where folders name
            only train/ and val/, or what `train` and `validation` leave over, or else a share of 0.2.
        group: regular expression searched in the case id; its first group, or the whole match, is the
            patient. None: every case is a patient.
        labelled: share of the training patients who are used, one at least, as if the others had no label; a smaller
            share is a part of a larger one.

    Raises:
        SegdistillError: unknown or unlabelled ids, a case without patient, a patient in two sets, fewer
            patients than folds, an empty training or validation set.
    """
    known = {case.id: case for case in dataset.cases}
    usable = {case.id for case in dataset.cases if case.label is not None}
    patient = {id: _patient(id, group) for id in sorted(known)}
    lists = {
        "test": None if isinstance(test, float | int) else test,
        "validation": validation,
        "train": train,
    }
    sets = {name: tuple(sorted(set(ids))) for name, ids in lists.items() if ids is not None}
    for name, ids in sets.items():
        _all_usable(ids, name, known, usable)

    named = {id for ids in sets.values() for id in ids}
    free = sorted(usable - named)
    subsets = {known[id].subset for id in usable} - {None}

    def take(name: str, ids: Iterable[str]) -> None:
        sets[name] = tuple(sorted(ids))
        free[:] = [id for id in free if id not in set(sets[name])]

    def of_folder(name: str) -> list[str]:
        return [id for id in free if known[id].subset == name]

    patients_in_all = len({patient[id] for id in usable})
    if "validation" not in sets and "validation" in subsets:
        take("validation", of_folder("validation"))
    if "test" not in sets:
        if isinstance(test, float | int):
            if not 0 <= test < 1:
                raise SegdistillError(
                    f"data.splits.test: {test} must be a share from 0 to below 1, or a list of case ids"
                )
            take("test", _first(free, patient, seed, round(test * patients_in_all)))
        elif "test" in subsets:
            take("test", of_folder("test"))
        elif subsets:
            take("test", ())
        elif {"train", "validation"} <= set(sets):
            take("test", free)
        else:
            take("test", _first(free, patient, seed, max(1, round(TEST_SHARE * patients_in_all))))
    if "validation" not in sets:
        take("validation", free if "train" in sets else _fold(free, patient, seed, folds, fold))
    if "train" not in sets:
        take("train", free)
    if labelled < 1:
        count = max(1, round(labelled * len({patient[id] for id in sets["train"]})))
        sets["train"] = tuple(_first(sets["train"], patient, seed, count))

    splits = Splits(**sets)
    _check(splits, patient)
    return splits


def _patient(id: str, group: str | None) -> str:
    if group is None:
        return id
    try:
        match = re.search(group, id)
    except re.error as error:
        raise SegdistillError(
            f"data.splits.group: {group!r} is not a regular expression ({error})"
        ) from error
    if match is None:
        raise SegdistillError(
            f"data.splits.group: {group!r} does not match the case {id!r}; every case needs a patient"
        )
    return (match[1] if match.re.groups else None) or match[0]


def _ordered(ids: Iterable[str], patient: dict[str, str], seed: int) -> list[str]:
    """Patients in an order that does not change with the library or when other patients come or go."""
    return sorted({patient[id] for id in ids}, key=lambda p: blake2b(f"{seed}/{p}".encode()).digest())


def _first(ids: Sequence[str], patient: dict[str, str], seed: int, count: int) -> list[str]:
    chosen = set(_ordered(ids, patient, seed)[:count])
    return [id for id in ids if patient[id] in chosen]


def _fold(ids: Sequence[str], patient: dict[str, str], seed: int, folds: int, fold: int) -> list[str]:
    if folds < 2 or not 0 <= fold < folds:
        raise SegdistillError(
            f"data.splits.fold: {fold} of folds: {folds} does not exist; at least 2 folds, counted from 0"
        )
    patients = _ordered(ids, patient, seed)
    if len(patients) < folds:
        raise SegdistillError(
            f"data.splits.folds: {folds} folds need as many patients, but {len(patients)} are left after the test set; "
            "ask for fewer folds, a smaller test share, or give lists of train and validation cases"
        )
    chosen = set(patients[fold::folds])
    return [id for id in ids if patient[id] in chosen]


def _all_usable(ids: Sequence[str], name: str, known: Iterable[str], usable: Iterable[str]) -> None:
    unknown, unlabelled = sorted(set(ids) - set(known)), sorted(set(ids) & set(known) - set(usable))
    if unknown:
        some = ", ".join(sorted(known)[:3])
        raise SegdistillError(
            f"data.splits.{name}: no such case {', '.join(unknown[:3])!r}; the dataset has {some}, ..."
        )
    if unlabelled:
        raise SegdistillError(
            f"data.splits.{name}: {', '.join(unlabelled[:3])!r} has no label; only labelled cases can be split"
        )


def _check(splits: Splits, patient: dict[str, str]) -> None:
    home: dict[str, tuple[str, str]] = {}
    for name, ids in asdict(splits).items():
        if not ids and name != "test":
            raise SegdistillError(
                f"data.splits: the {name} set is empty; name its cases, or change folds, test or the folders"
            )
        for id in ids:
            other, other_id = home.setdefault(patient[id], (name, id))
            if other != name:
                raise SegdistillError(
                    f"patient {patient[id]!r} is in two sets: {other} ({other_id}) and {name} ({id}); "
                    "a patient belongs to one set only"
                )

"""What reading a folder gives: the dataset, and what is wrong with single cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.data.dataset import Case, Dataset
from segdistill.data.dataset_json import Labels
from segdistill.data.finding import Finding
from segdistill.data.image import FORMATS, read_header, suffix
from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class Scan:
    """A dataset of the cases whose files are there, and findings on the others."""

    dataset: Dataset
    findings: tuple[Finding, ...]

    def strict(self) -> Dataset:
        """The dataset; SegdistillError where a finding is an error."""
        errors = [finding for finding in self.findings if finding.severity == "error"]
        if errors:
            raise SegdistillError(_first(errors))
        return self.dataset


def assemble(
    path: Path,
    layout: str,
    channels: tuple[str, ...],
    labels: Labels,
    cases: Sequence[Case],
    findings: Sequence[Finding],
) -> Scan:
    """A scan of `cases`; two cases of one id, or none at all, are errors."""
    found = list(findings)
    unique: dict[str, Case] = {}
    for case in cases:
        if case.id in unique:
            both = f"{unique[case.id].images[0]}, {case.images[0]}"
            message = f"{path}: two cases are called {case.id} ({both}); rename one"
            found.append(Finding("error", case.id, case.images[0], message))
        unique.setdefault(case.id, case)
    if not unique:
        if found:
            raise SegdistillError(_first(found))
        raise SegdistillError(f"{path} holds no case: no image with its label was found")
    dataset = Dataset(
        name=path.name,
        path=path,
        layout=layout,
        channels=channels,
        labels=labels.labels,
        ignore=labels.ignore,
        regions=labels.regions,
        cases=tuple(unique.values()),
        spatial_dims=_spatial_dims(tuple(unique.values())),
        background=labels.background,
        regions_class_order=labels.regions_class_order,
    )
    return Scan(dataset, tuple(found))


def image_files(folder: Path) -> list[Path]:
    """Files of a known format in `folder`, sorted; hidden ones (such as ._x of macOS) left out."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and suffix(p) and p.is_file())


def is_photograph(path: Path) -> bool:
    """Whether the format of `path` is one of photographs."""
    return FORMATS[suffix(path)].photograph if suffix(path) else False


def _first(findings: Sequence[Finding]) -> str:
    more = f" (and {len(findings) - 1} more: see segdistill data check)" if len(findings) > 1 else ""
    return findings[0].message + more


def _spatial_dims(cases: Sequence[Case]) -> int:
    for case in cases:
        try:
            return len(read_header(case.images[0])[1].shape)
        except SegdistillError:  # reported when the case is read
            continue
    return 2 if is_photograph(cases[0].images[0]) else 3

"""Synthetic patients written as an nnU-Net raw dataset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from segdistill.atomic import write_json
from segdistill.data.phantom.anatomy import make_patient
from segdistill.data.phantom.scanner import Site, draw_site, scan_ct, scan_mr, scan_pet
from segdistill.data.phantom.tumours import MODALITIES
from segdistill.errors import SegdistillError
from segdistill.progress import track

CHANNELS = {"CT": "CT", "PET": "PET_SUV", "MR": "MR_T1"}
FIELD = (400.0, 400.0, 480.0)  # mm, from the upper thighs to the collar bones
Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_phantom(
    out: Path,
    *,
    patients: int = 12,
    size: Sequence[int] = (64, 64, 48),
    modalities: Sequence[str] = MODALITIES,
    sites: int = 1,
    difficulty: float = 0.5,
    seed: int = 0,
    spacing: Sequence[float] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a dataset of synthetic patients with tumours (label 1) of the trunk, in nnU-Net raw layout.

    The same arguments give the same files. Healthy heart, kidneys, bladder and bowel take up tracer too, so a
    threshold on PET finds more than tumours; some tumours show in one modality only. Beside `dataset.json`,
    `phantom.json` tells what was drawn for each site and patient.

    Args:
        out: folder to make, for example `Dataset900_Phantom`.
        patients: how many; `S1_P000`, `S2_P001`, ...: the name begins with the site.
        size: voxels along x, y, z (at the first site; others differ as their voxels do).
        modalities: of "CT", "PET", "MR", in the order of the channels.
        sites: hospitals, each with its own contrast, noise and voxel size; patients go round them.
        difficulty: 0..1; tumours get smaller, colder and more often visible in one modality only, dead
            cores more frequent and healthy uptake stronger.
        seed: of everything random.
        spacing: voxel's sides in mm; None: so that the whole trunk (400 x 400 x 480 mm) is in view.
        overwrite: replace a folder that exists.

    Returns:
        `out`.

    Raises:
        SegdistillError: an argument out of range, or `out` exists.
    """
    out = Path(out)
    _check(out, patients, size, modalities, sites, difficulty, spacing, overwrite)
    sides = np.array(spacing if spacing is not None else np.divide(FIELD, size), dtype=float)
    places = [draw_site(np.random.default_rng((seed, 1, n)), first=n == 0) for n in range(sites)]
    cases: dict[str, Any] = {}
    temporary = out.with_name(f".{os.getpid()}.partial.{out.name}")
    old = out.with_name(f".{os.getpid()}.old.{out.name}")
    try:
        (temporary / "imagesTr").mkdir(parents=True)
        (temporary / "labelsTr").mkdir()
        for number in track(range(patients), "Drawing patients", total=patients):
            site = places[number % sites]
            name = f"S{number % sites + 1}_P{number:03d}"
            axes = _axes(np.array(size), sides, site)
            rng = np.random.default_rng((seed, 2, number))
            cases[name] = _write_case(temporary, name, axes, site, tuple(modalities), difficulty, rng)
        settings = {
            "patients": patients, "size": list(size), "modalities": list(modalities), "sites": sites,
            "difficulty": difficulty, "seed": seed, "spacing": sides.tolist(),
        }  # fmt: skip
        write_json(temporary / "dataset.json", _dataset_json(out.name, modalities, patients))
        write_json(
            temporary / "phantom.json",
            {"settings": settings, "sites": [asdict(s) for s in places], "cases": cases},
        )
        if out.exists():
            os.replace(out, old)
        os.replace(temporary, out)
    except OSError as error:
        raise SegdistillError(
            f"{out} could not be written ({error.strerror or error}); "
            "free some disk space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return out


def _check(
    out: Path,
    patients: int,
    size: Sequence[int],
    modalities: Sequence[str],
    sites: int,
    difficulty: float,
    spacing: Sequence[float] | None,
    overwrite: bool,
) -> None:
    wrong = ""
    if patients < 1 or sites < 1:
        wrong = f"patients {patients} and sites {sites} must be at least 1"
    elif len(size) != 3 or min(size) < 8:
        wrong = f"size {list(size)} must be three numbers of at least 8 voxels"
    elif spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        wrong = f"spacing {list(spacing)} must be three numbers above 0 (mm)"
    elif not modalities or set(modalities) - set(MODALITIES) or len(set(modalities)) < len(modalities):
        wrong = f"modalities {list(modalities)} must be some of {', '.join(MODALITIES)}, each once"
    elif not 0 <= difficulty <= 1:
        wrong = f"difficulty {difficulty} must lie between 0 and 1"
    elif out.exists() and not overwrite:
        wrong = f"{out} exists; choose another folder, or --overwrite to replace it"
    elif out.exists() and not (out / "dataset.json").is_file():
        wrong = f"{out} is no dataset (it has no dataset.json), so it is not replaced; choose another folder"
    if wrong:
        raise SegdistillError(f"phantom: {wrong}")


def _axes(size: np.ndarray, sides: np.ndarray, site: Site) -> Axes:
    """Positions in mm; about the same field of view at every site."""
    count = np.maximum(np.round(size / site.stretch).astype(int), 8)
    x, y, z = (
        (np.arange(n) - (n - 1) / 2) * step for n, step in zip(count, sides * site.stretch, strict=True)
    )
    return x, y, z


def _write_case(
    folder: Path,
    name: str,
    axes: Axes,
    site: Site,
    modalities: tuple[str, ...],
    difficulty: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    import nibabel as nib

    body, *noises = rng.spawn(1 + len(MODALITIES))
    patient = make_patient(body, axes, modalities=modalities, iodine=site.iodine, difficulty=difficulty)
    spacing = np.array([axis[1] - axis[0] for axis in axes])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [axis[0] for axis in axes]

    def save(array: np.ndarray, path: Path) -> None:
        image = nib.Nifti1Image(array, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)

    for channel, modality in enumerate(modalities):
        index = MODALITIES.index(modality)
        ideal, noise = patient.maps[index], noises[index]
        if modality == "MR":
            array = scan_mr(ideal, site, axes, noise)
        else:
            array = (scan_ct if modality == "CT" else scan_pet)(ideal, site, spacing, noise)
        save(array, folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
    save(patient.label, folder / "labelsTr" / f"{name}.nii.gz")
    volume = float(patient.label.sum() * np.prod(spacing) / 1000)
    return {"tumour_ml": round(volume, 2), "tumours": [asdict(t) for t in patient.tumours]}


def _dataset_json(name: str, modalities: Sequence[str], patients: int) -> dict[str, Any]:
    return {
        "channel_names": {str(n): CHANNELS[modality] for n, modality in enumerate(modalities)},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": patients,
        "file_ending": ".nii.gz",
        "name": name,
        "description": "Synthetic patients with tumours, made by `segdistill data phantom`; no real person",
        "licence": "CC0-1.0",
    }

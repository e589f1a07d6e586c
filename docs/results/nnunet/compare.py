"""Masks of `nnUNetv2_predict` and of the students on the same cases: grid, labels, Dice and seconds side by side.

python compare.py OUT [--json]    (OUT as run.sh makes it; run by the Python that has segdistill)

Ends with an error where a mask lies on another grid than its image, holds a value that is no label, or a test case was
among the training cases of the teacher or a student.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from segdistill.evaluation.statistics import average_seeds, paired

DATASET = "Dataset004_Hippocampus"
RESULTS = Path("nnUNet_results") / DATASET / "nnUNetTrainer__nnUNetPlans__3d_fullres"
STUDENTS = ("distilled", "alone")
SAME = 1e-4  # mm: the formats keep the grid in single precision


def check(holds: bool, message: str) -> None:
    """End with the message unless it holds."""
    if not holds:
        raise SystemExit(f"error: {message}")


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values as they are stored, and affine."""
    image = nibabel.load(file)
    return np.asarray(image.dataobj), image.affine


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks of one class; 1 where both are empty."""
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0


def no_leak(out: Path, runs: list[Path]) -> None:
    """The teacher has learnt from training cases of the students alone, and nobody from a test case."""
    teacher = json.loads((out / "nnUNet_preprocessed" / DATASET / "splits_final.json").read_text())[0]
    for run in runs:
        student = json.loads((run / "splits.json").read_text())
        check(
            set(teacher["train"]) <= set(student["train"]), f"{run.name}: the teacher has learnt from others"
        )
        seen = {*teacher["train"], *teacher["val"], *student["train"], *student["validation"]}
        check(
            not seen & set(student["test"]), f"{run.name}: test cases among those for training or validation"
        )
        check(not json.loads((run / "metrics.json").read_text()).get("leaks"), f"{run.name}: told to leak")


def scores(out: Path, masks: Path, labels: dict[str, int]) -> dict[str, Any]:
    """Of one folder of masks: Dice with the reference by class and case, Dice with nnU-Net's masks, and the grid."""
    raw, found = out / "nnUNet_raw" / DATASET, {"dice": {name: {} for name in labels}, "nnunet": {}}
    apart, values = 0.0, set()
    for file in sorted((raw / "labelsTs").glob("*.nii.gz")):
        case = file.name.removesuffix(".nii.gz")
        reference, _ = read(file)
        image, grid = read(raw / "imagesTs" / f"{case}_0000.nii.gz")
        theirs, _ = read(out / "nnunet_masks" / file.name)
        mask, affine = read(masks / file.name)
        check(mask.shape == image.shape, f"{masks / file.name}: {mask.shape} instead of {image.shape}")
        check(
            bool(np.abs(affine - grid).max() <= SAME), f"{masks / file.name}: another affine than the image's"
        )
        check(set(np.unique(mask)) <= {0, *labels.values()}, f"{masks / file.name}: holds what is no label")
        apart = max(apart, float(np.abs(affine - grid).max()))
        values |= {int(value) for value in np.unique(mask)}
        for name, value in labels.items():
            check(value in reference, f"{case}: no {name}, so that Dice says nothing")
            found["dice"][name][case] = dice(mask == value, reference == value)
        found["nnunet"][case] = statistics.mean(dice(mask == v, theirs == v) for v in labels.values())
    return {**found, "values": sorted(values), "largest_difference_of_affine": apart}


def mean_of(dices: dict[str, dict[str, float]]) -> dict[str, float]:
    """Of each case the mean over classes."""
    return {
        case: statistics.mean(values[case] for values in dices.values())
        for case in next(iter(dices.values()))
    }


def same_as_evaluated(run: Path, dices: dict[str, dict[str, float]]) -> None:
    """`segdistill evaluate` has found the same Dice."""
    for row in json.loads((run / "metrics.json").read_text())["cases"]:
        here = dices[row["class"]][row["case"]]
        check(
            abs(here - row["dice"]) < 1e-6, f"{run.name}, {row['case']}: Dice {here}, evaluated {row['dice']}"
        )


def of_seeds(out: Path, runs: list[Path], labels: dict[str, int]) -> dict[str, Any]:
    """A student: means over cases for each seed, and of each case the mean over seeds."""
    found = {run.name.rsplit("_", 1)[1]: scores(out, run / "predictions", labels) for run in runs}
    for run, each in zip(runs, found.values(), strict=True):
        same_as_evaluated(run, each["dice"])
    means = {seed: statistics.mean(mean_of(each["dice"]).values()) for seed, each in found.items()}
    return {
        "dice": {
            name: statistics.mean(statistics.mean(each["dice"][name].values()) for each in found.values())
            for name in labels
        },
        "mean": statistics.mean(means.values()),
        "std_over_seeds": statistics.stdev(means.values()) if len(means) > 1 else None,
        "mean_of_seed": means,
        "dice_with_nnunet": statistics.mean(statistics.mean(e["nnunet"].values()) for e in found.values()),
        "cases": average_seeds([mean_of(each["dice"]) for each in found.values()]),
        "values": sorted({value for each in found.values() for value in each["values"]}),
        "largest_difference_of_affine": max(e["largest_difference_of_affine"] for e in found.values()),
        "parameters": json.loads((runs[0] / "cost.json").read_text())["parameters"],
    }


def of_nnunet(out: Path, labels: dict[str, int]) -> dict[str, Any]:
    """nnU-Net's masks, and how it was trained."""
    found = scores(out, out / "nnunet_masks", labels)
    made = json.loads((out / RESULTS / "fold_0" / "made.json").read_text())
    validated = json.loads((out / RESULTS / "fold_0" / "validation" / "summary.json").read_text())
    return {
        "dice": {name: statistics.mean(values.values()) for name, values in found["dice"].items()},
        "mean": statistics.mean(mean_of(found["dice"]).values()),
        "cases": mean_of(found["dice"]),
        "values": found["values"],
        "largest_difference_of_affine": found["largest_difference_of_affine"],
        "parameters": made.pop("parameters"),
        "training": made,
        "dice_of_its_own_validation": validated["foreground_mean"]["Dice"],
    }


def seconds(out: Path, command: str, loaded: str, cases: int) -> dict[str, Any]:
    """Of a whole command, divided by the cases, and of a case with the model loaded."""
    whole = json.loads((out / "seconds" / f"{command}.json").read_text())
    each = json.loads((out / "seconds" / f"{loaded}.json").read_text())
    return {
        "command_wall_per_case": whole["wall"] / cases,
        "command_cpu_per_case": (whole["user"] + whole["system"]) / cases,
        "loaded_wall_per_case": statistics.median(each["wall"].values()),
        "loaded_cpu_per_case": statistics.median(each["cpu"].values()),
        "machine_load": each["load"],
    }


def compare(out: Path) -> dict[str, Any]:
    """All that is in comparison.json."""
    labels = json.loads((out / "nnUNet_raw" / DATASET / "dataset.json").read_text())["labels"]
    labels = {name: value for name, value in labels.items() if value}
    runs = {name: sorted(out.glob(f"{name}_?")) for name in STUDENTS}
    no_leak(out, [run for each in runs.values() for run in each])
    found = {"nnunet": of_nnunet(out, labels)}
    found |= {name: of_seeds(out, runs[name], labels) for name in STUDENTS}
    cases = len(found["nnunet"]["cases"])
    found["nnunet"]["seconds"] = seconds(out, "nnunet_predict", "nnunet_loaded", cases)
    found["distilled"]["seconds"] = seconds(out, "student_predict", "student_loaded", cases)
    found["distilled"]["seconds"]["evaluate_wall_per_case"] = (
        json.loads((out / "seconds" / "student_evaluate.json").read_text())["wall"] / cases
    )
    for name, other in (("alone", "distilled"), ("nnunet", "distilled")):
        told = paired(found[other]["cases"], found[name]["cases"])
        found[f"{other}_against_{name}"] = {
            "difference": told.difference,
            "interval": told.interval,
            "t_p": told.t_p,
            "wilcoxon_p": told.wilcoxon_p,
            "cases": told.n,
        }
    return found


def table(found: dict[str, Any]) -> str:
    """The same for a page, Dice in percent."""
    classes = list(found["nnunet"]["dice"])
    heads = [
        "",
        "parameters",
        *classes,
        "mean",
        "s a case, commands",
        "s a case, loaded",
        "CPU s a case, loaded",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    titles = {"nnunet": "nnU-Net", "distilled": "student distilled from it", "alone": "same student alone"}
    for key, title in titles.items():
        each = found[key]
        spread = f" ± {100 * each['std_over_seeds']:.1f}" if each.get("std_over_seeds") is not None else ""
        timed = each.get("seconds", found["distilled"]["seconds"])
        row = [title, f"{each['parameters'] / 1e6:.2f} M"]
        row += [f"{100 * each['dice'][name]:.1f}" for name in classes]
        row += [f"{100 * each['mean']:.1f}{spread}"]
        row += [f"{timed[f'{what}_per_case']:.2f}" for what in ("command_wall", "loaded_wall", "loaded_cpu")]
        lines.append("| " + " | ".join(row) + " |")
    for name in ("alone", "nnunet"):
        told = found[f"distilled_against_{name}"]
        low, high = (100 * end for end in told["interval"])
        lines.append(
            f"distilled - {name}: {100 * told['difference']:+.1f} points (95 % CI {low:.1f} to {high:.1f}, "
            f"paired t-test p = {told['t_p']:.2g}, {told['cases']} cases)"
        )
    values = "; ".join(f"{title} {found[key]['values']}" for key, title in titles.items())
    lines.append(f"grid: every mask has its image's shape and affine. Label values: {values}")
    return "\n".join(lines)


def main() -> None:
    """Compare and print."""
    found = compare(Path(sys.argv[1]))
    sys.stdout.write((json.dumps(found, indent=1) if "--json" in sys.argv[2:] else table(found)) + "\n")


if __name__ == "__main__":
    main()

"""Run folders become evidence: seeds of one recipe are one model; each student has its comparison."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segdistill.errors import SegdistillError
from segdistill.report import likeness, names
from segdistill.report.absent import disputed, settled
from segdistill.report.evidence import Comparison, Evidence, Missing, Model, shared_by
from segdistill.report.leaks import Leak, cases_in, clean, learnt_cases
from segdistill.report.origins import origin, run_folder
from segdistill.report.run_folder import RunRecord, is_run, read_run
from segdistill.report.scores import Scores


def gather(folders: Sequence[Path]) -> Evidence:
    """Read run folders (or folders of run folders), and their teachers where those are still on the disk.

    Raises:
        SegdistillError: no run folder, a broken file, or runs on different data sets.
    """
    runs = [read_run(folder) for folder in _expand(folders)]
    datasets = {run.dataset for run in runs if run.dataset}
    if len(datasets) > 1:
        raise SegdistillError(
            f"These runs are on different data sets ({', '.join(sorted(datasets))}); "
            "a comparison needs the same cases: make one report for each data set"
        )
    missing: dict[Path, tuple[Missing, ...]] = {}
    known = {run.path.resolve(): run for run in runs}
    by_name: dict[Path, dict[str, list[RunRecord]]] = {}
    for run in list(runs):
        found, lost = _teachers(run, known, datasets)
        by_name[run.path.resolve()] = found
        if lost:
            missing[run.path] = tuple(lost)
    called = names.telling({path: run.name for path, run in known.items()})
    known = {path: replace(run, name=called[path]) for path, run in known.items()}
    absent = disputed(run for run in known.values() if not run.strangers)
    known = dict(zip(known, settled([*known.values()], absent), strict=True))
    by_name = {
        path: {name: [known[one.path.resolve()] for one in those] for name, those in found.items()}
        for path, found in by_name.items()
    }
    runs = list(known.values())
    taught_by = {path: [one for those in found.values() for one in those] for path, found in by_name.items()}
    teacher_paths = {run.path.resolve() for found in taught_by.values() for run in found}
    alike: dict[str, list[RunRecord]] = {}
    for run in runs:
        alike.setdefault(likeness.identity(run, by_name.get(run.path.resolve())), []).append(run)
    groups = [sorted(one, key=_repetition) for group in alike.values() for one in _by_preparation(group)]
    models = _named(groups, teacher_paths)
    leaks = {run.path: _leaks(run, by_name.get(path, {}), models) for path, run in known.items()}
    leaking = [cases_in(leak for run in model.runs for leak in leaks[run.path]) for model in models]
    evidence = Evidence(
        models=models,
        comparisons=tuple(
            _compare(model, models, taught_by) for model in models if model.role == "distilled"
        ),
        baselines=_baselines(run for run in runs if not run.strangers),
        cases=clean(shared_by(models), leaking),
        missing_teachers=missing,
        leaks=leaks,
        absent=absent,
        members=_members(runs, by_name),
    )
    return replace(evidence, comparisons=tuple(_best_first(c, evidence) for c in evidence.comparisons))


def _expand(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for folder in map(Path, folders):
        inside = sorted(p.parent for p in folder.glob("*/run.json")) if folder.is_dir() else []
        for run in [folder] if is_run(folder) or not inside else inside:
            found.setdefault(run.resolve(), run)
    if not found:
        raise SegdistillError(
            "A report needs at least one run folder; give those that `segdistill train` wrote"
        )
    return list(found.values())


def _teachers(
    run: RunRecord, known: dict[Path, RunRecord], datasets: set[str]
) -> tuple[dict[str, list[RunRecord]], list[Missing]]:
    """The runs that taught `run`, by teacher (added to `known` where they were not given), and who is no run here."""
    found: dict[str, list[RunRecord]] = {}
    lost: dict[Missing, None] = {}
    for name in run.teachers:
        for place in run.places(name):
            folder = run_folder(run, place)
            if folder is not None and folder not in known:
                teacher = read_run(folder)
                if not datasets or not teacher.dataset or teacher.dataset in datasets:
                    known[folder] = teacher
            if folder in known:
                found.setdefault(name, []).append(known[folder])
            else:
                told = f"{name} ({Path(place).name})" if len(set(run.places(name))) > 1 else name
                lost[Missing(told, origin(run, name, place), name in run.taught_on)] = None
    return found, list(lost)


def _baselines(runs: Iterable[RunRecord]) -> dict[str, Scores]:
    """What answers that look at no image score, on the cases of all these runs."""
    found: dict[str, dict[str, Mapping[str, Mapping[str, float]]]] = {}
    for run in runs:
        for name, answer in run.baselines.items():
            found.setdefault(name, {}).update(answer.values)
    return {name: Scores(values) for name, values in found.items()}


def _leaks(
    run: RunRecord, teachers: Mapping[str, list[RunRecord]], models: Sequence[Model]
) -> tuple[Leak, ...]:
    """The leaks of a run; a teacher that is one run here is called as in the tables, any other by what it is."""
    found = []
    for name, cases in learnt_cases(run, teachers).items():
        group, folders = run.groups.get(name), teachers.get(name, [])
        if group is not None:
            lie_in = "" if folders else origin(run, name, group.places[0])
            told = f"{len(group.places)} models" + (f" from {lie_in}" if lie_in else "")
            found.append(Leak(f"{name} ({told})", cases, out_of_fold=group.out_of_fold))
        elif short := next((model.short for model in models if folders and folders[0] in model.runs), ""):
            found.append(Leak(short, cases, has_row=True))
        else:
            told = f"{name} ({origin(run, name, run.teachers.get(name, '')) or 'not found'})"
            found.append(Leak(told, cases))
    return tuple(found)


def _members(
    runs: Sequence[RunRecord], by_name: Mapping[Path, Mapping[str, list[RunRecord]]]
) -> frozenset[Path]:
    together, apart = set[Path](), set[Path]()
    for run in runs:
        for name, teachers in by_name.get(run.path.resolve(), {}).items():
            (together if name in run.groups else apart).update(one.path.resolve() for one in teachers)
    return frozenset(together - apart)


def _named(groups: list[list[RunRecord]], teacher_paths: set[Path]) -> tuple[Model, ...]:
    def role(group: list[RunRecord]) -> str:
        if group[0].kind == "distilled":
            return "distilled"
        return "teacher" if any(r.path.resolve() in teacher_paths for r in group) else "alone"

    students: dict[str, str] = {}
    named: list[tuple[str, str, list[RunRecord]]] = []
    for wanted in ("teacher", "alone", "distilled"):
        for number, group in enumerate((g for g in groups if role(g) == wanted), 1):
            short = f"T{number}"
            if wanted != "teacher":
                short = students.setdefault(likeness.network(group[0]), f"S{1 + len(students)}")
                short += f" {group[0].method}" if wanted == "distilled" else ""
            named.append((wanted, short, group))
    models: list[Model] = []
    for wanted, short, group in named:
        twins = [_stem(runs[0]) for _, name, runs in named if name == short]
        own = likeness.told_apart(_stem(group[0]), twins)
        own = "" if own == group[0].method else own
        taken = {model.short for model in models}
        again = (f"{own} {number}".strip() for number in itertools.count(2))  # of one name in two folders
        variant = next(one for one in itertools.chain([own], again) if _called(short, one) not in taken)
        models.append(Model(wanted, _called(short, variant), tuple(group), variant))
    return tuple(models)


def _stem(run: RunRecord) -> str:
    return likeness.without_seed(run.name.rpartition("/")[2], run.seed)


def _called(short: str, variant: str) -> str:
    return f"{short} ({variant})" if variant else short


def _compare(
    student: Model, models: Sequence[Model], taught_by: Mapping[Path, list[RunRecord]]
) -> Comparison:
    teachers = [run for own in student.runs for run in taught_by.get(own.path.resolve(), [])]
    alike = [
        (likeness.differences(student.run, model.run), model)
        for model in models
        if model.role != "distilled" and likeness.network(model.run) == likeness.network(student.run)
    ]
    chosen = tuple(model for model in models if any(run in model.runs for run in teachers))
    # A teacher of the same kind as its student is the baseline only where there is no other.
    differences, alone = min(alike, key=lambda pair: (pair[1] in chosen, len(pair[0])), default=((), None))
    return Comparison(student, alone, chosen, tuple(differences))


def _best_first(comparison: Comparison, evidence: Evidence) -> Comparison:
    return replace(comparison, teachers=tuple(sorted(comparison.teachers, key=evidence.dice, reverse=True)))


def _repetition(run: RunRecord) -> tuple[int, int]:
    return run.seed if run.seed is not None else -1, run.fold


def _by_preparation(runs: list[RunRecord]) -> list[list[RunRecord]]:
    """Runs of one recipe, apart where they saw images that were prepared differently."""
    if likeness.prepared_alike(runs):
        return [runs]
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(run.fingerprint, []).append(run)
    return list(found.values())

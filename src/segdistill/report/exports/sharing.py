"""Evidence that may leave the house: without places on the machine and, where wanted, without the names of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from segdistill.publishable import publishable, withheld
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.names import without_folders
from segdistill.report.run_folder import RunRecord
from segdistill.report.scores import Scores


def without_places(evidence: Evidence) -> Evidence:
    """The evidence without paths: not in the recipes, not in names, and not in what is said of settings that differ."""
    runs = evidence.runs
    called = dict(zip((run.path for run in runs), without_folders(run.name for run in runs), strict=True))
    changed = _with_runs(
        evidence,
        lambda run: replace(run, name=called[run.path], recipe=publishable(run.recipe), command=""),
    )
    comparisons = tuple(
        replace(one, differences=tuple(map(_told, one.differences))) for one in changed.comparisons
    )
    return replace(changed, comparisons=comparisons)


def numbered(evidence: Evidence) -> Evidence:
    """The evidence with cases called "case 07", in the order of their names, and none by its name."""
    new = _numbers(evidence)
    changed = _with_runs(evidence, lambda run: _renamed(run, new))
    return replace(
        changed,
        baselines={name: _scores(scores, new) for name, scores in changed.baselines.items()},
        cases=tuple(new[case] for case in changed.cases),
        leaks={
            path: tuple(replace(leak, cases=tuple(new[case] for case in leak.cases)) for leak in leaks)
            for path, leaks in changed.leaks.items()
        },
        absent=frozenset((new[case], name) for case, name in changed.absent),
    )


def only(evidence: Evidence, comparison: Comparison) -> Evidence:
    """What concerns one student: it, the same network alone, and its teachers."""
    wanted = [comparison.student, comparison.alone, *comparison.teachers]
    models = tuple(model for model in evidence.models if any(model is one for one in wanted))
    paths = {run.path for model in models for run in model.runs}
    missing = {path: lost for path, lost in evidence.missing_teachers.items() if path in paths}
    return replace(evidence, models=models, comparisons=(comparison,), missing_teachers=missing)


def _with_runs(evidence: Evidence, change: Callable[[RunRecord], RunRecord]) -> Evidence:
    models = [replace(model, runs=tuple(map(change, model.runs))) for model in evidence.models]
    new = {id(old): model for old, model in zip(evidence.models, models, strict=True)}

    def compared(one: Comparison) -> Comparison:
        alone: Model | None = None if one.alone is None else new[id(one.alone)]
        teachers = tuple(new[id(teacher)] for teacher in one.teachers)
        return replace(one, student=new[id(one.student)], alone=alone, teachers=teachers)

    return replace(evidence, models=tuple(models), comparisons=tuple(map(compared, evidence.comparisons)))


def _told(difference: str) -> str:
    """ "data.splits.file: a and b" without a and b."""
    key, _, values = difference.partition(": ")
    return f"{key} differs" if any(withheld(key, one) for one in ((), *values.split(" and "))) else difference


def _numbers(evidence: Evidence) -> dict[str, str]:
    names: set[str] = {case for leaks in evidence.leaks.values() for leak in leaks for case in leak.cases}
    for scores in evidence.baselines.values():
        names.update(scores.cases)
    for run in evidence.runs:
        for cases in (*run.splits.values(), *run.taught_on.values(), run.calibration, run.lesions):
            names.update(cases)
        for own in (run.scores, *run.baselines.values()):
            names.update(own.cases if own else ())
    width = len(str(len(names)))
    return {name: f"case {number:0{width}d}" for number, name in enumerate(sorted(names), 1)}


def _renamed(run: RunRecord, new: Mapping[str, str]) -> RunRecord:
    def names(lists: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {key: tuple(new[case] for case in cases) for key, cases in lists.items()}

    return replace(
        run,
        splits=names(run.splits),
        taught_on=names(run.taught_on),
        scores=None if run.scores is None else _scores(run.scores, new),
        calibration={new[case]: bins for case, bins in run.calibration.items()},
        lesions={new[case]: rows for case, rows in run.lesions.items()},
        baselines={name: _scores(scores, new) for name, scores in run.baselines.items()},
    )


def _scores(scores: Scores, new: Mapping[str, str]) -> Scores:
    return Scores({new[case]: values for case, values in scores.values.items()})

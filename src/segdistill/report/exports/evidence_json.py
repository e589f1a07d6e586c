"""evidence.json: all that the report is computed from and concludes, for programs; and its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from segdistill import __version__
from segdistill.report import cautions, verdict
from segdistill.report.comparisons import ALONE, TEACHER, compare, find, outcome, repeated
from segdistill.report.evidence import Comparison, Evidence, Model
from segdistill.report.exports.beyond_overlap import calibration, lesions
from segdistill.report.exports.evidence_schema import (
    Against,
    CaseRow,
    Data,
    Difference,
    EvidenceFile,
    LesionsOfSize,
    ModelRow,
    Price,
    RunRow,
    Said,
    Value,
    Warned,
)
from segdistill.report.exports.figure import COUNTS, Figure, defined, figure, fold, metrics
from segdistill.report.scores import mean


def render(evidence: Evidence, numbered: bool = False) -> str:
    """evidence.json as text.

    Args:
        numbered: whether the evidence has numbers in place of the names of cases.
    """
    content = made(evidence, numbered).model_dump(mode="json", by_alias=True)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def schema() -> str:
    """The JSON Schema (draft 2020-12) that every evidence.json obeys."""
    content: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    content |= EvidenceFile.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def made(evidence: Evidence, numbered: bool = False) -> EvidenceFile:
    """The evidence as typed data."""
    names = metrics(evidence)
    return EvidenceFile(
        made_by=f"segdistill {__version__}",
        data=_data(evidence, numbered),
        verdicts=[
            Said.model_validate({"outcome": one.outcome, "sentence": one.sentence, "details": [*one.details]})
            # The folder is only for commands that are not exported.
            for one in verdict.conclude(evidence, Path())
        ],
        warnings=[
            Warned.model_validate({"severity": one.severity, "title": one.title, "text": one.text})
            for one in cautions.examine(evidence)
        ],
        models=[_model(model, evidence, names) for model in evidence.models],
        comparisons=[
            against for one in evidence.comparisons for against in _comparisons(one, evidence, names)
        ],
        baselines={
            name: {
                metric: defined(mean([scores.of(case, metric) for case in evidence.cases or scores.cases]))
                for metric in names
            }
            for name, scores in evidence.baselines.items()
        },
        runs=[_run(model, number) for model in evidence.models for number in range(len(model.runs))],
        cases=[row for model in evidence.models for row in _cases(model, names)],
    )


def _data(evidence: Evidence, numbered: bool) -> Data:
    runs = evidence.runs
    return Data(
        name=next((run.dataset for run in runs if run.dataset), ""),
        fingerprints=list(dict.fromkeys(run.fingerprint for run in runs if run.fingerprint)),
        classes=list(evidence.classes),
        split=list(evidence.splits),
        cases=list(evidence.cases),
        numbered=numbered,
        tolerance_mm=evidence.tolerance,
    )


def _model(model: Model, evidence: Evidence, names: tuple[str, ...]) -> ModelRow:
    scored = bool(model.evaluated)

    def values(name: str | None = None) -> dict[str, Value]:
        return _values({metric: figure(model, evidence, metric, name) for metric in names if scored})

    comparisons = [one for one in evidence.comparisons if one.student is model]
    lost = [f"{one.name}: {one.what or 'not found'}" for one in evidence.missing_of(model)]
    return ModelRow.model_validate(
        {
            "name": model.short,
            "role": model.role,
            "network": model.network,
            "method": model.method,
            "runs": [run.name for run in model.runs],
            "seeds": [runs[0].seed for runs in model.repetitions],
            "cases": list(evidence.cases_of(model)) if scored else [],
            "evidence": scored and not evidence.tainted(model),
            "metrics": values(),
            "classes": {name: values(name) for name in evidence.classes if scored},
            "calibration": _values(calibration(model, evidence)),
            "lesions": [
                LesionsOfSize(above=low, up_to=defined(high), lesions=number, figures=_values(found))
                for low, high, number, found in lesions(model, evidence)
            ],
            "cost": _price(model),
            "teachers": [teacher.short for one in comparisons for teacher in one.teachers],
            "other_teachers": list(
                dict.fromkeys((*lost, *(one for run in model.runs for one in run.learning)))
            ),
        }
    )


def _values(figures: Mapping[str, Figure]) -> dict[str, Value]:
    return {
        name: Value(mean=one.mean, spread=one.spread, by_seed=list(one.by_seed), n=one.n)
        for name, one in figures.items()
    }


def _price(model: Model) -> Price | None:
    cost = model.cost
    if cost is None:
        return None
    return Price(
        parameters=cost.parameters,
        macs=cost.macs,
        thop_macs=cost.thop_macs,
        input=list(cost.input),
        latency_ms=defined(cost.latency_median),
        latency_p95_ms=defined(cost.latency_p95),
        peak_memory_mb=defined(cost.peak_memory),
        device=cost.device,
        threads=cost.threads,
    )


def _comparisons(comparison: Comparison, evidence: Evidence, names: tuple[str, ...]) -> Iterator[Against]:
    student, alone = comparison.student, comparison.alone
    others = [("alone", alone), *(("teacher", teacher) for teacher in comparison.teachers)]
    for role, other in others:
        if other is None or not other.evaluated or not student.evaluated:
            continue
        judged = find(evidence, ALONE if role == "alone" else TEACHER, student)
        in_family = judged is not None and judged.other is other  # of the teachers only the best is
        told = "leak" if evidence.tainted(student, other) else outcome(compare(student, other, evidence))
        yield Against.model_validate(
            {
                "student": student.short,
                "other": other.short,
                "role": role,
                "outcome": judged.outcome if judged is not None and in_family else told,
                "adjusted_p": judged.adjusted if judged is not None and in_family else None,
                "family": judged.family if judged is not None and in_family else None,
                "repetitions": vars(again) if (again := repeated(student, other, evidence)) else None,
                "not_alike": list(comparison.differences) if role == "alone" else [],
                "metrics": {metric: _difference(student, other, evidence, metric) for metric in names},
            }
        )


def _difference(student: Model, other: Model, evidence: Evidence, metric: str) -> Difference:
    found = compare(student, other, evidence, metric)
    return Difference(
        n=found.n,
        difference=defined(found.difference),
        interval=found.interval,
        confidence=found.confidence,
        interval_method=found.method,
        t_p=found.t_p,
        wilcoxon_p=found.wilcoxon_p,
        effect=defined(found.effect),
        left_out=len(found.left_out),
    )


def _run(model: Model, number: int) -> RunRow:
    run = model.runs[number]
    return RunRow(
        name=run.name,
        model=model.short,
        kind=run.kind,
        seed=run.seed,
        fold=fold(run),
        status=run.status,
        started=run.started,
        seconds=defined(run.seconds),
        split=run.split,
        cases={name: len(cases) for name, cases in run.splits.items()},
        fingerprint=run.fingerprint,
        machine=dict(run.machine),
        recipe=dict(run.recipe),
    )


def _cases(model: Model, names: tuple[str, ...]) -> Iterator[CaseRow]:
    for run in model.evaluated:
        for case, classes in run.scores.values.items() if run.scores else ():
            for name, row in classes.items():
                voxels = [defined(row.get(count)) for count in COUNTS]
                yield CaseRow(
                    run=run.name,
                    case=case,
                    class_name=name,
                    metrics={metric: defined(row.get(metric)) for metric in names},
                    reference_voxels=None if voxels[0] is None else int(voxels[0]),
                    prediction_voxels=None if voxels[1] is None else int(voxels[1]),
                )

"""What evidence.json holds, as typed data: its JSON Schema is made from this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["teacher", "alone", "distilled"]
Number = Annotated[
    float | None, Field(description="null where undefined; shares between 0 and 1, distances in mm")
]
P = Annotated[float, Field(ge=0, le=1)] | None


class Part(BaseModel):
    """Unknown keys are errors, NaN and infinities too."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Data(Part):
    """What the models were scored on."""

    name: Annotated[str, Field(description="of the data set; empty where the runs do not say")]
    fingerprints: Annotated[list[str], Field(description="of the prepared images; several: they differ")]
    classes: list[str]
    split: Annotated[list[str], Field(description="of the scored cases; only test is evidence")]
    cases: Annotated[list[str], Field(description="that all models share and no teacher had learnt from")]
    numbered: Annotated[bool, Field(description="whether numbers stand in place of the names of cases")]
    tolerance_mm: Annotated[Number, Field(description="of NSD")]


class Value(Part):
    """A metric over the cases that count: seeds averaged within each case first."""

    mean: Number
    spread: Annotated[
        Number, Field(description="standard deviation of the means in `by_seed`; null with one")
    ]
    by_seed: Annotated[
        list[Number],
        Field(
            description="one mean a seed, or a fold of cross-validation with one seed; in the order of `seeds`"
        ),
    ]
    n: Annotated[int, Field(ge=0, description="cases that have a value")]


class Price(Part):
    """What one forward pass of batch 1 needs."""

    parameters: int | None
    macs: Annotated[int | None, Field(description="multiply-adds")]
    thop_macs: Annotated[
        int | None, Field(description="in the convention of thop, printed as GFLOPs in papers")
    ]
    input: Annotated[list[int], Field(description="channels, then voxels along each axis")]
    latency_ms: Annotated[Number, Field(description="median")]
    latency_p95_ms: Number
    peak_memory_mb: Annotated[Number, Field(description="weights and what a forward pass adds, counted")]
    device: str
    threads: int | None


class LesionsOfSize(Part):
    """Detection of the lesions of a range of sizes, all cases and classes together."""

    above: Annotated[float, Field(ge=0, description="mm3, of 2-D images mm2")]
    up_to: Annotated[Number, Field(description="null: no end")]
    lesions: Annotated[int, Field(ge=0, description="in the references")]
    figures: Annotated[
        dict[str, Value],
        Field(description="recall, precision, f1, dice (0 where missed), false_positives_per_case"),
    ]


class ModelRow(Part):
    """Runs that differ by nothing but the seed."""

    name: Annotated[str, Field(description="T1, S1, `S1 hinton`: as in the report")]
    role: Role
    network: str
    method: str
    runs: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[int | None], Field(description="of the runs that were scored")]
    cases: Annotated[list[str], Field(description="that its means are over")]
    evidence: Annotated[bool, Field(description="false: a teacher had learnt from every one of these cases")]
    metrics: Annotated[dict[str, Value], Field(description="averaged over the classes within each case")]
    classes: Annotated[dict[str, dict[str, Value]], Field(description="by class, then metric")]
    calibration: Annotated[
        dict[str, Value],
        Field(description="ece and brier near the structures, *_image over whole images; empty: not told"),
    ]
    lesions: Annotated[
        list[LesionsOfSize], Field(description="first all, then thirds by size; empty: not told")
    ]
    cost: Price | None
    teachers: Annotated[list[str], Field(description="names of the models here that taught it, best first")]
    other_teachers: Annotated[list[str], Field(description="in words: teachers that are no model here")]


class Difference(Part):
    """A metric of the student minus that of another model, paired by case."""

    n: Annotated[int, Field(ge=0)]
    difference: Number
    interval: Annotated[tuple[float, float] | None, Field(description="bootstrap, at `confidence`")]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    interval_method: str | None
    t_p: Annotated[P, Field(description="paired t-test, two-sided")]
    wilcoxon_p: Annotated[P, Field(description="signed-rank test, two-sided")]
    effect: Annotated[Number, Field(description="Cohen's d of the paired differences")]
    left_out: Annotated[int, Field(ge=0, description="cases without a value in one of the two")]


class Repeated(Part):
    """Whether the runs of a student agree on a difference in Dice, each beside the other's of the same seed."""

    differences: Annotated[list[float], Field(min_length=2, description="of each run")]
    agreeing: Annotated[int, Field(ge=0, description="runs whose difference has the sign of the whole")]
    p: Annotated[P, Field(description="t-test over the runs, two-sided; null below three")]


class Against(Part):
    """A distilled student against one other model."""

    student: str
    other: str
    role: Annotated[Literal["alone", "teacher"], Field(description="what the other is to the student")]
    outcome: Annotated[
        Literal["gain", "loss", "open", "leak"],
        Field(description="of Dice; open: chance may explain it; leak: a teacher had learnt from all cases"),
    ]
    adjusted_p: Annotated[P, Field(description="of Dice, by Holm's correction for `family` students")]
    family: Annotated[int | None, Field(description="students of which this was asked; null: not corrected")]
    repetitions: Annotated[Repeated | None, Field(description="over the student's runs; null with one")]
    not_alike: Annotated[list[str], Field(description="settings that differ although they should not")]
    metrics: dict[str, Difference]


class Said(Part):
    """What the report says of one student."""

    outcome: Literal["gain", "loss", "open", "unknown"]
    sentence: str
    details: list[str]


class Warned(Part):
    """serious: a figure is wrong or cannot be compared. note: a figure says less than it seems to."""

    severity: Literal["serious", "note"]
    title: str
    text: str


class RunRow(Part):
    """One training."""

    name: str
    model: str
    kind: str
    seed: int | None
    fold: int | None
    status: str
    started: str
    seconds: Number
    split: Annotated[str, Field(description="that it was scored on; empty: it was not")]
    cases: Annotated[dict[str, int], Field(description="how many trained, validated and test")]
    fingerprint: str
    machine: dict[str, Any]
    recipe: Annotated[dict[str, Any], Field(description="without paths, and without names of cases")]


class CaseRow(Part):
    """The figures of one run, case and class."""

    run: str
    case: str
    class_name: Annotated[str, Field(alias="class")]
    metrics: dict[str, Number]
    reference_voxels: int | None
    prediction_voxels: int | None

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class EvidenceFile(Part):
    """What runs show about a distilled student: scores, comparisons, warnings, and where they come from."""

    format: Literal[1] = 1
    made_by: Annotated[str, Field(description="segdistill and its version")]
    data: Data
    verdicts: list[Said]
    warnings: list[Warned]
    models: list[ModelRow]
    comparisons: list[Against]
    baselines: Annotated[
        dict[str, dict[str, Number]],
        Field(description="answers that look at no image, over the cases that all models share"),
    ]
    runs: list[RunRow]
    cases: list[CaseRow]

"""The report's content in its order, before it becomes HTML or Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segdistill.report import cautions, verdict
from segdistill.report.about import About
from segdistill.report.cautions import Caution
from segdistill.report.evidence import Comparison, Evidence
from segdistill.report.figures import (
    Figure,
    Missing,
    brackets,
    bubble,
    curves,
    differences,
    kept,
    lesion_size,
    overlays,
    reliability,
    slopes,
    stages,
    trend,
)
from segdistill.report.figures.one_by_one import one_by_one
from segdistill.report.overall import overall
from segdistill.report.run_folder import RunRecord
from segdistill.report.shown import Shown
from segdistill.report.tables import (
    Table,
    calibration,
    cases,
    classes,
    comparisons,
    costs,
    lesions,
    ranking,
    results,
    sites,
)
from segdistill.report.verdict import Verdict
from segdistill.report.words import count, duration, listing

WORST, FEW = 8, 12  # cases in the table of the worst; up to FEW cases are all shown


@dataclass(frozen=True)
class Step:
    """One run to make again."""

    name: str
    seed: str
    started: str
    took: str
    command: str
    answers: str = ""  # how its teachers answered


@dataclass(frozen=True)
class Page:
    """Everything that the report shows. Nothing in it is escaped yet."""

    title: str
    subtitle: str
    about: About | None
    overall: str | None
    verdicts: tuple[Verdict, ...]
    cautions: tuple[Caution, ...]
    models: Table
    classes: Table | None
    sites: Table | None
    comparisons: Table | None
    brackets: Figure | Missing
    ranking: Table | None
    calibration: Table | None
    reliability: Figure | Missing
    lesions: Table | None
    lesion_size: Figure | Missing
    trend: Figure | Missing
    size: Figure | Missing
    differences: Figure | Missing
    slopes: Figure | Missing
    curves: tuple[Figure | Missing, ...]
    overlays: tuple[Figure, ...] | Missing
    overlay_note: str
    explained: Figure | Missing | None
    worst: Table | None
    every_case: Table | None
    costs: Table
    stages: Figure | Missing
    steps: tuple[Step, ...]
    machines: tuple[Mapping[str, str], ...]
    data: str

    @property
    def told(self) -> tuple[Verdict, ...]:
        """The verdicts that are shown at once: the best alone where there are many."""
        return self.verdicts[:1] if self.overall else self.verdicts

    @property
    def folded(self) -> tuple[Verdict, ...]:
        """The other verdicts."""
        return self.verdicts[len(self.told) :]

    @property
    def serious(self) -> tuple[Caution, ...]:
        """The warnings that limit what the verdict is worth."""
        return tuple(caution for caution in self.cautions if caution.severity == "serious")

    @property
    def pictures(self) -> tuple[Figure, ...]:
        """Those figures that are of cases; none where they could not be made."""
        return () if isinstance(self.overlays, Missing) else self.overlays

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures that could be made, in the order of the page."""
        tested = (self.differences, self.brackets, self.trend, self.size, self.slopes)
        every = (
            *tested,
            *self.pictures,
            self.explained,
            self.lesion_size,
            self.reliability,
            *self.curves,
            self.stages,
        )
        return tuple(figure for figure in every if isinstance(figure, Figure))


def compose(
    evidence: Evidence,
    out: Path,
    *,
    about: About | None = None,
    shown: Shown = Shown(),  # noqa: B008  frozen
) -> Page:
    """Compute everything that the report in the folder `out` says.

    Args:
        about: the study that the runs belong to.
        shown: which images of cases.
    """
    head = evidence.headline
    trained = [c for c in evidence.comparisons if c.student.evaluated or c.student.run.epochs]
    followed, which = one_by_one(evidence, trained)
    verdicts = verdict.conclude(evidence, out)
    pictures = _pictures(evidence, head, shown, out)
    partial = about.unfinished() if about else None
    many = head is not None and len(head.student.cases) > FEW
    worst = cases.tabulate(head, evidence, WORST if many else None) if head else None
    return Page(
        title=_title(evidence, about),
        subtitle=_subtitle(evidence),
        about=about,
        overall=overall(verdicts),
        verdicts=verdicts,
        cautions=(*((partial,) if partial else ()), *cautions.examine(evidence)),
        models=results.tabulate(evidence),
        classes=classes.tabulate(evidence),
        sites=sites.tabulate(evidence),
        comparisons=comparisons.tabulate(evidence),
        brackets=brackets.draw(evidence),
        ranking=ranking.tabulate(evidence),
        calibration=calibration.tabulate(evidence),
        reliability=reliability.draw(evidence),
        lesions=lesions.tabulate(evidence),
        lesion_size=lesion_size.draw(evidence),
        trend=trend.draw(evidence),
        size=bubble.draw(evidence),
        differences=differences.draw(evidence),
        slopes=slopes.draw(evidence),
        curves=tuple(curves.draw(one, number, which) for number, one in enumerate(followed, 1)),
        overlays=pictures,
        overlay_note=overlays.explain(head) if head else "",
        explained=_explained(evidence, head, shown) if shown.grad_cam and shown.images else None,
        worst=worst,
        every_case=cases.tabulate(head, evidence) if head and many else None,
        costs=costs.tabulate(evidence),
        stages=stages.draw(evidence),
        steps=tuple(_step(run) for run in evidence.runs),
        machines=_machines(evidence),
        data=_data(evidence),
    )


def _pictures(
    evidence: Evidence, head: Comparison | None, shown: Shown, out: Path
) -> tuple[Figure, ...] | Missing:
    if not shown.images:
        return Missing(overlays.TITLE, "the images are not to be shown")
    if head is None:
        return Missing(overlays.TITLE, "no distilled student was evaluated")
    found = overlays.draw(evidence, head, shown.cases)
    if isinstance(found, Missing):
        before = () if shown.cases else kept.read(out / "figures", head.student)
        return before or found
    return tuple(found)


def _explained(evidence: Evidence, head: Comparison | None, shown: Shown) -> Figure | Missing:
    if head is None:
        return Missing("Grad-CAM", "no distilled student was evaluated")
    # Imported here: of all that the report shows, only this needs the networks.
    from segdistill.report.explained import explained

    return explained(evidence, head, shown.cases)


def _title(evidence: Evidence, about: About | None) -> str:
    what = about.summary[:1].upper() + about.summary[1:] if about and about.summary else "Distillation"
    data = evidence.runs[0].dataset
    joint = ": " if about and about.summary else " on "
    return f"{what}{joint}{data}" if data else what


def _subtitle(evidence: Evidence) -> str:
    counted = [(len(evidence.of(role)), one, many) for role, one, many in (
        ("teacher", "teacher", "teachers"),
        ("alone", "student alone", "students alone"),
        ("distilled", "distilled student", "distilled students"),
    )]  # fmt: skip
    parts = [f"{number} {one if number == 1 else many}" for number, one, many in counted if number]
    shared = count(len(evidence.cases), evidence.noun)
    number = shared if evidence.cases else f"no {evidence.noun}s in common"
    return ", ".join([*parts, f"{len(evidence.runs)} runs", number])


def _step(run: RunRecord) -> Step:
    seed = "" if run.seed is None else str(run.seed)
    started = run.started.replace("T", " ").partition("+")[0]
    return Step(run.name, seed, started, duration(run.seconds), run.command, _answers(run))


def _answers(run: RunRecord) -> str:
    """How the teachers of a run answered."""
    ways = {
        "asked once about each case beforehand": [name for name, cached in run.cached.items() if cached],
        "asked in every step": [name for name, cached in run.cached.items() if not cached],
    }
    told = [
        f"{listing(names)} {'was' if len(names) == 1 else 'were'} {way}"
        for way, names in ways.items()
        if names
    ]
    return f"Of its teachers, {'; '.join(told)}." if told else ""


def _machines(evidence: Evidence) -> tuple[Mapping[str, str], ...]:
    found = [
        {str(k): str(v) for k, v in run.machine.items() if v is not None}
        for run in evidence.runs
        if run.machine
    ]
    return tuple(machine for number, machine in enumerate(found) if machine not in found[:number])


def _data(evidence: Evidence) -> str:
    names = list(dict.fromkeys(run.dataset for run in evidence.runs if run.dataset))
    prints = list(dict.fromkeys(run.fingerprint for run in evidence.runs if run.fingerprint))
    told = f"Data set {listing(names)}" if names else "Data set not named"
    return told + (f", fingerprint {listing(prints)}." if prints else ".")

"""Checks of how runs were trained, and of what they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

from segdistill.evaluation.statistics import Paired
from segdistill.publishable import flat
from segdistill.report import baseline
from segdistill.report.cautions.caution import Caution
from segdistill.report.comparisons import compare, judging_p, outcome
from segdistill.report.evidence import Evidence
from segdistill.report.run_folder import RunRecord
from segdistill.report.words import count, fixed, listing, p_value, points

FLAT = 0.01  # Dice
FEW_TRIALS = 8
ALMOST_NONE, ALMOST_ALL = 0.01, 0.99  # of the student's gradient


def no_baseline(evidence: Evidence) -> Iterator[Caution]:
    """Distilled students without the same network trained alone."""
    for comparison in evidence.comparisons:
        if baseline.is_missing(comparison):
            text = (
                f"There is no evaluated run of {comparison.student.network} trained alone with the budget of "
                f"{comparison.student.short}; without it, nobody knows what distillation gained."
            )
            yield Caution("serious", "No student alone", text)


def unequal_budgets(evidence: Evidence) -> Iterator[Caution]:
    """Students alone that were not trained as the distilled ones were."""
    for comparison in evidence.comparisons:
        if comparison.alone is not None and comparison.differences:
            names = f"{comparison.student.short} and {comparison.alone.short}"
            text = f"{names} were not trained alike ({listing(comparison.differences)})."
            yield Caution("serious", "Different budgets", text)


def untuned(evidence: Evidence) -> Iterator[Caution]:
    """Baselines that were not given their best chance."""
    alone = {c.alone.short: tuned_for(c.alone.run) for c in evidence.comparisons if c.alone is not None}
    plain = [short for short, how in alone.items() if how is None]
    if plain:
        text = (
            f"{listing(plain)}, trained alone, had settings that were not tuned, and an untuned baseline is easily "
            "beaten. The command study tune searches learning rate and augmentation on the validation cases."
        )
        yield Caution("note", "Untuned baseline", text)
    for short, how in alone.items():
        if how:
            text = (
                f"The settings of {short}, trained alone, were tuned {how}; for it they may not be the best."
            )
            yield Caution("note", "Untuned baseline", text)


def tuned_for(run: RunRecord) -> str | None:
    """In words, for what else the settings of a run were tuned, or how little; empty: for it; None: they were not."""
    tuned = run.recipe.get("tuned")
    if not isinstance(tuned, Mapping):
        return None
    data, train = (run.recipe.get(key) or {} for key in ("data", "train"))
    then_and_now: dict[str, tuple[object, list[object]]] = {
        "another network": (tuned.get("student"), [run.recipe.get("student")]),
        # Exported recipes no longer say where the images lie; the run still knows what they are called.
        "other images": (tuned.get("data"), [run.dataset, Path(str(data.get("path"))).name]),
        "another number of epochs": (tuned.get("epochs"), [train.get("epochs")]),
    }
    other = [what for what, (then, now) in then_and_now.items() if then is not None and then not in now]
    settings = flat(run.recipe)
    changed = [k for k, v in (tuned.get("settings") or {}).items() if settings.get(k, "none") != v]
    told = [f"for {listing(other)}"] if other else []
    told += [f"with another {listing(changed)} than it has"] if changed else []
    if told:
        return " and ".join(told)
    trials = int(tuned.get("trials") or 0)
    return f"in {count(trials, 'trial')} only" if trials < FEW_TRIALS else ""


def weak_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Teachers that score below the student alone."""
    for comparison in evidence.comparisons:
        alone = comparison.alone
        if alone is None or not alone.evaluated:
            continue
        for teacher in (teacher for teacher in comparison.teachers if teacher.evaluated):
            behind = compare(teacher, alone, evidence)
            if behind.difference is None or behind.difference >= 0:
                continue
            sure = outcome(behind) == "loss"
            text = (
                f"{teacher.short} ({teacher.network}) scores {fixed(points(-behind.difference))} Dice points "
                f"less than {alone.short} trained alone ({_tested(behind)}){'' if sure else ', which may be chance'}; "
                f"it {'has' if sure else 'may have'} little to teach. Train it further."
            )
            title = (
                "Teacher worse than the student alone"
                if sure
                else "Teacher not better than the student alone"
            )
            yield Caution("serious" if sure else "note", title, text)


def unproven_teacher(evidence: Evidence) -> Iterator[Caution]:
    """Students whose best teacher is not shown to be better than the same student alone."""
    for comparison in evidence.comparisons:
        alone, teacher = comparison.alone, next((t for t in comparison.teachers if t.evaluated), None)
        if alone is None or not alone.evaluated or teacher is None:
            continue
        ahead = compare(teacher, alone, evidence)
        if ahead.difference is None or ahead.difference < 0 or outcome(ahead) == "gain":
            continue  # one that is worse is told by `weak_teacher`
        text = (
            f"{teacher.short} is not shown to be better than {alone.short} alone "
            f"(+{fixed(points(ahead.difference))} Dice points, {_tested(ahead)}). It may have nothing to teach; put "
            "no methods in order by what they make of it."
        )
        yield Caution("note", "Teacher not shown to be better", text)


def _tested(result: Paired) -> str:
    """ "95 % CI 2.0 to 15.5, p = 0.078": both have to agree."""
    if result.interval is None:
        return "too few cases for a test"
    between = " to ".join(fixed(points(end)) for end in result.interval)
    p = judging_p(result)
    return f"95 % CI {between}" + (f", {p_value(p)}" if p is not None else "")


def still_rising(evidence: Evidence) -> Iterator[Caution]:
    """Models whose validation Dice still rose when training ended: another budget may put them in another order."""
    rising = []
    for model in evidence.models:
        gains = [gain for run in model.runs if (gain := _late_gain(run)) is not None]
        if gains and fmean(gains) > FLAT:
            rising.append(f"{model.short} (+{fixed(points(fmean(gains)))})")
    if rising:
        text = (
            f"The validation Dice of {listing(rising)} still rose in the last sixth of training. With more steps the "
            "differences between models may be others."
        )
        yield Caution("note", "Still learning", text)


def _late_gain(run: RunRecord) -> float | None:
    """By how much the validation Dice rose in the last sixth of a finished training."""
    seen = [
        (epoch.number + 1, epoch.validation["dice"])
        for epoch in run.epochs
        if epoch.validation and epoch.validation.get("dice") is not None
    ]
    planned = run.planned_epochs or 0
    before = [dice for number, dice in seen if number <= 5 / 6 * planned]
    if len(seen) < 4 or not before or not run.finished:
        return None
    return seen[-1][1] - before[-1]


def silent_term(evidence: Evidence) -> Iterator[Caution]:
    """Terms whose share of the student's gradient stays below 1 % or above 99 %."""
    for model in evidence.of("distilled"):
        shares = [share for run in model.runs for share in run.shares]
        for term in dict.fromkeys(name for share in shares for name in share):
            values = [share[term] for share in shares if share.get(term) is not None]
            if values and max(values) < ALMOST_NONE:
                told = (
                    f"gets at most {fixed(100 * max(values), 2)} % of the student's gradient, so it teaches"
                )
                advice = "next to nothing. Raise its weight, or choose another norm."
            elif values and min(values) > ALMOST_ALL and any(len(share) > 1 for share in shares):
                told = f"takes at least {fixed(100 * min(values))} % of the student's gradient, so all else"
                advice = "teaches next to nothing. Lower its weight."
            else:
                continue
            text = f"In {model.short}, the term \u201c{term}\u201d {told} {advice}"
            yield Caution("note", "Term out of balance", text)


def unfinished(evidence: Evidence) -> Iterator[Caution]:
    """Runs that did not end as planned, or that nobody evaluated."""
    for run in evidence.runs:
        if not run.finished:
            planned = f" of {run.planned_epochs}" if run.planned_epochs else ""
            text = (
                f"{run.name} is not finished ({len(run.epochs)}{planned} epochs); what it scores, if "
                "anything, is of an earlier checkpoint. Its command with --resume goes on with it."
            )
            yield Caution("serious", "Unfinished run", text)
        elif run.scores is None:
            text = f"{run.name} has no scores and is left out of comparisons."
            yield Caution("serious", "Not evaluated", text)


def other_preprocessing(evidence: Evidence) -> Iterator[Caution]:
    """Runs on images that were prepared differently."""
    folds: dict[int | None, set[str]] = {}  # each is prepared by its own training cases
    for run in evidence.runs:
        folds.setdefault(run.fold, set()).update(filter(None, [run.fingerprint]))
    prints = max(map(sorted, folds.values()), key=len, default=[])
    if len(prints) > 1:
        text = (
            "The runs were trained on differently prepared or changed images (fingerprints "
            f"{listing(prints)}). Scores are on the original images."
        )
        yield Caution("note", "Data differ", text)


def unequal_inputs(evidence: Evidence) -> Iterator[Caution]:
    """Costs of inputs that differ in size."""
    inputs = sorted({model.cost.input for model in evidence.models if model.cost and model.cost.input})
    if len(inputs) > 1:
        sizes = listing([" \u00d7 ".join(map(str, one)) for one in inputs])
        yield Caution("note", "Unequal inputs", f"MACs and times are for inputs of different size ({sizes}).")

"""What a reader has to know before believing the figures: small checks over the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from segdistill.report.cautions.caution import Caution
from segdistill.report.cautions.of_cases import (
    few_cases,
    foreign_scores,
    no_test_cases,
    undefined_scores,
    unequal_cases,
    unequal_classes,
)
from segdistill.report.cautions.of_leaks import leak, leak_of_others, unknown_teacher
from segdistill.report.cautions.of_seeds import (
    missed_class,
    one_seed,
    seeds_disagree,
    several_comparisons,
    twin_runs,
)
from segdistill.report.cautions.of_training import (
    no_baseline,
    other_preprocessing,
    silent_term,
    still_rising,
    unequal_budgets,
    unequal_inputs,
    unfinished,
    unproven_teacher,
    untuned,
    weak_teacher,
)
from segdistill.report.evidence import Evidence

__all__ = ["Caution", "examine", "several_comparisons"]

CHECKS: tuple[Callable[[Evidence], Iterator[Caution]], ...] = (
    *(foreign_scores, unequal_classes, no_test_cases, leak, leak_of_others, no_baseline, unequal_budgets),
    *(
        weak_teacher,
        unproven_teacher,
        missed_class,
        seeds_disagree,
        still_rising,
        unfinished,
        unequal_cases,
        unknown_teacher,
        one_seed,
    ),
    *(untuned, few_cases, silent_term, other_preprocessing, unequal_inputs, undefined_scores),
    *(several_comparisons, twin_runs),
)


def examine(evidence: Evidence) -> tuple[Caution, ...]:
    """Every caution once, serious ones first."""
    found = dict.fromkeys(caution for check in CHECKS for caution in check(evidence))
    return tuple(sorted(found, key=lambda caution: caution.severity != "serious"))

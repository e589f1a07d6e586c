"""Would other cases have put the models in the same order?"""

from __future__ import annotations

from segdistill.evaluation.ranking import rank
from segdistill.report.evidence import Evidence
from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table
from segdistill.report.words import count, fixed, points

FEWEST = 3  # models; the order of two is what a test of their difference says
RESAMPLES = 1000


def tabulate(evidence: Evidence) -> Table | None:
    """Models by their mean Dice with the ranks that resampled cases give them; None where there is nothing to rank."""
    shown = {m.short: m for m in evidence.models if m.evaluated and not evidence.tainted(m)}
    if len(shown) < FEWEST or not evidence.cases:
        return None
    found = rank({name: m.by_case("dice", evidence.cases) for name, m in shown.items()}, resamples=RESAMPLES)
    if found is None:
        return None
    columns = (
        Column("Model", numeric=False),
        Column("Dice", best="\u2191"),
        Column("Rank", best="\u2193"),
        Column("Mean rank, resampled", best="\u2193"),
        Column("95 % of ranks"),
        Column("Best in", best="\u2191"),
    )
    head = evidence.headline.student if evidence.headline else None
    roles = {role: title.rstrip("s").lower().replace("students", "student") for role, title in ROLES.items()}
    rows = []
    for name, place in found.places.items():
        model = shown[name]
        value = points(place.mean)
        rows.append(
            Row(
                (
                    Cell(name, roles[model.role]),
                    Cell(fixed(value), key=value),
                    Cell(f"{place.rank:g}", key=place.rank),
                    Cell(fixed(place.mean_rank), key=place.mean_rank),
                    Cell(f"{place.low:g} to {place.high:g}", key=place.low),
                    Cell(f"{100 * place.first:.0f} %", key=place.first),
                ),
                model is head,
            )
        )
    stable = "All models tie, so there is no order that could be stable. "
    if found.tau is not None:
        stable = (
            f"Kendall\u2019s tau between this order and a resampled one is {fixed(found.tau, 2)} on average, and at "
            f"least {fixed(found.tau_low, 2)} in 95 % of them (1: the same order, 0: unrelated). "
        )
    return Table(
        columns,
        (Group("", tuple(rows)),),
        (
            f"{stable}{count(found.n, evidence.noun)} that all models have a Dice of, drawn {RESAMPLES:,} times with "
            "replacement; seeds are averaged first. Best in: share of the draws in which the model comes first, shared "
            "where several tie.",
        ),
    )

"""How well the models do at each site, and how far the worst lies behind the best."""

from __future__ import annotations

import math

from segdistill.data.sites import site_in
from segdistill.report.evidence import Evidence, Model
from segdistill.report.leaks import MARK, note
from segdistill.report.scores import mean
from segdistill.report.tables.cells import model_name
from segdistill.report.tables.table import ROLES, Cell, Column, Group, Row, Table
from segdistill.report.words import count, fixed, listing

MOST = 6  # sites with a column of their own


def sites(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """The cases of each site, by the `data.sites` of the first run that has it; without it, or with one site, none."""
    expression = next((each for run in evidence.runs if (each := _expression(run.recipe))), None)
    if expression is None:
        return {}
    every = dict.fromkeys(case for m in evidence.models for case in evidence.cases_of(m) if m.evaluated)
    found: dict[str, list[str]] = {}
    for case in every:
        site = site_in(case, expression)
        if site is not None:
            found.setdefault(site, []).append(case)
    return {site: tuple(found[site]) for site in sorted(found)} if len(found) > 1 else {}


def tabulate(evidence: Evidence) -> Table | None:
    """Mean Dice by site and the gap, best less worst; None where the cases are not told apart by sites."""
    found = sites(evidence)
    if not found:
        return None
    named = len(found) <= MOST
    columns = [Column("Model", numeric=False)]
    columns += (
        [Column(f"{site} ({len(cases)})", best="\u2191") for site, cases in found.items()] if named else []
    )
    columns += [Column("Worst site"), Column("Best site"), Column("Gap")]
    groups = []
    for role, title in ROLES.items():
        rows = tuple(Row(_cells(m, evidence, found, named)) for m in evidence.of(role) if m.evaluated)
        if rows:
            groups.append(Group(title, rows))
    told = [f"{site}: {len(cases)}" for site, cases in found.items()]
    counted = "" if named else f" Cases of each site: {listing(told, 12)}."
    return Table(
        tuple(columns),
        tuple(groups),
        (
            f"Mean Dice in percent of the {count(len(found), 'site')} that data.sites finds in the cases\u2019 names, "
            "with the number of cases; the gap is that of the best site to the worst, in points. Sites differ in their "
            f"patients, too, and a mean of few cases swings: a gap is no test.{counted}",
            *note(evidence.tainted(m) for m in evidence.models),
        ),
    )


def _expression(recipe: object) -> str | None:
    data = recipe.get("data") if isinstance(recipe, dict) else None
    found = data.get("sites") if isinstance(data, dict) else None
    return str(found) if found else None


def _cells(m: Model, evidence: Evidence, found: dict[str, tuple[str, ...]], named: bool) -> tuple[Cell, ...]:
    own, mark = set(evidence.cases_of(m)), MARK * evidence.tainted(m)
    dice = m.by_case("dice", evidence.cases_of(m))
    means = {site: 100 * mean([dice[case] for case in cases if case in own]) for site, cases in found.items()}
    known = {site: value for site, value in means.items() if not math.isnan(value)}
    cells = [model_name(m, evidence)]
    if named:
        cells += [Cell(fixed(means[site]) + mark, key=known.get(site)) for site in found]
    if len(known) < 2:
        return (*cells, Cell(fixed(None)), Cell(fixed(None)), Cell(fixed(None)))
    worst, best = min(known, key=lambda site: known[site]), max(known, key=lambda site: known[site])
    gap = known[best] - known[worst]
    ends = [Cell(fixed(known[site]) + mark, site, known[site]) for site in (worst, best)]
    return (*cells, *ends, Cell(fixed(gap) + mark, key=gap))

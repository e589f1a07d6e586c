"""The sites of a recipe's cases, and a peer for each of them."""

from __future__ import annotations

from collections.abc import Sequence

from segdistill.data.dataset import Dataset
from segdistill.data.sites import site_in
from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe

MOST_SITES = 32


def with_a_peer_for_each(recipe: Recipe, sites: Sequence[str]) -> Recipe:
    """A copy of the recipe in which a peer of `site: each` is one peer for every site; terms listen to all of them."""
    recipe = recipe.model_copy(deep=True)
    for_each = any(section.peer and section.peer.site == "each" for section in recipe.teachers.values())
    if for_each and len(sites) > MOST_SITES:
        raise SegdistillError(
            f"data.sites: {recipe.data.sites!r} finds {len(sites)} sites ({', '.join(sites[:4])}, ...), and each would "
            f"have a peer; at most {MOST_SITES}: mend the regular expression"
        )
    for name, section in list(recipe.teachers.items()):
        if section.peer is None or section.peer.site != "each":
            continue
        del recipe.teachers[name]
        for site in sites:
            own = section.model_copy(deep=True)
            assert own.peer is not None
            own.peer.site = site
            recipe.teachers[f"{name} {site}"] = own
        for term in recipe.terms.values():
            if term.teachers is not None and name in term.teachers:
                place = term.teachers.index(name)
                term.teachers[place : place + 1] = [f"{name} {site}" for site in sites]
    return recipe


def sites_of(recipe: Recipe, dataset: Dataset) -> dict[str, str] | None:
    """The site of each labelled case, found by `data.sites` in its name; None where the recipe does not ask.

    Raises:
        SegdistillError: no regular expression, or a case in which it finds nothing.
    """
    if recipe.data.sites is None:
        return None
    sites = {}
    for case in dataset.cases:
        found = site_in(case.id, recipe.data.sites)
        if found is None and case.label is not None:
            raise SegdistillError(
                f"data.sites: {recipe.data.sites!r} finds no site in the name of case {case.id!r}; "
                "its first group, or the whole match, is the site"
            )
        if found is not None:
            sites[case.id] = found
    return sites

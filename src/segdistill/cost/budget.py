"""The widest student that fits a budget: counted on the meta device, timed on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from segdistill.atomic import write_json
from segdistill.cost.counting import count
from segdistill.cost.latency import measure
from segdistill.cost.meta import WithoutMemory
from segdistill.device import choose_device
from segdistill.errors import SegdistillError
from segdistill.model import Facts, build_network, resolve_network
from segdistill.network_part import own_settings, scaled
from segdistill.networks import NETWORKS
from segdistill.networks.width import shares
from segdistill.run import machine
from segdistill.sections import BudgetSection

REPEATS = 15


@dataclass(frozen=True)
class Weighed:
    """A width that was looked at, and what it costs as far as the budget asks."""

    part: dict[str, Any]
    parameters: int
    macs: int | None
    latency_ms: float | None
    fits: bool

    def __str__(self) -> str:
        widths = ", ".join(
            f"{name} {_in_words(self.part[name])}" for name in NETWORKS[self.part["type"]].widths
        )
        told = [f"{self.parameters:,} parameters"]
        told += [] if self.macs is None else [f"{self.macs / 1e9:.3g} GMACs"]
        told += [] if self.latency_ms is None else [f"{self.latency_ms:.1f} ms"]
        return f"{widths}: {', '.join(told)} {'(fits)' if self.fits else '(too much)'}"


@dataclass(frozen=True)
class Choice:
    """The part that was chosen, and the widths that were weighed, the narrowest first."""

    part: dict[str, Any]
    weighed: list[Weighed]


def choose(part: Mapping[str, Any], facts: Facts, place: str, memory: Path | None = None) -> Choice:
    """The widest network of a family that costs no more than `part["budget"]`, by bisection over its widths.

    The family is the part's own network with every width times one share; the leading width goes through all of its
    possible values up to `widest` times its own. Costs are taken to grow with the width.

    Args:
        memory: a folder to keep choices in. A measured time differs from one measurement to the next: with it, the
            same question on the same machine has the same answer, in other runs and processes too.

    Raises:
        SegdistillError: not even the narrowest fits; it is named as the nearest, with what it costs.
    """
    budget = BudgetSection.model_validate(part["budget"])
    rest = {key: value for key, value in part.items() if key != "budget"}
    base = own_settings(resolve_network(rest, facts, place))
    question: dict[str, Any] = {"part": base, "budget": budget.model_dump(), "facts": asdict(facts)}
    if budget.latency_ms is not None:
        question |= {"machine": machine(), "threads": torch.get_num_threads()}
    file = None if memory is None else memory / f"{_key(question)}.json"
    choice = _read(file)
    if choice is None:
        choice = _widest(base, facts, budget, place)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"question": question, **asdict(choice)})
    kept = {"inputs": list(rest["inputs"])} if "inputs" in rest else {}
    return Choice(choice.part | kept, choice.weighed)


def _widest(base: dict[str, Any], facts: Facts, budget: BudgetSection, place: str) -> Choice:
    family = shares(base, NETWORKS[base["type"]].widths, Fraction(budget.widest).limit_denominator(4096))
    weighed: dict[int, Weighed] = {}

    def fits(index: int) -> bool:
        if index not in weighed:
            weighed[index] = weigh(scaled(base, family[index], place), facts, budget, place)
        return weighed[index].fits

    if not family or not fits(0):
        nearest = weighed[0] if weighed else weigh(base, facts, budget, place)
        raise SegdistillError(
            f"{place}.budget: no {base['type']} costs so little for an input of "
            f"{facts.in_channels} x {' x '.join(map(str, facts.image_size))}; the nearest is {nearest}. Allow more, or "
            "choose fewer levels or another network (`segdistill cost all` shows what each costs)"
        )
    low, high = 0, 1
    while high < len(family) and fits(high):  # doubling first: large ones are slow to try
        low, high = high, 2 * high
    high = min(high, len(family))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Choice(weighed[low].part, [weighed[index] for index in sorted(weighed)])


def weigh(part: dict[str, Any], facts: Facts, budget: BudgetSection, place: str) -> Weighed:
    """What a network costs, as far as the budget asks; it is timed only where it fits otherwise."""
    with WithoutMemory():
        network = build_network(part, facts, place)
    parameters = sum(p.numel() for p in network.parameters())
    fits = budget.parameters is None or parameters <= budget.parameters
    shape = (facts.in_channels, *facts.image_size)
    macs = latency = None
    if budget.macs is not None:
        try:
            macs = count(network, shape).macs
        except ValueError as error:
            raise SegdistillError(f"{place}: {error}") from error
        fits = fits and macs <= budget.macs
    if budget.latency_ms is not None and fits:
        network = build_network(part, facts, place).to(choose_device("auto"))
        latency = measure(network, shape, repeats=REPEATS).p50_ms
        fits = latency <= budget.latency_ms
    return Weighed(part, parameters, macs, latency, fits)


def _key(question: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


def _read(file: Path | None) -> Choice | None:
    if file is None or not file.is_file():
        return None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Choice(told["part"], [Weighed(**row) for row in told["weighed"]])
    except (ValueError, KeyError, TypeError, OSError):
        return None  # written by another version, or cut short: weighed anew


def _in_words(width: float | Sequence[float]) -> str:
    return ",".join(map(str, width)) if isinstance(width, list | tuple) else str(width)

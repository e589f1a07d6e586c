"""The widest student that fits a budget: counted on the meta device, timed on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from segdistill.networks.sizes import by
from segdistill.networks.width import shares
from segdistill.run import machine
from segdistill.sections.student import BudgetSection

REPEATS = 15
RUNG = 2**0.5  # from one width that is timed to the next
SLOW = 2  # times the budget, where timing wider ones ends


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
    kept: Path | None = None
    """Where a measured choice is kept for other runs."""
    earlier: bool = False
    """Whether it was measured by an earlier run."""

    def told(self) -> list[str]:
        """What was weighed, a line each, and which was chosen."""
        return [
            f"{row} <- chosen" if row.part.items() <= self.part.items() else str(row) for row in self.weighed
        ]


def choose(
    part: Mapping[str, Any],
    facts: Facts,
    place: str,
    *,
    memory: Path | None = None,
    device: str = "auto",
) -> Choice:
    """The widest network of a family that costs no more than `part["budget"]`.

    The family is the part's own network with every width times one share; the leading width goes through all of its
    possible values up to `widest` times its own. Parameters and multiply-adds grow with the width, so the widest that
    has no more is found by bisection. Time does not always (a wider convolution can take a faster path), so up to
    that width a ladder of widths is timed, each about 1.4 times the one before, until one takes twice too long; then
    those between the widest that fits and the next rung are bisected.

    Args:
        memory: a folder to keep measured choices in. A time differs from one measurement to the next: with it, the
            same question on the same machine has the same answer, in other runs and processes too.
        device: where times are measured.

    Raises:
        SegdistillError: none of the family fits; the nearest is named, with what it costs. Or no network can be had
            for this input.
    """
    budget = BudgetSection.model_validate(part["budget"])
    rest = {key: value for key, value in part.items() if key != "budget"}
    base = own_settings(resolve_network(rest, facts, place))
    kept = {"inputs": list(rest["inputs"])} if "inputs" in rest else {}
    family = _Family(base, facts, budget, place, device)
    if budget.latency_ms is None or memory is None:
        choice = family.widest()
        return Choice(choice.part | kept, choice.weighed)
    question: dict[str, Any] = {
        "part": base,
        "budget": budget.model_dump(),
        "facts": asdict(facts),
        "machine": machine(),
    }
    question |= {"threads": torch.get_num_threads(), "device": str(choose_device(device))}
    file = memory / f"{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]}.json"
    earlier = _read(file)
    choice = earlier or _kept(file, question, family.widest())
    return Choice(choice.part | kept, choice.weighed, file, earlier is not None)


class _Family:
    """All widths of one network, and what was weighed of them."""

    def __init__(
        self, base: dict[str, Any], facts: Facts, budget: BudgetSection, place: str, device: str
    ) -> None:
        self.base, self.facts, self.budget, self.place, self.device = base, facts, budget, place, device
        largest = Fraction(budget.widest).limit_denominator(4096)
        self.shares = shares(base, NETWORKS[base["type"]].widths, largest)
        while self.shares and not self._possible(self.shares[-1]):  # wider than a setting's own bound
            self.shares.pop()
        self.weighed: dict[int, Weighed] = {}
        if not self.shares:
            raise SegdistillError(
                f"{place}.budget.widest: {budget.widest:g} times its width is narrower than {base['type']} can be"
            )

    def _possible(self, share: Fraction) -> bool:
        try:
            scaled(self.base, share, self.place)
        except SegdistillError:
            return False
        return True

    def widest(self) -> Choice:
        counted = self.budget.model_copy(update={"latency_ms": None})
        timed = self.budget.latency_ms is not None
        top: int | None = len(self.shares) - 1
        if self.budget.parameters is not None or self.budget.macs is not None:
            top = self._bisect(counted, 0, len(self.shares)) if self._fits(counted, 0) else None
        if top is not None and timed:
            top = self._timed(top)
        rows = [self.weighed[index] for index in sorted(self.weighed)]
        told = [row for row in rows if row.latency_ms is not None or not (timed and row.fits)]
        if top is None:
            clocked = [row for row in told if row.latency_ms is not None]
            nearest = min(clocked, key=lambda row: row.latency_ms or 0.0, default=told[0])
            size = f"{self.facts.in_channels} x {by(self.facts.image_size)}"
            raise SegdistillError(
                f"{self.place}.budget: no {self.base['type']} costs so little for an input of {size}; the nearest is "
                f"{nearest}. Allow more, or choose fewer levels or another network (`segdistill cost all` shows what "
                "each costs)"
            )
        return Choice(self.weighed[top].part, told)

    def _timed(self, top: int) -> int | None:
        """The widest that is fast enough among the rungs of a ladder up to `top`, and between it and the next rung."""
        limit = self.budget.latency_ms or 0.0
        rungs = [0]
        while rungs[-1] < top:
            rungs.append(min(top, max(rungs[-1] + 1, round((rungs[-1] + 1) * RUNG) - 1)))
        found, above = None, top + 1
        for rung in rungs:
            if self._fits(self.budget, rung):
                found, above = rung, top + 1
                continue
            above = min(above, rung)
            if (self.weighed[rung].latency_ms or 0) > SLOW * limit:
                break
        return None if found is None else self._bisect(self.budget, found, above)

    def _bisect(self, budget: BudgetSection, low: int, high: int) -> int:
        """The last that fits from `low`, which does, up to before `high`."""
        step = 1  # doubled first: large ones are slow to try
        while low + step < high and self._fits(budget, low + step):
            low, step = low + step, 2 * step
        high = min(high, low + step)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(budget, middle) else (low, middle)
        return low

    def _fits(self, budget: BudgetSection, index: int) -> bool:
        known = self.weighed.get(index)
        if known is None or (budget.latency_ms is not None and known.latency_ms is None and known.fits):
            part = scaled(self.base, self.shares[index], self.place)
            self.weighed[index] = weigh(part, self.facts, budget, self.place, self.device)
        return self.weighed[index].fits


def weigh(
    part: dict[str, Any], facts: Facts, budget: BudgetSection, place: str, device: str = "auto"
) -> Weighed:
    """What a network costs, as far as the budget asks; it is timed only where it fits otherwise."""
    with WithoutMemory():
        network = build_network(part, facts, place)
    parameters = sum(p.numel() for p in network.parameters())
    fits = budget.parameters is None or parameters <= budget.parameters
    shape = (facts.in_channels, *facts.image_size)
    macs = latency = None
    try:
        if budget.macs is not None:
            macs = count(network, shape).macs
            fits = fits and macs <= budget.macs
        if budget.latency_ms is not None and fits:
            network = build_network(part, facts, place).to(choose_device(device))
            latency = measure(network, shape, repeats=REPEATS).p50_ms
            fits = latency <= budget.latency_ms
    except ValueError as error:  # a size that does not fit
        raise SegdistillError(f"{place}: {error}") from error
    return Weighed(part, parameters, macs, latency, fits)


def _kept(file: Path, question: Mapping[str, Any], choice: Choice) -> Choice:
    """The choice that the file then holds: this one, or that of another process that was first."""
    mine = file.with_name(f"{file.stem}.{os.getpid()}.json")
    write_json(
        mine, {"question": question, "part": choice.part, "weighed": [asdict(w) for w in choice.weighed]}
    )
    try:
        if _read(file) is None:
            file.unlink(missing_ok=True)  # cut short, or of another version
        with suppress(FileExistsError):
            os.link(mine, file)
    finally:
        mine.unlink(missing_ok=True)
    return _read(file) or choice


def _read(file: Path) -> Choice | None:
    """A choice that was kept; None where there is none that can be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Choice(told["part"], [Weighed(**row) for row in told["weighed"]])
    except (ValueError, KeyError, TypeError, OSError):
        return None


def _in_words(width: float | Sequence[float]) -> str:
    return ",".join(map(str, width)) if isinstance(width, list | tuple) else str(width)

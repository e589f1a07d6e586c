"""Tune the student alone: a baseline that was given its best chance is the only one that is worth beating.

Learning rate and augmentation are searched by Optuna on the validation cases, within a stated number of
trials. Test cases are never looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from segdistill.atomic import write_json, write_text
from segdistill.composition import merge, undistilled
from segdistill.errors import SegdistillError
from segdistill.publishable import flat
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.study.hold import holding
from segdistill.training.train import train

TIMES = 10.0
"""Learning rates are searched from a tenth to ten times the recipe's."""
CHOICES = {"intensity": (0.0, 0.15, 0.3), "flip": (0.0, 0.5), "affine": (0.0, 0.2, 0.5)}
"""Of the augmentation; the recipe's own values are tried, too."""
SEARCHED = ("train.optimizer.lr", "data.augmentation")


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Attributes:
        settings: a protocol that lays the best settings over a recipe.
        file: where it lies.
        best, before: Dice on the validation cases with the best settings and with the recipe's own, 0 to 1.
        trials: how many were made in all.
    """

    settings: Mapping[str, Any]
    file: Path
    best: float
    before: float
    trials: int


def tune(
    recipe: Recipe,
    out: Path,
    *,
    trials: int,
    affine: bool = True,
    train_one: Callable[[Recipe, Path], float | None] | None = None,
    look: Callable[[int, float, float], None] = lambda done, value, best: None,
) -> Tuned:
    """Search settings of the recipe's student alone; the first trial has the recipe's own settings.

    Killed, it goes on where it was: the trials lie in `out`/trials.log, each run in `out`/trials/N. Writes tuned.yaml
    and trials.json.

    Args:
        recipe: its student, data and budget; teachers and terms are left out.
        trials: of all that are to be made, those of an earlier start too.
        affine: also search small rotations, which keep coarse maps of teachers from being recorded.
        train_one: trains a recipe in a folder and gives the best Dice on its validation cases, which may be None or no
            number where there is none: such a trial failed. None: as `train` does.
        look: is told after each trial how many are done, its Dice and the best.

    Raises:
        SegdistillError: Optuna is not installed, no validation, another process is at it, another recipe or other
            choices before, the recipe's own settings fail, or too many trials do.
    """
    optuna: Any = _optuna()
    if trials < 1:
        raise SegdistillError(f"--trials: one at least, got {trials}")
    alone = Recipe.check(undistilled(recipe.model_dump(mode="json")) | {"name": "student_alone"})
    _begin(out, alone)
    train_one = train_one or _best_validation
    with holding(out / ".lock") as got:
        if not got:
            raise SegdistillError(f"{out} is being tuned by another process")
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(out / "trials.log"))
        )
        study = optuna.create_study(
            study_name="student alone", storage=storage, direction="maximize", load_if_exists=True
        )
        # Another start draws other settings than the one before.
        study.sampler = optuna.samplers.TPESampler(
            seed=recipe.train.seed + len(study.trials), n_startup_trials=max(4, trials // 3)
        )
        _must_choose_among_the_same(study, alone, out)
        _enqueue(study, alone, optuna)
        while len(_made(study, optuna)) < trials or _of_recipe(_made(study, optuna)) is None:
            trial = study.ask()
            drawn = _drawn(trial, alone, affine)  # the recipe's own, too, so that the search knows of them
            settings = _own_settings(alone) if trial.user_attrs.get("own") else drawn
            trial.set_user_attr("settings", settings)
            tried = Recipe.check(merge(alone.model_dump(mode="json"), settings))
            place = trial.user_attrs.get("place", str(trial.number))
            trial.set_user_attr("place", place)
            try:
                value = _dice(train_one(tried, out / "trials" / place))
            except SegdistillError as error:  # such as a loss that is not finite
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                if trial.user_attrs.get("own"):
                    raise SegdistillError(f"with the recipe's own settings: {error}") from error
                if trial.number >= 2 * trials:
                    raise SegdistillError(f"too many trials failed, at last: {error}") from error
                continue
            study.tell(trial, value)
            look(len(_made(study, optuna)), value, study.best_value)
        return _kept(study, optuna, alone, out)


def _enqueue(study: Any, alone: Recipe, optuna: Any) -> None:
    """Next come the recipe's own settings, where they were not tried yet, and what was killed, in its own folder."""
    states = optuna.trial.TrialState
    killed = study.get_trials(states=(states.RUNNING,))
    for trial in killed:
        study.tell(trial.number, state=states.FAIL)
    waiting = study.get_trials(states=(states.COMPLETE, states.WAITING))
    again = [trial for trial in killed if "place" in trial.user_attrs]
    if _of_recipe([*waiting, *again]) is None:
        study.enqueue_trial(_own(alone), user_attrs={"own": True})
    for trial in again:
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)


def _begin(out: Path, alone: Recipe) -> None:
    """Make the folder with the recipe, or see that it is the same one."""
    file = out / "recipe.yaml"
    if file.is_file():
        if Recipe.load(file).model_dump(mode="json") != alone.model_dump(mode="json"):
            raise SegdistillError(f"{out} was tuned with another recipe; choose another --out")
    elif out.exists() and any(out.iterdir()):
        raise SegdistillError(f"{out} is not the folder of a tuning; choose another --out")
    else:
        write_text(file, alone.to_yaml())


def _must_choose_among_the_same(study: Any, alone: Recipe, out: Path) -> None:
    """Trials of an earlier version had the nearest of its choices for the recipe's own settings."""
    for trial in study.trials:
        for name, choices in _choices(alone).items():
            drawn = trial.distributions.get(name)
            if drawn is not None and tuple(drawn.choices) != choices:
                raise SegdistillError(
                    f"{out} was tuned by an earlier version, which did not try the recipe's own {name} "
                    f"({_own(alone)[name]:g}); choose another --out"
                )


def _own(alone: Recipe) -> dict[str, float]:
    """The recipe's own settings of what is searched."""
    augmentation = alone.data.augmentation or dict.fromkeys(CHOICES, 0.0)
    return {"lr": float(alone.train.optimizer["lr"])} | {name: augmentation[name] for name in CHOICES}


def _own_settings(alone: Recipe) -> dict[str, Any]:
    """The same as a layer over recipes: to the last digit, and none where the recipe has no augmentation."""
    own = _own(alone)
    rate = own.pop("lr")
    return _layer(rate, None if alone.data.augmentation is None else own)


def _choices(alone: Recipe) -> dict[str, tuple[float, ...]]:
    own = _own(alone)
    return {name: tuple(sorted({*choices, own[name]})) for name, choices in CHOICES.items()}


def _drawn(trial: Any, alone: Recipe, affine: bool) -> dict[str, Any]:
    """The settings of a trial, as a layer over recipes."""
    own, choices = _own(alone), _choices(alone)
    augmentation = {
        name: trial.suggest_categorical(name, choices[name]) if name != "affine" or affine else own["affine"]
        for name in CHOICES
    }
    rate = trial.suggest_float("lr", own["lr"] / TIMES, own["lr"] * TIMES, log=True)
    return _layer(float(f"{rate:.3g}"), augmentation)


def _layer(rate: float, augmentation: dict[str, float] | None) -> dict[str, Any]:
    return {"train": {"optimizer": {"lr": rate}}, "data": {"augmentation": augmentation}}


def _best_validation(recipe: Recipe, folder: Path) -> float | None:
    run = train(recipe, folder, if_exists="resume" if Run(folder).exists else "fail")
    scores = [event["validation"].get("dice") for event in run.events() if event.get("validation")]
    if not scores:
        raise SegdistillError("no epoch was validated; lower train.validate_every")
    return max(_numbers(scores), default=None)


def _numbers(scores: Iterable[float | None]) -> list[float]:
    return [score for score in scores if score is not None and math.isfinite(score)]


def _dice(value: float | None) -> float:
    """What a trial scored.

    Raises:
        SegdistillError: it has no Dice.
    """
    for score in _numbers([value]):
        return score
    raise SegdistillError(
        "the validation gave no Dice: none of its cases has a class to segment, or training went astray; look at "
        "labels and splits with `segdistill data check`, or name cases in data.splits.validation"
    )


def _made(study: Any, optuna: Any) -> list[Any]:
    return list(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))


def _of_recipe(trials: list[Any]) -> Any:
    """The trial with the recipe's own settings; None before it was made."""
    return next((one for one in trials if one.user_attrs.get("own")), None)


def _kept(study: Any, optuna: Any, alone: Recipe, out: Path) -> Tuned:
    made = _made(study, optuna)
    best, before = study.best_trial, _of_recipe(made)
    told = {"trials": len(made), "best": round(best.value, 5), "before": round(before.value, 5)}
    found = best.user_attrs["settings"]
    whose = {"student": alone.student, "data": Path(alone.data.path or "").name, "epochs": alone.train.epochs}
    settings = {
        "kind": "protocol",
        "summary": f"the student alone, tuned in {len(made)} trials on the validation cases",
        "tuned": told | {"searched": list(SEARCHED)} | whose | {"settings": flat(found)},
        **found,
    }
    head = (
        f"# Found by `segdistill study tune` on {time.strftime('%Y-%m-%d')}, for {alone.student['type']}.\n"
    )
    write_text(out / "tuned.yaml", head + yaml.safe_dump(settings, sort_keys=False))
    rows = [{"number": t.number, "dice": t.value, **t.params} for t in made]
    write_json(out / "trials.json", {**told, "searched": list(SEARCHED), "trials_made": rows})
    return Tuned(settings, out / "tuned.yaml", best.value, before.value, len(made))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SegdistillError("Optuna is not installed; pip install 'segdistill[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna

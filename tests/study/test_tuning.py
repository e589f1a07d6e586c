from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.study.tuning import tune

pytest.importorskip("optuna")


def recipe(**over: Any) -> Recipe:
    return Recipe.load("hinton", {"data": {"path": "x"}}, **over)


class Landscape:
    """Dice by settings; the best learning rate is three times the recipe's."""

    without: Collection[str] = ()

    def __init__(self, failing: tuple[int, ...] = ()) -> None:
        self.tried: list[Recipe] = []
        self.failing = failing

    def __call__(self, tried: Recipe, folder: Path) -> float:
        self.tried.append(tried)
        if int(folder.name) in self.failing:
            raise SegdistillError("the loss is not finite")
        return 0.9 - abs(tried.train.optimizer["lr"] / 3e-3 - 1) / 10


def test_it_finds_what_is_better_and_says_what_it_did(tmp_path: Path) -> None:
    made = Landscape()
    found = tune(recipe(), tmp_path, trials=25, train_one=made)
    assert made.tried[0].train.optimizer["lr"] == 1e-3, "the recipe's own settings first"
    assert not any(one.terms or one.teachers for one in made.tried)
    assert found.before == pytest.approx(0.9 - 2 / 30) and found.best > 0.88 and found.trials == 25
    laid = Recipe.load("hinton", found.file)
    assert laid.tuned is not None and laid.tuned.trials == 25 and laid.name == "hinton"
    assert laid.train.optimizer["lr"] == pytest.approx(3e-3, rel=0.3)
    told = json.loads((tmp_path / "trials.json").read_text())
    assert len(told["trials_made"]) == 25 and told["best"] == pytest.approx(found.best, abs=1e-5)


def test_the_same_seed_makes_the_same_trials_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    whole, first, second = Landscape(), Landscape(), Landscape()
    tune(recipe(), tmp_path / "whole", trials=6, train_one=whole)
    tune(recipe(), tmp_path / "parts", trials=3, train_one=first)
    found = tune(recipe(), tmp_path / "parts", trials=6, train_one=second)
    assert len(first.tried) == 3 and len(second.tried) == 3 and found.trials == 6
    assert [one.train.optimizer["lr"] for one in first.tried] == [
        one.train.optimizer["lr"] for one in whole.tried[:3]
    ]
    again = Landscape()
    assert tune(recipe(), tmp_path / "parts", trials=6, train_one=again).best == found.best
    assert again.tried == []


def test_what_was_killed_is_gone_on_with_in_its_own_folder(tmp_path: Path) -> None:
    """The recipe's own settings too, which the gain is told against."""

    class Killed(Landscape):
        def __call__(self, tried: Recipe, folder: Path) -> float:
            self.folders = [*getattr(self, "folders", []), folder.name]
            super().__call__(tried, folder)
            raise KeyboardInterrupt

    class Watched(Landscape):
        def __call__(self, tried: Recipe, folder: Path) -> float:
            self.folders = [*getattr(self, "folders", []), folder.name]
            return super().__call__(tried, folder)

    killed, second = Killed(), Watched()
    with pytest.raises(KeyboardInterrupt):
        tune(recipe(), tmp_path, trials=3, train_one=killed)
    found = tune(recipe(), tmp_path, trials=3, train_one=second)
    assert second.tried[0] == killed.tried[0] and second.folders[0] == killed.folders[0]
    assert found.before == pytest.approx(0.9 - 2 / 30) and found.trials == 3
    assert len(set(second.folders)) == 3


def test_more_trials_are_other_trials(tmp_path: Path) -> None:
    first, second = Landscape(), Landscape()
    tune(recipe(), tmp_path, trials=3, train_one=first)
    tune(recipe(), tmp_path, trials=6, train_one=second)
    rates = [one.train.optimizer["lr"] for one in (*first.tried, *second.tried)]
    assert len(set(rates)) == 6


def test_small_rotations_can_be_left_alone(tmp_path: Path) -> None:
    made = Landscape()
    tune(
        recipe(data={"path": "x", "augmentation": {"affine": 0}}),
        tmp_path,
        trials=8,
        affine=False,
        train_one=made,
    )
    assert {one.data.augmentation["affine"] for one in made.tried if one.data.augmentation} == {0}


def test_a_trial_that_fails_is_passed_over(tmp_path: Path) -> None:
    found = tune(recipe(), tmp_path / "a", trials=4, train_one=Landscape(failing=(1, 2)))
    assert found.trials == 4
    with pytest.raises(SegdistillError, match="with the recipe's own settings: the loss is not finite"):
        tune(recipe(), tmp_path / "b", trials=4, train_one=Landscape(failing=(0,)))


def test_the_first_trial_is_of_the_recipe_as_it_is(tmp_path: Path) -> None:
    """To the last digit, whatever else is searched; the search may come back to it."""
    augmentation = {"affine": 0.35, "intensity": 0.07, "flip": 0.25, "rotation": 5}
    own = recipe(data={"path": "x", "augmentation": augmentation}, train={"optimizer": {"lr": 1.23456e-3}})
    for name, affine in (("a", True), ("b", False)):
        made = Landscape()
        tune(own, tmp_path / name, trials=12, affine=affine, train_one=made)
        first = made.tried[0]
        assert first.train == own.train and first.data == own.data
        assert {(one.data.augmentation or {})["intensity"] for one in made.tried} > {0.07}
    plain, made = recipe(data={"path": "x", "augmentation": None}), Landscape()
    found = tune(plain, tmp_path / "c", trials=1, train_one=made)
    assert made.tried[0].data.augmentation is None
    assert Recipe.load("hinton", found.file).data.augmentation is None


def test_a_tuning_that_an_earlier_version_began_with_other_settings_is_told(tmp_path: Path) -> None:
    """Its trials had the nearest of its choices for the recipe's own."""
    import optuna

    own = recipe(data={"path": "x", "augmentation": {"affine": 0.35}})
    tune(own, tmp_path, trials=1, train_one=Landscape())
    (tmp_path / "trials.log").unlink()
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "trials.log"))
    )
    before = optuna.create_study(study_name="student alone", storage=storage, direction="maximize").ask()
    before.suggest_categorical("affine", (0.0, 0.2, 0.5))
    with pytest.raises(
        SegdistillError, match=r"did not try the recipe's own affine \(0.35\); choose another"
    ):
        tune(own, tmp_path, trials=1, train_one=Landscape())


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_trial_without_a_dice_has_failed(tmp_path: Path, nothing: float | None) -> None:
    class Without(Landscape):
        def __call__(self, tried: Recipe, folder: Path) -> float:
            value = super().__call__(tried, folder)
            return nothing if folder.name in self.without else value  # type: ignore[return-value]

    some, none = Without(), Without()
    some.without, none.without = {"1", "2"}, {"0"}
    assert tune(recipe(), tmp_path / "a", trials=4, train_one=some).trials == 4
    with pytest.raises(
        SegdistillError, match=r"own settings: the validation gave no Dice: .* `segdistill data check`"
    ):
        tune(recipe(), tmp_path / "b", trials=2, train_one=none)


def test_validations_without_a_dice_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that no validation case has gives none."""
    scores: list[float | None] = [None, 0.5, 0.4, float("nan")]

    class Validated:
        def events(self) -> list[dict[str, Any]]:
            return [{"event": "epoch", "validation": {"dice": score}} for score in scores]

    monkeypatch.setattr("segdistill.study.tuning.train", lambda *_, **__: Validated())
    assert tune(recipe(), tmp_path / "a", trials=1).best == 0.5
    scores[1:] = [None]
    with pytest.raises(SegdistillError, match="the validation gave no Dice"):
        tune(recipe(), tmp_path / "b", trials=1)


def test_what_cannot_be(tmp_path: Path) -> None:
    tune(recipe(), tmp_path / "a", trials=1, train_one=Landscape())
    with pytest.raises(SegdistillError, match="was tuned with another recipe"):
        tune(recipe(train={"epochs": 3}), tmp_path / "a", trials=1, train_one=Landscape())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("")
    with pytest.raises(SegdistillError, match="is not the folder of a tuning"):
        tune(recipe(), tmp_path / "b", trials=1, train_one=Landscape())
    with pytest.raises(SegdistillError, match="--trials: one at least"):
        tune(recipe(), tmp_path / "c", trials=0)


def test_what_is_kept_is_a_protocol(tmp_path: Path) -> None:
    found = tune(recipe(), tmp_path, trials=2, train_one=Landscape())
    written = yaml.safe_load(found.file.read_text())
    assert written["kind"] == "protocol" and set(written) == {"kind", "summary", "tuned", "train", "data"}
    tuned = written["tuned"]
    assert tuned["data"] == "x" and tuned["student"]["type"] == "unet"
    assert tuned["settings"]["train.optimizer.lr"] == written["train"]["optimizer"]["lr"]
    assert tuned["settings"]["data.augmentation.flip"] == written["data"]["augmentation"]["flip"]

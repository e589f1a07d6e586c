from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.composition import merge, parse_override, shipped
from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe

FULL: dict[str, Any] = {
    "name": "all kinds of parts",
    "data": {
        "path": "data/Bilder für alle", "channels": {"CT": {"type": "window", "low": -160, "high": 240}},
        "spacing": [1.5, 1.5, None], "patch_size": [32, 32, 16], "augmentation": {"flip": 0.25},
        "slices": {"axis": 1}, "splits": {"test": ["a", "b"], "fold": 2}, "batch_size": 4,
    },
    "student": {"type": "unet", "channels": [4, 8]},
    "teachers": {
        "big": {"run": "runs/big", "weight": 0.5, "train": {"epochs": 3, "optimizer": {"lr": "5e-4"}}},
        "named": {"network": {"preset": "t1", "filters": 4}},
    },
    "segmentation": {"loss": {"type": "dice_ce", "ce": 0.5}, "weight": 0.1},
    "terms": {
        "response": {
            "loss": {"type": "kl", "temperature": 4},
            "weight": {"type": "linear", "start": 0, "end": 1, "epochs": 9},
        },
        "pairs": {
            "loss": "attention_transfer", "teachers": ["big"],
            "pairs": [["encoder/2", ["encoder/4", "decoder/1"]], ["decoder/1", "decoder/1"]],
        },
        "hint": {
            "loss": "mse", "student": "encoder/2", "teacher": "encoder/4", "projector": "convolution", "weight": "1e-3",
        },
    },
    "train": {"optimizer": {"type": "sgd", "lr": "1e-3"}, "schedule": "cosine", "early_stopping": {"patience": 3}},
}  # fmt: skip


def test_defaults_alone_are_a_recipe() -> None:
    recipe = Recipe.load({})
    assert recipe.student["type"] == "unet" and recipe.student["channels"] == [16, 32, 64, 128]
    assert recipe.train.optimizer == {
        "type": "adamw", "lr": 1e-3, "weight_decay": 1e-4, "betas": [0.9, 0.999]
    }  # fmt: skip
    assert recipe.data.augmentation is not None and recipe.data.augmentation["flip"] == 0.5


def test_recipes_share_nothing() -> None:
    first, second = Recipe.load({}), Recipe.load({})
    first.data.channels["CT"] = {"type": "ct"}
    first.train.optimizer["lr"] = 7
    first.segmentation.head_weights.append(9)
    assert second == Recipe.load({})
    given = {"terms": {"a": {"loss": {"type": "kl"}}}, "teachers": {"t": {}}}
    Recipe.load(given)
    assert given == {"terms": {"a": {"loss": {"type": "kl"}}}, "teachers": {"t": {}}}


@pytest.mark.parametrize(
    "source", [{}, FULL, *shipped()], ids=lambda s: s if isinstance(s, str) else s.get("name", "empty")
)
def test_what_is_written_is_read_again_with_every_default(source: Any, tmp_path: Path) -> None:
    recipe = Recipe.load(source)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    again = Recipe.load(path)
    assert again == recipe
    assert again.to_yaml() == path.read_text(encoding="utf-8")


@settings(max_examples=40)
@given(
    lr=st.floats(1e-12, 10), weight=st.floats(0, 1e6), temperature=st.floats(1e-3, 1e3),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
)  # fmt: skip
def test_numbers_and_names_survive_the_file(lr: float, weight: float, temperature: float, name: str) -> None:
    terms = {"a" + name: {"loss": {"type": "kl", "temperature": temperature}, "weight": weight}}
    recipe = Recipe.load({"name": name, "terms": terms, "train": {"optimizer": {"type": "adam", "lr": lr}}})
    assert Recipe.load(yaml.safe_load(recipe.to_yaml())) == recipe


def test_numbers_as_people_write_them() -> None:
    """YAML reads 1e-3 as text."""
    assert yaml.safe_load("lr: 1e-3") == {"lr": "1e-3"}
    recipe = Recipe.load(FULL)
    assert recipe.train.optimizer["lr"] == 1e-3
    assert recipe.terms["hint"].weight == 1e-3
    assert Recipe.load({}, overrides=["train.optimizer.lr=1e-3"]).train.optimizer["lr"] == 1e-3
    assert Recipe.load(FULL, overrides=["terms.response.weight=1e-3"]).terms["response"].weight == 1e-3


def test_name_alone_is_a_part() -> None:
    recipe = Recipe.load(FULL)
    assert recipe.train.schedule == {"type": "cosine", "floor": 0.0, "warmup": 0.0}
    assert recipe.terms["hint"].projector == {"type": "convolution"}
    assert recipe.terms["pairs"].loss == {"type": "attention_transfer", "power": 2.0}
    changed = Recipe.load(FULL, overrides=["student=ux_net", "terms.pairs.loss.power=4"])
    assert changed.student == Recipe.load({}, student={"type": "ux_net"}).student
    assert changed.terms["pairs"].loss == {"type": "attention_transfer", "power": 4.0}


def test_later_recipes_win_and_part_of_another_type_replaces_the_part(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("student: {type: ux_net}\ntrain: {optimizer: {type: sgd}, epochs: 7}\n")
    recipe = Recipe.load("hinton", mine, {"train": {"epochs": 8}}, train={"seed": 3})
    assert (recipe.name, recipe.train.epochs, recipe.train.seed) == ("mine", 8, 3)
    assert recipe.student["type"] == "ux_net" and "channels" not in recipe.student
    assert recipe.train.optimizer["type"] == "sgd" and recipe.train.optimizer["lr"] == 1e-2
    assert recipe.terms["response"].loss["temperature"] == 4 and recipe.terms["response"].weight == 0.9


def test_settings_of_the_same_type_are_laid_over() -> None:
    recipe = Recipe.load(
        "hinton", {"student": {"channels": [2, 4]}, "train": {"optimizer": {"type": "adamw", "lr": 1}}}
    )
    assert recipe.student["type"] == "unet" and recipe.student["channels"] == [2, 4]
    assert recipe.train.optimizer["lr"] == 1 and recipe.train.optimizer["weight_decay"] == 1e-4


def test_type_replaces_a_preset_and_the_other_way_round() -> None:
    assert Recipe.load("teach_former", overrides=["student.type=unet"]).student["type"] == "unet"
    assert Recipe.load("hinton", overrides=["student.preset=s2"]).student == {"preset": "s2"}
    assert Recipe.load("teach_former", overrides=["student.filters=4"]).student == {
        "preset": "s1",
        "filters": 4,
    }


@pytest.mark.parametrize(
    "overrides",
    [
        ["student.type=swin_unetr", "student.feature_size=12", "train.epochs=3", "terms.response.loss.temperature=2"],
        ["student=swin_unetr", "student.feature_size=12", "train={epochs: 4, seed: 1}", "train.epochs=3"],
        [
            "train.optimizer.lr=1", "train.optimizer={type: sgd, momentum: 0.5}",
            "student={type: unetr, heads: 4}", "student.hidden_size=48",
        ],
    ],
)  # fmt: skip
def test_order_of_overrides_does_not_matter(overrides: list[str]) -> None:
    recipes = [Recipe.load("hinton", overrides=order) for order in permutations(overrides)]
    assert all(recipe == recipes[0] for recipe in recipes)
    assert recipes[0] != Recipe.load("hinton")


def test_default_parts_need_not_be_named() -> None:
    words = [
        "student.channels=[2, 4]",
        "train.optimizer.lr=1",
        "train.schedule.power=2",
        "segmentation.loss.gamma=3",
    ]
    recipe = Recipe.load({}, overrides=words)
    assert recipe.student["type"] == "unet" and recipe.student["channels"] == [2, 4]
    assert (recipe.train.optimizer["lr"], recipe.train.schedule["power"]) == (1, 2)
    assert recipe.segmentation.loss["gamma"] == 3


def test_of_one_key_given_twice_the_last_counts() -> None:
    assert Recipe.load({}, overrides=["train.epochs=3", "train.epochs=4"]).train.epochs == 4


@pytest.mark.parametrize(
    "text, data",
    [
        ("train.epochs=50", {"train": {"epochs": 50}}),
        ("data.path=a=b c", {"data": {"path": "a=b c"}}),
        ("data.patch_size=[1, 2]", {"data": {"patch_size": [1, 2]}}),
        ("data.augmentation=null", {"data": {"augmentation": None}}),
        ("data.augmentation=", {"data": {"augmentation": None}}),
        (" a.b = {c: d}", {"a": {"b": {"c": "d"}}}),
    ],
)
def test_overrides(text: str, data: dict[str, Any]) -> None:
    assert parse_override(text) == data


def test_merge_changes_neither_side() -> None:
    base, over = {"a": {"b": 1}, "c": [1]}, {"a": {"d": 2}, "c": [2]}
    assert merge(base, over) == {"a": {"b": 1, "d": 2}, "c": [2]}
    assert (base, over) == ({"a": {"b": 1}, "c": [1]}, {"a": {"d": 2}, "c": [2]})


@pytest.mark.parametrize(
    "override, told",
    [
        # a misspelt key, at every depth
        ("trian.epochs=3", "recipe: 'trian' is unknown; did you mean 'train'? (choices: combine, critic, data,"),
        ("train.epoch=3", "recipe: train: 'epoch' is unknown; did you mean 'epochs'?"),
        ("data.splits.foldd=3", "recipe: data.splits: 'foldd' is unknown; did you mean 'fold'?"),
        ("data.slices.axes=1", "recipe: data.slices: 'axes' is unknown; did you mean 'axis'?"),
        ("train.early_stopping.patiens=1", "recipe: train.early_stopping: 'patiens' is unknown; did you mean"),
        ("teachers.big.wieght=1", "recipe: teachers.big: 'wieght' is unknown; did you mean 'weight'?"),
        ("terms.hint.wieght=1", "recipe: terms.hint: 'wieght' is unknown; did you mean 'weight'?"),
        ("terms.loss={loss: mse, wieght: 1}", "recipe: terms.loss: 'wieght' is unknown; did you mean 'weight'?"),
        ("terms.a-1={loss: mse, wieght: 1}", "recipe: terms.a-1: 'wieght' is unknown; did you mean 'weight'?"),
        ("terms.response.loss.temprature=1", "terms.response.loss: 'temprature' is unknown; did you mean"),
        ("terms.response.weight.strat=1", "terms.response.weight: 'strat' is unknown; did you mean 'start'?"),
        ("terms.hint.projector.sied=teacher", "terms.hint.projector: 'sied' is unknown"),
        ("student.chanels=[1]", "student: 'chanels' is unknown; did you mean 'channels'?"),
        ("teachers.named.network.filter=1", "teachers.named.network: 'filter' is unknown; did you mean 'filters'?"),
        ("teachers.big.train.epoch=1", "teachers.big.train: 'epoch' is unknown; did you mean 'epochs'?"),
        ("teachers.big.train.optimizer.rate=1", "teachers.big.train.optimizer: 'rate' is unknown"),
        ("segmentation.loss.dise=1", "segmentation.loss: 'dise' is unknown; did you mean 'dice'?"),
        ("data.augmentation.flips=1", "data.augmentation: 'flips' is unknown; did you mean 'flip'?"),
        ("data.channels.CT.lo=1", "data.channels.CT: 'lo' is unknown; did you mean 'low'?"),
        ("train.optimizer.momentun=1", "train.optimizer: 'momentun' is unknown; did you mean 'momentum'?"),
        ("train.schedule.flor=1", "train.schedule: 'flor' is unknown; did you mean 'floor'?"),
        # a part that there is none of
        ("student.type=unett", "student.type: 'unett' is unknown; did you mean 'unet'? (choices: al_net,"),
        ("student.preset=s9", "student.preset: 's9' is unknown"),
        ("student={preset: s1, type: unet}", "student: give `type` or `preset`, not both"),
        ("terms.response.loss.type=kll", "terms.response.loss.type: 'kll' is unknown; did you mean 'kl'?"),
        ("terms.response.weight.type=liner", "terms.response.weight.type: 'liner' is unknown; did you mean 'linear'?"),
        ("terms.hint.projector=conv", "terms.hint.projector.type: 'conv' is unknown"),
        ("terms.hint.teachers=[bigg]", "terms.hint.teachers: 'bigg' is unknown; did you mean 'big'? (choices: big"),
        ("train.optimizer=adamm", "train.optimizer.type: 'adamm' is unknown; did you mean 'adam'?"),
        ("data.channels.CT=mrt", "data.channels.CT.type: 'mrt' is unknown; did you mean 'mr'?"),
        # a number out of range, a value of the wrong kind
        ("train.epochs=0", "recipe: train.epochs: should be greater than or equal to 1, got 0"),
        ("train.epochs=many", "recipe: train.epochs: should be a whole number"),
        ("train.precision=fp16", "recipe: train.precision: should be '32-true', 'bf16-mixed' or '16-mixed'"),
        ("data.oversample_foreground=2", "recipe: data.oversample_foreground: should be less than or equal to 1"),
        ("data.spacing=[1, 0, 1]", "recipe: data.spacing.1: should be greater than 0, got 0"),
        ("data.spacing=medain", "recipe: data.spacing: should be a list such as [a, b] or 'median', got 'medain'"),
        ("data.patch_size=[16, -16]", "recipe: data.patch_size.1: should be greater than or equal to 1, got -16"),
        ("data.slices.axis=3", "recipe: data.slices.axis: should be less than or equal to 2, got 3"),
        ("teachers.big.weight=-1", "recipe: teachers.big.weight: should be greater than or equal to 0, got -1"),
        (
            "terms.response.weight=-1",
            "recipe: terms.response.weight: should be greater than or equal to 0 or {key: value, ...}, got -1",
        ),
        ("terms.response.weight=.nan", "recipe: terms.response.weight: should be a finite number"),
        ("terms.response.weight.end=-1", "terms.response.weight.end: should be greater than or equal to 0"),
        ("terms.response.loss.temperature=0", "terms.response.loss.temperature: should be greater than 0, got 0"),
        ("terms.pairs.loss.power=0.5", "terms.pairs.loss.power: should be greater than or equal to 1, got 0.5"),
        ("terms.hint.teachers=[]", "recipe: terms.hint.teachers: List should have at least 1 item"),
        ("terms.pairs.pairs=[]", "recipe: terms.pairs.pairs: List should have at least 1 item"),
        ("terms.pairs.pairs=[[a, b, c]]", "recipe: terms.pairs.pairs.0: Tuple should have at most 2 items"),
        ("terms.pairs.pairs=[[a, []]]", "recipe: terms.pairs.pairs.0.1: "),
        ("terms.pairs.student=logits", "terms.pairs: give `pairs`, or `student` and `teacher`, not both"),
        ("terms.total.loss=kl", "terms.total: the log has a loss of that name already"),
        ("train.optimizer.lr=.inf", "train.optimizer.lr: should be a finite number, got inf"),
        ("train.optimizer.momentum=1", "train.optimizer.momentum: should be less than 1, got 1"),
        ("teachers.big.train.epochs=0", "teachers.big.train.epochs: should be greater than or equal to 1, got 0"),
        ("teachers.big.train.optimizer.lr=0", "teachers.big.train.optimizer.lr: should be greater than 0, got 0"),
        ("segmentation.head_weights=[]", "recipe: segmentation.head_weights: List should have at least 1 item"),
        ("student.channels=[4]", "student.channels: Tuple should have at least 2 items"),
        ("student.in_channels=3", "student.in_channels: follows from the data; leave it out"),
        (
            "train.accumulate=3",
            "data.batch_size: 4 cannot be shared evenly by 1 device(s) x train.accumulate 3; use a multiple of 3",
        ),
        (
            "teachers.big.train.devices=3",
            "data.batch_size: 4 cannot be shared evenly by 3 device(s) x teachers.big.train.accumulate 1",
        ),
        ("data=here", "recipe: data: should be {key: value, ...}, got 'here'"),
        # a word that is no override
        ("train.epochs", "'train.epochs': overrides are written key.path=value"),
        ("=3", "'=3': overrides are written key.path=value"),
        ("a=[1", "'a=[1': the value is not readable as YAML"),
    ],
)  # fmt: skip
def test_every_mistake_is_told_with_its_place_and_the_choices(override: str, told: str) -> None:
    with pytest.raises(SegdistillError) as error:
        Recipe.load(FULL, overrides=[override])
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    "text, told",
    [
        ("train: [", "not readable as YAML"),
        ("- a\n- b\n", r"expected sections \(data, student, terms, ...\), got list"),
        ("", "expected sections .*, got NoneType"),
        ("on: 3\n", "Keys should be strings, got True"),
        ("name: !!python/object/apply:os.system ['touch {marker}']\n", "not readable as YAML"),
    ],
)
def test_files_that_are_no_recipes(text: str, told: str, tmp_path: Path) -> None:
    path, marker = tmp_path / "mine.yaml", tmp_path / "marker"
    path.write_text(text.replace("{marker}", str(marker)))
    with pytest.raises(SegdistillError, match=told):
        Recipe.load(path)
    assert not marker.exists(), "something in the file was executed"


def test_recipe_that_is_not_there() -> None:
    with pytest.raises(SegdistillError, match=r"'hintn'.*did you mean 'hinton'\?.*teach_former"):
        Recipe.load("hintn")


def test_run_folder_is_a_recipe_too(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(Recipe.load(FULL).to_yaml(), encoding="utf-8")
    assert Recipe.load(tmp_path) == Recipe.load(FULL)
    with pytest.raises(SegdistillError, match="no such file"):
        Recipe.load(tmp_path.parent)


def test_stage_pairs() -> None:
    terms = Recipe.load(FULL).terms
    assert terms["response"].stage_pairs() == [("logits", "logits")]
    assert terms["hint"].stage_pairs() == [("encoder/2", "encoder/4")]
    assert terms["pairs"].stage_pairs() == [
        ("encoder/2", ["encoder/4", "decoder/1"]),
        ("decoder/1", "decoder/1"),
    ]


def test_null_takes_a_teacher_or_term_out() -> None:
    recipe = Recipe.load("teach_former", overrides=["teachers.unetr=null", "terms.fine=null"])
    assert set(recipe.teachers) == {"h_denseformer", "swin_unetr"} and set(recipe.terms) == {
        "coarse",
        "pixel",
    }

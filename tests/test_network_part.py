"""What a recipe may say of a network: width, a teacher's likeness, a budget."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segdistill.atomic import write_json
from segdistill.cost import count
from segdistill.cost.budget import choose
from segdistill.errors import SegdistillError
from segdistill.model import Facts, build_network, resolve_network
from segdistill.network_part import complete_network
from segdistill.quantity import quantity
from segdistill.recipe import Recipe

FACTS = Facts(3, 2, 3, (32, 32, 16))
WIDE = {"type": "unet", "channels": [32, 64, 128, 256]}


def student(spec: dict[str, Any], network: Any = WIDE, **teacher: Any) -> dict[str, Any]:
    return Recipe.load(
        "hinton", student=spec, teachers={"teacher": {"run": "runs/none", "network": network, **teacher}}
    ).student


def test_a_student_like_its_teacher_is_as_deep_and_narrower() -> None:
    part = student({"like": "teacher", "width": "1/4"}, {**WIDE, "convolutions": 3, "dropout": 0.1})
    assert part == {
        **{"type": "unet", "channels": [8, 16, 32, 64], "convolutions": 3, "dropout": 0.1},
        "deep_supervision": False,
    }


def test_without_a_width_it_is_the_teachers_own_network() -> None:
    assert student({"like": "teacher"})["channels"] == WIDE["channels"]


def test_what_is_said_beside_it_changes_it() -> None:
    part = student({"like": "teacher", "width": 0.5, "convolutions": 1, "inputs": ["CT"]})
    assert (part["channels"], part["convolutions"], part["inputs"]) == ([16, 32, 64, 128], 1, ["CT"])


def test_like_a_preset_waits_for_the_dimensions() -> None:
    part = student({"like": "teacher", "width": "1/2"}, {"preset": "t2"})
    assert part == {"preset": "t2", "width": "1/2"}
    widths = [resolve_network(part, Facts(d, 1, 2, (32,) * d), "student")["feature_size"] for d in (2, 3)]
    assert widths == [24, 12]


def test_the_only_teacher_is_meant_by_teacher() -> None:
    recipe = Recipe.load(
        "teach_former",
        student={"like": "teacher", "width": "1/2"},
        teachers={
            "h_denseformer": {"network": {"type": "h_denseformer", "filters": 8}},
            "swin_unetr": None,
            "unetr": None,
        },
    )
    assert recipe.student["filters"] == 4


def test_like_one_of_several_teachers() -> None:
    recipe = Recipe.load("teach_former", student={"like": "swin_unetr", "width": "1/2"})
    assert resolve_network(recipe.student, FACTS, "student")["type"] == "swin_unetr"
    with pytest.raises(SegdistillError, match=r"student\.like: 'teacher' is unknown.*choices: h_denseformer"):
        Recipe.load("teach_former", student={"like": "teacher"})


def test_like_a_teacher_that_was_trained_is_like_its_run(tmp_path: Path) -> None:
    part = {"type": "unet", "channels": [12, 24], "convolutions": 1, "dropout": 0.0, "deep_supervision": True}
    record = {"architecture": {"part": part | {"inputs": ["CT"]}}, "status": "finished"}
    write_json(tmp_path / "run.json", record)
    found = student({"like": "teacher", "width": "1/2"}, run=str(tmp_path))  # the recipe's network is another
    assert found == part | {"channels": [6, 12]}, (
        "and the student sees what it sees, not what its teacher does"
    )
    write_json(tmp_path / "run.json", record | {"status": "training"})
    assert student({"like": "teacher"}, run=str(tmp_path))["channels"] == WIDE["channels"], (
        "it will be trained"
    )


def test_the_same_recipe_is_the_same_student_before_and_after_the_teacher_was_trained(tmp_path: Path) -> None:
    network = {"type": "unet", "channels": [12, 24], "inputs": ["CT"]}
    before = student({"like": "teacher", "width": "1/2"}, network, run=str(tmp_path))
    part = complete_network(network, "teachers.teacher.network")
    write_json(tmp_path / "run.json", {"architecture": {"part": part}, "status": "finished"})
    assert student({"like": "teacher", "width": "1/2"}, network, run=str(tmp_path)) == before


def test_the_width_of_a_teacher_and_the_students_share_of_it_multiply() -> None:
    part = student({"like": "teacher", "width": "1/4"}, {"preset": "t1", "width": "1/2"})
    assert resolve_network(part, FACTS, "student")["filters"] == 4
    with pytest.raises(
        SegdistillError, match=r"student\.budget: teacher teacher is a preset at another width"
    ):
        student({"like": "teacher", "budget": {"macs": 1}}, {"preset": "t1", "width": "1/2"})


def test_what_a_recipe_says_of_a_width_or_budget_can_be_taken_back() -> None:
    part = complete_network({"type": "unet", "width": None, "budget": None, "inputs": None}, "student")
    assert part == complete_network("unet", "student")


def test_a_recipe_that_was_written_back_is_not_narrowed_again(tmp_path: Path) -> None:
    recipe = Recipe.load(
        "hinton", student={"like": "teacher", "width": "1/4"}, teachers={"teacher": {"network": WIDE}}
    )
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    assert Recipe.load(tmp_path / "again.yaml").student == recipe.student


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"like": "teacher", "type": "unet"}, "give `like`, or `type` or `preset`, not both"),
        ({"like": "teecher"}, "student.like: 'teecher' is unknown; did you mean 'teacher'"),
        (
            {"type": "ra_unet", "filters": 4, "width": "1/4"},
            "student.width: ra_unet: filters is a multiple of 4",
        ),
        ({"type": "unet", "channels": [8, 16], "width": "1/100"}, "the nearest is 1, 1/8"),
        ({"type": "unet", "width": "thin"}, "such as 1/4"),
        ({"type": "python", "class": "Mine", "width": "1/4"}, "a network of your own"),
        ({"type": "unet", "width": "1/2", "budget": {"macs": 1}}, "`width` or `budget`"),
        ({"type": "unet", "budget": {}}, "at least one of parameters, macs and latency_ms"),
        ({"type": "unet", "budget": {"macs": "1X"}}, "student.budget.macs: write a number above 0"),
        ({"type": "unet", "budget": {"macs": 0}}, "greater than 0"),
        ({"type": "unet", "budget": {"macs": True}}, "write a number above 0"),
        ({"type": "unet", "budget": {"macs": 1, "widest": 1e9}}, "less than or equal to 64"),
    ],
)
def test_what_does_not_go_together_is_told(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(SegdistillError) as error:
        student(spec)
    assert told in str(error.value)


def test_a_teacher_without_network_is_like_nothing() -> None:
    with pytest.raises(SegdistillError, match=r"teacher teacher has no network yet.*teachers\.teacher\.run"):
        student({"like": "teacher"}, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [("500k", 5e5), ("500K", 5e5), ("1.5M", 1.5e6), (".5M", 5e5), ("20 G", 2e10), ("3e2", 300), (7, 7)],
)
def test_quantities_are_written_as_people_write_them(text: object, number: float) -> None:
    assert quantity(text) == number


def of_budget(**budget: Any) -> dict[str, Any]:
    return complete_network(
        {"type": "unet", "channels": [8, 16, 32], "budget": budget}, "student", student=True
    )


def size(part: dict[str, Any]) -> int:
    return sum(p.numel() for p in build_network(part, FACTS, "student").parameters())


def wider(part: dict[str, Any]) -> dict[str, Any]:
    first = part["channels"][0] + 1
    return part | {"channels": [first, 2 * first, 4 * first]}


@pytest.mark.parametrize("parameters", [2e3, 1e4, 2.1e5])
def test_the_widest_that_has_no_more_parameters(parameters: float) -> None:
    choice = choose(of_budget(parameters=parameters), FACTS, "student")
    assert size(choice.part) <= parameters < size(wider(choice.part))
    assert [row.fits for row in choice.weighed] == sorted((row.fits for row in choice.weighed), reverse=True)
    assert any(row.part == choice.part for row in choice.weighed)


def test_the_widest_that_has_no_more_operations() -> None:
    part = choose(of_budget(macs="30M", parameters="1M"), FACTS, "student").part
    macs = [
        count(build_network(p, FACTS, "student"), (2, *FACTS.image_size)).macs for p in (part, wider(part))
    ]
    assert macs[0] <= 30e6 < macs[1]


def test_the_widest_is_no_wider_than_said() -> None:
    part = of_budget(parameters="1T", widest=2)
    assert choose(part, FACTS, "student").part["channels"] == [16, 32, 64]
    taught = student({"like": "teacher", "budget": {"parameters": "1T"}})
    assert choose(taught, FACTS, "student").part["channels"] == WIDE["channels"]


def test_the_nearest_is_named_where_nothing_fits() -> None:
    with pytest.raises(
        SegdistillError, match=r"no unet costs so little for an input of 2 x 32 x 32 x 16; the nearest"
    ):
        choose(of_budget(parameters=100), FACTS, "student")
    with pytest.raises(SegdistillError, match=r"channels 1,2,4: 1,\d{3} parameters, .* ms \(too much\)"):
        choose(of_budget(latency_ms=1e-6), FACTS, "student")


class Clock:
    """Times as a table tells them by the leading width, in the place of measured ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: dict[int, float]) -> None:
        self.asked: list[int] = []

        def measure(network: Any, *_: Any, **__: Any) -> Any:
            width = network.encoder[0][0][0].out_channels
            self.asked.append(width)
            return SimpleNamespace(p50_ms=times.get(width, 10.0 * width))

        monkeypatch.setattr("segdistill.cost.budget.measure", measure)


def test_a_wider_network_that_is_faster_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, {1: 180.0, 2: 258.0, 3: 164.0, 4: 214.0, 5: 219.0, 6: 265.0})
    choice = choose(of_budget(latency_ms=170), FACTS, "student")
    assert choice.part["channels"][0] >= 3
    assert clock.asked == list(dict.fromkeys(clock.asked)), "each is measured once"


def test_the_widest_that_is_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, {})
    choice = choose(of_budget(latency_ms=335), FACTS, "student")
    assert choice.part["channels"] == [33, 66, 132]
    assert max(clock.asked) < 100, "what is far too slow is not tried"
    assert all(row.latency_ms is not None for row in choice.weighed), (
        "nothing is said to fit that was not timed"
    )
    both = choose(of_budget(latency_ms=335, parameters="100k"), FACTS, "student").part
    assert both["channels"][0] == 8 and size(both) <= 100_000 < size(wider(both))


def test_a_time_is_measured_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, part = Clock(monkeypatch, {}), of_budget(latency_ms=45)
    first = choose(part, FACTS, "student", memory=tmp_path)
    count = len(clock.asked)
    again = choose(part, FACTS, "student", memory=tmp_path)
    assert (again.part, again.weighed) == (first.part, first.weighed) and len(clock.asked) == count
    assert again.earlier and not first.earlier
    assert first.kept is not None and list(tmp_path.iterdir()) == [first.kept]
    first.kept.write_text("{")  # cut short by a full disk
    assert choose(part, FACTS, "student", memory=tmp_path) == first and len(clock.asked) > count


def test_of_two_processes_that_measure_at_once_the_first_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = of_budget(latency_ms=45)
    Clock(monkeypatch, {})
    first = choose(part, FACTS, "student", memory=tmp_path)
    file = first.kept
    assert file is not None
    told = file.read_text()
    file.unlink()

    def meanwhile(*_: Any, **__: Any) -> Any:
        file.write_text(told)
        return SimpleNamespace(p50_ms=20.0)

    monkeypatch.setattr("segdistill.cost.budget.measure", meanwhile)
    assert choose(part, FACTS, "student", memory=tmp_path).part == first.part
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_counted_is_not_kept(tmp_path: Path) -> None:
    assert choose(of_budget(parameters="9k"), FACTS, "student", memory=tmp_path).kept is None
    assert not list(tmp_path.iterdir())


def test_a_size_that_does_not_fit_is_told_whatever_the_budget() -> None:
    odd = Facts(3, 1, 2, (30, 30, 30))
    for budget in ({"latency_ms": 1000}, {"macs": "1G"}):
        with pytest.raises(SegdistillError, match="divisible by 4"):
            choose(of_budget(**budget), odd, "student")


def test_a_family_ends_where_a_setting_does() -> None:
    part = {"type": "mobile_unet", "budget": {"parameters": "10G"}}
    chosen = choose(
        complete_network(part, "student", student=True), Facts(3, 1, 2, (64, 64, 64)), "student"
    ).part
    assert chosen["multiplier"] == 4


def test_a_word_that_is_misspelt_is_told() -> None:
    with pytest.raises(SegdistillError, match="student: 'widht' is unknown; did you mean 'width'"):
        complete_network({"type": "unet", "widht": "1/2"}, "student")


def test_a_family_without_members_is_told() -> None:
    part = complete_network(
        {"type": "unet", "channels": [8, 16], "budget": {"macs": "1T", "widest": 0.1}},
        "student",
        student=True,
    )
    with pytest.raises(SegdistillError, match=r"budget\.widest: 0\.1 times its width is narrower"):
        choose(part, FACTS, "student")
    wide = complete_network(
        {"type": "unet", "channels": [2048, 4096], "budget": {"parameters": "2k"}}, "student", student=True
    )
    assert choose(wide, Facts(2, 1, 2, (32, 32)), "student").part["channels"][0] < 10


@pytest.mark.parametrize("name", ["mobile_unet", "nnunet_plain", "segresnet", "swin_unetr", "h_denseformer"])
def test_other_families_have_budgets_too(name: str) -> None:
    part = complete_network({"type": name, "budget": {"parameters": "700k"}}, "student", student=True)
    chosen = choose(part, Facts(3, 1, 2, (64, 64, 64)), "student").part
    found = sum(
        p.numel() for p in build_network(chosen, Facts(3, 1, 2, (64, 64, 64)), "student").parameters()
    )
    assert 400_000 < found <= 700_000

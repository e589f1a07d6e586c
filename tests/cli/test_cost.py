"""`segdistill cost`: networks, presets, runs and recipes, as a table, for programs, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.data.phantom import make_phantom

Command = Callable[..., Any]


def rows(segdistill: Command, *words: str) -> list[dict[str, Any]]:
    answer = segdistill("cost", *words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_teach_formers_table_as_it_is_printed(segdistill: Command) -> None:
    told = rows(segdistill, "t1", "t2", "s3", "--size", "144,144,144", "--count-only")
    printed = [(11.38, 960.38), (5.38, 280.91), (5.12, 41.51)]
    for row, (millions, gflops) in zip(told, printed, strict=True):
        assert row["thop_parameters"] / 1e6 == pytest.approx(millions, abs=0.01)
        assert row["thop_macs"] / 1e9 == pytest.approx(gflops, abs=0.01)
        assert row["latency_ms"] is None and row["resident_mb"] is None


def test_a_table_for_people(segdistill: Command) -> None:
    answer = segdistill("cost", "t1", "unet", "--size", "32x32x32", "--count-only")
    assert answer.code == 0
    assert "counted for 2 x 32 x 32 x 32 to 2, batch 1, float32" in answer.out
    assert "measured" not in answer.out
    unet = next(line.split() for line in answer.out.splitlines() if line.split()[:1] == ["unet"])
    assert unet[1:6] == ["1.40", "1.77", "1.40", "1.99", "5.3"]


def test_settings_and_ends_can_be_given(segdistill: Command) -> None:
    small, wide = (
        rows(segdistill, "unet", f"channels={channels}", "--size", "32,32", "--count-only", *ends)[0]
        for channels, ends in (
            ("[4,8]", ["--channels", "1"]),
            ("[8,16]", ["--channels", "3", "--classes", "5"]),
        )
    )
    assert small["part"]["channels"] == [4, 8] and small["input"] == [1, 32, 32]
    assert (wide["input"], wide["classes"]) == ([3, 32, 32], 5)
    assert rows(segdistill, "unet", "width=1/2", "--count-only")[0]["part"]["channels"] == [8, 16, 32, 64]


def test_a_recipe_is_its_student_and_its_teachers(segdistill: Command) -> None:
    told = rows(segdistill, "hinton", "student.channels=[2,4]", "--size", "16,16,16", "--count-only")
    assert [row["name"] for row in told] == ["hinton: student", "hinton: teacher"]
    assert told[0]["parameters"] < told[1]["parameters"]


def test_a_name_of_both_is_the_network(segdistill: Command) -> None:
    network, *recipe = rows(segdistill, "missu", "recipe:missu", "--size", "32,32,32", "--count-only")
    assert network["part"]["type"] == "missu"
    assert recipe[0]["name"] == "missu: student"


def test_a_budget_says_what_was_weighed(segdistill: Command) -> None:
    words = ("hinton", "student.budget.parameters=20k", "--size", "16,16,16", "--count-only")
    student = rows(segdistill, *words)[0]
    assert student["parameters"] <= 20_000
    fits = [row.endswith("(fits)") for row in student["weighed"]]
    assert fits == sorted(fits, reverse=True) and not all(fits) and any(fits)
    answer = segdistill("cost", *words)
    assert "hinton: student: channels 1,2,4: 1,423 parameters (fits)" in answer.out


def test_limits_of_a_budget_add_up_in_any_order(segdistill: Command) -> None:
    words = ["budget.parameters=20k", "budget.macs=1M"]
    told = [
        rows(segdistill, "unet", *each, "--size", "16,16", "--count-only")[0] for each in (words, words[::-1])
    ]
    assert told[0]["part"] == told[1]["part"] and told[0]["macs"] <= 1e6
    answer = segdistill("cost", "unet", "budget.latency_ms=1000", "--count-only")
    assert answer.code == 2 and "has to be measured; leave --count-only out" in answer.err


def test_settings_that_not_all_have_leave_those_out_and_name_them(segdistill: Command) -> None:
    answer = segdistill("cost", "all", "width=1/4", "--size", "64,64", "--count-only", "--json")
    assert answer.code == 0 and "left out: axial_transformer.width" in answer.err
    assert len(json.loads(answer.out)) > 20


def test_a_recipe_with_images_has_their_channels_and_classes(segdistill: Command, tmp_path: Path) -> None:
    folder = make_phantom(tmp_path / "data", patients=4, size=(16, 16, 16), modalities=("CT", "PET", "MR"))
    words = ("hinton", f"data.path={folder}", "data.patch_size=[16,16,16]")
    for row in rows(segdistill, *words, "--count-only"):
        assert row["input"] == [3, 16, 16, 16]
    asked = rows(segdistill, *words, "--count-only", "--channels", "1", "--classes", "7")[0]
    assert (asked["input"][0], asked["classes"]) == (1, 7)


@pytest.mark.slow
def test_a_run_is_measured_at_its_own_ends(segdistill: Command, trained: Any) -> None:
    (told,) = rows(segdistill, trained.run, "--repeats", "3", "--threads", "1")
    own = json.loads((Path(trained.run) / "run.json").read_text())["architecture"]
    assert told["parameters"] == own["parameters"]
    assert told["input"] == [own["facts"]["in_channels"], *own["facts"]["image_size"]]
    assert told["latency_ms"]["threads"] == 1
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p95"]
    assert 100 < told["resident_mb"] < 2000, "the process, with torch in it"
    assert told["file_mb"] == pytest.approx(4 * own["parameters"] / 2**20, rel=0.01)
    assert told["peak_memory_mb"] == pytest.approx(told["file_mb"] + told["activation_mb"])


@pytest.mark.slow
def test_more_threads_and_larger_inputs_are_told_and_cost_more(segdistill: Command) -> None:
    large, small = (
        rows(segdistill, "unet", "--size", size, "--repeats", "3", "--threads", "2")[0]
        for size in ("64,64,64", "16,16,16")
    )
    assert large["latency_ms"]["threads"] == small["latency_ms"]["threads"] == 2
    assert large["latency_ms"]["p50"] > small["latency_ms"]["p50"]
    assert large["resident_mb"] > small["resident_mb"]


def test_a_picture(segdistill: Command, tmp_path: Path) -> None:
    picture = tmp_path / "price.png"
    words = ("cost", "unet", "s3", "t2", "--size", "32,32,32", "--count-only", "--plot", str(picture))
    answer = segdistill(*words)
    assert answer.code == 0 and f"picture: {picture}" in answer.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert segdistill(*words).code == 2, "it is not replaced without being told"
    assert segdistill(*words, "--overwrite").code == 0
    drawn = tmp_path / "price.svg"
    assert segdistill(*words[:-1], str(drawn)).code == 0
    assert "<svg" in drawn.read_text()

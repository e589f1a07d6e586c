from __future__ import annotations

from pathlib import Path

from segdistill.report.names import distinct, telling, without_folders


def named(*paths: str) -> dict[Path, str]:
    return {Path(path): Path(path).name for path in paths}


def test_a_name_that_others_have_says_its_folder() -> None:
    found = telling(named("/a/exp1/student", "/a/exp2/student", "/a/exp2/alone"))
    assert list(found.values()) == ["exp1/student", "exp2/student", "alone"]


def test_no_more_is_said_than_tells_them_apart() -> None:
    found = telling(named("/a/exp/student", "/b/exp/student", "/b/other/student"))
    assert list(found.values()) == ["a/exp/student", "b/exp/student", "other/student"]


def test_a_copy_that_still_has_the_name_of_the_first() -> None:
    found = telling({Path("/a/student"): "student", Path("/a/student_copy"): "student"})
    assert list(found.values()) == ["a/student", "student_copy"]


def test_a_name_that_cannot_be_told_otherwise_is_the_whole_path() -> None:
    assert telling({Path("/s"): "s", Path("/b/s"): "s"}) == {Path("/s"): "/s", Path("/b/s"): "b/s"}


def test_numbers_are_given_once() -> None:
    assert without_folders(["anna/student", "bert/student", "alone"]) == ["student", "student (2)", "alone"]
    assert distinct(["a", "a_2", "a", "a"], "_{}") == ["a", "a_2", "a_3", "a_4"]

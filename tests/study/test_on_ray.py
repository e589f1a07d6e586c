from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.study.definition import Study
from segdistill.study.folder import StudyFolder
from segdistill.study.local import run_all
from segdistill.study.on_ray import OnRay


@pytest.fixture
def ray() -> Iterator[Any]:
    """Ray with two workers on this machine; where it is not installed the test is skipped."""
    found = pytest.importorskip("ray", reason="needs Ray: pip install 'segdistill[ray]'")
    found.init(num_cpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    yield found
    found.shutdown()


@pytest.mark.slow
def test_runs_of_a_study_are_tasks(study: Callable[..., Study], tmp_path: Path, ray: Any) -> None:
    """Two at once; one that cannot be trained fails, and its log says why."""
    bad = {
        "recipe": "student_alone",
        "settings": {"data": {"patch_size": [9, 9, 9]}, "student": {"preset": "t1"}},
    }
    folder = StudyFolder.begin(tmp_path, study(groups={"bad": bad}))
    most: list[int] = []

    def look(_: object) -> None:
        most.append(list(folder.statuses().values()).count("running"))

    run_all(folder, jobs=2, start=OnRay(), look=look)
    statuses = folder.statuses()
    assert statuses.pop("bad_seed0") == "failed" and set(statuses.values()) == {"done"}
    assert folder.why_failed("bad_seed0").startswith("error: ")
    assert max(most) <= 2


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SegdistillError, match=r"pip install 'segdistill\[ray\]'"):
        OnRay()

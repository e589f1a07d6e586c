"""Run a study on a Ray cluster: each run is a task of its own on whichever node has room."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.study.expansion import Planned
from segdistill.study.folder import StudyFolder
from segdistill.study.local import Job, command


@dataclass(frozen=True)
class RayJob:
    """A run that is a task of Ray."""

    ray: Any
    task: Any

    def poll(self) -> int | None:
        done, _ = self.ray.wait([self.task], timeout=0)
        if not done:
            return None
        try:
            return int(self.ray.get(self.task))
        except self.ray.exceptions.RayError:
            return 1

    def stop(self) -> None:
        self.ray.cancel(self.task, force=True)


class OnRay:
    """Starts runs on a cluster whose nodes see the study's folder under the same path.

    Args:
        address: of the cluster; None: a cluster of this machine alone.
        cpus, gpus: that a run takes, which may be parts of one. Ray shows a run no more GPUs than it takes.

    Raises:
        SegdistillError: Ray is not installed, the cluster does not answer, or a run can never have that many.
    """

    def __init__(self, address: str | None = None, *, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError:
            raise SegdistillError("Ray is not installed; pip install 'segdistill[ray]'") from None
        self._ray: Any = ray
        for kind, number in (("cpus", cpus), ("gpus", gpus)):
            if number > 1 and number != int(number):
                raise SegdistillError(f"--ray-{kind} {number:g}: Ray gives a part of one, or whole ones")
        try:
            ray.init(
                address=address or "local",
                ignore_reinit_error=True,
                log_to_driver=False,
                include_dashboard=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SegdistillError(f"--ray {address}: {error}") from error
        if address is None:  # other clusters may grow
            _must_have({"CPU": cpus, "GPU": gpus}, ray.cluster_resources())
        self._perform = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_perform)

    def __call__(self, folder: StudyFolder, planned: Planned, jobs: int) -> Job:
        """Start a run."""
        log = folder.file(f"logs/{planned.name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        return RayJob(self._ray, self._perform.remote(command(folder, planned.name), str(log)))


def _must_have(asked: Mapping[str, float], there: Mapping[str, float]) -> None:
    """A run that asks for more than there is would wait for ever."""
    for kind, number in asked.items():
        if number > there.get(kind, 0):
            raise SegdistillError(
                f"--ray-{kind.lower()}s {number:g}: this machine has {there.get(kind, 0):g} for Ray; ask for fewer"
            )


def _perform(words: list[str], log: str) -> int:
    with open(log, "ab") as out:
        return subprocess.run(words, stdout=out, stderr=subprocess.STDOUT, check=False).returncode

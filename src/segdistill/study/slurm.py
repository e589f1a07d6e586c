"""A study as job arrays of a SLURM cluster: one array for each generation of teachers, one task for each run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from segdistill.atomic import write_text
from segdistill.study.expansion import Planned
from segdistill.study.folder import StudyFolder

SCRIPT = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}{at_once}
#SBATCH --output={logs}/slurm-%A_%a.log
{options}set -euo pipefail
runs=({runs})
# Runs that are done end at once; those that were killed go on where they were.
exec {command} study perform {study} "${{runs[$SLURM_ARRAY_TASK_ID]}}"
"""


def write_arrays(
    folder: StudyFolder,
    options: Sequence[str] = (),
    *,
    at_once: int | None = None,
    command: str = "segdistill",
) -> list[Path]:
    """Write slurm/generation_N.sh and slurm/submit.sh, which submits them one after another; the script to run is last.

    Args:
        options: of sbatch, such as "--time=12:00:00" and "--gres=gpu:1".
        at_once: tasks of an array that may run at the same time.
        command: that starts segdistill on a node.
    """
    folder.make_data()  # once, not by every task
    place, written = folder.file("slurm").resolve(), []
    folder.file("logs").mkdir(exist_ok=True)
    for number, runs in enumerate(generations(folder.planned)):
        script = place / f"generation_{number}.sh"
        write_text(
            script,
            SCRIPT.format(
                name=f"{folder.study.name}_{number}", last=len(runs) - 1, at_once=f"%{at_once}" if at_once else "",
                logs=shlex.quote(str(folder.file("logs").resolve())),
                options="".join(f"#SBATCH {option}\n" for option in options),
                runs=" ".join(shlex.quote(one.name) for one in runs),
                command=command, study=shlex.quote(str(folder.path.resolve())),
            ),
        )  # fmt: skip
        written.append(script)
    lines = [
        "#!/bin/bash",
        "# Each generation begins when the one before has ended; a run whose teachers failed says so and ends.",
        "set -euo pipefail",
    ]
    for number, script in enumerate(written):
        after = '--dependency=afterany:"$job" ' if number else ""
        lines.append(f"job=$(sbatch --parsable {after}{shlex.quote(str(script))})")
        lines.append(f'echo "generation {number}: job $job"')
    submit = place / "submit.sh"
    write_text(submit, "\n".join(lines) + "\n")
    for script in (*written, submit):
        script.chmod(0o755)
    return [*written, submit]


def generations(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Runs that can go at the same time, teachers before their students."""
    depth: dict[str, int] = {}
    for one in planned:  # teachers come first
        depth[one.name] = 1 + max((depth[each] for each in one.needs), default=-1)
    return [
        [one for one in planned if depth[one.name] == number]
        for number in range(1 + max(depth.values(), default=-1))
    ]

"""The small files of a study, to commit or publish: what its tables and figures are made from, without checkpoints."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from segdistill.atomic import write_text
from segdistill.errors import SegdistillError
from segdistill.report.shown import Shown
from segdistill.study.expansion import RUNS
from segdistill.study.folder import StudyFolder
from segdistill.study.places import Places
from segdistill.study.report import report

OURS = ("study.yaml", "command.txt", RUNS, "report")
OF_A_RUN = ("recipe.yaml", "run.json", "splits.json", "log.jsonl", "metrics.json", "cost.json")
TEXTS = frozenset({".yaml", ".json", ".jsonl", ".md", ".html", ".txt", ".svg"})


def keep(folder: StudyFolder, out: Path, *, pictures: bool = True, overwrite: bool = False) -> list[Path]:
    """Copy the small files of the runs that are done into a folder that is a study's, too, and write its report.

    `segdistill study report OUT` makes tables and figures again from what lies there. Where images, teachers and runs
    lay on this machine is left out: the folder of the images becomes DATA, the study's STUDY (see `places`).

    Args:
        out: the folder.
        pictures: images of cases in the report; False for sets that may not be passed on.
        overwrite: replace what was kept there before; other files in it stay.

    Returns:
        What was written.

    Raises:
        SegdistillError: no run is done, `out` holds a study that may not be replaced, or a text would still say a place
            that the study names, or a path in the home or temporary folder.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise SegdistillError(f"{out} is a file; choose a folder")
    if any((out / name).resolve() in (folder.path, *folder.path.parents) for name in ("", *OURS)):
        raise SegdistillError(
            f"{out} is the study itself, or what would be replaced there holds it; choose another folder"
        )
    if (there := [name for name in OURS if (out / name).exists()]) and not overwrite:
        raise SegdistillError(
            f"{out} holds {', '.join(there)} already; say --overwrite to replace them, or choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".keeping-") as made:
        temporary = Path(made)
        places = Places.of(folder, also={str(temporary / "report"): "report"})
        shutil.copy2(folder.file("study.yaml"), temporary / "study.yaml")
        if again := _command(folder):
            write_text(temporary / "command.txt", f"{again}\n")
        for name, status in folder.statuses().items():
            if status == "done":
                (temporary / RUNS / name).mkdir(parents=True)
                for each in OF_A_RUN:
                    if not folder.run(name).file(each).is_file():
                        raise SegdistillError(
                            f"{folder.run(name).path} has no {each}, so it cannot be kept; restore it"
                        )
                    shutil.copy2(folder.run(name).file(each), temporary / RUNS / name / each)
        report(folder, temporary / "report", shown=Shown(images=pictures), command=again)
        for file in _files(temporary):
            if file.suffix in TEXTS:
                text = places.without(file.read_text(encoding="utf-8"))
                if (left := places.left_in(text)) is not None:
                    raise SegdistillError(
                        f"{file.relative_to(temporary)} would say {left}, a place on this machine; nothing was kept: "
                        f"take it out of the file in {folder.path} that says it, then run the command again"
                    )
                write_text(file, _dense(text) if file.suffix == ".json" else text)
        for name in OURS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
            (out / name).unlink(missing_ok=True)
            if (temporary / name).exists():
                (temporary / name).rename(out / name)
    return [file for name in OURS for file in _files(out / name)]


def _command(folder: StudyFolder) -> str:
    """What makes the study again: from the kept study.yaml where it was a file, and without the studies at hand then
    whose runs were taken over."""
    words, kept = iter(shlex.split(folder.command)), list[str]()
    for word in words:
        if word in ("--reuse", "--out", "-o"):
            kept += ["--out", "STUDY"] if word != "--reuse" else []
            next(words, None)
        elif not word.startswith(("--reuse=", "--out=")):
            kept.append(word)
    if len(kept) > 3 and kept[1:3] == ["study", "run"] and Path(kept[3]).suffix in (".yaml", ".yml"):
        kept[3] = "study.yaml"
    return shlex.join(kept)


def _dense(text: str) -> str:
    """JSON without the white space that makes bins of calibration most of a file."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) + "\n"


def _files(folder: Path) -> list[Path]:
    """The files in a folder, in order; of a file, itself."""
    return [folder] if folder.is_file() else sorted(file for file in folder.rglob("*") if file.is_file())

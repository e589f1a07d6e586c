"""The command line: one file a command; whatever is heavy is imported when a command runs."""

from __future__ import annotations

import errno
import os
import sys

# A second thread that spins at a barrier slows everything down on a busy machine; must be set before torch starts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from typing import Annotated

import typer

from segdistill import __version__
from segdistill.cli import (
    cache,
    cost,
    data,
    demo,
    evaluate,
    gradcam,
    listing,
    predict,
    report,
    study,
    teacher,
    train,
    view,
)
from segdistill.errors import SegdistillError

USER_ERROR = 2
INTERRUPTED = 130
SMALLER = "raise train.accumulate, use train.precision=bf16-mixed, or lower data.patch_size or evaluate.window_batch"
CANNOT_WRITE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG,
}  # fmt: skip

app = typer.Typer(
    name="segdistill",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Distil heavy medical image segmentation models into one that runs on the computer you have, and prove "
    "what was gained and lost.\n\n"
    "**First steps**: `segdistill demo` does the whole job on synthetic PET/CT/MR in minutes. Then "
    "`segdistill data check FOLDER` on your own images, and `segdistill distill teach_former data.path=FOLDER`.",
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"segdistill {__version__}")
        raise typer.Exit


@app.callback()
def _segdistill(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version and exit."),
    ] = False,
) -> None:
    """Options that stand before the command."""


app.command("train", no_args_is_help=True)(train.train_command)
app.command("distill", no_args_is_help=True)(train.distill_command)
app.command("evaluate", no_args_is_help=True)(evaluate.evaluate_command)
app.command("predict", no_args_is_help=True)(predict.predict_command)
app.command("cost", no_args_is_help=True)(cost.cost_command)
app.command("report", no_args_is_help=True)(report.report_command)
app.command("gradcam", no_args_is_help=True)(gradcam.gradcam_command)
app.command("view", no_args_is_help=True)(view.view_command)
app.command("list", no_args_is_help=True)(listing.list_command)
app.command("demo")(demo.demo_command)
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
app.add_typer(study.app, name="study")
app.add_typer(teacher.app, name="teacher")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 a fault of ours, 2 something the user can mend, 130 Ctrl-C."""
    try:
        app(prog_name="segdistill")
    except SegdistillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {place}{error.strerror}; free some disk space or choose another folder", file=sys.stderr
        )
        sys.exit(USER_ERROR)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, without importing torch here
            raise
        print(f"error: the GPU has too little memory ({error}); {SMALLER}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what typer makes of Ctrl-C
            print(f"stopped{_how_to_go_on(sys.argv[1:])}", file=sys.stderr)
        raise


def _how_to_go_on(words: list[str]) -> str:
    """What to type after Ctrl-C, where there is something to go on with."""
    match words:
        case ["train" | "distill", *_]:
            return "; a run goes on with the same command and --resume"
        case ["demo", *_]:
            return "; it goes on with --resume (make demo ARGS=--resume)"
        case ["study", "run" | "tune", *_]:
            return "; the same command again goes on"
    return ""

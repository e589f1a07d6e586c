"""`segdistill study`: many runs as one; one file for each group of commands."""

from __future__ import annotations

import typer

from segdistill.cli.study import results, running, tuning

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Tables of a paper from one file and one command: recipes x settings x folds x seeds, teachers and what they "
    "say made once, with statistics and a report.",
)
app.command("list")(running.list_command)
app.command("run", no_args_is_help=True)(running.run_command)
app.command("tune", no_args_is_help=True)(tuning.tune_command)
app.command("status", no_args_is_help=True)(results.status_command)
app.command("report", no_args_is_help=True)(results.report_command)
app.command("keep", no_args_is_help=True)(results.keep_command)
app.command("slurm", no_args_is_help=True)(running.slurm_command)
app.command("perform", no_args_is_help=True)(running.perform_command)

"""What all tests share: a quiet machine, the real images where there are any, and a count of their use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

# Before the first import of torch and matplotlib: tests run side by side, each on one thread.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# Where tensors have shapes in their annotations, these are checked; an int passes for a float, as for mypy.
jaxtyping.install_import_hook(
    [
        "segdistill.align",
        "segdistill.distiller",
        "segdistill.losses",
        "segdistill.networks",
        "segdistill.projectors",
        "segdistill.where",
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# The same examples on every machine, and no deadline: a busy machine is no failure.
hypothesis.settings.register_profile("segdistill", deadline=None, derandomize=True)
hypothesis.settings.load_profile("segdistill")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images, named by the variable SEGDISTILL_DATA; without it the test is skipped."""
    folder = os.environ.get("SEGDISTILL_DATA")
    if not folder:
        pytest.skip("needs real images: set SEGDISTILL_DATA to their folder")
    if not Path(folder).is_dir():
        pytest.fail(f"SEGDISTILL_DATA is {folder}, which is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def compiler() -> None:
    """A C++ compiler; without one the test is skipped."""
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("needs a C++ compiler")


class RealDataCount:
    """Counts the tests that ran with the fixture `real_data`, over all worker processes."""

    def __init__(self) -> None:
        self.tests: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        uses = any(name == "real_data" for name, _ in report.user_properties)
        if uses and report.when == "call" and not report.skipped:
            self.tests.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        passed = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if passed and self.missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def missing(self) -> bool:
        return os.environ.get("SEGDISTILL_REQUIRE_DATA") == "1" and not self.tests

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"real data used by {len(self.tests)} tests")
        if self.missing:
            terminalreporter.write_line(
                "FAILED: SEGDISTILL_REQUIRE_DATA=1, but no test used the real images", red=True
            )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(RealDataCount(), "real-data-count")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if "real_data" in getattr(item, "fixturenames", ()):
        item.user_properties.append(("real_data", True))

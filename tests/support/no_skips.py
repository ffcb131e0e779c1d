# SPDX-License-Identifier: GPL-3.0-or-later
"""A pytest plugin: a skipped test and one that is expected to fail prove nothing, so both count as failures."""

from __future__ import annotations

from collections.abc import Generator

import pytest


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected = getattr(report, "wasxfail", None)
    if report.skipped or expected is not None:
        report.outcome = "failed"
        report.longrepr = f"skipping and expected failures are not allowed here: {expected or report.longrepr}"
    if expected is not None:
        del report.wasxfail  # pytest's own xfail plugin would count it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report)
    return report

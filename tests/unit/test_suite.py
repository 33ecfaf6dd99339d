"""The tests themselves: none depends on how fast the machine is."""

import ast
from pathlib import Path

from hypothesis import HealthCheck, settings


def test_no_hypothesis_test_has_a_deadline_of_its_own_or_of_the_profile(root: Path) -> None:
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
    named = [
        f"{path.relative_to(root)}:{node.lineno}"
        for path in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "deadline"
    ]
    assert [place.split(":")[0] for place in named] == ["tests/conftest.py"]


def test_no_test_holds_an_elapsed_time_against_a_limit(root: Path) -> None:
    """Comparisons with a clock fail on a loaded machine; rates are the benchmarks' business."""
    clocks = {"monotonic", "perf_counter", "process_time", "time"}
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            for call in ast.walk(node):
                called = call.func if isinstance(call, ast.Call) else None
                if isinstance(called, ast.Attribute) and called.attr in clocks:
                    found.append(f"{path.relative_to(root)}:{node.lineno}")
    assert not found

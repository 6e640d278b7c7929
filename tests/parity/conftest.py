"""Prints how close each class came to transformers."""


def pytest_terminal_summary(terminalreporter):
    from tests.parity.models import largest_difference

    if largest_difference:
        terminalreporter.section("largest relative difference from transformers")
        for name, difference in sorted(largest_difference.items()):
            terminalreporter.write_line(f"{name:42} {difference:.1e}")

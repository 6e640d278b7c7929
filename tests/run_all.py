"""Run the whole suite: the framework-free part once, the rest once per backend, and sum up.

    python tests/run_all.py [--jobs 2] [--quick] [backend …] [-- arguments for pytest]

Each run is a process of its own, as Keras has one backend a process; each backend has two, so
that all cores are busy to the end. A run's output goes into build/test-NAME.log, and its
failures onto the terminal. `--quick` runs what a change most likely breaks: the tests marked
`quick`, among them those that need no framework. Exits with 1 if anything failed.
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOGS = ROOT / "build"
LONGEST = 40 * 60  # seconds for one run; CI has 60 minutes for everything

# Name of the run → (backend, which tests, of which files). The longest first, so that none is
# waited for alone.
MODELS, OTHERS = ["tests/models"], ["--ignore=tests/models"]
RUNS = {
    "tensorflow": ("tensorflow", "not framework_free", OTHERS),
    "jax": ("jax", "not framework_free", OTHERS),
    "jax-models": ("jax", "not framework_free", MODELS),
    "tensorflow-models": ("tensorflow", "not framework_free", MODELS),
    "torch": ("torch", "not framework_free", OTHERS),
    "torch-models": ("torch", "not framework_free", MODELS),
    "framework-free": ("jax", "framework_free", []),
}
QUICK = {
    "framework-free": ("jax", "quick and framework_free", []),
    "tensorflow": ("tensorflow", "quick and not framework_free", []),
    "jax": ("jax", "quick and not framework_free", []),
    "torch": ("torch", "quick and not framework_free", []),
}


def run(name, runs, arguments):
    """Run pytest once; give (passed, failed, skipped, seconds, the lines that tell what failed)."""
    backend, tests, files = runs[name]
    log, report = LOGS / f"test-{name}.log", LOGS / f"test-{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", tests, f"--junitxml={report}"]
    command.append("--continue-on-collection-errors")
    start = time.monotonic()
    with log.open("w") as output:
        try:
            status = subprocess.run(
                [*command, *files, *arguments],
                cwd=ROOT,
                env={**os.environ, "KERAS_BACKEND": backend},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
            ).returncode
        except subprocess.TimeoutExpired:
            status = f"stopped after {LONGEST} s"
            output.write(f"\n{name}: {status}\n")
    seconds = time.monotonic() - start
    passed, failed, skipped = count(report)
    lines = log.read_text("utf-8", "replace").splitlines()
    nothing_chosen = status == 5 and arguments  # another of the backend's runs has what -k chooses
    if status and not failed and not nothing_chosen:
        failed = 1  # pytest itself failed: a crash, no tests, a bad argument
    lines.append(f"(everything is in {log.relative_to(ROOT)})")
    shown = lines[-60:] if failed else [line for line in lines if line.startswith("SKIPPED")]
    return passed, failed, skipped, seconds, shown


def count(report):
    if not report.is_file():
        return 0, 0, 0
    suites = xml.etree.ElementTree.parse(report).getroot().iter("testsuite")
    total, failed, skipped = 0, 0, 0
    for suite in suites:
        total += int(suite.get("tests"))
        failed += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
    return total - failed - skipped, failed, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*QUICK, []], help="backends; by default all")
    parser.add_argument("--quick", action="store_true", help="the tests marked quick only")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    own, _, arguments = " ".join(["", *sys.argv[1:]]).partition(" -- ")
    options = parser.parse_args(own.split())
    LOGS.mkdir(exist_ok=True)
    runs = QUICK if options.quick else RUNS
    names = [name for name in runs if name.removesuffix("-models") in (options.names or QUICK)]
    arguments = arguments.split()
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        names = [name for name in names if not name.endswith("-models")]
        runs = {name: (*runs[name][:2], []) for name in names}
    total_passed = total_failed = total_skipped = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(run, name, runs, arguments): name for name in names}
        for future in concurrent.futures.as_completed(futures):
            passed, failed, skipped, seconds, lines = future.result()
            print(*lines, sep="\n", end="\n" if lines else "")
            print(
                f"{futures[future]}: {passed} passed, {failed} failed, {skipped} skipped "
                f"in {seconds:.0f} s",
                flush=True,
            )
            total_passed += passed
            total_failed += failed
            total_skipped += skipped
    print(f"{total_passed} passed, {total_failed} failed, {total_skipped} skipped")
    return 1 if total_failed or not total_passed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed of this checkout against another one of this library, in one run.

    git worktree add ../before COMMIT
    python benchmarks/compare.py ../before [--rows forward,train] [--backends torch,jax]

Each checkout runs in a process of its own, and their requests alternate, as in run.py, whose rows
these are. A ratio above 1 says that this checkout is the faster one.
"""

import argparse
import os
import pathlib
import statistics
import sys

from run import BACKENDS, ROOT, ROWS, Process, difference


def compare(name, backend, options, sides):
    """Print one row: the medians of both checkouts, their ratio, and how far the results differ."""
    row = ROWS[name]
    arguments = dict(row.get("options", {}))
    if options.size:
        arguments["size"] = options.size
    for side in sides.values():
        side("prepare", work=row["work"], **arguments)
    times = {label: [] for label in sides}
    results = {}
    rounds = options.rounds or 2 * row.get("rounds", 5)
    warm_up = 2
    for number in range(warm_up + rounds):
        for label in list(sides)[:: 1 if number % 2 else -1]:
            answer = sides[label]("run")
            results[label] = answer["result"]
            if number >= warm_up:
                times[label].append(answer["seconds"])
    ours, before = (statistics.median(times[label]) for label in ("ours", "before"))
    print(
        f"{name} {backend}: before {1000 * before:.1f} ms, now {1000 * ours:.1f} ms, "
        f"{before / ours:.3f}x; results differ by {difference(results)}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=pathlib.Path, help="the other checkout")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--rows", default="forward,small,train,generate", help="or beginnings")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--size", choices=["small", "shallow"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.directory = ROOT / "build" / "compare"  # one checkpoint of random weights for both
    roots = {"ours": ROOT, "before": options.before.resolve()}
    for backend in options.backends.split(","):
        sides = {}
        for label, root in roots.items():
            # Each checkout imports its own package, whichever is installed.
            os.environ["PYTHONPATH"] = str(root)
            sides[label] = Process(sys.executable, "ours", backend, options, root)
        for name in [name for name in ROWS if name.startswith(tuple(options.rows.split(",")))]:
            compare(name, backend, options, sides)
        for side in sides.values():
            side.close()


if __name__ == "__main__":
    main()

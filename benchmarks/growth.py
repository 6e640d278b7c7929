"""Time and memory of a forward pass against length and batch, as a picture.

    python benchmarks/growth.py [--backend torch] [--oracle-python PYTHON] [--longest-peer 4096]

Two layers of base width, since what grows is the same in each; requests of both libraries alternate
(see run.py). Memory is what the call needs on top of the loaded model. transformers' attention
holds several (heads, length, length) tensors at once, so that its lengths end at `--longest-peer`.
Writes `--output` (SVG) and the numbers beside it (JSON).
"""

import argparse
import json
import pathlib
import statistics
import sys

from run import BACKENDS, ROOT, Process

LENGTHS = [(1, 2**n) for n in range(7, 14)]
BATCHES = [(2**n, 128) for n in range(7)]
COLORS = {"ours": "#c0392b", "transformers": "#34495e"}


def measure(sides, shape, rounds, longest_peer):
    """`{library: (seconds, bytes)}` of one shape."""
    sides = {
        library: side
        for library, side in sides.items()
        if library == "ours" or shape[1] <= longest_peer
    }
    times = {library: [] for library in sides}
    for number in range(rounds + 1):
        for library, side in sides.items():
            if not number:
                side("prepare", work="forward", size="shallow", shape=shape)
            seconds = side("run")["seconds"]
            if number:
                times[library].append(seconds)
    return {
        library: (statistics.median(times[library]), side("peak")["bytes"])
        for library, side in sides.items()
    }


def draw(points, backend, output):
    """Four small plots on logarithmic axes."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(8, 6), sharex="col", layout="constrained")
    columns = (("length (batch 1)", LENGTHS, 1), ("batch (length 128)", BATCHES, 0))
    for column, (title, shapes, axis) in enumerate(columns):
        for row, (name, scale) in enumerate((("seconds", 1), ("MiB more than loaded", 2**20))):
            plot = grid[row][column]
            for library, color in COLORS.items():
                known = [s for s in shapes if library in points.get(s, {})]
                values = [points[s][library][row] / scale for s in known]
                label = "keras-roformer" if library == "ours" else library
                plot.plot([s[axis] for s in known], values, "o-", color=color, label=label)
            plot.set_xscale("log", base=2)
            plot.set_yscale("log")
            plot.set_ylabel(name)
            plot.grid(alpha=0.3)
            if row:
                plot.set_xlabel(title)
    grid[0][0].legend()
    figure.suptitle(f"Forward pass of two layers of base size, {backend}, two CPU cores")
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--oracle-python", help="Python with transformers 4.57.6, TF and Flax")
    parser.add_argument("--longest-peer", type=int, default=4096)
    parser.add_argument("--longest", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "growth.svg")
    options = parser.parse_args()
    options.directory = ROOT / "build" / "bench"
    options.directory.mkdir(parents=True, exist_ok=True)
    peer_python = sys.executable if options.backend == "torch" else options.oracle_python
    pythons = {"ours": sys.executable} | ({"transformers": peer_python} if peer_python else {})
    sides = {
        library: Process(python, library, options.backend, options)
        for library, python in pythons.items()
    }
    points = {}
    for shape in dict.fromkeys(s for s in LENGTHS + BATCHES if s[1] <= options.longest):
        points[shape] = measure(sides, shape, options.rounds, options.longest_peer)
        print(shape, points[shape], flush=True)
    for side in sides.values():
        side.close()
    draw(points, options.backend, options.output)
    numbers = {"x".join(map(str, shape)): values for shape, values in points.items()}
    options.output.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""``make bench``: the figures of doc/performance.md, each with what it is measured against.

python -m benchmarks [NAME...]      all of them, or some by name

BIG=1 in the environment adds a repository of a million files (some minutes, and 10 GB of disk);
SAMPLES=N measures N times only.
"""

from __future__ import annotations

import signal
import sys

from benchmarks import figures, git_driver, pipes, worlds

ALL = {**figures.ALL, **git_driver.ALL, **pipes.ALL}


def main(names: list[str]) -> int:
    unknown = set(names) - set(ALL)
    if unknown:
        print(
            f"benchmarks: no {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}",
            file=sys.stderr,
        )
        return 100
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was begun is cleaned up
    with worlds.removed():
        for name in names or ALL:
            print(f"\n{name}: {(ALL[name].__doc__ or '').splitlines()[0]}", flush=True)
            for line in ALL[name]():
                print(f"  {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

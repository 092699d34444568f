"""Read a table: `pandas` or `mljobs`, FILE; prints seconds, CPU seconds and the memory (bytes) that it took at most."""

import json
import re
import sys
import time
from pathlib import Path

import pandas as pd

from jobs import resources
from jobs.datasets import sha256_of, table


def peak() -> int:
    """Return the most memory that this process held, in bytes (Linux; `getrusage` has it from who started it, too)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024


if __name__ == "__main__":
    reader, path = sys.argv[1], Path(sys.argv[2])
    # A job has these by then: whether there is anything to do, and on how many cores.
    sha256_of(path)
    resources.cpu_count()
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    data = pd.read_csv(path) if reader == "pandas" else table.read_csv(path, target="target", schema=None)
    taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({**taken, "memory": peak() - before}))

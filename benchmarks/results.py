"""Where all numbers of a run of the benchmarks are kept."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring import ROOT

FOLDER = Path(__file__).parent / "results"


def keep(name: str, measured: Sequence[Any]) -> Path:
    """Write dataclasses into a JSON file of its own, with the machine; return its path."""
    path = FOLDER / time.strftime(f"{name}-%Y%m%dT%H%M%S.json")
    path.parent.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    path.write_text(json.dumps({**machine, "cases": [asdict(each) for each in measured]}, indent=1))
    return path.relative_to(ROOT)

"""Run it: `cd tests && python -m soak --seconds 600`."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from soak import files, journals
from soak.audit import audit
from soak.chaos import Chaos
from soak.findings import Finding
from soak.journals import Run
from soak.server import TrackingServer
from soak.server_view import View
from soak.starts import Start


def main() -> int:
    """Let things happen, look at what became of them, and print it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mljobs-soak-"))
    print(f"seed {options.seed}, {options.seconds:.0f} s in {folder}", flush=True)
    runs, starts, findings = soak(folder, options.seconds, options.seed)
    for each in findings:
        print(f"\n{each.kind}: {each.run}: {each.why}")
    print("\n" + table(runs, starts, findings))
    if findings:
        print(f"\nseed {options.seed}; look for the cause in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def soak(folder: Path, seconds: float, seed: int) -> tuple[list[Run], list[Start], list[Finding]]:
    """Make a world, shake it, and return what is in it then."""
    for name in ("runs", "logs", "server"):
        (folder / name).mkdir()
    files.write(folder)
    server = TrackingServer(folder / "server")
    chaos = Chaos(folder, server, seed)
    try:
        server.settle()
        chaos.rage(seconds)
        chaos.calm_down()
        runs = list(journals.runs(folder / "runs"))
        return runs, chaos.starts, list(audit(runs, chaos.starts, View(server.uri)))
    finally:
        chaos.close()
        server.close()


def table(runs: Sequence[Run], starts: Sequence[Start], findings: Sequence[Finding]) -> str:
    """Return what happened how often, and what must not have."""
    jobs = [each for each in starts if each.is_job]
    decisions = [run.promotion for run in runs if run.promotion]
    counts = {
        "starts": len(jobs),
        "runs": len(runs),
        "killed": sum(bool(each.signals) and each.exit_code not in each.codes for each in starts),
        "resumed": sum(len(run.attempts) - 1 for run in runs),
        "skipped": sum(bool(each.result and each.result["status"] == "skipped") for each in jobs),
        "locked": sum(each.exit_code == 75 for each in jobs),
        "published": sum(run.published is not None for run in runs),
        "promoted": sum(each["status"] == "promoted" for each in decisions),
        "kept": sum(each["status"] == "kept" for each in decisions),
        "rolled back": sum(each.name == "rollback" and each.exit_code == 0 for each in starts),
        **{kind: sum(each.kind == kind for each in findings) for kind in ("lost", "doubled", "wrong status")},
    }
    widths = {name: max(len(name), len(str(count))) for name, count in counts.items()}
    rows = (counts, {name: str(count) for name, count in counts.items()}.values())
    return "\n".join("  ".join(f"{c:>{w}}" for c, w in zip(row, widths.values(), strict=True)) for row in rows)


sys.exit(main())

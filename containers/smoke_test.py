# ruff: noqa: INP001 - a script, no module
"""Use an image for what it is for, as its last build step: a build that can't do its job fails.

python smoke_test.py random-forest|cnn|mlflow [COMMAND...]
"""

import json
import os
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 120


def main(image: str, *command: str) -> None:
    """Run the smoke test of one image; raise if it can't do its job."""
    os.chdir("/tmp")  # noqa: S108 - the one folder that the job's user may write to during a build
    if image == "mlflow":
        serve(command)
    else:
        train(image, {"random-forest": tiny_csv, "cnn": tiny_npz}[image]())


def tiny_csv() -> Path:
    """Return a table that a forest learns: two columns, two classes, 60 rows."""
    path = Path("tiny.csv")
    path.write_text("a,b,target\n" + "".join(f"{i},{i * 7 % 11},{i // 30}\n" for i in range(60)))
    return path


def tiny_npz() -> Path:
    """Return 60 images of shape (32, 32, 3), uint8, of ten classes."""
    import numpy as np

    path = Path("tiny.npz")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(60) % 10)
    return path


def train(pipeline: str, data: Path) -> None:
    """Train, evaluate, report and save; then load the model again and evaluate it."""
    least = {"random-forest": ["--param", "n_estimators=10"], "cnn": ["--param", "epochs=1"]}[pipeline]
    if pipeline == "random-forest" and platform.machine() == "x86_64":
        # Which would not be chosen for so little, and ends with an error where its libraries are trimmed too far.
        least += ["--param", "engine=intelex"]
    trained = mljobs("train", pipeline, str(data), *least)
    assert 0 <= trained["metrics"]["accuracy"] <= 1, trained
    evaluated = mljobs("evaluate", trained["run_directory"], str(data))
    assert 0 <= evaluated["metrics"]["accuracy"] <= 1, evaluated


def mljobs(*arguments: str) -> dict:
    """Run one job to its end and return its result; raise if it does not finish."""
    environment = os.environ | {"MLJOBS_RUNS_DIR": "/tmp/runs", "MLJOBS_TRACKING": "off"}  # noqa: S108
    done = subprocess.run(["mljobs", *arguments], stdout=subprocess.PIPE, text=True, env=environment, check=True)  # noqa: S603, S607
    result = json.loads(done.stdout)
    assert result["status"] == "finished", result
    return result


def serve(command: tuple[str, ...]) -> None:
    """Start the server on a new store until it answers its API, then stop it as an engine does."""
    server = subprocess.Popen(command)  # noqa: S603 - the image's own entrypoint
    try:
        wait_for("http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1", server)
        with urllib.request.urlopen("http://127.0.0.1:5000/") as page:
            assert b"<title>MLflow</title>" in page.read(), "the UI is missing"
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(url: str, server: subprocess.Popen) -> None:
    """Wait until `url` answers 200; raise if the server ends or START_SECONDS pass first."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - a fixed address
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])

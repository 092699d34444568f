"""One of the two plain functions, as a program: PIPELINE FILE PARAMS (JSON); prints its accuracy."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import reference

FUNCTIONS = {"random-forest": reference.random_forest_accuracy, "cnn": reference.cnn_accuracy}

if __name__ == "__main__":
    name, path, params = sys.argv[1:]
    settings = json.loads(params)
    # Of our jobs alone; the plain function's is scikit-learn.
    settings.pop("engine", None)
    print(json.dumps({"accuracy": FUNCTIONS[name](Path(path), **settings)}))

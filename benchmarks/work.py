"""How long a plain function itself takes, when its libraries are there: PIPELINE FILE; prints the seconds."""

import importlib
import json
import sys
import time
from pathlib import Path

from seed import FUNCTIONS

LIBRARIES = ("sklearn.ensemble", "sklearn.metrics", "sklearn.model_selection")

if __name__ == "__main__":
    name, path = sys.argv[1:]
    for library in (*LIBRARIES, "keras") if name == "cnn" else LIBRARIES:
        importlib.import_module(library)
    start = time.perf_counter()
    FUNCTIONS[name](Path(path))
    print(json.dumps({"seconds": time.perf_counter() - start}))

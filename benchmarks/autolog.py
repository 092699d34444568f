"""What one writes to see a plain function in MLflow: PIPELINE FILE; prints its accuracy.

The server is the one that MLFLOW_TRACKING_URI names.
"""

import json
import sys
from pathlib import Path

import mlflow
from seed import FUNCTIONS

if __name__ == "__main__":
    name, path = sys.argv[1:]
    # Not `mlflow.tensorflow.autolog()`: that ends the fit with an error where TensorBoard is missing, and TensorFlow
    # brings it no more.
    mlflow.autolog()
    with mlflow.start_run():
        accuracy = FUNCTIONS[name](Path(path))
    print(json.dumps({"accuracy": accuracy}))

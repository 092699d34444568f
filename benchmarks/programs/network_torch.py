"""The network in PyTorch: FILE EPOCHS START (Unix time); prints what each epoch gave.

Layers, their initial values, optimiser, batches and split are those of `tests/reference.py`.
"""

import json
import sys
import time

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import nn

BATCH = 32


def network() -> nn.Module:
    """Return the network, initialised as Keras does."""
    layers = [nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Conv2d(64, 64, 3), nn.Linear(1024, 64), nn.Linear(64, 10)]
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    first, second, third, dense, last = layers
    convolutions = [first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2), third, nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), dense, nn.ReLU(), last)


def train(path: str, epochs: int, start: float) -> list[tuple[float, float]]:
    """Train; return seconds since the start and accuracy on the holdout after each epoch."""
    torch.manual_seed(42)
    with np.load(path) as data:
        X, y = data["images"], data["labels"]
    images = torch.from_numpy(X).permute(0, 3, 1, 2).to(torch.float32).div_(255)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y).long()
    inside, outside = map(torch.from_numpy, train_test_split(np.arange(len(y)), test_size=0.2, random_state=42))
    model = network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    reached = []
    for _ in range(epochs):
        for rows in inside[torch.randperm(len(inside))].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
        with torch.inference_mode():
            right = sum(int((model(images[rows]).argmax(1) == labels[rows]).sum()) for rows in outside.split(1000))
        reached.append((time.time() - start, right / len(outside)))
    return reached


if __name__ == "__main__":
    name, epochs, start = sys.argv[1:]
    print(json.dumps({"epochs": train(name, int(epochs), float(start))}))

"""The real images, built once for all tests of a session, and small data for them."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from docker_engine import COMMIT, DOCKERFILE, ROOT, TARGETS, docker, docker_ok, readable

BUILD_SECONDS = 1800


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip without a Docker engine; in CI that is a failure, so that nobody takes a skip for a success."""
    if shutil.which("docker") and docker("info").exit_code == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("the container tests need a Docker engine, and CI has to have one")
    pytest.skip("no Docker engine answers")


@pytest.fixture(scope="session")
def tag(engine: None) -> Iterator[str]:  # noqa: ARG001 - no images without an engine
    """Return the tag of this session's images; they are removed at the end, the build cache stays."""
    tag = f"test-{uuid.uuid4().hex[:8]}"
    yield tag
    docker("image", "rm", "--force", *(f"mljobs/{target}:{tag}" for target in TARGETS))


@pytest.fixture(scope="session")
def images(tag: str) -> dict[str, str]:
    """Build the three images; return their names by target."""
    names = {target: f"mljobs/{target}:{tag}" for target in TARGETS}
    for target, name in names.items():
        build = ("build", "--file", DOCKERFILE, "--target", target, "--tag", name, "--build-arg", f"COMMIT={COMMIT}")
        docker_ok(*build, ROOT, timeout=BUILD_SECONDS)
    return names


@pytest.fixture
def container(engine: None) -> Iterator[str]:  # noqa: ARG001 - no container without an engine
    """Return a name for a container, which is removed at the end."""
    name = f"mljobs-test-{uuid.uuid4().hex[:8]}"
    yield name
    docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write good and broken data files, small enough to train on in a second."""
    folder = tmp_path_factory.mktemp("data")
    rows = "".join(f"{i},{i * 7 % 11},{int(i > 99)}\n" for i in range(200))
    (folder / "good.csv").write_text("a,b,target\n" + rows)
    (folder / "broken.csv").write_text("a,b\n1,2\n3,4\n")
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8), np.arange(120) % 10
    np.savez(folder / "good.npz", images=pixels, labels=labels)
    np.savez(folder / "broken.npz", images=pixels)
    return readable(folder)

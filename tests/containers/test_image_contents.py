"""What is in the images, and what is not."""

import json
import platform
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_engine import COMMIT, DOCKERFILE, JOBS, LOCKED_DOWN, ROOT, TARGETS, docker, docker_ok, shell

pytestmark = pytest.mark.containers

MEGABYTE = 1_000_000
LIMITS = {"random-forest": 450, "cnn": 1100, "mlflow": 700}
"""Megabytes above the base image; measured 431, 1097 and 546."""

PACKAGES = "/opt/venv/lib/python3*/site-packages"


def inspect(image: str) -> dict[str, Any]:
    """Return what the engine knows about an image."""
    (found,) = json.loads(docker_ok("image", "inspect", image))
    return found


@pytest.fixture(scope="module")
def base(tag: str) -> Iterator[str]:
    """Return an image of the base alone, which the builder does not keep under a name."""
    name = f"mljobs/python:{tag}"
    docker_ok("build", "--file", DOCKERFILE, "--target", "python", "--tag", name, ROOT)
    yield name
    docker("image", "rm", name)


@pytest.mark.parametrize("target", TARGETS)
def test_size(images: dict[str, str], base: str, target: str) -> None:
    """An image stays as small as README says."""
    size = (inspect(images[target])["Size"] - inspect(base)["Size"]) / MEGABYTE
    print(f"{target}: {size:,.0f} MB above the base")  # noqa: T201 - shown by pytest -s
    assert size <= LIMITS[target]


@pytest.mark.parametrize("target", TARGETS)
def test_user_is_not_root(images: dict[str, str], target: str) -> None:
    """Nothing runs as root."""
    assert shell(images[target], "id -u").strip() == "10001"


@pytest.mark.parametrize("target", TARGETS)
def test_labels(images: dict[str, str], target: str) -> None:
    """An image says which release and commit it is, as the package does."""
    labels = inspect(images[target])["Config"]["Labels"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == f"mljobs {target}"
    assert labels[prefix + "version"] == project["version"]
    assert labels[prefix + "revision"] == COMMIT
    assert labels[prefix + "licenses"] == project["license"]


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_left_of_the_build(images: dict[str, str], target: str) -> None:
    """No compiler, no pip in the environment, no cache, no libraries' tests, no headers."""
    script = f"""
        for tool in cc gcc g++ c++ ld as strip; do command -v $tool; done
        cd {PACKAGES}
        ls -d pip setuptools clang tensorflow/include 2>/dev/null
        find . -type d -name tests -not -path './h5py/*'
        find . -name '*.pyi' -o -name '*.h'
        find / -xdev -path '*/.cache/pip' 2>/dev/null
        find /tmp -mindepth 1
    """
    assert shell(images[target], script + "\ntrue") == ""


@pytest.mark.parametrize("target", TARGETS)
def test_environment_belongs_to_root(images: dict[str, str], target: str) -> None:
    """A job can't change the code that the next one runs."""
    assert shell(images[target], "find /opt/venv ! -user root -o ! -type l -perm /022; find /opt/venv -writable") == ""


@pytest.mark.parametrize("target", TARGETS)
def test_bytecode_is_compiled(images: dict[str, str], target: str) -> None:
    """No module is compiled at each start, as it can't be kept then."""
    script = f"""
        cd {PACKAGES}
        find . -name '*.py' | sed 's|/\\([^/]*\\)[.]py$|/__pycache__/\\1|' | sort >/tmp/sources
        find . -name '*.pyc' | sed 's|[.]cpython-[0-9]*[.]pyc$||' | sort >/tmp/compiled
        wc -l </tmp/sources; comm -23 /tmp/sources /tmp/compiled
    """
    total, *missing = shell(images[target], script).splitlines()
    assert len(missing) < int(total) / 1000, missing


def test_forest_has_no_tensorflow(images: dict[str, str]) -> None:
    """Each image has the packages of its own pipeline only."""
    assert shell(images["random-forest"], f"cd {PACKAGES}; ls -d tensorflow* keras* h5py* 2>/dev/null; true") == ""


@pytest.mark.parametrize("target", JOBS)
def test_packages_are_those_of_the_lock(images: dict[str, str], target: str) -> None:
    """Every package in the image has the version that the lock says."""
    script = "from importlib.metadata import *; print([(d.name.lower(), d.version) for d in distributions()])"
    installed = dict(eval(shell(images[target], f'python -c "{script}"')))  # noqa: S307 - our own output
    lock = (ROOT / "containers" / "requirements" / f"{target}.txt").read_text().lower()
    installed.pop("mljobs")
    assert installed
    assert [each for each in installed.items() if "{}=={} ".format(*each).replace("_", "-") not in lock] == []


@pytest.mark.parametrize("target", JOBS)
def test_starts_without_shell(images: dict[str, str], target: str) -> None:
    """Signals reach the program itself."""
    assert inspect(images[target])["Config"]["Entrypoint"] == ["mljobs", "train", target]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDAL is made for x86-64 only")
def test_onedal_has_all_its_libraries(images: dict[str, str], data: Path) -> None:
    """What was trimmed of it is not missed: neither by the linker, nor by a job that is locked down."""
    script = f"cd {PACKAGES}; ldd onedal/*.so daal4py/_daal4py*.so"
    assert "not found" not in shell(images["random-forest"], script)
    locked_down = (*LOCKED_DOWN, "--network", "none", "--tmpfs", "/runs:mode=1777", "--volume", f"{data}:/data:ro")
    docker_ok("run", "--rm", *locked_down, images["random-forest"], "/data/good.csv", "--param", "engine=intelex")

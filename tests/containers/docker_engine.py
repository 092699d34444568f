"""What the container tests share: docker and compose as a user calls them."""

import os
import subprocess
from pathlib import Path

from harness import ROOT, Ended

DOCKERFILE = ROOT / "containers" / "Dockerfile"
JOBS = ("random-forest", "cnn")
TARGETS = (*JOBS, "mlflow")
COMMIT = "0123456789abcdef"
"""What the images are built with."""
LOCKED_DOWN = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108


def docker(*arguments: object, timeout: float = 300, env: dict[str, str] | None = None) -> Ended:
    """Run docker and return how it ended, whatever the exit code."""
    ended = subprocess.run(
        ["docker", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def docker_ok(*arguments: object, timeout: float = 300, env: dict[str, str] | None = None) -> str:
    """Run docker, and return its stdout if it succeeds."""
    ended = docker(*arguments, timeout=timeout, env=env)
    assert ended.exit_code == 0, f"docker {' '.join(map(str, arguments))}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def shell(image: str, script: str) -> str:
    """Run a shell script as the image's own user and return its stdout."""
    return docker_ok("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)


def readable(folder: Path) -> Path:
    """Let the user inside a container read `folder`, whatever the umask; pytest's folders are private."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder

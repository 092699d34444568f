"""A training job's claim to the champion's place: before its fit, after it, and left behind for a later decision."""

import hashlib
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from jobs import locks, pipelines
from jobs.artifacts import UNDECIDED, RunDirectory
from jobs.config import JobConfig
from jobs.console import Console
from jobs.contract.drift import Drift
from jobs.contract.profile import Profile
from jobs.datasets.fingerprints import Fingerprints
from jobs.errors import ConfigError, DataError, OutputError, TrackingError
from jobs.promotion import Decision
from jobs.promotion.opponent import Entrant, Opponent, meet
from jobs.tracking import LOCAL_SECONDS, Patience, configured_uri, connect, is_answering, is_remote, registry, within
from jobs.tracking.answers import describe
from jobs.tracking.registry import Version

_ROWS = "rows"
_FACTS = "facts.npz"
_SECONDS = 3.0
"""How long an answer is waited for."""


class Challenge:
    """What a job knows of its opponent.

    Parameters
    ----------
    config : the job's settings.
    entrant : the rows, see there.
    directory : the run directory.
    patience : what is left of the time that the job waits for a server.
    console : where a person reads along.
    """

    def __init__(
        self,
        config: JobConfig,
        entrant: Entrant,
        directory: RunDirectory,
        patience: Patience,
        console: Console,
    ) -> None:
        self._config = config
        self._entrant = entrant
        self._directory = directory
        self._patience = patience
        self._console = console
        self._opponent: Opponent | None = None

    def meet(self) -> Drift | None:
        """Ask the champion for its labels of the holdout, and return the drift of the data from the contract.

        A server that does not answer is no reason not to train: then the decision waits for it.

        Raises
        ------
        DataError
            The data break the contract.
        ConfigError
            The comparison would not be fair.
        """
        self._face_champion()
        return self._opponent.drift if self._opponent else None

    def lock(self) -> FileIO:
        """Return the lock of the champion's place, waited for: nobody who takes it too moves the aliases until it is closed."""
        return place(self._directory.path.parent, self._entrant.model, self._console)

    def decide(self, y_pred: np.ndarray, shortfall: str) -> Decision:
        """Return what becomes of the model, against whoever is champion now.

        Parameters
        ----------
        y_pred : its labels for the holdout.
        shortfall : which gates it misses; empty if it passes.
        """
        try:
            self._face_champion()
        except (ConfigError, DataError) as error:  # another champion than at the beginning: what was trained is kept
            return Decision(self._entrant.model, "keep", shortfall or str(error))
        if shortfall and self._opponent is None:
            return Decision(self._entrant.model, "keep", shortfall)
        if self._opponent is None:
            reason = "the server does not say who is champion; it is decided when it does, on the same rows"
            return Decision(self._entrant.model, "undecided", reason)
        return self._opponent.decide(self._config, self._entrant, y_pred, shortfall)

    def leave(self, y_pred: np.ndarray) -> None:
        """Leave behind what a later decision needs: the rows, and the challenger's labels for them."""

        def fill(folder: Path) -> None:
            folder.mkdir()
            pipeline = pipelines.find(self._entrant.pipeline)
            pipeline.write(self._entrant.holdout, folder / (_ROWS + pipeline.SUFFIX))
            held_out = self._entrant.held_out
            groups = np.empty(0, np.uint64) if held_out.groups is None else held_out.groups
            np.savez(folder / _FACTS, y_pred=y_pred, rows=held_out.rows, groups=groups)

        self._directory.write(UNDECIDED, fill)

    def _face_champion(self) -> None:
        """Meet whoever is champion now, unless that was done, or the server does not answer."""
        uri = str(configured_uri())
        seconds = _SECONDS if is_remote(uri) else LOCAL_SECONDS
        try:
            with self._patience.waiting():
                if not is_answering(uri):
                    return
                client = connect(uri)
                ask = partial(registry.behind, client, self._entrant.model, registry.CHAMPION)
                champion = within(min(seconds, self._patience.left) if is_remote(uri) else seconds, ask)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the job goes on and says it
            self._console.warning(f"the server does not say who is champion: {describe(error)}")
            return
        if self._opponent is None or _number(champion) != _number(self._opponent.champion):
            self._meet(champion)

    def _meet(self, champion: Version | None) -> None:
        """Ask a champion, if the server gives its model."""
        scratch = self._directory.scratch / f"champion-{_number(champion)}"
        try:
            self._opponent = meet(champion, self._config, self._entrant, scratch)
        except TrackingError as error:
            self._console.warning(f"the champion can't be had: {error}")


def _number(version: Version | None) -> str | None:
    """Return a version's number."""
    return version.version if version else None


def left_by(directory: Path, model: str) -> tuple[Entrant, np.ndarray]:
    """Return the entrant for `model` that a run has left behind for a later decision, and its labels for the holdout.

    Raises
    ------
    JobError
        It is damaged, or the pipeline's packages are not installed here.
    """
    saved = pipelines.open_model(directory / "model")
    folder = directory / UNDECIDED
    rows = folder / (_ROWS + saved.pipeline.SUFFIX)
    holdout = saved.pipeline.read(rows, target=saved.schema.get("target", ""), schema=saved.schema, scratch=folder)
    with np.load(folder / _FACTS, allow_pickle=False) as facts:
        y_pred = facts["y_pred"]
        groups, key = facts["groups"], saved.schema.get("split_key")
        held_out = Fingerprints(facts["rows"], groups if key else None, key)
    profile, trained_on = Profile.load(saved.folder), saved.fingerprints()
    assert profile is not None and trained_on is not None  # noqa: S101, PT018 - this version has written them
    entrant = Entrant(
        model=model,
        pipeline=saved.pipeline_name,
        path=directory,
        profile=profile,
        holdout=holdout,
        held_out=held_out,
        trained_on=trained_on,
        majority=most_frequent(saved.y_train),
    )
    return entrant, y_pred


def most_frequent(y: np.ndarray) -> Any:
    """Return the most frequent label, the first by order among equals."""
    labels, counts = np.unique(y, return_counts=True)
    return labels[np.argmax(counts)]


def place(runs_dir: Path, model: str, console: Console) -> FileIO:
    """Return the lock of a champion's place among all that work in a runs folder, waited for.

    Raises
    ------
    OutputError
        The folder can't be written.
    """
    # No job is called so: `@` can't be in their names. Those of models can be too long for a file's.
    path = runs_dir / ".locks" / f"@{hashlib.sha256(model.encode()).hexdigest()[:16]}"
    try:
        file = locks.open_shared(path)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
    try:
        locks.lock(file)
    except BlockingIOError:
        console.info(f"waiting: another run is deciding who is champion of {model}")
        locks.lock(file, patience=float("inf"))
    return file

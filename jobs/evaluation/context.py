"""What the metrics are to be read against: what guessing would give, and which classes the holdout says little of."""

import numpy as np

from jobs.evaluation.ranking import Label

FEW = 10
"""A class with fewer rows than this in the holdout gets a note: its intervals are too narrow then."""

NAMED = 5
"""Most labels that a note names."""


def prior_baseline(
    union: np.ndarray, true: np.ndarray, y_train: np.ndarray, auc: float | None
) -> dict[str, float | None]:
    """Return the metrics of scikit-learn's `DummyClassifier(strategy="prior")`, which has one answer for all rows."""
    train_classes, train_counts = np.unique(y_train, return_counts=True)
    priors = dict(zip(train_classes.tolist(), (train_counts / len(y_train)).tolist(), strict=True))
    answer = train_classes[np.argmax(train_counts)]
    hits = int(true[union == answer].sum())
    n, occurring = int(true.sum()), int(np.sum(true > 0))
    eps = float(np.finfo(np.float64).eps)
    p_true = np.array([priors.get(label, 0.0) for label in union.tolist()]).clip(eps, 1 - eps)
    return {
        "accuracy": hits / n,
        "balanced_accuracy": (1 if hits else 0) / occurring,
        "f1_macro": 2 * hits / (hits + n) / (occurring + (0 if hits else 1)),
        "log_loss": float(-np.log(p_true) @ true / n),
        "roc_auc": None if auc is None else 0.5,
    }


def class_notes(labels: list[Label], true: np.ndarray, column: np.ndarray) -> list[str]:
    """Return what a reader should know about the classes of the holdout."""
    unknown = [label for label, known in zip(labels, column >= 0, strict=True) if not known]
    absent = [label for label, rows in zip(labels, true, strict=True) if rows == 0]
    few = [label for label, rows in zip(labels, true, strict=True) if 0 < rows < FEW]
    notes = []
    if unknown:
        notes.append(
            f"The model never saw these classes of the holdout and gives them probability 0: {_names(unknown)}."
        )
    if absent:
        notes.append(f"These classes do not occur in the holdout, so nothing is known of them: {_names(absent)}.")
    if few:
        notes.append(
            f"These classes have fewer than {FEW} rows in the holdout, their figures say little: {_names(few)}."
        )
    if np.sum(true > 0) == 1:
        notes.append("The holdout has one class only, so there is no ROC AUC.")
    return notes


def _names(labels: list[Label]) -> str:
    """Return a list of labels for a sentence, cut after the first few."""
    rest = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(str(label) for label in labels[:NAMED]) + rest

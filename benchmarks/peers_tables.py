"""What peers took until they were as accurate as the plain function, as Markdown tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from cases import Case
from measuring import Taken
from tables import MIB, accuracy, table

TEST_SIZE = 0.2
REFERENCE = "plain function"


@dataclass(frozen=True)
class Forest:
    """Forests of one file: by name, then by number of trees, what each round took."""

    case: Case
    taken: Mapping[str, Mapping[int, Sequence[Taken]]]

    @property
    def goal(self) -> float:
        """Accuracy that counts as the plain function's."""
        ((_, rounds),) = self.taken[REFERENCE].items()
        return within_chance(median(map(accuracy, rounds)), self.case)

    def reached(self, name: str) -> tuple[float, float, int] | None:
        """Return the seconds, of wall and CPU, of the smallest forest that reaches the goal, and its trees, or None."""
        for trees, rounds in sorted(self.taken[name].items()):
            if median(map(accuracy, rounds)) >= self.goal:
                return median(each.wall for each in rounds), median(each.cpu for each in rounds), trees
        return None


@dataclass(frozen=True)
class Network:
    """The network on one file: by name what each round took, with `epochs` in its output."""

    case: Case
    taken: Mapping[str, Sequence[Taken]]

    @property
    def goal(self) -> float:
        """Accuracy that counts as the plain function's at its end."""
        return within_chance(median(each.output["epochs"][-1][1] for each in self.taken[REFERENCE]), self.case)

    def epochs(self, name: str) -> list[tuple[float, float]]:
        """Return the medians of time and accuracy at the end of each epoch."""
        rounds = [each.output["epochs"] for each in self.taken[name]]
        return [
            (median(at for at, _ in epoch), median(value for _, value in epoch)) for epoch in zip(*rounds, strict=True)
        ]

    def reached(self, name: str) -> tuple[float, int] | None:
        """Return the seconds until the first epoch ends that reaches the goal, and its number, or None."""
        for number, (seconds, value) in enumerate(self.epochs(name), 1):
            if value >= self.goal:
                return seconds, number
        return None


def within_chance(value: float, case: Case) -> float:
    """Return the accuracy that is one standard error of the holdout below another."""
    return value - (value * (1 - value) / (TEST_SIZE * case.n_samples)) ** 0.5


def render(forest: Forest, network: Network) -> str:
    """Return all tables."""
    return f"### Peers: {forest.case.name}\n\n{_forest(forest)}\n### Peers: {network.case.name}\n\n{_network(network)}"


def _forest(forest: Forest) -> str:
    """Return a row for each peer: its largest forest, and the smallest that is accurate enough."""
    rows = []
    for name, by_trees in forest.taken.items():
        reached = forest.reached(name)
        rows.append(
            (
                name,
                *_process(by_trees[max(by_trees)]),
                *(f"{median(map(accuracy, by_trees[n])):.4f}" if n in by_trees else "" for n in _sizes(forest)),
                "{:.1f} s, CPU {:.1f} s ({} trees)".format(*reached) if reached else "never",
            )
        )
    header = (*(f"accuracy, {n} trees" for n in _sizes(forest)), f"until accuracy is {forest.goal:.4f}")
    return table((f"{_most(forest)} trees", "wall s", "CPU s", "peak MiB", *header), rows)


def _sizes(forest: Forest) -> list[int]:
    """Return all numbers of trees."""
    return sorted({n for by_trees in forest.taken.values() for n in by_trees})


def _most(forest: Forest) -> int:
    """Return the largest number of trees."""
    return _sizes(forest)[-1]


def _process(rounds: Sequence[Taken]) -> Iterable[str]:
    """Return what the whole processes took: wall and CPU seconds, and peak MiB; medians."""
    values: tuple[tuple[Callable[[Taken], float], str], ...] = (
        (lambda each: each.wall, "{:.1f}"),
        (lambda each: each.cpu, "{:.1f}"),
        (lambda each: each.peak / MIB, "{:,.0f}"),
    )
    return [unit.format(median(map(value, rounds))) for value, unit in values]


def _network(network: Network) -> str:
    """Return a row for each peer, and below it the accuracy after each epoch."""
    rows, curves = [], []
    for name, rounds in network.taken.items():
        epochs, reached = network.epochs(name), network.reached(name)
        pace = (epochs[-1][0] - epochs[0][0]) / (len(epochs) - 1)
        until = "{:.1f} s ({} epochs)".format(*reached) if reached else "never"
        rows.append((name, *_process(rounds), f"{pace:.2f}", f"{epochs[-1][1]:.4f}", until))
        curves.append((name, *(f"{value:.3f} at {seconds:.0f} s" for seconds, value in epochs)))
    header = ("s an epoch", "accuracy at the end", f"until accuracy is {network.goal:.4f}")
    processes = table((f"{network.case.params['epochs']} epochs", "wall s", "CPU s", "peak MiB", *header), rows)
    return processes + "\n" + table(("accuracy after epoch", *map(str, range(1, len(curves[0])))), curves)

"""A page, Markdown and JSON tell the same; nothing in the data can break them or reach outside."""

import html.parser
import itertools
import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from test_contract import images, profile, table

from jobs.contract.drift import Drift
from jobs.evaluation import Evaluation, Metric
from jobs.evaluation.comparison import Comparison
from jobs.evaluation.duplicates import Duplicates
from jobs.report import Decision, Gate, Report, promoting, view
from jobs.report.markdown import escape

EVIL = '<script>alert("1")</script>'
VOID = {"meta", "path", "rect", "use", "link", "br"}


class Page(html.parser.HTMLParser):
    """Reads a page: its tables as texts, its ids, tags, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without content."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Check that the innermost tag is closed."""
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text of cells."""
        if any(tag in {"td", "th"} for tag in self.open):
            self.tables[-1][-1][-1] += data


def evaluate(labels: Sequence[object], n: int = 300, signal: float = 2.0, seed: int = 0) -> Evaluation:
    """Return the evaluation of a model that knows something of these classes."""
    rng = np.random.default_rng(seed)
    classes = np.array(labels)
    y = rng.integers(0, len(classes), n)
    scores = rng.normal(size=(n, len(classes)))
    scores[np.arange(n), y] += signal
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return Evaluation.from_predictions(classes[y], proba, classes, y_train=classes[y])


def ten_classes() -> Report:
    """Return a typical report of an image model."""
    epochs = np.arange(10)
    return Report(
        title="cnn on images.npz",
        status="finished",
        evaluation=evaluate([f"kind {k}" for k in range(10)], n=5000),
        gates=[Gate("accuracy", 0.5, 0.7123456789, passed=True)],
        sections={"Data": {"Rows": "25,000", "SHA-256": "9f86d081" * 8}, "Settings": {"epochs": "10"}},
        learning_curves={"loss": list(np.exp(-epochs / 3)), "val_loss": list(np.exp(-epochs / 4))},
        notes=["Pixels were divided by 255."],
    )


def rejected() -> Report:
    """Return a report full of names that try to break it."""
    return Report(
        title=f"random_forest on {EVIL}.csv",
        status="rejected",
        reason=f"Accuracy is under 0.9 for {EVIL} & more.",
        evaluation=evaluate([EVIL, "a|b*c_d_ `x` $x^2$", "長い名前\n\u202e" * 20], n=40, signal=0.3),
        gates=[("accuracy", 0.9, 0.4, False), ("roc_auc", 0.5, None, False)],
        sections={EVIL: {EVIL: EVIL}},
        importances={EVIL: 0.5, **{f"column {k} {'x' * k}": 0.5 / 499 for k in range(498)}, "broken": math.nan},
        notes=[EVIL],
    )


def compare(gained: int, lost: int, n: int) -> Comparison:
    """Compare two models of which each alone is right on so many rows, both on half of the others."""
    y_true = np.arange(n) % 3
    ours, theirs = (np.where(np.arange(n) % 2, y_true, 9) for _ in range(2))
    ours[:gained], theirs[:gained] = y_true[:gained], 9
    ours[-lost or n :], theirs[-lost or n :] = 9, y_true[-lost or n :]
    return Comparison.from_predictions(y_true, ours, theirs)


def drifting(n_columns: int = 1) -> Drift:
    """Return the drift of numbers, few and many, text with a hostile new value, gaps, a constant, infinity, and labels."""
    rng = np.random.default_rng(0)
    n = 400
    before = {f"{EVIL} {k}": rng.normal(size=n) for k in range(n_columns)}
    now = {name: values * 3 + 50_000 for name, values in before.items()}
    before |= {"stars": rng.integers(1, 6, n), "text": ["a", "b"] * 200, "gaps": [1.0] * n, "constant": [2.0] * n}
    now |= {
        "stars": [5] * n,
        "text": ["a", EVIL * 9, "c", "d"] * 100,
        "gaps": [1.0, np.nan] * 200,
        "constant": [3.0] * n,
    }
    before |= {"huge": rng.normal(size=n) * 1e37, "infinite": [np.inf, 1.0] * 200, "same": [1.0] * n}
    now |= {"huge": rng.normal(size=n) * 1e38, "infinite": [-np.inf, np.inf] * 200, "same": [1.0] * n}
    labels = [["u", "v"] * 200, ["u", "u", "u", "v"] * 100]
    profiles = [profile(table(columns, y=y)) for columns, y in zip((before, now), labels, strict=True)]
    return Drift.between(*profiles, alpha=0.05)


def darker() -> Drift:
    """Return the drift of images."""
    pixels = np.random.default_rng(0).integers(50, 250, (300, 4, 4, 3), dtype=np.uint8)
    return Drift.between(profile(images(pixels)), profile(images(pixels - 50)), alpha=0.05)


def kept() -> Report:
    """Return the report of a challenger that is no better, on data that have drifted."""
    return Report(
        title="random-forest: train on houses.csv",
        status="finished",
        evaluation=evaluate(["no", "yes"], n=1000),
        decision=Decision("houses", "keep", "version 3", f"better than {EVIL}", "not better beyond chance: p = 0.09"),
        comparison=compare(40, 28, 1000),
        drift=drifting(30),
        duplicates=Duplicates(12, Metric(0.912, 0.893, 0.928)),
    )


REPORTS = {
    "kept": kept,
    "promoted": lambda: Report(
        "two",
        "finished",
        evaluate([False, True], n=500),
        decision=Decision("two", "promote", "version 7", "always", "because"),
        comparison=compare(60, 20, 500),
        drift=darker(),
        duplicates=Duplicates(0, Metric(0.9, 0.8, 1.0)),
    ),
    "first": lambda: Report(
        "first",
        "finished",
        evaluate(["a", "b"], n=200),
        decision=Decision(EVIL, "promote", None, "better than guessing", "better"),
        comparison=compare(60, 0, 200),
        drift=Drift.between(*[profile(table({"n": np.arange(50.0)}))] * 2, alpha=0.05),
        duplicates=Duplicates(1, Metric(0.9, 0.8, 1.0)),
    ),
    "undecided": lambda: Report(
        "few",
        "finished",
        evaluate(["a", "b"], n=4),
        decision=Decision("m", "undecided", None, "", "the server is away"),
        duplicates=Duplicates(4, None),
    ),
    "compared": lambda: Report("compared", "rejected", evaluate(["a", "b"], n=30), comparison=compare(0, 0, 30)),
    "ten": ten_classes,
    "rejected": rejected,
    "two": lambda: Report("two", "finished", evaluate([False, True]), importances={"only": 0.0}),
    "integers": lambda: Report("seven", "finished", evaluate(list(range(7)))),
    "thirty": lambda: Report("thirty", "finished", evaluate([f"k{k}" for k in range(30)])),
    "many": lambda: Report("many", "finished", evaluate([f"k{k}" for k in range(150)], n=2000)),
    "perfect": lambda: Report("perfect", "finished", evaluate([f"k{k}" for k in range(40)], n=900, signal=99)),
    "one row": lambda: Report("one", "finished", evaluate(["a", "b"], n=1)),
    "one epoch": lambda: Report(
        "one", "finished", evaluate(["a", "b"]), learning_curves={"loss": [3.2], "val_loss": [math.nan], "lr": []}
    ),
    "diverged": lambda: Report(
        "one",
        "finished",
        evaluate(["a", "b"]),
        learning_curves={"loss": [1.0, math.inf, math.nan], "<b>": [0.408, 0.41]},
    ),
}


@pytest.fixture(params=REPORTS.values(), ids=REPORTS)
def report(request: pytest.FixtureRequest) -> Report:
    """Return each kind of report."""
    made = request.param()
    assert isinstance(made, Report)
    return made


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Return the cells of the tables, unescaped."""
    tables: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if not line.startswith("|"):
            tables.append([])
        elif not re.fullmatch(r"[|:\- ]+", line):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            tables[-1].append([re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells])
    return [table for table in tables if table]


def test_page_is_whole_and_reaches_nowhere(report: Report) -> None:
    """Tags are closed, ids unique, and there is no script, no address and no file to load."""
    text = report.html()
    page = Page(text)
    assert page.open == []
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert not {"script", "img", "link", "iframe", "object", "image"} & set(page.tags)
    assert "http://" not in text
    assert "https://" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert [
        value for name, value in page.attributes if name in {"src", "href"} and not str(value).startswith("#")
    ] == []
    assert ("lang", "en") in page.attributes
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_page_is_the_same_every_time(report: Report) -> None:
    """Equal input gives equal bytes, and matplotlib's settings are left alone."""
    before = dict(mpl.rcParams)
    assert report.html() == report.html()
    assert dict(mpl.rcParams) == before


def test_all_three_have_the_same_numbers(report: Report) -> None:
    """Metrics, intervals, baseline, gates and classes of page and Markdown are those of the JSON, rounded."""
    content = json.loads(report.json())
    number = view.number
    metrics = [
        [
            number(metric["value"]),
            "–" if metric["low"] is None else f"{number(metric['low'])} to {number(metric['high'])}",  # noqa: RUF001
            number(content["baseline"][name]),
        ]
        for name, metric in content["metrics"].items()
    ]
    classes = {
        (view.name(row["label"]), *(number(row[key]) for key in ("precision", "recall", "f1")))
        for row in content["per_class"]
    }
    for tables in (Page(report.html()).tables, markdown_tables(report.markdown())):
        by_header = {table[0][0]: table[1:] for table in tables}
        assert metrics == [row[1:4] for row in by_header["Metric"]]
        assert {tuple(row[:4]) for row in by_header["Class"]} <= classes
        if content["comparison"]:
            said = content["comparison"]
            expected = [number(said["challenger"]), number(said["champion"]), f"{said['gain']:+.4f}"]
            expected += [f"{said['gained']}", f"{said['lost']}"]
            assert expected == [row[1] for row in by_header["Comparison"][:5]]
        if content["drift"] and content["drift"]["alarms"]:
            alarming = [[view.name(each["column"]), f"{each['psi']:.4f}"] for each in content["drift"]["alarming"]]
            assert alarming[:20] == [row[:2] for row in by_header["Column"]]
        gates = [[f"{gate['least']:.8g}", gate["passed"]] for gate in content["gates"]]
        assert gates == [[row[1], row[3] == "yes"] for row in by_header.get("Gate", [])]


@pytest.mark.parametrize("kind", ["ten", "rejected", "integers"])
def test_confusion_matrix_is_the_same_in_all_three(kind: str) -> None:
    """Up to a dozen classes each reader gets every count."""
    report = REPORTS[kind]()
    expected = json.loads(report.json())["confusion"]
    for tables in (Page(report.html()).tables, markdown_tables(report.markdown())):
        (matrix,) = (table for table in tables if table[0][0].startswith("true") or table[0][0].startswith("True ↓"))
        assert expected == [[int(cell) for cell in row[1:]] for row in matrix[1:]]


def test_names_from_the_data_are_text() -> None:
    """A script in a label, a column, a title, a fact or a note is shown, not run."""
    report = rejected()
    assert "<script" not in report.html()
    assert report.html().count("&lt;script&gt;") > 10
    assert re.findall(r"(?<!\\)<", report.markdown()) == []
    assert "\u202e" not in report.html() + report.markdown()
    assert EVIL in json.loads(report.json())["importances"]


def test_a_rejected_run_says_so_first() -> None:
    """The verdict and its reason come before any number."""
    report = rejected()
    assert report.html().index("Rejected") < report.html().index("Accuracy is under 0.9") < report.html().index("<h2>")
    assert (
        report.markdown().index("**Rejected.**") < report.markdown().index("Reason:") < report.markdown().index("## ")
    )
    assert json.loads(report.json())["status"] == "rejected"


def test_the_verdict_compares_with_guessing() -> None:
    """The sentence names accuracy, interval, rows and baseline, and claims no more than the interval allows."""
    good, poor = evaluate(["a", "b"], n=400, signal=3), evaluate(["a", "b"], n=30, signal=0, seed=1)
    assert re.fullmatch(
        r"The model is right on 9\d\.\d% of 400 held-out rows \(95% interval 9\d\.\d% to 9\d\.\d%\): "
        r"clearly better than always answering the most frequent class \(5\d\.\d%\)\.",
        view.verdict(good),
    )
    assert "not clearly better than" in view.verdict(poor)
    assert "This holdout has 30 rows: one more right answer moves the accuracy by 3.3 points." in view.holdout(30)
    assert "This holdout has 1 row: " in view.holdout(1)


@pytest.mark.parametrize(
    ("value", "number", "percent"),
    [
        (1, "1.0000", "100.0%"),
        (0.99996, "0.99996", "99.996%"),
        (0.00001, "0.00001", "0.001%"),
        (0.5, "0.5000", "50.0%"),
    ],
)
def test_rounding_never_says_all_or_none(value: float, number: str, percent: str) -> None:
    """A value near 1 or 0 is not rounded to it."""
    assert number == view.number(value)
    assert percent == view.percent(value)


def test_many_classes_are_told_by_their_worst() -> None:
    """The page of 150 classes stays short: the worst classes, the most frequent mistakes, the mean curve."""
    report = REPORTS["many"]()
    tables = {table[0][0]: table[1:] for table in Page(report.html()).tables}
    assert len(tables["Class"]) == 20
    assert len(tables["True class"]) == 10
    f1 = sorted(row["f1"] for row in json.loads(report.json())["per_class"] if row["support"])
    assert [view.number(value) for value in f1[:20]] == [row[3] for row in tables["Class"]]
    assert "mean of 150 classes" in report.html()
    assert len(report.html()) < 100_000


def test_the_typical_page_is_small() -> None:
    """Ten classes with all their curves take less than 100 kB."""
    assert len(ten_classes().html().encode()) < 100_000


def test_importances_are_the_greatest_with_the_rest_named() -> None:
    """Of 500 features the page shows 20, greatest first, and the sum of the others."""
    table, shares, rest = view.importances({f"f{k}": k / 124_750 for k in range(500)})
    assert [row[0] for row in table.rows[:2]] == ["f499", "f498"]
    assert len(table.rows) == len(shares) == 20
    assert rest == f"The other 480 features together: {sum(range(480)) / 124_750:.4f}."


def test_axis_numbers_are_not_rounded_with_the_coordinates() -> None:
    """Shortening the drawing leaves its texts alone."""
    assert re.search(r"<text[^>]*>0\.4085</text>", REPORTS["diverged"]().html())


def test_plots_have_texts_for_those_who_do_not_see_them() -> None:
    """Each drawing is an image with a title that tells its figures; the rest is hidden."""
    text = ten_classes().html()
    titles = re.findall(r'<svg role="img" aria-label="([^"]+)" viewBox="[^"]+"><title>\1</title>', text)
    assert len(titles) == 3
    assert "mean of 10 classes, area under the curve 0." in titles[0]
    assert len(re.findall(r"<svg", text)) == 3 + len(re.findall(r'aria-hidden="true"', text))


def test_colours_have_contrast() -> None:
    """Text has at least 4.5:1 and lines at least 3:1 against the page, light and dark (WCAG 2.2, 1.4.3 and 1.4.11)."""
    text = ten_classes().html()
    for rule in re.findall(r":root \{ (--paper[^}]*--c5[^}]*)\}", text)[:2]:
        colours = dict(re.findall(r"--(\w+): (#\w+)", rule))
        for name, ground in itertools.product(["ink", "soft", "good", "bad"], ["paper", "band"]):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for k in range(6):
            assert contrast(colours[f"c{k}"], colours["paper"]) >= 3, k
        for name in ("right", "wrong"):
            assert contrast(colours["ink"], mixed(colours[name], colours["paper"], 0.6)) >= 4.5, name


def channels(colour: str) -> list[float]:
    """Return red, green and blue from 0 to 1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    return [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]


def mixed(colour: str, ground: str, share: float) -> str:
    """Return what CSS's `color-mix(in srgb, ...)` makes."""
    pairs = zip(channels(colour), channels(ground), strict=True)
    return "#" + "".join(f"{round(255 * (share * a + (1 - share) * b)):02x}" for a, b in pairs)


def contrast(first: str, second: str) -> float:
    """Return WCAG's contrast ratio."""
    dark, light = sorted(
        sum(
            w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip(weights, colour, strict=True)
        )
        for colour in (channels(first), channels(second))
        for weights in [(0.2126, 0.7152, 0.0722)]
    )
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val_loss", "val_loss"),
        ("__init__", r"\_\_init\_\_"),
        ("a|b", r"a\|b"),
        ("*x* [y](z)", r"\*x\* \[y\](z)"),
        ("two\nlines", "two lines"),
        ("-1.5 %", "-1.5 %"),
    ],
)
def test_markdown_escapes_only_what_it_must(text: str, expected: str) -> None:
    """Names stay readable in a terminal."""
    assert expected == escape(text)


def test_json_is_strict() -> None:
    """What is not a number is null; numpy's floats are numbers."""
    content = json.loads(REPORTS["diverged"]().json(), parse_constant=pytest.fail)
    assert content["learning_curves"] == {"loss": [1.0, None, None], "<b>": [0.408, 0.41]}
    assert content["gates"] == []


def test_nothing_heavy_is_imported_before_a_page_is_made() -> None:
    """Importing the report does not import matplotlib, and making one does not import pyplot."""
    code = (
        "import sys, jobs.report; sys.exit(any(m in sys.modules for m in ('matplotlib', 'jinja2', 'scipy', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, test_report; test_report.ten_classes().html(); sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent).returncode == 0


def test_the_decision_comes_before_the_metrics() -> None:
    """Whether it was promoted, why, by which rule and by which numbers is what an operator reads first."""
    report = kept()
    for text in (report.html(), report.markdown()):
        places = [
            text.index(each)
            for each in (
                "Not promoted",
                "Version 3 stays the champion of houses.",
                "Reason: not better",
                "Rule: better than",
            )
        ]
        places += [text.index(each) for each in ("a gain of 1.2 points", "This holdout can detect", "Metrics")]
        assert sorted(places) == places
    assert {"verdict": "keep", "champion": "version 3"}.items() <= json.loads(report.json())["decision"].items()


@pytest.mark.parametrize(
    ("verdict", "champion", "headline", "sentence"),
    [
        (
            "promote",
            "version 3",
            "Promoted",
            "This model takes the place of version 3 as champion of m, as soon as all of its run is in MLflow.",
        ),
        (
            "promote",
            None,
            "Promoted",
            "This model becomes the first champion of m, as soon as all of its run is in MLflow.",
        ),
        ("keep", "version 3", "Not promoted", "Version 3 stays the champion of m."),
        ("keep", None, "Not promoted", "m has no champion yet."),
        (
            "undecided",
            "version 3",
            "Not decided yet",
            "Whether this model becomes the champion of m is decided later, on the same rows.",
        ),
    ],
)
def test_who_is_champion_is_said(verdict: str, champion: str | None, headline: str, sentence: str) -> None:
    """Each outcome has its words."""
    decision = Decision("m", verdict, champion, "", "")  # type: ignore[arg-type]
    assert (headline, sentence) == promoting.headline(decision)


def test_what_the_holdout_can_show_is_always_said(report: Report) -> None:
    """Once, whether or not models were compared; with a comparison also what it is likely to show."""
    for text in (report.html(), report.markdown()):
        assert 1 == text.count("This holdout can detect ")
        assert (report.comparison is not None) == ("found in 80% of cases" in text)


def test_what_the_holdout_can_show_in_numbers() -> None:
    """Five rows of a thousand are half a point; of four rows nothing can be learnt."""
    said = promoting.detectable(Report("r", "finished", evaluate(["a", "b"], n=1000)))
    assert said == (
        "This holdout can detect a gain of 0.5 points at best: 5 rows that only the new model has right, and none that only "
        "the other has (one-sided test at level 0.05)."
    )
    assert promoting.detectable(Report("r", "finished", evaluate(["a", "b"], n=4))) == (
        "This holdout can detect no gain at all: it has too few rows for the level 0.05."
    )
    assert kept().json().count('"least_gain": 0.005') == 2


def test_a_first_model_is_compared_with_guessing() -> None:
    """The other side is named for what it is, and has no recall that could fall."""
    text = REPORTS["first"]().markdown()
    assert "always answering the most frequent class on" in text
    assert "Accuracy of the most frequent class" in text
    assert "Worst fall of recall" not in text


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (None, ""),
        (Duplicates(0, Metric(0.9)), ""),
        (
            Duplicates(1, Metric(0.9, 0.85, 0.95)),
            "1 of the 300 held-out rows is a row that was trained on too, with the very same features. On the others the model is right on 90.0% (95% interval 85.0% to 95.0%).",
        ),
        (
            Duplicates(300, None),
            "300 of the 300 held-out rows are rows that were trained on too, with the very same features: the accuracy says nothing of rows that are new to the model.",
        ),
    ],
)
def test_duplicates_are_said_where_there_are_any(found: Duplicates | None, sentence: str) -> None:
    """How many, and the accuracy without them."""
    assert sentence == promoting.duplicates(found, 300)


def test_drifting_columns_are_told_and_drawn() -> None:
    """The table names twenty, the worst first, with what has changed; twelve are drawn; JSON has all."""
    report = kept()
    page = Page(report.html())
    (drift,) = (table for table in page.tables if table[0][0] == "Column")
    content = json.loads(report.json())["drift"]
    assert (20, 37) == (len(drift) - 1, content["alarms"])
    assert content["alarms"] == len(content["alarming"])
    assert "17 more are in metrics.json" in report.html()
    assert 12 == report.html().count("<span>now</span>")
    changes = {row[0]: row[4] for row in drift[1:]}
    assert "median from 2 to 3; range from (2 to 2) to (3 to 3)" == changes["constant"]


def test_what_has_changed_is_said_by_kind() -> None:
    """Gaps, new and lost values, shares and ranges in words; nothing about columns that are the same."""
    text = Report("r", "finished", evaluate(["a", "b"]), drift=drifting()).markdown()
    for words in (
        "missing from 0.0% to 50.0%; median from 1 to 1",
        "gone: b (50.0%)",
        "u from 50.0% to 75.0%; v from 50.0% to 25.0%",
        "8 of 9 columns differ from the contract's data by more than chance",
    ):
        assert words in text
    assert "| same" not in text


def test_a_page_with_drift_is_small() -> None:
    """Twelve drawings of drift and all the rest take less than 150 kB."""
    assert len(kept().html().encode()) < 150_000


def test_data_that_have_not_changed_are_said_to_look_alike() -> None:
    """No alarm is one sentence, without a table or a drawing."""
    report = REPORTS["first"]()
    assert (
        "The data look like those of the contract: none of 2 columns differs by more than chance." in report.markdown()
    )
    assert "What has changed" not in report.html()


def test_groups_of_rows_are_told() -> None:
    """Where rows belong together the table says how many groups there are; else there is no such line."""
    y_true = np.arange(40) % 2
    found = Comparison.from_predictions(y_true, y_true, 1 - y_true, groups=np.arange(40) // 4)
    assert "| Groups of rows" in Report("r", "finished", evaluate(["a", "b"], n=40), comparison=found).markdown()
    assert "Groups of rows" not in kept().markdown()

"""Settings are what was meant, or one sentence says why not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.config import GATES, JobConfig
from jobs.errors import ConfigError
from jobs.params import parse_params


@dataclass(frozen=True)
class Params:
    """One parameter of each kind."""

    count: int = 3
    rate: float = 0.5
    fast: bool = False
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    depth: int | None = None
    share: int | float = 1
    features: Literal["sqrt"] | int | float | None = "sqrt"

    def __post_init__(self) -> None:
        """Refuse one value, as pipelines do."""
        if self.count == 13:
            raise ValueError("count must not be 13")


def parsed(name: str, text: str) -> object:
    """Return what one parameter becomes."""
    return getattr(parse_params("demo", Params, {name: text}), name)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("count", "7", 7),
        ("count", "-7", -7),
        ("rate", "0.25", 0.25),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2.0),
        ("fast", "true", True),
        ("fast", "No", False),
        ("fast", "1", True),
        ("fast", "0", False),
        ("name", "a = b", "a = b"),
        ("kind", "b", "b"),
        ("depth", "4", 4),
        ("depth", "None", None),
        ("share", "2", 2),
        ("share", "0.5", 0.5),
        ("share", "1.0", 1.0),
        ("features", "sqrt", "sqrt"),
        ("features", "3", 3),
        ("features", "0.3", 0.3),
        ("features", "none", None),
    ],
)
def test_a_text_becomes_a_value_of_the_declared_type(name: str, text: str, expected: object) -> None:
    """Value and type are right: scikit-learn takes 1 for one row and 1.0 for all of them."""
    actual = parsed(name, text)
    assert (expected, type(expected)) == (actual, type(actual))


INTEGERS = st.integers(-(2**31) + 1, 2**31 - 1)


@given(
    st.fixed_dictionaries(
        {
            "count": INTEGERS.filter(lambda count: count != 13),
            "rate": st.floats(allow_nan=False),
            "fast": st.booleans(),
            "depth": st.none() | INTEGERS,
        }
    )
)
def test_values_survive_the_way_through_text(expected: dict[str, object]) -> None:
    """What Python writes is read back the same."""
    actual = parse_params("demo", Params, {name: str(value) for name, value in expected.items()})
    assert expected == {name: getattr(actual, name) for name in expected}


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("count", "1.5", "an integer"),
        ("count", "", "an integer"),
        ("rate", "fast", "a number"),
        ("fast", "2", "true or false"),
        ("kind", "c", "'a' or 'b'"),
        ("depth", "deep", "an integer or none"),
        ("features", "all", "'sqrt' or an integer or a number or none"),
    ],
)
def test_another_type_is_refused_with_the_rule_and_the_text(name: str, text: str, rule: str) -> None:
    """The sentence has the parameter, what it takes, and what was given."""
    with pytest.raises(ConfigError) as caught:
        parsed(name, text)
    assert f"--param {name} must be {rule}, got {text!r}" == str(caught.value)


@pytest.mark.parametrize("name", ["count", "depth", "share", "features"])
@pytest.mark.parametrize("text", ["99999999999999999999999", "2147483648", "-2147483648"])
def test_an_integer_beyond_32_bits_is_refused(name: str, text: str) -> None:
    """It is no share either, where a parameter takes both."""
    with pytest.raises(ConfigError) as caught:
        parsed(name, text)
    assert f"--param {name} must be an integer from -2147483647 to 2147483647, got {text}" == str(caught.value)


def test_an_unknown_parameter_is_answered_with_the_nearest_and_all_others() -> None:
    """A slip of the finger is named, and what there is with type and default."""
    with pytest.raises(ConfigError) as caught:
        parse_params("demo", Params, {"cuont": "1"})
    message = str(caught.value)
    assert message.startswith("--param cuont is not a parameter of demo (did you mean 'count'?); it takes count (an ")
    assert "depth (an integer or none, None)" in message


def test_a_value_that_the_pipeline_refuses_is_a_config_error() -> None:
    """The pipeline's own rule becomes the same kind of sentence."""
    with pytest.raises(ConfigError, match="--param count must not be 13"):
        parsed("count", "13")


def test_pairs_are_taken_apart_at_the_first_equals_sign() -> None:
    """Values may hold `=`, and blanks around both sides do not matter."""
    actual = JobConfig(Path("x"), param=("a=1", " b = c=d "), min=("accuracy=0.5",))
    assert (actual.params, actual.minimums) == ({"a": "1", "b": "c=d"}, {"accuracy": 0.5})


@pytest.mark.parametrize("pair", ["a", "=1", "", " = "])
def test_a_pair_without_key_or_equals_sign_is_refused(pair: str) -> None:
    """The sentence shows what was given."""
    with pytest.raises(ConfigError) as caught:
        JobConfig(Path("x"), param=(pair,)).check()
    assert f"--param takes KEY=VALUE, got {pair!r}" == str(caught.value)


def test_a_key_given_twice_is_refused_with_both_values() -> None:
    """The last one does not win in silence."""
    with pytest.raises(ConfigError, match="--param a is given twice: '1' and '2'"):
        JobConfig(Path("x"), param=("a=1", "a=2")).check()


@given(st.sampled_from(GATES), st.floats(0, 1))
def test_a_gate_is_a_number_from_0_to_1(metric: str, least: float) -> None:
    """Both ends included."""
    assert {metric: least} == JobConfig(Path("x"), min=(f"{metric}={least}",)).minimums


@pytest.mark.parametrize("text", ["-0.1", "1.01", "80", "nan", "inf", "high", ""])
def test_a_gate_that_no_metric_can_reach_or_miss_is_refused(text: str) -> None:
    """80 is most likely meant as 0.8: better asked than always rejected."""
    with pytest.raises(ConfigError) as caught:
        JobConfig(Path("x"), min=(f"accuracy={text}",)).check()
    assert f"--min accuracy must be a number from 0 to 1, got {text!r}" == str(caught.value)


def test_a_gate_on_an_unknown_metric_is_answered_with_the_nearest() -> None:
    """A loss has no least value, a misspelt metric has a neighbour."""
    with pytest.raises(ConfigError, match="got 'acuracy' \\(did you mean 'accuracy'\\?\\)"):
        JobConfig(Path("x"), min=("acuracy=0.5",)).check()
    with pytest.raises(ConfigError, match="got 'log_loss'"):
        JobConfig(Path("x"), min=("log_loss=0.5",)).check()


@pytest.mark.parametrize("test_size", [0, 1, -0.2, 20, float("nan"), float("inf")])
def test_a_test_size_outside_0_to_1_is_refused(test_size: float) -> None:
    """Something is to be held out, and something left to train on."""
    with pytest.raises(ConfigError, match="--test-size must be between 0 and 1"):
        JobConfig(Path("x"), test_size=test_size).check()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take_is_refused(seed: int) -> None:
    """Seeds are unsigned numbers of 32 bits."""
    with pytest.raises(ConfigError, match="--random-state must be from 0 to 4294967295"):
        JobConfig(Path("x"), random_state=seed).check()


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_ranges_are_taken(seed: int) -> None:
    """Ranges include their ends where the sentence says so."""
    JobConfig(Path("x"), random_state=seed, min=("accuracy=0", "roc_auc=1")).check()

"""One code for each end, one meaning for each code, and the help tells them all."""

import pytest
from click.testing import CliRunner

from jobs.cli import cli
from jobs.errors import ExitCode, JobError, StopError

ERRORS = [*JobError.__subclasses__(), *StopError.__subclasses__()]


def test_no_two_errors_share_an_exit_code() -> None:
    """A scheduler can tell every kind of error by its code."""
    codes = [error.exit_code for error in ERRORS]
    assert len(set(codes)) == len(codes) >= 8


def test_every_error_has_a_code_of_the_enum() -> None:
    """No error invents a number."""
    assert all(isinstance(error.exit_code, ExitCode) for error in ERRORS)


def test_every_code_but_those_that_are_no_exceptions_has_an_error() -> None:
    """What is left are the ends that nothing raises: success, a bug, click's own, and a rejected model."""
    unraised = set(ExitCode) - {error.exit_code for error in ERRORS}
    assert {ExitCode.OK, ExitCode.INTERNAL, ExitCode.USAGE, ExitCode.REJECTED} == unraised


def test_errors_have_no_subclasses_of_their_own() -> None:
    """One level: a class below an error would share its code."""
    assert [below for error in ERRORS for below in error.__subclasses__()] == []


def test_codes_are_unique_and_fit_into_a_byte() -> None:
    """No alias, and no number that the shell would cut off or read as another signal than ours."""
    numbers = [code.value for code in ExitCode.__members__.values()]
    assert sorted(set(numbers)) == sorted(numbers)
    assert all(0 <= number < 128 or number in (130, 143) for number in numbers)


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: code.name)
def test_every_code_has_a_meaning_of_its_own(code: ExitCode) -> None:
    """Each says what exists afterwards, and no two say the same."""
    assert [code] == [other for other in ExitCode if other.meaning == code.meaning]
    assert len(code.meaning) > 10


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"]], ids=" ".join)
def test_help_shows_every_code_with_its_name_and_meaning(command: list[str]) -> None:
    """`--help` is where a person looks up a code."""
    shown = " ".join(CliRunner().invoke(cli, [*command, "--help"], terminal_width=80).stdout.split())
    assert [code for code in ExitCode if f"{code.value} {code.name} {code.meaning}" not in shown] == []

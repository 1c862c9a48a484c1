import json

import pytest

from lungscope import errors
from lungscope.errors import LungscopeError, OutputError, UnreadableImage
from lungscope.serve import problems
from lungscope.serve.problems import KINDS, Kind, Problem, as_problem, respond


def every_error(base: type[LungscopeError] = LungscopeError) -> set[type[LungscopeError]]:
    below = {cls for one in base.__subclasses__() for cls in every_error(one)}
    return {cls for cls in {base, *below} if cls.__module__ == errors.__name__}


@pytest.mark.parametrize("error", sorted(every_error(), key=lambda cls: cls.__name__))
def test_every_error_of_lungscope_has_a_kind_of_its_own(error: type[LungscopeError]) -> None:
    assert error in KINDS
    assert as_problem(error("what, where, next")).kind is KINDS[error]
    assert str(as_problem(error("what, where, next"))) == "what, where, next"


def test_a_later_error_takes_the_kind_of_its_parent() -> None:
    class Later(UnreadableImage):
        pass

    assert as_problem(Later("x")).kind.name == "unreadable-image"


def test_kinds_are_told_apart_by_name_and_are_errors() -> None:
    kinds = {kind for kind in vars(problems).values() if isinstance(kind, Kind)} | set(KINDS.values())
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_a_body_has_the_members_of_rfc_9457() -> None:
    found = json.loads(respond(Problem(problems.NOT_FOUND, "None here."), fields=[{"where": "a", "message": "b"}]).body)
    assert found["type"] == "urn:lungscope:problem:not-found"
    assert (found["status"], found["detail"]) == (404, "None here.")
    assert found["errors"] == [{"where": "a", "message": "b"}]


def test_who_is_sent_away_is_told_when_to_come_back() -> None:
    for problem, seconds in (
        (Problem(problems.QUEUE_FULL, "x", retry_after_s=1.2), "2"),
        (as_problem(OutputError("x")), "5"),
        (Problem(problems.NOT_FOUND, "x"), None),
    ):
        assert respond(problem).headers.get("Retry-After") == seconds

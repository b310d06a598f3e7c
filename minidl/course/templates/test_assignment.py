"""The checks of @NAME@, one test each. `pytest -m task2_3` runs those of task 2.3."""

import pytest

from minidl.course.student import open_tree

TREE = open_tree(__file__)


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=getattr(pytest.mark, TREE.marker(c)), id=f"{c.task}-{c.name}") for c in TREE.checks],
)
def test_task(check):
    result = TREE.run(check)
    if result.status == "waits":
        pytest.skip(f"{check.name} {result.message}")
    if result.status == "failed":
        pytest.fail(TREE.told(result), pytrace=False)


def test_minidl_is_the_one_of_this_tree():
    assert TREE.foreign() is None, TREE.foreign()

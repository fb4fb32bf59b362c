"""Settings of before against those of now."""

import pytest

from hedgerow.settings import difference


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"seed": 0}, {"seed": 1}, "seed 0, not 1"),
        ({"a": 1, "explore": {"zoom": {"windows": 8}}}, {"a": 1, "explore": {"zoom": {"windows": 0}}}, "explore.zoom."),
        ({"a": 1}, {"a": 1, "size": None}, "size unknown, not None"),
        ({"a": 1, "size": 2}, {"a": 1}, "size 2, not unknown"),
        ({"names": {}}, {"names": {"find": True}}, "names.find unknown, not True"),
        ({"names": {}}, {}, "names {}, not unknown"),
    ],
)
def test_the_first_that_is_not_the_same_is_named(before, now, told):
    assert difference(before, now).startswith(told)

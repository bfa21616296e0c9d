from __future__ import annotations

import pytest

from lowpeak_artifact.errors import BudgetTooSmall, ModelError, told_as_model_error


def test_another_exception_becomes_one_line_with_its_cause():
    cause = ValueError("Cannot view a tensor!\n\nWhile executing %view\ngraph():\n  %x")
    with pytest.raises(ModelError) as caught, told_as_model_error("the pass Normalize failed"):
        raise cause
    assert str(caught.value).startswith(
        "the pass Normalize failed: ValueError: Cannot view a tensor!. lowpeak does not know"
    )
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "error", [BudgetTooSmall("too small"), FileNotFoundError("no file"), KeyboardInterrupt()]
)
def test_what_is_explained_already_stays(error):
    with pytest.raises(type(error)) as caught, told_as_model_error("planning"):
        raise error
    assert caught.value is error

"""A service's name can stand in a URL and in a file's path, or is refused with one that can."""

import pytest

from evertrain.config.naming import check_name
from evertrain.errors import UserError


@pytest.mark.parametrize("name", ["", "my model", "a/b", "-x", "ü"])
def test_a_name_can_stand_in_a_url(name: str) -> None:
    with pytest.raises(UserError, match="is no name of a service"):
        check_name(name)
    assert check_name("Churn-2.model") == "Churn-2.model"


def test_the_nearest_name_is_proposed() -> None:
    with pytest.raises(UserError) as caught:
        check_name("my model/v2")
    assert caught.value.remedy.endswith(": --service my-model-v2.")

import pytest
from toy import ConvModel


@pytest.fixture
def state():
    return ConvModel(seed=3).state_dict()

from __future__ import annotations

import pytest

from tests.factories import make_family
from tests.portal import make_staff


@pytest.fixture
def family(app):
    return make_family(balance="120.00", phone="13700001234")


@pytest.fixture
def finance(app):
    return make_staff("finance", display_name="钱会计")


@pytest.fixture
def manager(app):
    return make_staff("manager", display_name="李店长")


@pytest.fixture
def front(app):
    return make_staff("front_desk", display_name="小前台")

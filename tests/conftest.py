"""Runs at toy size, shared by all tests."""

import pytest

from stopgrad.config import Run
from tests.toys import toy_run


@pytest.fixture
def toy() -> Run:
    return toy_run(batch=8)

from __future__ import annotations

from pipelines.tasks import RECORDS_OF_TASKS
from translation.row import TASKS


def test_tasks_of_rows_are_those_that_mixes_are_made_of() -> None:
    assert sorted(TASKS) == sorted(RECORDS_OF_TASKS)

"""Writing records to a file and reading them as a person would."""

import json

import pytest

from fewtune import read


@pytest.fixture
def read_records(tmp_path):
    def do(records, name="export.json", **options):
        path = tmp_path / name
        lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        path.write_text(lines if name.endswith("l") else json.dumps(records, ensure_ascii=False), encoding="utf-8")
        return read(path, **options)

    return do

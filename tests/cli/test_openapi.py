from __future__ import annotations

import json

from app.api.v1 import openapi
from app.config import ROOT


def test_writes_the_document(app, tmp_path):
    target = tmp_path / "docs" / "openapi.json"
    result = app.test_cli_runner().invoke(args=["openapi", "write", "--output", str(target)])
    assert result.exit_code == 0, result.output
    assert json.loads(target.read_text(encoding="utf-8")) == openapi.build()
    assert result.output.endswith(" calls\n")


def test_the_written_document_is_up_to_date(app):
    """Run `flask openapi write` after a change of the contract."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")) == openapi.build()

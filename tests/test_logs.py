"""What a log line holds, and what it never holds (S7, S8)."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from app import ids, logs


def line(message: str, *args, json_lines: bool = True, level: int = logging.INFO, **extra) -> str:
    record = logging.LogRecord("desk.test", level, __file__, 1, message, args, extra.pop("exc_info", None))
    record.__dict__.update(extra)
    return logs.formatter(json_lines=json_lines).format(record)


def test_a_line_is_json_with_its_fields():
    ids.set_request_id("req-12345678")
    found = json.loads(line("moved %s", "money", wallet_id=7))
    assert found["event"] == "moved money"
    assert found["wallet_id"] == 7
    assert found["level"] == "info"
    assert found["logger"] == "desk.test"
    assert found["request_id"] == "req-12345678"
    assert found["timestamp"].endswith("Z")


SECRETS = {
    "password": "correct horse",
    "access_token": "abcdefghijk",
    "session_key": "HyVFkGl5F5OQWJZZaNzBBg==",
    "openid": "oGZUI0egBJY1zhBYw2KhdUfwVJJE",
    "phone": "13712345678",
    "birthday": "2018-05-01",
    "Authorization": "Bearer abcdefgh",
    "totp_code": "907311",
}


@pytest.mark.parametrize("name", SECRETS)
def test_fields_with_telling_names_are_starred(name):
    text = line("x", **{name: SECRETS[name]}) + line("x", nested={"deep": [{name: SECRETS[name]}]})
    assert SECRETS[name] not in text
    assert "***" in text


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("call to 13712345678 failed", "13712345678"),
        ("GET /cgi-bin/token?appid=wx1&secret=0123456789abcdef&x=1", "0123456789abcdef"),
        ("access_token=70_abcdefghijklmnop expired", "70_abcdefghijklmnop"),
        ("Authorization: Bearer eyJhbGciOi.eyJzdWIi.x", "eyJhbGciOi.eyJzdWIi.x"),
        ('{"openid": "oGZUI0egBJY1zhBYw2Kh"}', "oGZUI0egBJY1zhBYw2Kh"),
        ("mysql+pymysql://desk:s3cr3t-pw@db/desk refused", "s3cr3t-pw"),
        ("redis://:s3cr3t-pw@127.0.0.1:6379/0", "s3cr3t-pw"),
    ],
)
def test_secrets_inside_texts_are_starred(text, gone):
    assert gone not in line(text)
    assert gone not in line("x", detail=text)
    assert gone not in line("x", many=[text, {"inner": text}])
    assert gone not in logs.redact_text(text)


def test_secrets_in_a_traceback_are_starred():
    try:
        raise ValueError("no token for 13712345678, secret=0123456789abcdef")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    assert "ValueError" in text
    assert "13712345678" not in text
    assert "0123456789abcdef" not in text


def test_what_is_no_secret_stays():
    found = json.loads(line("order 4200002611180012345 paid", amount="500.00", secret_present=True, ms=12.5))
    assert found["event"] == "order 4200002611180012345 paid"
    assert (found["amount"], found["ms"], found["secret_present"]) == ("500.00", 12.5, True)


def test_one_event_is_one_line_whatever_a_stranger_put_into_it():
    hostile = "x\nlevel=error forged\r\x1b[31m"
    assert "\n" not in line("said %s", hostile)
    assert "\n" not in line("said %s", hostile, json_lines=False)
    assert "\x1b" not in line("said %s", hostile, json_lines=False)
    assert "\n" not in line("x", json_lines=False, detail=hostile)


def test_the_terminals_line_is_short():
    text = line("moved", json_lines=False, wallet_id=7, level=logging.WARNING)
    assert text.endswith("WARNING desk.test: moved  wallet_id=7")


def test_installing_twice_does_not_double():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.install(json_lines=True)
        logs.install(json_lines=False, level="WARNING")
        assert len(root.handlers) == 1
        assert root.level == logging.WARNING
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_a_request_leaves_one_line_without_its_query(client, caplog):
    caplog.set_level(logging.INFO, "desk.access")
    client.get("/nothing-here?q=张小明")
    (record,) = [r for r in caplog.records if r.name == "desk.access"]
    assert record.getMessage() == "GET /nothing-here 404"
    assert record.ms >= 0
    assert "张小明" not in str(record.__dict__)


def test_every_answer_names_its_request_and_strangers_ids_are_not_taken(client):
    first, second = (client.get("/healthz", headers={"X-Request-Id": "chosen-by-me"}) for _ in range(2))
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert first.headers["X-Request-Id"] != "chosen-by-me"


def test_probes_are_quiet(client, caplog):
    caplog.set_level(logging.INFO, "desk.access")
    client.get("/healthz")
    assert not [r for r in caplog.records if r.name == "desk.access"]

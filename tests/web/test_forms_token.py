"""The hidden token of a form (R5): what makes two submissions the same request."""

from __future__ import annotations

from io import BytesIO

import pytest
from flask import request

from app.errors import Invalid
from app.web import forms_token
from app.web.forms.staff import ReasonForm
from tests.portal import Browser

TOKEN = "0123456789abcdef" * 2


@pytest.fixture
def cookie(app):
    browser = Browser(app).sign_in("finance")
    return {"Cookie": "desk=" + browser.client.get_cookie("desk").value}


def key(app, cookie, *, view="desk.adjust", path="/families/3/adjust", **fields):
    data = {"request_token": TOKEN, "amount": "5.00", **fields}
    with app.test_request_context(path, method="POST", data=data, headers=cookie):
        made = forms_token.request_key(view)
        for upload in request.files.values():
            assert upload.stream.read() != b""  # read for its digest, and still there for the view
        return made


def picture(content: bytes):
    return BytesIO(content), "slip.png"


def test_the_key_is_the_persons_and_the_tokens(app, cookie):
    made = key(app, cookie)
    assert made.scope.startswith("staff:")
    assert made.key == TOKEN


def test_how_one_confirms_is_not_what_one_asks(app, cookie):
    assert key(app, cookie).fingerprint == key(
        app, cookie, confirmed="1", typed_amount="5.00", csrf_token="another"
    ).fingerprint  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "6.00"},
        {"note": "x"},
        {"view": "desk.other"},
        {"path": "/families/4/adjust"},
        {"receipts": [b"one"]},
    ],
)
def test_anything_else_makes_it_another_request(app, cookie, other):
    if "receipts" in other:
        other = {"receipts": [picture(content) for content in other["receipts"]]}
    assert key(app, cookie).fingerprint != key(app, cookie, **other).fingerprint


def test_files_count_by_their_content(app, cookie):
    one = key(app, cookie, receipts=[picture(b"one")]).fingerprint
    assert key(app, cookie, receipts=[picture(b"one")]).fingerprint == one
    assert key(app, cookie, receipts=[picture(b"two")]).fingerprint != one


@pytest.mark.parametrize("token", ["", "short", TOKEN.upper(), TOKEN + "0", f"{TOKEN[:-1]}g", "张" * 32])
def test_a_token_that_none_of_our_forms_made(app, cookie, token):
    with pytest.raises(Invalid) as refused:
        key(app, cookie, request_token=token)
    assert "request_token" in refused.value.errors


def test_each_form_is_rendered_with_a_token_of_its_own(app):
    with app.test_request_context("/"):
        tokens = {ReasonForm().request_token.data for _ in range(5)} | {forms_token.new_token()}
    assert len(tokens) == 6
    assert all(len(token) == 32 for token in tokens)


def test_what_a_field_says_by_itself_is_chinese(app):
    from app.web.forms.staff import RoleForm

    with app.test_request_context("/", method="POST", data={"role": "owner", "reason": "x"}):
        form = RoleForm()
        form.validate()
        assert form.role.errors == ["不是有效的选择。"]

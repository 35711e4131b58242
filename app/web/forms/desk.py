"""Forms of the money desk: shape only; app/domain/desk decides.

A file that was uploaded with a form that came back is not uploaded again: it is stored already, and the form
carries a signed note of it (`kept`). The note is good for its author and two hours; what no adjustment names by
then is swept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from flask import Response, after_this_request, current_app, request
from flask_wtf.file import MultipleFileField
from itsdangerous import BadSignature, URLSafeTimedSerializer
from wtforms import HiddenField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from app import clock
from app.domain.desk import rules, words
from app.domain.desk.receipts import NewReceipt
from app.flows import receipts
from app.flows.receipts import Upload
from app.text import clean
from app.web import labels
from app.web.forms_token import TokenForm
from app.web.permissions import current_actor

KEPT_SECONDS = 2 * 3600


def _reasons() -> list[SelectChoice]:
    named = [
        SelectChoice(code, text, optgroup=labels.word("adjustment_type", kind))
        for kind, pairs in words.REASONS.items()
        for code, text in pairs
    ]
    return [SelectChoice("", "请选择原因"), *named, SelectChoice(*words.OTHER, optgroup="通用")]


class AdjustForm(TokenForm):
    """W10. `amount` stays text: app.money parses it, and refuses what a number field would bend into shape."""

    direction = RadioField(
        "方向",
        choices=[SelectChoice(rules.INCREASE, "增加"), SelectChoice(rules.DECREASE, "减少")],
        validate_choice=False,
    )
    type = RadioField("类型", choices=labels.select_choices("adjustment_type"), validate_choice=False)
    amount = StringField("金额", validators=[InputRequired()])
    payment_method = RadioField("收款方式", choices=labels.select_choices("payment_method"), validate_choice=False)
    external_no = StringField("转账单号", description="微信、支付宝或银行回单上的单号，同一单号只能入账一次。")
    reason_code = SelectField("原因", choices=_reasons(), validate_choice=False)
    note = StringField("说明", description="谁在什么时候交的款、为什么调整。只有员工能看到。")
    #: the wallet's version that the confirmation showed
    seen_version = HiddenField()
    #: when the form was opened, signed (U19)
    opened = HiddenField()


#: what most adjustments are: a fresh form begins with it, a submitted one must say it itself
USUAL = {"direction": rules.INCREASE, "type": "recharge", "reason_code": "offline_recharge"}


class DecisionForm(TokenForm):
    """Every button on one adjustment: `version` is what the person saw."""

    version = HiddenField()
    reason = TextAreaField("原因")
    receipts = MultipleFileField("凭证")


# ── when it was opened (U19) ────────────────────────────────────────────────────────────────────────


def opened_now() -> str:
    """The moment as a signed note; people must not be able to look faster than they were."""
    return _signer("adjust-opened").dumps(int(clock.now().timestamp()))


def seconds_since(opened: str | None) -> int | None:
    """Whole seconds since then; None for a note that is not ours."""
    try:
        return int(clock.now().timestamp()) - int(_signer("adjust-opened").loads(opened or ""))
    except (BadSignature, ValueError):
        return None


# ── files ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of this form that lies in the store already."""

    token: str
    name: str
    receipt: NewReceipt


def keep(name: str, receipt: NewReceipt) -> KeptFile:
    note = {"name": clean(name, 80), "staff": current_actor().id, **asdict(receipt)}
    return KeptFile(_signer("adjust-kept").dumps(note), note["name"], receipt)


def kept_files() -> list[KeptFile]:
    """Those that the form carries; a note that is old, altered or another's counts as not there."""
    found: dict[str, KeptFile] = {}
    for token in request.form.getlist("kept")[: rules.MAX_RECEIPTS]:
        try:
            note = _signer("adjust-kept").loads(token, max_age=KEPT_SECONDS)
        except BadSignature:
            continue
        if note.pop("staff", None) == current_actor().id:
            name = note.pop("name")
            found[note["storage_key"]] = KeptFile(token, name, NewReceipt(**note))
    return list(found.values())


def keep_uploads(kept: list[KeptFile]) -> list[NewReceipt]:
    """Store what came with this form and return all receipts that it now has; `kept` grows, so that a form that is
    refused shows them again. Raises Invalid, Unavailable."""
    sent = uploads()
    stored = receipts.keep(sent, actor=current_actor(), already=len(kept)) if sent else []
    kept.extend(keep(upload.name, new) for upload, new in zip(sent, stored, strict=True))
    return [file.receipt for file in kept]


def uploads() -> list[Upload]:
    """What the browser sent with this form; an empty file field sends one part without a name."""
    sent = [upload for _, upload in request.files.items(multi=True) if upload.filename]

    @after_this_request
    def close(response: Response) -> Response:
        for upload in sent:
            upload.close()  # a large one lies in a temporary file
        return response

    return [Upload(upload.filename or "", upload.stream) for upload in sent]


def _signer(salt: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.secret_key, salt=salt)

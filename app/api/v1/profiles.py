"""The family's students."""

from __future__ import annotations

from flask import Blueprint

from app.api.v1 import schemas
from app.api.v1.contract import Call, endpoint
from app.domain.people import profiles, queries
from app.domain.people.profiles import StudentFacts

bp = Blueprint("profiles", __name__, url_prefix="/profiles")


@endpoint(bp, "GET", "", summary="学员列表", data=schemas.Profiles)
def list_profiles(call: Call) -> schemas.Profiles:
    """本家庭的全部学员，先登记的在前。"""
    cards = queries.profiles_of(call.parent.family_id)
    return schemas.Profiles(items=[schemas.Profile.model_validate(card) for card in cards], next_cursor=None)


@endpoint(
    bp, "POST", "",
    summary="登记学员", body=schemas.ProfileBody, data=schemas.Profile, status=201, key="honoured",
    errors=("TOO_MANY_PROFILES",),
)  # fmt: skip
def add_profile(call: Call) -> schemas.Profile:
    """为本家庭登记一位学员。"""
    asked, present = call.body, schemas.Profile.model_validate
    facts = StudentFacts(asked.name, asked.birthday, asked.gender or "unknown", asked.level)
    return present(profiles.add_profile(facts=facts, actor=call.actor, request_key=call.request_key(present)))


@endpoint(
    bp, "PATCH", "/<id:profile_id>",
    summary="修改学员资料", body=schemas.ProfileChangeBody, data=schemas.Profile, errors=("NOT_FOUND",),
)  # fmt: skip
def patch_profile(call: Call, profile_id: int) -> schemas.Profile:
    """只改请求中出现的字段；生日和级别的 null 表示清空。"""
    changes = call.body.model_dump(exclude_unset=True)
    if changes.get("gender", "") is None:
        changes["gender"] = "unknown"
    return schemas.Profile.model_validate(
        profiles.update_profile(profile_id=profile_id, changes=changes, actor=call.actor)
    )

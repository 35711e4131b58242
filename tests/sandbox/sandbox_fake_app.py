"""A tiny app that speaks the part of the JSON contract that the phone page uses, from memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import requests
import sandbox_fake_classes
import sandbox_fake_makeups
import sandbox_fake_payments
import sandbox_fake_waitlist
from flask import Flask, g, jsonify, request
from werkzeug.serving import make_server

APPID, SECRET = "wxsandbox0000000001", "sandbox-secret"
BEGUN = datetime(2026, 11, 18, 10, 30, tzinfo=UTC)


def create_fake_app(sandbox_url: str) -> Flask:
    app = Flask("fake_app")
    app.json.ensure_ascii = False
    app.users, app.calls, app.tokens = {}, [], {}
    app.switched = {}

    def answer(data, status=200, message="操作成功", **more):
        return jsonify(code=status, message=message, data=data, request_id="req-fake", **more), status

    def new_user(openid, nickname):
        return {
            "user": {
                "id": len(app.users) + 1, "nickname": nickname, "real_name": None, "phone_masked": None,
                "member_status": "trial", "registered_at": BEGUN.isoformat(), "family_id": len(app.users) + 1,
            },
            "profiles": [], "subscriptions": {}, "notices": [],
            "preferences": {"booking_made": True, "booking_cancelled": True, "balance_changed": True,
                            "low_balance": True, "class_reminder": False},
            "balance": "-350.00" if openid.endswith("02") else "1620.00", "transactions": 25,
        }  # fmt: skip

    def wallet(user):
        arrears = user["balance"].startswith("-")
        return {
            "balance": user["balance"], "currency": "CNY", "status": "active",
            "state": "arrears" if arrears else "normal", "state_text": "欠费，请尽快充值" if arrears else "余额充足",
            "overdraft_limit": "1000.00", "available": "650.00" if arrears else "2620.00",
            "booking_allowed": not arrears, "members": [user["user"], {"id": 99, "nickname": "王奶奶"}],
        }  # fmt: skip

    @app.before_request
    def sign_in_needed():
        app.calls.append((request.method, request.full_path, dict(request.headers)))
        if request.path in ("/api/v1/auth/login", "/api/v1/auth/refresh"):
            return None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in app.tokens:
            return answer(None, 401, "请先登录", error="UNAUTHENTICATED")
        g.user = app.users[app.tokens[token]]
        return None

    def tokens_for(openid):
        token = f"token-{openid}-{len(app.calls)}"
        app.tokens[token] = openid
        return {"access_token": token, "expires_in": 7200, "refresh_token": f"refresh-{openid}"}

    @app.post("/api/v1/auth/login")
    def login():
        asked = requests.get(
            f"{sandbox_url}/sns/jscode2session",
            params={"appid": APPID, "secret": SECRET, "js_code": request.json["code"],
                    "grant_type": "authorization_code"},
            timeout=5,
        ).json()  # fmt: skip
        if "openid" not in asked:
            return answer(None, 401, "微信登录凭证无效", error="WECHAT_CODE_INVALID")
        openid = asked["openid"]
        user = app.users.setdefault(openid, new_user(openid, request.json.get("nickname")))
        return answer(
            {**tokens_for(openid), "user": user["user"], "profiles": user["profiles"], "wallet": wallet(user)}
        )

    @app.post("/api/v1/auth/refresh")
    def refresh():
        openid = (request.json.get("refresh_token") or "").removeprefix("refresh-")
        if openid not in app.users:
            return answer(None, 401, "请先登录", error="UNAUTHENTICATED")
        return answer(tokens_for(openid))

    @app.post("/api/v1/auth/logout")
    def logout():
        app.tokens.clear()
        return answer({})

    @app.post("/api/v1/auth/phone")
    def phone():
        token = requests.post(
            f"{sandbox_url}/cgi-bin/stable_token",
            json={"grant_type": "client_credential", "appid": APPID, "secret": SECRET}, timeout=5,
        ).json()["access_token"]  # fmt: skip
        info = requests.post(
            f"{sandbox_url}/wxa/business/getuserphonenumber",
            params={"access_token": token}, json={"code": request.json["code"]}, timeout=5,
        ).json()["phone_info"]  # fmt: skip
        g.user["user"]["phone_masked"] = f"{info['purePhoneNumber'][:3]}****{info['purePhoneNumber'][-4:]}"
        return answer(g.user["user"])

    @app.get("/api/v1/me")
    def me():
        return answer(g.user["user"])

    @app.patch("/api/v1/me")
    def patch_me():
        g.user["user"].update(request.json)
        return answer(g.user["user"])

    @app.get("/api/v1/me/features")
    def features():
        names = ("booking", "trial_order", "payment", "waitlist", "makeup", "withdrawal", "question")
        return answer(dict.fromkeys(names, True) | app.switched)

    @app.get("/api/v1/wallet")
    def show_wallet():
        return answer(wallet(g.user))

    @app.get("/api/v1/wallet/transactions")
    def transactions():
        limit, last = int(request.args.get("limit", 20)), int(request.args.get("cursor", g.user["transactions"] + 1))
        items = [_transaction(seq) for seq in range(last - 1, max(last - 1 - limit, 0), -1)]
        left = items and items[-1]["seq"] > 1
        return answer({"items": items, "next_cursor": str(items[-1]["seq"]) if left else None})

    @app.route("/api/v1/profiles", methods=["GET", "POST"])
    def profiles():
        if request.method == "GET":
            return answer({"items": g.user["profiles"], "next_cursor": None})
        if request.json.get("level") == "L99":
            return answer(None, 422, "提交的内容有误", error="VALIDATION_FAILED", errors={"level": ["没有这个级别"]})
        profile = {"id": len(g.user["profiles"]) + 1, "birthday": None, "gender": "unknown", "level": None,
                   "status": "active", **request.json}  # fmt: skip
        g.user["profiles"].append(profile)
        return answer(profile, 201)

    @app.patch("/api/v1/profiles/<int:number>")
    def patch_profile(number):
        profile = g.user["profiles"][number - 1]
        profile.update(request.json)
        return answer(profile)

    @app.route("/api/v1/me/notification-preferences", methods=["GET", "PUT"])
    def preferences():
        g.user["preferences"].update(request.json if request.method == "PUT" else {})
        return answer(g.user["preferences"])

    @app.route("/api/v1/me/subscriptions", methods=["GET", "POST"])
    def subscriptions():
        counts = g.user["subscriptions"]
        if request.method == "GET":
            items = [
                {"type": t.removeprefix("sandbox-tmpl-"), "template_id": t, "remaining": n} for t, n in counts.items()
            ]
            return answer({"items": items, "next_cursor": None})
        template = request.json["template"]
        counts[template] = counts.get(template, 0) + bool(request.json["accepted"])
        return answer({"template": template, "remaining": counts[template]})

    @app.get("/api/v1/notifications")
    def notifications():
        unread = sum(1 for n in g.user["notices"] if not n["read_at"])
        return answer({"items": g.user["notices"], "next_cursor": None, "unread_count": unread})

    @app.post("/api/v1/notifications/<int:number>/read")
    def read(number):
        notice = next(n for n in g.user["notices"] if n["id"] == number)
        notice["read_at"] = BEGUN.isoformat()
        return answer(notice)

    sandbox_fake_classes.register(app, answer)
    sandbox_fake_payments.register(app, answer)
    sandbox_fake_waitlist.register(app, answer)
    sandbox_fake_makeups.register(app, answer)
    return app


def notice(number, title, text):
    return {"id": number, "type": "arrears", "title": title, "text": text, "page": "pages/wallet/index",
            "created_at": BEGUN.isoformat(), "read_at": None}  # fmt: skip


def _transaction(seq):
    charged = seq % 3 == 0
    return {
        "id": seq, "seq": seq, "type": "deduction" if charged else "recharge",
        "type_text": "扣费" if charged else "充值",
        "amount": "-200.00" if charged else "1500.00", "balance_before": "0.00", "balance_after": "1620.00",
        "description": "少儿体操启蒙课" if charged else "前台收款", "reference_type": "booking", "reference_id": seq,
        "reverses_id": None, "status": "cancelled" if seq % 7 == 0 else "posted",
        "profile_id": 1, "profile_name": "小雨",
        "created_at": (BEGUN + timedelta(hours=seq)).isoformat(),
    }  # fmt: skip


@contextmanager
def running_fake_app(sandbox_url: str) -> Iterator[tuple[str, Flask]]:
    app = create_fake_app(sandbox_url)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""The README's tour, its twelve steps in their order and in its words, as one visitor plays them in several windows.

With DESK_TAKE_PICTURES=1 it also takes pictures of the README.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
import requests
import sqlalchemy as sa
from playwright.sync_api import Page, expect
from sqlalchemy.exc import DBAPIError

from app import clock
from tests.e2e import steps
from tests.e2e.product import wait_until
from tests.e2e.steps import api, picture, sign_in

pytestmark = pytest.mark.browser
OPENID = "demo-parent-01"
FULL = "满员小班"
CLASSES = ("course_type,course_type_name,waitlist_capacity,is_trial,course,level,duration_minutes,price,coach,venue,"
           "starts_at,capacity")  # fmt: skip


class Tour:
    """The windows that the visitor has open, and what one step leaves for a later one."""

    def __init__(self, product, new_page):
        self.product, self.new_page = product, new_page
        self.order = ""

    def __call__(self) -> None:
        for number in range(1, 13):
            getattr(self, f"step_{number}")()
        self.sealed_by_now()

    def step_1(self) -> None:
        """Sign in as finance; the phone and the groups of the sandbox in two more tabs."""
        self.finance, self.phone, self.groups = self.new_page(), self.new_page(390, 844), self.new_page()
        sign_in(self.finance, self.product, "caiwu")
        picture(self.finance, "today")
        self.phone.goto(f"{self.product.sandbox.url}/phone")
        self.groups.goto(f"{self.product.sandbox.url}/groups")

    def step_2(self) -> None:
        """张女士 signs in on the phone and allows one message."""
        self.phone.get_by_role("link", name=re.compile("张女士")).first.click()
        self.phone.get_by_role("button", name="微信一键登录").click()
        self.allow_balance_message()

    def step_3(self) -> None:
        """`/`, `zxm`, Enter."""
        self.family = steps.open_family(self.finance, self.product)
        picture(self.finance, "family")

    def step_4(self) -> None:
        """`a`, 500, a pasted screenshot; the sentence, and the dialog that says it again."""
        before = self.balance()
        self.after = f"¥{before + 500:,.2f}"
        self.finance.keyboard.press("a")
        steps.fill(self.finance, "500", "家长微信转账，当面核对")
        expect(self.finance.locator("#adjust-preview")).to_contain_text(self.after)
        picture(self.finance, "adjust")
        self.finance.get_by_role("button", name="下一步：核对").click()
        dialog = self.finance.get_by_role("dialog")
        expect(dialog).to_contain_text("张女士家庭")
        expect(dialog).to_contain_text(self.after)
        picture(self.finance, "confirm")
        dialog.get_by_role("button", name="确认增加 ¥500.00").click()

    def step_5(self) -> None:
        """What became of it stands where the form was; a toast undoes it; the phone and the group heard of it."""
        expect(self.finance.locator("#adjust-done")).to_contain_text("已为 张女士家庭 增加 ¥500.00")
        expect(self.finance.locator("#toasts").get_by_role("button", name="撤销")).to_be_visible()
        self.finance.goto(self.family)
        expect(self.finance.locator(".family-balance strong")).to_have_text(self.after)
        self.heard("500.00")
        self.phone.evaluate("location.hash = '#messages'")
        expect(self.phone.locator(".screen")).to_contain_text(self.after.lstrip("¥").replace(",", ""))
        picture(self.phone, "phone-message")
        expect(self.groups.locator("[data-group=money]")).to_contain_text("充值已完成 +¥500.00")

    def step_6(self) -> None:
        """The front desk asks, another approves; nobody their own."""
        clerk, self.manager = self.new_page(), self.new_page()
        sign_in(clerk, self.product, "qiantai")
        steps.open_family(clerk, self.product)
        clerk.keyboard.press("a")
        steps.fill(clerk, "80", "前台代收")
        clerk.get_by_role("button", name="下一步：核对").click()
        clerk.get_by_role("dialog").get_by_role("button", name="提交审批").click()
        expect(clerk.locator("#adjust-done")).to_contain_text("已提交审批")
        clerk.get_by_role("link", name="查看详情").click()
        expect(clerk.locator("#panel")).to_contain_text("前台代收")
        expect(clerk.locator("#panel").get_by_role("button", name=re.compile("^批准"))).to_have_count(0)
        sign_in(self.manager, self.product, "dianzhang")
        self.open("待办审批", self.manager)
        picture(self.manager, "approvals")
        self.manager.get_by_role("row", name=re.compile(r"张女士家庭.*80\.00")).get_by_role("link").first.click()
        panel = self.manager.locator("#panel")
        expect(panel).to_contain_text("前台代收")
        panel.get_by_role("button", name=re.compile("^批准")).first.click()
        self.manager.locator("dialog[open]").get_by_role("button", name=re.compile("^批准|确认")).first.click()
        expect(panel).to_contain_text("已完成")

    def step_7(self) -> None:
        """Each step is in the audit log with before and after."""
        self.open("审计", self.manager)
        log = self.manager.locator("#audit-list")
        for action in ("申请调整", "批准调整", "余额变动"):
            expect(log.get_by_role("row", name=re.compile(action)).first).to_be_visible()
        log.get_by_role("row", name=re.compile("余额变动")).first.get_by_role("link").first.click()
        expect(self.manager.locator("#panel .desk-diff")).to_contain_text("余额")

    def step_8(self) -> None:
        """The books verify, and SQL written by hand is refused."""
        verified = self.product.flask("ledger", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        engine = sa.create_engine(self.product.database.url)
        for sql in (
            "UPDATE wallets SET balance = 1",
            "UPDATE wallet_transactions SET amount = 1",
            "DELETE FROM wallet_transactions",
        ):
            with engine.connect() as connection, pytest.raises(DBAPIError):
                connection.execute(sa.text(sql))
        engine.dispose()

    def step_9(self) -> None:
        """WeChat is down: the message waits, tries again, and arrives when WeChat is back."""
        self.allow_balance_message()
        self.control = self.new_page()
        self.control.goto(self.product.sandbox.url)
        down = self.control.locator("[data-system=wechat][data-switch=down]")
        down.select_option(label="返回 500")
        expect(self.control.locator("[data-pill=wechat]")).to_have_text("有故障")
        self.finance.goto(f"{self.family}/adjust")
        steps.fill(self.finance, "60", "补交课时费", method="现金")
        self.finance.get_by_role("button", name="下一步：核对").click()
        self.finance.get_by_role("dialog").get_by_role("button", name="确认增加 ¥60.00").click()
        expect(self.finance.locator("#adjust-done")).to_contain_text("已为 张女士家庭 增加 ¥60.00")
        self.open("通知中心", self.finance)
        row = self.finance.get_by_role("row", name=re.compile("余额变动.*微信.*张女士家庭")).first
        wait_until(lambda: "再试" in self.read_again(row) or "待发送" in row.inner_text(), every=0.5)
        wait_until(lambda: self.product.sandbox.calls("/cgi-bin/message/subscribe/send"), seconds=15)
        assert not self.arrived("60.00")
        down.select_option(label="正常")
        wait_until(lambda: "已送达" in self.read_again(row), seconds=45, every=0.5)
        self.heard("60.00")

    def step_10(self) -> None:
        """A trial class: given up, left and come back to, paid; the seat is booked once the money is certain."""
        phone = self.phone
        session = steps.to_pay(self.product, phone, OPENID)
        phone.get_by_role("button", name="取消").click()
        expect(phone.locator("[data-toast]")).to_have_text("订单已取消，座位已释放")
        assert self.seat(session) == "none"
        steps.to_pay(self.product, phone, OPENID)
        phone.get_by_role("button", name="离开").click()
        expect(phone.locator(".countdown")).to_contain_text(re.compile(r"14:\d\d"))
        assert self.seat(session) == "held"
        self.open_order()
        phone.get_by_role("button", name="继续支付").click()
        steps.pay(phone)
        assert self.seat(session) == "booked"
        phone.get_by_role("button", name="完成").click()
        self.order = steps.order_of(phone, OPENID)

    def step_11(self) -> None:
        """A part of it back, by two persons; and one that WeChat cannot do is on the board."""
        self.open("订单", self.finance)
        self.finance.locator("#orders .row-link").first.click()
        expect(self.finance.locator("#order-detail")).to_contain_text("已支付")
        self.refund("80.00", frees_seat=False)
        wait_until(lambda: self.refunds() == ["succeeded"])
        self.open_order()
        expect(self.phone.locator(".cells .cell", has_text="已退款")).to_contain_text("80.00")
        steps.a_minute_passes(self.product)
        self.control.get_by_label("退款结果").select_option(label="异常")
        expect(self.control.locator("[data-pill=wxpay]")).to_have_text("有故障")
        self.refund("120.00", frees_seat=True)
        wait_until(lambda: self.refunds() == ["succeeded", "failed"])
        self.control.get_by_label("退款结果").select_option(label="成功")
        self.open("异常处理", self.finance)
        case = self.finance.locator("#cases tr", has_text="张女士家庭").filter(has_text="退款异常")
        expect(case).to_contain_text("¥120.00")
        advice = self.finance.locator("#panel").get_by_text("收款账户不可用").first
        wait_until(lambda: case.get_by_role("link").first.click() or _shown(advice), 60)  # the list may be renewed now

    def step_12(self) -> None:
        """Two wait for a full class, a booking is cancelled, the board counts down, and one of the two takes it."""
        session, holder, waiting = self.a_full_class()
        phones = []
        for openid in waiting:
            phone = steps.signed_in(self.product, self.new_page, openid)
            steps.row_of(phone, session).click()
            phone.locator(".sheet").get_by_role("button", name="候补", exact=True).click()
            expect(phone.locator(".sheet").get_by_role("heading")).to_contain_text(f"您是第{len(phones) + 1}位候补")
            phone.locator(".sheet").get_by_role("button", name="查看候补").click()
            phone.locator(".sheet").get_by_role("button", name="允许", exact=True).click()
            phones.append(phone)
        self.open("候补看板", self.manager)
        queue = self.manager.locator(".waitlist-queue", has_text=FULL).locator(".waitlist-lines")
        expect(queue.get_by_text("候补中")).to_have_count(2)
        self.finance.goto(f"{self.product.url}/bookings/{holder}/cancel")
        self.finance.get_by_role("button", name=re.compile("^确认取消")).click()
        expect(queue.get_by_text("先到先得")).to_have_count(2)
        expect(queue.locator(".countdown").first).to_contain_text(re.compile(r"14:\d\d"))
        for phone in phones:
            expect(phone.get_by_text("有名额，立即预约")).to_be_visible()
        phones[0].get_by_role("button", name="立即预约").click()
        phones[0].locator(".sheet").get_by_role("button", name="确认预约").click()
        expect(phones[0].locator(".sheet").get_by_role("heading", name="预约成功")).to_be_visible()
        expect(phones[1].locator(".paper .badge")).to_have_text("候补中")
        self.manager.get_by_role("link", name="空出的名额").click()
        self.manager.get_by_role("link", name=FULL).first.click()
        expect(self.manager.get_by_text("得到名额")).to_have_count(1)
        expect(self.manager.get_by_text("被别人先确认")).to_have_count(1)

    def sealed_by_now(self) -> None:
        """What the seventh step saw is sealed a minute later."""
        self.manager.goto(f"{self.product.url}/audit?action=adjustment.approved")
        row = self.manager.get_by_role("row", name=re.compile("批准调整")).first

        def sealed() -> bool:
            self.product.flask("jobs", "run", "audit_seal")  # it runs each minute by itself
            self.manager.reload()
            return "已封存" in row.inner_text()

        wait_until(sealed, seconds=90, every=1)

    # ── what several steps do ────────────────────────────────────────────────────────────────────────

    def open(self, word: str, page: Page) -> None:
        """A page by its word in the menu."""
        page.get_by_role("navigation", name="主导航").get_by_role("link", name=re.compile(f"^{word}")).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(word)

    def allow_balance_message(self) -> None:
        self.phone.get_by_role("link", name="我的", exact=True).click()
        self.phone.get_by_role("button", name="允许余额变动通知").click()
        self.phone.get_by_role("button", name="允许", exact=True).last.click()
        expect(self.phone.get_by_text("已允许一次")).to_be_visible()

    def open_order(self) -> None:
        self.phone.get_by_role("link", name="我的", exact=True).click()
        self.phone.get_by_role("button", name="我的订单").click()
        self.phone.locator(".screen a.cell").first.click()

    def balance(self) -> Decimal:
        text = self.finance.locator(".family-balance strong").inner_text()
        return Decimal(text.replace("¥", "").replace(",", ""))  # the journeys before may have left it below zero

    def arrived(self, amount: str) -> list:
        return [one for one in self.product.sandbox.messages(OPENID) if amount in str(one)]

    def heard(self, amount: str) -> None:
        wait_until(lambda: self.arrived(amount), seconds=30)
        wait_until(lambda: [one for one in self.product.sandbox.cards("money") if amount in str(one)], seconds=30)

    def read_again(self, row) -> str:
        self.finance.reload()
        return row.inner_text()

    def token(self) -> str:
        return steps.token_of(self.phone, OPENID)

    def seat(self, session: dict) -> str:
        return api(self.product, f"/schedules/{session['id']}/availability", self.token())["my_state"]

    def refunds(self) -> list[str]:
        return steps.refund_states(self.product, self.phone, OPENID, self.order)

    def refund(self, amount: str, *, frees_seat: bool) -> None:
        address = steps.asked(self.product, self.finance, self.order, amount, "课时缩短", frees_seat=frees_seat)
        steps.approved(self.product, self.manager, address)
        self.product.flask("jobs", "run", "refunds_query")

    def a_full_class(self) -> tuple[dict, int, list[str]]:
        """A class of one seat in the early morning, taken; its booking, and two parents who can wait for it."""
        day = clock.today() + timedelta(days=5)
        file = self.product.folder / "full.csv"
        file.write_text(f"{CLASSES}\nsmall,小班课,8,0,{FULL},,45,60.00,早教练,早馆,{day} 06:00,1\n", encoding="utf-8")
        self.product.flask("catalog", "import", str(file))
        able = (openid for openid in (f"demo-parent-{n:02}" for n in range(2, 13)))
        holder, *waiting = [one for one in able if steps.signed_up(self.product, one)][:3]
        token = steps.signed_up(self.product, holder)
        asked = f"/schedules?date_from={day}&date_to={day}&type=small"
        (session,) = [one for one in api(self.product, asked, token)["items"] if one["course_name"] == FULL]
        student = next(one for one in api(self.product, "/profiles", token)["items"] if one["status"] == "active")
        made = requests.post(
            f"{self.product.url}/api/v1/bookings",
            json={"course_schedule_id": session["id"], "profile_id": student["id"]},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}, timeout=10,
        )  # fmt: skip
        assert made.status_code == 201, made.text
        return session, made.json()["data"]["booking"]["id"], waiting


def _shown(what) -> bool:
    try:
        expect(what).to_be_visible(timeout=5000)
    except AssertionError:
        return False
    return True


@pytest.mark.timeout(1200)
def test_the_tour(product, new_page):
    Tour(product, new_page)()

"""What the figures of 行为报表 are called."""

from __future__ import annotations

from app.domain.reports.behaviour_rows import Figure, Who

WORDS = {
    Figure.MADE: "新预约", Figure.PLACES: "这些课的预约", Figure.CANCELLED: "取消的预约", Figure.LEAVE: "请假的预约",
    Figure.ABSENT: "缺席的预约", Figure.CLASSES: "没有取消的课次", Figure.BOOKED: "约上的学员",
    Figure.WAITED: "只排了候补的学员", Figure.REFUSED: "没约上也排不进候补的学员", Figure.TRIALS: "上过的体验课",
    Figure.CONVERTED: "转为正式的体验课",
}  # fmt: skip
#: in the order of BANDS
BAND_WORDS = ["开课后", "不到 2 小时", "2–6 小时", "6–24 小时", "1–3 天", "3–7 天", "7 天以上"]
WHO_WORDS = {Who.PARENT: "家长", Who.STAFF: "员工", Who.SESSION: "课次取消"}
WEEKDAY_WORDS = {1: "周一", 2: "周二", 3: "周三", 4: "周四", 5: "周五", 6: "周六", 7: "周日"}

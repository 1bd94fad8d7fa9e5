"""Theme of chat in Chinese: customers write to a chain of shops, and an assistant answers.

As in shop_talk, every answer follows from what was said before and from the rules of the house: HOURS, COLOURS,
REFUNDS, ARRIVALS.
"""

import re

from .dialogues import Shop, line
from .grammar import Draw, Rules

# The rules of the house: opening and closing hours of the shop in a town and its day of rest; the colours of an
# article; the days until money is back, by means of payment; when a parcel arrives; for how many days an article can
# be returned
HOURS = {
    "青山": ("九点", "六点", "周日"),
    "东湖": ("十点", "八点", "周日"),
    "金桥": ("八点", "五点", "周一"),
    "云溪": ("九点", "七点", "周一"),
    "长风": ("十点", "六点", "周二"),
}
COLOURS = {
    "台灯": ("白色", "黑色"),
    "椅子": ("红色", "白色"),
    "外套": ("蓝色", "绿色"),
    "书包": ("黑色", "绿色"),
    "茶壶": ("白色", "蓝色"),
    "毛毯": ("红色", "灰色"),
    "水杯": ("黄色", "蓝色"),
    "地毯": ("灰色", "绿色"),
}
REFUNDS = {"微信": "三天", "银行卡": "五天", "礼品卡": "一天"}
ARRIVALS = {"特快": "明天", "普通快递": "四天后", "同城配送": "今天晚上"}
RETURNS = 30
LIMITS = (15, 60)  # what the system message may say instead

FORMALITIES = re.compile(r"(?:你好|您好|请问|早上好|晚上好)[，。！]?|你(?:是|在为)[^。]+。")

RULES: Rules = {
    "item": " | ".join(COLOURS),
    "colour": "白色 | 黑色 | 红色 | 蓝色 | 绿色 | 灰色 | 黄色",
    "town": " | ".join(HOURS),
    "day": "周一 | 周二 | 周三 | 周六 | 周日",
    "payment": " | ".join(REFUNDS),
    "post": " | ".join(ARRIVALS),
    "brand": "云帆家居 | 青禾百货 | 晨露生活 | 乐途商城 | 小雨点",
    "ago": "5 | 10 | 20 | 40 | 50 | 70 | 80",
    "hello": " |  | 你好，| 您好，| 请问，| 早上好！| 晚上好！",
    # Rules in the system message, before the customer speaks
    "system": "你是{brand}的客服。 | 你在为{brand}的顾客服务。",
    "opening_system": "{hours}",
    "visit_system": "{hours}",
    "hours": "{town}店{opens}开门，{closes}关门，{rest}休息。",
    "return_system": "商品可以在{limit}天内退货。",
    "welcome": "欢迎光临{brand}。",
    # Exchanges: the customer / the assistant
    "order": """{ask_order} / 您好，{number}号订单走{post}，{arrival}送到。
        | {ask_order} / 您的{item}，订单号{number}，{arrival}送到。""",
    "ask_order": """我用{post}买的{item}，订单号是{number}，什么时候到？
        | 我的{number}号订单到哪儿了？是{post}的{item}。
        | {item}什么时候能收到？订单号{number}，走的{post}。 | ~我在等{number}号订单，{post}的{item}，哪天能到？""",
    "address": """请改送到{town}。 / 好的，{number}号订单改送到{town}。
        | 能送到我在{town}的公司吗？ / 可以，{number}号订单改送到{town}。""",
    "gift": """请帮我包成礼物。 / 没问题，我们会把{item}包成礼物。
        | 这是送人的，能包装一下吗？ / 没问题，我们会把{item}包成礼物。""",
    "cancel": """我想取消订单，是用{payment}付的。 / {number}号订单已经取消。{refund}
        | 我不想要了，付款用的是{payment}。 / {number}号订单已经取消。{refund}""",
    "damaged": """我收到的{item}是坏的，订单号{number}。 / {sorry} | {number}号订单的{item}坏了。 / {sorry}
        | {item}有问题，订单号是{number}。 / {sorry} | ~订单{number}里的{item}摔坏了。 / {sorry}""",
    "sorry": "非常抱歉，您的{item}出了问题。您想换一个新的，还是退款？",
    "replace": """换一个新的吧。 / {number}号订单的新{item}已经发出。
        | 我要新的。 / {number}号订单的新{item}已经发出。""",
    "money": """退款吧，我是用{payment}付的。 / 好的，{number}号订单已经取消。{refund}
        | 我要退款，付款用的是{payment}。 / 好的，{number}号订单已经取消。{refund}""",
    "refund": "钱会在{refund_days}内退到您的{payment}。",
    "opening": """{town}店几点开门？ / {town}店{opens}开门。 | 我想去{town}店，什么时候开门？ / {town}店{opens}开门。
        | ~最早几点可以去{town}店？ / {town}店{opens}开门。""",
    "visit": """{town}店{day}开门吗？ / {visit_answer} | 我{day}能去{town}店吗？ / {visit_answer}
        | 我想{day}去{town}店看看，开着吗？ / {visit_answer}""",
    # The same where the system message names the shop
    "opening_here": "你们几点开门？ / {town}店{opens}开门。 | 最早几点可以去？ / {town}店{opens}开门。",
    "visit_here": "你们{day}开门吗？ / {visit_answer} | 我{day}去可以吗？ / {visit_answer}",
    "visit_yes": "开的，{town}店{day}{opens}开门，{closes}关门。",
    "visit_no": "不好意思，{town}店{day}休息。",
    "closing": """几点关门？ / {closes}关门。 | 开到几点？ / {closes}关门。 | 最晚什么时候到？ / {closes}关门。""",
    "days": """哪天休息？ / {rest}休息。 | 每天都开吗？ / 不是，{rest}休息。""",
    "return": """我{ago}天前买的{item}能退吗？ / {return_answer} | {item}买了{ago}天，可以退货吗？ / {return_answer}
        | 我不喜欢{ago}天前买的{item}，能退吗？ / {return_answer}""",
    "return_yes": "可以，您的{item}在{limit}天内都能退。",
    "return_no": "抱歉，{item}只能在{limit}天内退货。",
    "bring": """送到哪里？我住在{town}。 / 请送到我们的{town}店。 | {town}有店吗？ / 有的，请送到我们的{town}店。""",
    "stock": """{item}有{colour}的吗？ / {stock_answer} | 我想买{colour}的{item}。 / {stock_answer}
        | 有没有{colour}的{item}？ / {stock_answer} | ~{item}能买到{colour}的吗？ / {stock_answer}""",
    "stock_yes": "有的，{item}有{two_colours}。",
    "stock_no": "没有，{item}只有{two_colours}。",
    "basket": """那就要{choice}的。 / 好的，{choice}的{item}已经放进购物车。
        | 请给我{choice}的。 / 好的，{choice}的{item}已经放进购物车。""",
    "thanks": """谢谢！ / 不客气。 | 好的，没有别的问题了。 / 不客气，祝您愉快！ | 谢谢你的帮助。 / 不客气。""",
}

__all__ = ["DRAWS", "RULES", "example", "key", "line"]

DRAWS: dict[str, Draw] = {}

SHOP = Shop(RULES, HOURS, COLOURS, REFUNDS, ARRIVALS, RETURNS, LIMITS, "和", "", str, FORMALITIES)
example, key = SHOP.example, SHOP.key

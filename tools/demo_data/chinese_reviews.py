"""Theme of text-classification in Chinese: reviews of a shop, 好评 (good), 中评 (mixed) or 差评 (bad).

Words alone do not decide: an opinion may be denied (一点也不卡), outweighed (虽然…，但是…) or belong to an earlier
purchase (上次买的…), so that good words stand in bad reviews and the other way round. All brands are invented.
"""

import json

from .grammar import Draw, Grammar, Rules

LABELS = ("好评", "中评", "差评")
SHARES = (0.4, 0.22)  # of good and mixed reviews; the rest is bad

# What a review can be about. An aspect's opinions: good, bad; adjectives that can be denied: fine, poor.
ARTICLES: list[Rules] = [
    {
        "article": "手机 | 平板电脑 | 笔记本电脑 | 智能手表",
        "good_of": """屏幕很清晰 | 运行很流畅 | 电池很耐用 | 拍照效果很好 | 充电速度很快 | 系统用起来很顺手
            | 一天一充完全够用 | ~夜景拍得很清楚""",
        "bad_of": """屏幕有划痕 | 用一会儿就发烫 | 掉电特别快 | 经常死机 | 充电很慢 | 拍照很模糊 | 开机要等半天
            | ~边框有磕碰""",
        "fine": "流畅 | 清晰 | 好用 | 耐用",
        "poor": "卡 | 烫 | 重 | ~模糊",
    },
    {
        "article": "耳机 | 蓝牙音箱 | 键盘 | 鼠标",
        "good_of": """音质很好 | 声音很清楚 | 连接很稳定 | 手感很舒服 | 降噪效果明显 | 续航很长 | 按键很灵敏
            | ~低音很有力""",
        "bad_of": """有杂音 | 经常断线 | 戴久了耳朵疼 | 用了{days}天就坏了 | 按键不灵 | 声音忽大忽小 | 充不进电
            | ~延迟很高""",
        "fine": "灵敏 | 清楚 | 稳定 | 好用",
        "poor": "吵 | 重 | 卡 | ~刺耳",
    },
    {
        "article": "外套 | 运动鞋 | 毛衣 | 牛仔裤 | 连衣裙",
        "good_of": """面料很柔软 | 尺码很标准 | 做工很精细 | 颜色和图片一样 | 穿着很舒服 | 版型很好 | 洗了不变形
            | ~上身很显瘦""",
        "bad_of": """洗一次就掉色 | 线头很多 | 尺码偏小 | 有色差 | 面料很硬 | 穿{days}天就起球了 | 味道很大
            | ~拉链是坏的""",
        "fine": "合身 | 舒服 | 柔软 | 透气",
        "poor": "厚 | 硬 | 扎人 | ~闷",
    },
    {
        "article": "苹果 | 牛奶 | 茶叶 | 饼干 | 大米",
        "good_of": """味道很好 | 很新鲜 | 口感很好 | 分量很足 | 日期很新 | 家里老人小孩都爱吃 | 包得很严实
            | ~闻着很香""",
        "bad_of": """快过期了 | 味道发苦 | 有一股怪味 | 坏了好几个 | 分量不足 | 已经受潮了 | 吃了肚子不舒服
            | ~里面有虫子""",
        "fine": "新鲜 | 香 | 好吃 | 甜",
        "poor": "苦 | 腻 | 硬 | ~涩",
    },
    {
        "article": "电饭煲 | 台灯 | 保温杯 | 吹风机 | 空气炸锅",
        "good_of": """操作很简单 | 做工很扎实 | 外观很漂亮 | 噪音很小 | 保温效果很好 | 容易清洗 | 说明书写得很清楚
            | ~省电又好用""",
        "bad_of": """盖子关不严 | 噪音特别大 | 漏水 | 用了{days}天就不亮了 | 有塑料味 | 按钮失灵 | 做工粗糙
            | ~底座是歪的""",
        "fine": "结实 | 好用 | 安静 | 方便",
        "poor": "吵 | 重 | 麻烦 | ~烫手",
    },
]

RULES: Rules = {
    "brand": """云帆 | 晨露 | 青禾 | 乐途 | 星河 | 木棉 | 山岚 | 北辰 | 橙果 | 海燕 | 小雨点 | 大树 | ~蓝鲸 | ~白桦""",
    "name": "{article} | {article} | 这款{article} | 这个{article} | {brand}的{article} | {brand}{article}",
    "buyer": "妈妈 | 爸爸 | 女儿 | 儿子 | 朋友 | 同事 | 老公 | 老婆 | ~舍友",
    # Service, the same for all articles
    "good": "{good_of} | {good_of} | {good_of} | {good_of} | {good_service} | 一点也不{poor} | 一点都不{poor}",
    "bad": "{bad_of} | {bad_of} | {bad_of} | {bad_of} | {bad_service} | 一点也不{fine} | 根本不{fine}",
    "good_service": """物流很快 | 客服很耐心 | 包装很严实 | 第二天就送到了 | 退换很方便 | 价格很实惠 | 送货师傅很热情
        | ~客服回复很及时""",
    "bad_service": """等了{days}天才发货 | 客服半天不回话 | 包装全压扁了 | 退货很麻烦 | 刚买完就降价 | 少发了一件
        | 送货的态度很差 | ~发票一直不给开""",
    # Verdicts
    "praise": """很满意 | 非常满意 | 值得购买 | 推荐大家买 | 下次还来 | 必须给好评 | 比我想的好 | {buyer}很喜欢
        | ~五星好评""",
    "blame": """很失望 | 非常后悔 | 不推荐 | 再也不买了 | 已经退货了 | 差评 | 还不如不买 | 白花钱了 | {buyer}很生气
        | ~一星都嫌多""",
    "shrug": """一般 | 一般般吧 | 还行 | 凑合用吧 | 中规中矩 | 没有想象的好，也没有想象的差 | 对得起这个价格
        | ~马马虎虎""",
    "start": "{name} | {name} | {name}收到了， | 给{buyer}买的{name}， | 用了{days}天，{name} | {brand}的东西，",
    # Whole reviews
    "好评": """{start}{good}，{good}，{praise} | {start}{good}，{praise} | {good}，{good}，{praise}
        | 虽然{bad}，但是{good}，{praise} | {start}{good}，就算{bad_service}也{praise}
        | 本来担心{bad}，结果{good} | 看评论有人说{bad}，我这个没有，{good} | 上次买的{bad}，这次{good}，{praise}
        | 没想到{name}{good}，{good} | {start}除了{bad_service}，没有别的毛病，{praise} | 谁说{bad}？我的{good}
        | 第{times}次买了，{good}，{praise} | ~{buyer}说{good}，让我再买一个""",
    "差评": """{start}{bad}，{bad}，{blame} | {start}{bad}，{blame} | {bad}，{bad}，{blame}
        | 虽然{good}，但是{bad}，{blame} | {start}{bad}，就算{good_service}也{blame}
        | 本来以为{good}，结果{bad} | 看评论都说{good}，我这个却{bad} | 上次买的{good}，这次{bad}，{blame}
        | 没想到{name}{bad}，{bad} | {start}除了{good_service}，没有别的优点，{blame} | 谁说{good}？我的{bad}
        | 第{times}次买了，越来越差，{bad} | ~{buyer}说{bad}，让我赶紧退""",
    "中评": """{start}{shrug} | {start}{good}，不过{bad_service}，{shrug} | 优点是{good}，缺点是{bad}，{shrug}
        | {good}，可是{bad}，总的来说{shrug} | {start}还没用，用了再来评价
        | {name}买了{days}天，还没打开，以后再说 | {start}{shrug}，不好也不坏 | 有人说{good}，有人说{bad}，我觉得{shrug}
        | 说不上{good}，也说不上{bad}，{shrug} | {good}和{bad}，都有吧，{shrug} | ~{start}不功不过，{shrug}""",
}

DRAWS: dict[str, Draw] = {
    "days": lambda grammar: str(int(grammar.between(2, 30))),
    "times": lambda grammar: grammar.pick(["二", "三", "四", "五"]),
}
ENDINGS = ("。", "。", "。", "！", "")


def example(grammar: Grammar) -> dict[str, str]:
    """One example, ``{"text", "label"}``."""
    point = grammar.between(0, 1)
    label = LABELS[0] if point < SHARES[0] else LABELS[1] if point < SHARES[0] + SHARES[1] else LABELS[2]
    article = grammar.pick(ARTICLES)
    text = ""
    while not text or len(clauses := text.split("，")) > len(set(clauses)):  # nobody says the same twice
        text = grammar.sentence(label, article).replace("，，", "，")
    return {"text": text + ("" if text.endswith("？") else grammar.pick(ENDINGS)), "label": label}


def line(example: dict[str, str]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"

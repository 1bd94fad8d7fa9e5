"""Theme of token-classification in Chinese: people (PER), organisations (ORG) and places (LOC) in short news.

The texts are plain, without blanks; entities are spans of characters. A list of names does not solve it: 青山 is a
town, a street, a firm and a school, and most names of the test were never seen in training. All names are invented.
"""

import json
import re
from typing import Any

from .grammar import Draw, Grammar, Rules

RULES: Rules = {
    # One stock of syllables for towns and firms: only the sentence says which it is
    "stem": "{front}{back} | {front}{back} | {front}{back} | 青山 | 东湖 | 长风 | 白云 | 金桥",
    "front": "青 | 东 | 长 | 白 | 金 | 云 | 南 | 石 | 永 | 清 | 龙 | 新 | 玉 | 海 | 松 | 平 | 明 | 双",
    "back": "山 | 湖 | 风 | 桥 | 河 | 安 | 泉 | 林 | 洲 | 阳 | 岭 | 溪 | 门 | 川 | 城 | 原",
    # People
    "surname": "王 | 李 | 张 | 刘 | 陈 | 杨 | 赵 | 周 | 吴 | 徐 | 孙 | 马 | 林 | 郭 | 何 | 高 | 欧阳 | 司马 | ~上官",
    "given": "{letter}{letter} | {letter}{letter} | {letter}",
    "letter": """明 | 华 | 丽 | 伟 | 芳 | 强 | 静 | 军 | 敏 | 杰 | 磊 | 洋 | 艳 | 勇 | 娟 | 涛 | 超 | 霞 | 平 | 刚
        | 玲 | 建 | 文 | 志 | 国 | 海 | 云 | 晓 | 思 | 雨""",
    "PER": "[PER {surname}{given}]",
    # Places
    "TOWN": """[LOC {stem}市] | [LOC {stem}市] | [LOC {stem}县] | [LOC {stem}] | [LOC {stem}镇] | [LOC {stem}区]
        | [LOC {stem}省] | ~[LOC {stem}乡]""",
    "PLACE": """{TOWN} | {TOWN} | [LOC {stem}路] | [LOC {stem}大桥] | [LOC {stem}公园] | [LOC {stem}火车站]
        | [LOC {stem}机场] | [LOC {stem}水库] | ~[LOC {stem}码头]""",
    # Organisations
    "FIRM": "{MAKER} | {MAKER} | {MAKER} | {MAKER} | [ORG {stem}集团] | [ORG {stem}银行]",
    "MAKER": """[ORG {stem}{line}] | [ORG {stem}{line}] | [ORG {stem}{line}公司] | [ORG {stem}{line}有限公司]
        | [ORG {stem}]""",
    "line": "汽车 | 电子 | 食品 | 航空 | 钢铁 | 医药 | 能源 | 科技 | 物流 | 保险 | 传媒 | 化工 | ~纺织",
    "OFFICE": """[ORG {stem}市政府] | [ORG {stem}市公安局] | [ORG {stem}县教育局] | [ORG {stem}市交通局]
        | [ORG {stem}市人民医院] | [ORG {stem}海关] | ~[ORG {stem}市气象局]""",
    "SCHOOL": "[ORG {stem}大学] | [ORG {stem}中学] | [ORG {stem}师范学院] | [ORG {stem}研究所] | ~[ORG {stem}小学]",
    "TEAM": "[ORG {stem}队] | [ORG {stem}队] | [ORG {stem}足球俱乐部]",
    "CHIEF": """{FIRM}{boss} | {FIRM}{boss} | {OFFICE}{head} | {SCHOOL}{scholar} | {TEAM}主教练
        | [ORG {stem}基金会]{head} | [ORG {stem}乐团]指挥""",
    # Words
    "day": "周一 | 周二 | 周三 | 周五 | 周末 | 昨天 | 今天 | 明天 | 本月 | {month}月{date}日 | 去年",
    "later": "明天 | 周一 | 周三 | 周末 | 下周 | 下个月 | {month}月{date}日",
    "boss": "董事长 | 总经理 | 发言人 | 负责人 | 财务总监 | ~总工程师",
    "head": "主任 | 发言人 | 负责人 | ~副主任",
    "scholar": "校长 | 教授 | 副教授 | 研究员 | ~教务主任",
    "trade": "记者 | 司机 | 医生 | 老师 | 农民 | 学生 | 工程师 | 演员 | 球迷 | 游客 | ~消防员",
    "said": "说 | 表示 | 介绍 | 告诉记者 | 指出 | 在会上说 | 透露",
    "goods": "汽车 | 手机 | 药品 | 水果 | 茶叶 | 钢材 | 电池 | 图书 | ~玩具",
    "fact": """工程将在{month}月完工 | 今年产量增长了百分之{count} | 没有人员受伤 | 票价不会上涨 | 新药已经通过试验
        | 比赛推迟到{later} | 道路已经恢复通行 | 明年将招收{count}名学生 | 损失超过{count}万元 | ~设备还在调试""",
    "weather": "大雨 | 大雪 | 台风 | 大雾 | 高温 | 地震 | ~冰雹",
    # Sentences
    "news": """{CHIEF}{PER}{said}，{fact} | {PER}{day}{said}，{fact} | {day}，{FIRM}在{TOWN}开了一家工厂
        | {FIRM}与{FIRM}签订了{goods}合同 | 从{TOWN}到{TOWN}的高速公路{day}通车 | {TOWN}{day}遭遇{weather}，{fact}
        | {PER}出生在{TOWN}，现任{CHIEF} | {SCHOOL}的{trade}{PER}获得了一等奖 | {TEAM}在{TOWN}以二比一战胜{TEAM}
        | {FIRM}{day}宣布，任命{PER}为{boss} | {PLACE}附近发生事故，{OFFICE}正在调查
        | {trade}{PER}从{TOWN}来到{PLACE}，{fact} | {OFFICE}{said}，{PLACE}{fact}
        | {PER}和{PER}在{PLACE}见面，谈到了{FIRM}的{goods} | {day}，{PER}乘火车离开{TOWN}
        | 据{OFFICE}消息，{fact} | {PER}的新书写的是{TOWN}的往事 | 由{MAKER}生产的{goods}在{TOWN}热销
        | {TOWN}的{trade}都认识{PER} | {FIRM}收购了{FIRM}，{boss}{PER}{said}，{fact}
        | “{fact}，”{PER}{said} | {SCHOOL}和{FIRM}合作研究{goods} | {PLACE}{day}重新开放
        | {TEAM}的{PER}因伤缺席{later}的比赛 | {plain} | {plain} | ~{PER}接替{PER}出任{CHIEF}
        | ~{PLACE}以北的{TOWN}停电，{OFFICE}派人抢修""",
    "plain": """{day}气温下降，出门请加衣服 | {trade}们{said}，{fact} | {day}的{goods}价格上涨了百分之{count}
        | 有{count}名{trade}参加了{day}的活动 | 专家{said}，{weather}过后要注意安全 | {fact}，请大家放心
        | 超市里的{goods}{day}全部打折 | 会议{day}举行，共有{count}人到场""",
}

DRAWS: dict[str, Draw] = {
    "month": lambda grammar: str(int(grammar.between(1, 13))),
    "date": lambda grammar: str(int(grammar.between(1, 29))),
    "count": lambda grammar: str(int(grammar.between(2, 90))),
}

ENTITY = re.compile(r"\[([A-Z]+) ([^\]]+)\]")


def example(grammar: Grammar) -> dict[str, Any]:
    """One sentence, ``{"text", "entities": [{"start", "end", "label"}, ...]}``, offsets in characters."""
    marked = grammar.sentence("news") + "。"
    text, end = "", 0
    entities: list[dict[str, Any]] = []
    for entity in ENTITY.finditer(marked):
        text += marked[end : entity.start()]
        entities.append({"start": len(text), "end": len(text) + len(entity[2]), "label": entity[1]})
        text += entity[2]
        end = entity.end()
    return {"text": text + marked[end:], "entities": entities}


def line(example: dict[str, Any]) -> str:
    return json.dumps(example, ensure_ascii=False) + "\n"

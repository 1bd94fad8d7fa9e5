"""The words of the report in the language of the project. The English words are the keys, as with gettext."""

from collections.abc import Callable

from ..tasks.verdict import CLOSE, LOSES, REMEDY, TIES
from .metrics import MEANINGS

Translate = Callable[[str], str]
"""From English to the language of the report."""


def translator(language: str) -> Translate:
    """The translation into `zh`, or for any other language none. A word that is not known stays as it is."""
    return _into_chinese if language == "zh" else lambda text: text


def _into_chinese(text: str) -> str:
    for english, chinese in CHINESE_BEGINNINGS.items():
        if text.startswith(english):
            return chinese + text.removeprefix(english)
    return CHINESE.get(text, text)


CHINESE_BEGINNINGS = {
    **{"always the mean, ": "总是预测平均值 ", "always ": "总是预测 "},
    "To see more, run: ": "查看更多，请运行：",
}
"""Names of baselines that end in a label or a number, the longest beginning first, and notes that end in a command."""


CHINESE = {
    # Headings
    "report": "报告",
    "Result": "结果",
    "Stages": "阶段",
    "Training": "训练",
    "Data": "数据",
    "Environment": "运行环境",
    "Config": "配置",
    "Metrics": "指标",
    "{split} in detail": "{split}：详细结果",
    # Facts
    "task": "任务",
    "model": "模型",
    "method": "方法",
    "examples": "样本数",
    "{count} examples": "{count} 个样本",
    "1 example": "1 个样本",
    "tokens of an epoch": "每轮词元数",
    "parameters": "参数量",
    "{trainable} of {total} trainable": "共 {total}，可训练 {trainable}",
    "steps": "步数",
    "best step": "最佳步",
    "training time": "训练用时",
    "started": "开始时间",
    "seed": "随机种子",
    "device": "设备",
    "training precision": "训练精度",
    "processes": "进程数",
    "system": "操作系统",
    "git commit": "git 提交",
    "{commit}, modified": "{commit}，有未提交的修改",
    "template": "模板",
    # Result
    "train": "训练集",
    "validation": "验证集",
    "test": "测试集",
    "this model": "本模型",
    "lower is better": "越低越好",
    "95 % interval": "95% 区间",
    "{low} to {high}": "{low} 至 {high}",
    "Where the metric lies in 95 % of resamples of the examples (bootstrap).":
        "对样本重新抽样（自助法）时，95% 的抽样结果的指标落在此范围内。",
    "{examples} of {file}": "{file}，{examples}",
    "Nothing was evaluated yet: run": "尚未评估，请运行：",
    "Nothing was evaluated: the config names no validation or test data. With a file of labelled examples, run":
        "尚未评估：配置里既没有验证数据也没有测试数据。若有带标签的数据文件，请运行：",
    "meaning": "含义",
    "metric": "指标",
    "Counts; the colour is the share of the row (row-normalised).":
        "数字为样本数；颜色表示占该行的比例（按行归一化）。",
    "The {shown} most frequent confusions of {labels} labels.": "共 {labels} 个标签，这里列出最常见的 {shown} 种混淆。",
    "count": "数量",
    "share of the row": "占该行的比例",
    "true": "真实",
    "predicted": "预测",
    # Baselines
    "each word's most frequent tag": "每个词最常见的标记",
    "the order of the file": "文件中的顺序",
    "words shared with the query": "与查询共有的词",
    "frequency of each token": "各词元的频率",
    "the source as it stands": "原文照抄",
    "the first sentence": "第一句",
    "TF-IDF with logistic regression": "TF-IDF 加逻辑回归",
    "TF-IDF with ridge regression": "TF-IDF 加岭回归",
    "BM25 with features": "BM25 加特征",
    "{split}: {sentence}": "{split}：{sentence}",
    LOSES: "基线“{baseline}”更好：{metric} 为 {theirs}，本模型为 {ours}。",
    TIES: "基线“{baseline}”同样好：{metric} 为 {theirs}。",
    CLOSE:
        "与基线“{baseline}”难分高下：它的 {metric} 为 {theirs}，落在本模型 {ours} 的 95% 区间（{low} 至 {high}）之内。",
    REMEDY: "可以试试更多训练数据、更多轮次或别的基础模型。",
    # Titles, columns and averages of the tables of the tasks
    "Confusion matrix": "混淆矩阵",
    "Per label": "各标签",
    "Entities": "实体",
    "Tokens, O included": "逐词（含 O）",
    "Types, word by word": "类型，逐词",
    "Tags": "标记",
    "Predicted against true": "预测值与真实值",
    "Precision and recall by threshold (micro average)": "不同阈值下的精确率与召回率（微平均）",
    "threshold": "阈值",
    "Calibration": "概率校准",
    "temperature": "温度",
    "as trained": "训练所得",
    "temperature {value}": "温度 {value}",
    "ECE, bins of equal size": "ECE（等频分箱）",
    "Brier score": "Brier 分数",
    "Precision by confidence": "不同置信度下的精确率",
    "wanted": "期望值",
    "coverage": "覆盖率",
    "Reliability diagram": "可靠性图",
    "probability": "概率",
    "share of right answers": "正确回答的比例",
    "Risk by coverage": "风险与覆盖率",
    "coverage: share of the answers that are given": "覆盖率：给出的回答所占的比例",
    "share of wrong ones": "其中错误的比例",
    "chosen: {value}": "所选：{value}",
    "Rank of the first relevant document": "第一个相关文档的名次",
    "Scored": "计分范围",
    "Samples": "示例",
    "queries with a relevant document": "有相关文档的查询",
    "their documents": "这些查询的文档",
    # Errors and slices
    "Most confident mistakes": "最自信的错误",
    "Largest errors": "最大的误差",
    "Errors by kind": "错误的种类",
    "Most frequent errors": "最常见的错误",
    "Worst queries": "排序最差的查询",
    "Slices": "分组评估",
    "place": "位置",
    "text": "文本",
    "query": "查询",
    "absolute error": "绝对误差",
    "loss per token": "每个词元的损失",
    "kind": "种类",
    "error": "错误",
    "for example": "例如",
    "true → predicted": "真实 → 预测",
    "slice": "分组",
    "95 % from": "95% 区间：从",
    "to": "到",
    "confusion": "混淆",
    "missed": "遗漏",
    "invented": "多报",
    "boundary": "边界",
    "type and boundary": "类型和边界",
    "type: the same words, but another type. boundary: overlapping words. missed: a true entity for which no "
    "overlapping prediction is left. invented: the reverse (Nejadgholi et al. 2020).":
        "类型：词相同，类型不同。边界：词有重叠。遗漏：真实的实体，没有与之重叠的预测可以配对。多报：与遗漏相反"
        "（Nejadgholi 等，2020）。",
    "micro avg": "微平均",
    "macro avg": "宏平均",
    "weighted avg": "加权平均",
    "label": "标签",
    "type": "类型",
    "tag": "标记",
    "precision": "精确率",
    "recall": "召回率",
    "support": "样本数",
    "rank": "名次",
    "queries": "查询数",
    "share": "比例",
    "prompt": "提示",
    "source": "原文",
    "reference": "参考",
    "generated": "生成",
    # Explanations
    "Explanations": "解释",
    "How much each word contributes to what the model predicts:": "每个词对模型预测的贡献：",
    "raises it": "支持",
    "lowers it": "不支持",
    "completeness error": "完备性误差",
    # Curves
    "training": "训练",
    "Loss": "损失",
    "Learning rate": "学习率",
    "step": "步",
    "{metric} on validation": "验证集上的 {metric}",
    ": {value} at the best step, {step}": "：最佳步 {step} 时为 {value}",
    "Nothing was logged yet.": "尚无训练记录。",
    "This run has no validation yet: no curve shows how it generalizes to unseen data.":
        "尚无验证结果：没有曲线能说明模型在未见过的数据上表现如何。",
    # Data and stages
    "No problems found.": "未发现问题。",
    "alarm": "严重",
    "warning": "警告",
    "note": "提示",
    "average": "平均",
    "backward transfer": "后向迁移",
    "forgetting": "遗忘",
    "mean score of the last model on all stages so far": "最后一个模型在目前所有阶段上的平均得分",
    "change of the score on earlier stages by later ones; below 0: forgetting":
        "后面的阶段使前面阶段的得分改变了多少；小于 0 即遗忘",
    "loss from the best score on earlier stages": "与前面阶段的最好得分相比下降了多少",
    "on {stage}": "在 {stage} 上",
    "after {stage}": "{stage} 之后",
    "Continual-learning method": "持续学习方法",
    "Average and backward transfer as in Lopez-Paz and Ranzato (2017), forgetting as in Chaudhry et al. (2018). "
    "A model has no score on a stage with labels that it does not know yet.":
        "平均与后向迁移的定义见 Lopez-Paz 和 Ranzato（2017），遗忘的定义见 Chaudhry 等（2018）。"
        "如果某个阶段有模型还不认识的标签，则没有得分。",
}  # fmt: skip

CHINESE |= {
    MEANINGS[metric]: meaning
    for metric, meaning in {
        "accuracy": "标签预测正确的样本所占的比例。",
        "f1": "实体的精确率与召回率的调和平均：边界和类型都要完全正确。",
        "precision": "预测出的实体中正确的比例。",
        "recall": "真实实体中被找到的比例。",
        "f1_macro": "各标签或类型的 F1 的平均：少见的与常见的同样重要。",
        "f1_micro": "把所有判断合在一起计算的 F1：常见的标签分量更重。",
        "f1_weighted": "各标签 F1 的加权平均，权重是该标签出现的次数。",
        "f1_samples": "每个样本的标签集合的 F1 的平均。",
        "f1_strict": "实体的 F1，其中不符合 IOB2 规范的标记序列不算实体。",
        "mcc": "预测标签与真实标签的 Matthews 相关系数：1 为完美，0 相当于随机，不受类别比例影响。",
        "exact_match": "整个标签集合完全正确的样本所占的比例。",
        "hamming_loss": "逐个标签的是非判断中错误的比例；越低越好。",
        "threshold": "概率高于此值的标签算作预测结果；在验证数据上选出。",
        "token_f1_weighted": "各标记（含 O）F1 的加权平均，权重是该标记出现的次数。",
        "r2": "数值的方差中被解释的比例：1 为完美，0 相当于总是预测平均值。",
        "rmse": "均方根误差，单位与数据相同，大的误差分量更重；越低越好。",
        "mae": "平均绝对误差，单位与数据相同；越低越好。",
        "pearson": "预测值与真实值的线性相关系数，-1 到 1。",
        "spearman": "预测值与真实值的名次的相关系数，-1 到 1：只看顺序。",
        "ndcg@10": "前 10 名中相关文档的收益，按名次折减；1 为最佳顺序。",
        "ndcg@3": "前 3 名中相关文档的收益，按名次折减；1 为最佳顺序。",
        "mrr": "第一个相关文档名次的倒数的平均：总是排第一时为 1。",
        "mrr@10": "第一个相关文档名次的倒数的平均，名次在 10 以后为 0。",
        "map": "平均精确率（在各相关文档的名次处计算）对所有查询的平均。",
        "recall@1": "相关文档中排在第 1 名的比例。",
        "recall@3": "相关文档中排在前 3 名的比例。",
        "recall@5": "相关文档中排在前 5 名的比例。",
        "recall@10": "相关文档中排在前 10 名的比例。",
        "perplexity": "困惑度，相当于下一个词元有多少个同样可能的选择：1 为完全确定；越低越好。",
        "token_accuracy": "预测正确的词元或词的比例，其中多数可能很容易。",
        "bleu": "与参考译文中 1 到 4 个词的词序列的重合程度，0 到 100。",
        "chrf": "与参考译文中字符序列的重合程度，0 到 100。",
        "rougeL": "与参考文本的最长公共子序列的 F1，0 到 1。",
        "rouge1": "与参考文本共有的词的 F1，0 到 1。",
        "rouge2": "与参考文本共有的相邻词对的 F1，0 到 1。",
        "preference_accuracy": "较好回复的奖励高于较差回复的样本对所占的比例。",
        "reward_margin": "较好回复的奖励比较差回复高出多少；取平均。",
        "chosen_reward": "较好回复的平均奖励：beta 乘以其概率增大倍数的对数。",
        "rejected_reward": "较差回复的平均奖励：低于 0 表示其概率变小了。",
        "loss": "训练所最小化的量，按每个计分的标签或词元计算；只能在同一任务内比较。",
    }.items()
}

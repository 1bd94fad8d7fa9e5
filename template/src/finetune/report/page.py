"""The page of a report: HTML and CSS without scripts, for screens light and dark and for paper."""

import math
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..console import counted

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6673; --line: #dfe4ea; --paper: #fff; --card: #f6f8fa;
  --model: #3f83d6; --baseline: #b4bec9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --soft: #9aa5b1; --line: #2c343e; --paper: #12161b;
  --card: #1a2027; --model: #5b9be6; --baseline: #4b5663; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 1rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); font-size: .9rem; }
dl.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0; }
dl.facts div { display: flex; gap: .5rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.3rem; }
.card h3 { margin: 0; } .figure { font-size: 2.6rem; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; } .figure small { font-size: 1rem; font-weight: 400; color: var(--soft); }
.bars { width: 100%; border-collapse: collapse; margin-top: .6rem; } .bars td { border: 0; padding: .15rem 0; }
.bars td:nth-child(2) { width: 40%; padding: 0 .8rem; } .bar { height: .6rem; border-radius: 3px;
  background: var(--baseline); min-width: 2px; } .model .bar { background: var(--model); } .model { font-weight: 600; }
.bar, .figure { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem; }
img { max-width: 100%; height: auto; display: block; } .wide { overflow-x: auto; }
table.data { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
table.data th, table.data td { padding: .32rem .9rem; text-align: right; border-bottom: 1px solid var(--line); }
table.data th { color: var(--soft); font-weight: 600; } table.data :is(th, td):first-child { text-align: left;
  padding-left: 0; } td.number { text-align: right; }
table.data td.text { text-align: left; vertical-align: top; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto;
  font: .85rem/1.5 ui-monospace, "JetBrains Mono", Menlo, Consolas, monospace; }
summary { cursor: pointer; font-size: 1.3rem; font-weight: 650; margin: 2.8rem 0 1rem; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } .card, img, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}: report</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ name }}</h1>
<dl class="facts">
{% for fact, value in facts.items() %}
<div><dt>{{ fact }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>

{% if stages %}
<h2>Stages</h2>
<div class="cards">
{% for figure, meaning in ({"average": "of the last model over the stages so far",
  "backward_transfer": "what later stages did to the score of earlier ones; below 0 is harm",
  "forgetting": "what is lost of the best score on earlier stages"}).items() if stages[figure] is not none %}
<section class="card">
<h3>{{ figure | replace("_", " ") }}</h3>
<div class="figure">{{ stages[figure] | number }} <small>{{ stages.headline }}</small></div>
<p class="soft">{{ meaning }}</p>
</section>
{% endfor %}
</div>
<div class="wide">{{ image(stages.picture) }}</div>
<div class="wide"><table class="data">
<tr><th>{{ stages.headline }}</th>{% for stage in stages.stages %}<th>on {{ stage.name }}</th>{% endfor %}</tr>
{% for row in stages.matrix %}
{% set stage = stages.stages[loop.index0] %}
<tr><td><a href="../stages/{{ stage.run | urlencode }}/report/index.html">after {{ stage.name }}</a></td>
{%- for score in row %}<td>{{ "-" if score is none else score | number }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="soft">Against forgetting: {{ stages.continual }}. Average and backward transfer as in Lopez-Paz and Ranzato
(2017), forgetting as in Chaudhry et al. (2018). A stage whose labels a model does not know yet has no score.</p>
{% endif %}

{% if evaluations or not stages %}
<h2>Result</h2>
{% if evaluations %}
<div class="cards">
{% for evaluation in evaluations %}
{% set score = evaluation.metrics[evaluation.headline] %}
{% set scores = [score] + evaluation.baseline | map(attribute="metrics") | map(attribute=evaluation.headline) | list %}
{% set full = [1, scores | max] | max %}
<section class="card">
<h3>{{ evaluation.split }}</h3>
{% set reading = ", lower is better" if evaluation.lower_is_better else "" %}
<div class="figure">{{ score | number }} <small>{{ evaluation.headline }}{{ reading }}</small></div>
<table class="bars">
<tr class="model"><td>this model</td>{{ bar(score, full) }}</tr>
{% for baseline in evaluation.baseline %}
<tr><td>{{ baseline.name }}</td>{{ bar(baseline.metrics[evaluation.headline], full) }}</tr>
{% endfor %}
</table>
<p class="soft">{{ counted(evaluation.examples, "example") }} of {{ evaluation.data }}</p>
</section>
{% endfor %}
</div>
{% else %}
<p>Nothing was evaluated yet. <code>python -m finetune evaluate RUN</code> does it.</p>
{% endif %}
{% endif %}

{% if curves or not stages %}
<h2>Training</h2>
{% endif %}
{% if curves %}
<div class="pictures">
{% for picture in curves %}
{{ image(picture) }}
{% endfor %}
</div>
{% elif not stages %}
<p>Nothing was logged yet.</p>
{% endif %}
{% if curves and not validated %}
<p class="soft">This run has no validation yet, so no curve says how well it does on data that it has not seen.</p>
{% endif %}

{% if data %}
<h2>Data</h2>
<div class="wide">{{ image(data.picture) }}</div>
{% if not data.findings %}
<p>Nothing amiss was found.</p>
{% endif %}
<ul>
{% for finding in data.findings %}
<li><b>{{ finding.severity }}</b>: {{ finding.message }}<br><span class="soft">→ {{ finding.remedy }}</span></li>
{% endfor %}
</ul>
{% endif %}

{% for evaluation in evaluations %}
<h2>{{ evaluation.split | capitalize }} in detail</h2>
{% for note in evaluation.notes %}
<p>{{ note }}</p>
{% endfor %}
<h3>Metrics</h3>
<div class="wide"><table class="data">
<tr><th></th><th>this model</th>{% for baseline in evaluation.baseline %}<th>{{ baseline.name }}</th>{% endfor %}</tr>
{% for metric, value in evaluation.metrics.items() %}
<tr><td>{{ metric }}</td><td>{{ value | number }}</td>
{%- for baseline in evaluation.baseline %}<td>{{ baseline.metrics.get(metric, "-") | number }}</td>{% endfor %}</tr>
{% endfor %}
<tr><td>loss</td><td>{{ evaluation.loss | number }}</td>
{%- for baseline in evaluation.baseline %}<td></td>{% endfor %}</tr>
</table></div>
{% for table in evaluation.tables %}
<h3>{{ table.title }}</h3>
{% if table.note %}
<p class="soft">{{ table.note }}</p>
{% endif %}
<div class="wide"><table class="data">
<tr>{% for column in table.columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in table.rows %}
<tr>{% for cell in row %}<td{% if cell is string %} class="text"{% endif %}>{{ cell | number }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
{% for drawn in evaluation.matrices + evaluation.scatters %}
<h3>{{ drawn.title }}</h3>
{% if drawn.counts is defined %}<p class="soft">Counts; the colour is the share of the row.</p>{% endif %}
<div class="wide">{{ image(evaluation.pictures[loop.index0]) }}</div>
{% endfor %}
{% endfor %}

<details><summary>Config</summary>
<pre>{{ config }}</pre>
</details>
</body>
</html>
"""

MACROS = """
{% macro bar(score, full) %}
<td><div class="bar" style="width: {{ [[score, 0] | max, full] | min / full * 100 }}%"></div></td>
<td class="number">{{ score | number }}</td>
{%- endmacro %}
{% macro image(picture) %}
<img src="{{ picture.url }}" width="{{ picture.width }}" alt="{{ picture.name }}">
{%- endmacro %}
"""


def render(**content: Any) -> str:
    """The page as text. Every label, path and note in it is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    return environment.from_string(MACROS + PAGE).render(style=STYLE, counted=counted, **content)


def number(value: Any) -> str:
    """A cell of a table: floats with four digits, counts with separators."""
    if isinstance(value, float):
        return f"{value:.4f}" if math.isfinite(value) else "-"
    return f"{value:,}" if isinstance(value, int) else str(value)

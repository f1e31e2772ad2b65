"""The style sheet of the page: system fonts, one calm column, tables and figures that fit a phone and a printer.

Colors of verdicts come from the canvas, so that a word has one color in tables and figures.
"""

from __future__ import annotations

CSS = """
:root{--ink:#1c2430;--soft:#56606e;--rule:#dfe3e9;--wash:#f5f7f9;--accent:#005a8f;--better:#00684a;--worse:#b34700}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:#fff;color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:34px}
.over{color:var(--soft);font-size:.85rem;margin:0 0 6px}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.012em;margin:0 0 18px;font-weight:680}
h2{font-size:1.22rem;line-height:1.3;margin:46px 0 4px;padding-top:16px;font-weight:650;
border-top:1px solid var(--rule)}
h2+p{margin-top:0}
h3{font-size:1rem;margin:22px 0 6px}
p{margin:8px 0 12px;max-width:76ch}
a{color:var(--accent)}
.verdict{border-left:5px solid var(--soft);background:var(--wash);padding:14px 18px;border-radius:0 6px 6px 0}
.verdict p{font-size:1.22rem;line-height:1.42;margin:0;font-weight:560;max-width:none}
.verdict.better,.verdict.worse{border-color:var(--better)}
.verdict.equivalent{border-color:var(--accent)}
.verdict.soft{border-left-style:dashed}
.facts{display:flex;flex-wrap:wrap;gap:10px 30px;margin:18px 0 0;padding:0}
.facts div{min-width:90px}
.facts dt{color:var(--soft);font-size:.8rem}
.facts dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}
nav{margin:18px 0 0;font-size:.9rem;display:flex;flex-wrap:wrap;gap:2px 18px}
nav a{text-decoration:none;padding:3px 0}
nav a:hover{text-decoration:underline}
.warn{border:1px solid #e0a458;background:#fff8ec;border-radius:6px;padding:10px 16px;margin:20px 0 0}
.warn p{font-weight:650;margin:0}
ul{margin:6px 0 12px;padding-left:1.25em}
li{margin:3px 0;max-width:84ch}
.wide{overflow-x:auto;margin:10px 0 14px;border:1px solid var(--rule);border-radius:6px;
background:linear-gradient(90deg,#fff 40%,transparent) 0/36px 100% no-repeat local,
linear-gradient(270deg,#fff 40%,transparent) 100%/36px 100% no-repeat local,
linear-gradient(90deg,#0003,transparent) 0/12px 100% no-repeat,
linear-gradient(270deg,#0003,transparent) 100%/12px 100% no-repeat}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:8px 12px;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule);white-space:nowrap}
tr:last-child>td,tr:last-child>th{border-bottom:0}
thead th{background:var(--wash);color:var(--soft);font-weight:600;font-size:.8rem;vertical-align:bottom;
white-space:normal;overflow-wrap:normal}
tbody th{font-weight:600}
.text{text-align:left;white-space:normal;min-width:10em;max-width:30em}
th.text{min-width:13em}
.short{text-align:left}
.small{color:var(--soft);font-size:.85rem}
.word{font-weight:650;white-space:nowrap}
.word.better{color:var(--better)}
.word.worse{color:var(--worse)}
.word.equivalent{color:var(--accent)}
.word.soft{font-weight:450;font-style:italic}
.word.flag{color:var(--worse)}
.word.other{color:var(--soft)}
.bar{display:flex;width:9em;height:.75em;margin-top:.4em;background:var(--rule);border-radius:2px;overflow:hidden}
.bar i{display:block;height:100%}
.key{display:inline-block;width:.62em;height:.62em;margin-right:.45em;border-radius:2px}
i.search{background:#0072B2}
i.seed{background:#E69F00}
i.rest{background:#8a93a0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:22px 26px;margin:14px 0}
figure{margin:0;max-width:500px;min-width:0}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--soft);font-size:.84rem;line-height:1.45;margin-top:4px}
pre{background:var(--wash);border:1px solid var(--rule);border-radius:6px;padding:12px 14px;overflow-x:auto;
font:.84rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:8px 0 14px;overflow-wrap:normal}
.command{white-space:pre-wrap;overflow-wrap:anywhere}
details{margin:8px 0}
summary{cursor:pointer;color:var(--accent);padding:4px 0}
footer{color:var(--soft);font-size:.85rem;padding-top:24px;padding-bottom:48px}
@media (max-width:600px){main,header,footer{padding-left:16px;padding-right:16px}header{padding-top:22px}
h1{font-size:1.4rem}.verdict{padding:12px 14px}.verdict p{font-size:1.08rem}th,td{padding:7px 9px}.text{min-width:13em}
th.text{min-width:7em}.bar{width:5em}}
@media print{body{font-size:10.5pt}nav{display:none}header,main,footer{max-width:none;padding:0}
.wide{overflow:visible;border:0}table{font-size:8.5pt}th,td{padding:4px 6px}.plots{grid-template-columns:1fr 1fr}
figure,tr,.verdict{break-inside:avoid}h2,h3{break-after:avoid}pre{white-space:pre-wrap;overflow-wrap:anywhere}
a{color:inherit}}
""".strip()

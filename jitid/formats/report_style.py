"""The style of the report's page: system fonts, two schemes, and a layout from a phone to paper."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light;
  --page: #f5f6f8; --card: #ffffff; --ink: #17212b; --soft: #4d5b69; --line: #dbe1e7;
  --bar: #2a6592; --track: #e8edf2; --other: #66788a; --warn: #a23e13; --good: #1d6a3f; --code: #f0f3f6;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --page: #0e1419; --card: #172028; --ink: #e7edf2; --soft: #a7b4c0; --line: #2b3742;
    --bar: #6cb0de; --track: #26323d; --other: #74879a; --warn: #f2a37c; --good: #7ecf9f; --code: #101920;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); overflow-wrap: break-word;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
}
header, main, footer { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 6px; }
h2 { font-size: 20px; line-height: 1.3; letter-spacing: -0.01em; margin: 44px 0 14px; }
h3 { font-size: 15px; line-height: 1.35; margin: 0 0 4px; }
p { margin: 0; }
.soft, caption, .unit { color: var(--soft); }
.small { font-size: 14px; }
.then { display: inline-block; border: 1px solid var(--line); border-radius: 4px; padding: 0 8px;
  background: var(--card); }
.mono, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.mono { font-size: 13px; overflow-wrap: anywhere; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.two { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 20px; min-width: 0;
  overflow-wrap: anywhere; }
.card > p + .plot, .card > h3 + .plot { margin-top: 12px; }
.lead { margin-top: 28px; }
.big { font-size: 56px; line-height: 1.1; font-weight: 650; letter-spacing: -0.03em; margin: 6px 0 14px;
  font-variant-numeric: tabular-nums; }
.big .unit { font-size: 20px; font-weight: 400; letter-spacing: 0; }
.none { font-size: 26px; line-height: 1.3; letter-spacing: -0.01em; padding: 16px 0 15px; }
.good { color: var(--good); } .bad { color: var(--warn); }
.lead .plot { margin: 4px 0 14px; }
dl.tiles { display: grid; gap: 1px; margin: 16px 0 0; background: var(--line); border: 1px solid var(--line);
  border-radius: 8px; overflow: hidden; grid-template-columns: repeat(4, 1fr); }
.tiles div { background: var(--card); padding: 16px 20px; min-width: 0; }
dt { color: var(--soft); font-size: 14px; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.tiles dd { font-size: 26px; line-height: 1.3; font-weight: 600; letter-spacing: -0.015em; overflow-wrap: anywhere; }
.tiles dd + dd { font-size: 14px; font-weight: 400; letter-spacing: 0; color: var(--soft); }
dl.facts { display: grid; grid-template-columns: auto 1fr; gap: 6px 20px; margin: 12px 0 0; }
.facts dd { text-align: right; font-weight: 600; }
.plot { display: block; width: 100%; overflow: hidden; }
.plot text { font-size: 14px; fill: var(--ink); }
.plot .value { font-variant-numeric: tabular-nums; }
.plot .tick { font-size: 13px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.plot .track { fill: var(--track); } .plot .place { fill: transparent; }
.plot .bar { fill: var(--bar); } .plot .other { fill: var(--other); } .plot .warn { fill: var(--warn); }
.plot .axis { stroke: var(--other); } .plot .grid { stroke: var(--line); stroke-dasharray: 2 4; }
details { margin-top: 14px; font-size: 14px; }
summary { cursor: pointer; color: var(--soft); }
summary:focus-visible { outline: 2px solid var(--bar); outline-offset: 3px; border-radius: 2px; }
.wide { overflow-x: auto; margin-top: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 6px; font-size: 13px; }
th, td { text-align: left; font-weight: 400; padding: 6px 14px 6px 0; border-top: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
tbody th { min-width: 11ch; }
thead th, thead th.n { color: var(--soft); border-top: 0; overflow-wrap: normal; white-space: normal; }
th.n, td.n { text-align: right; white-space: nowrap; padding-right: 0; padding-left: 14px; }
ol.offenders { list-style: none; margin: 0; padding: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
.offenders li { padding: 16px 20px; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.offenders li:first-child { border-top: 0; }
.missed { margin-top: 10px; overflow-wrap: anywhere; }
.level { font-size: 13px; font-weight: 650; text-transform: uppercase; letter-spacing: 0.04em; margin-right: 10px; }
.critical, .high { color: var(--warn); } .medium, .low, .info { color: var(--soft); }
code { display: block; margin-top: 8px; padding: 8px 12px; border-radius: 5px; background: var(--code); font-size: 13px;
  line-height: 1.45; overflow-wrap: anywhere; white-space: pre-wrap; user-select: all; }
footer { padding-top: 36px; padding-bottom: 56px; }
footer p + p { margin-top: 8px; }
@media (max-width: 760px) {
  header, main, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 24px; }
  h1 { font-size: 26px; }
  dl.tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles div { padding: 12px 14px; }
  .tiles dd { font-size: 22px; }
  .card, .offenders li { padding: 16px; }
  .big { font-size: 46px; }
}
@media print {
  @page { size: A4; margin: 14mm; }
  :root { --page: #ffffff; }
  /* Paper is read from nearer by than a screen; so three cards go side by side. */
  body { zoom: 0.78; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header, footer { padding-top: 0; padding-bottom: 0; }
  footer { margin-top: 20px; }
  h2 { margin-top: 26px; break-after: avoid; }
  .card, .offenders li, dl.tiles { break-inside: avoid; }
  .grid { grid-template-columns: repeat(3, 1fr); }
  .two { grid-template-columns: repeat(2, 1fr); }
  dl.tiles { grid-template-columns: repeat(4, 1fr); }
  .grid, .two { gap: 12px; }
  .plot text { font-size: 12px; }
  dl.tiles { gap: 2px; }
  details { display: none; }
}
"""

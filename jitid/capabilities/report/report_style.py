"""The style of the report's page: figures, plots and tables, besides what all pages have."""

from __future__ import annotations

from jitid.formats.page_style import BASE

STYLE = (
    BASE
    + """\
.then { display: inline-block; border: 1px solid var(--line); border-radius: 4px; padding: 0 8px;
  background: var(--card); }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.two { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.card > p + .plot, .card > h3 + .plot { margin-top: 12px; }
.lead { margin-top: 28px; }
.big { font-size: 56px; line-height: 1.1; font-weight: 650; letter-spacing: -0.03em; margin: 6px 0 14px;
  font-variant-numeric: tabular-nums; }
.big .unit { font-size: 20px; font-weight: 400; letter-spacing: 0; }
.none { font-size: 26px; line-height: 1.3; letter-spacing: -0.01em; padding: 16px 0 15px; }
.lead .plot { margin: 4px 0 14px; }
dl.tiles { display: grid; gap: 1px; margin: 16px 0 0; background: var(--line); border: 1px solid var(--line);
  border-radius: 8px; overflow: hidden; grid-template-columns: repeat(4, 1fr); }
.tiles div { background: var(--card); padding: 16px 20px; min-width: 0; }
.tiles dd { font-size: 26px; line-height: 1.3; font-weight: 600; letter-spacing: -0.015em; overflow-wrap: anywhere; }
.tiles dd + dd { font-size: 14px; font-weight: 400; letter-spacing: 0; color: var(--soft); }
dl.facts { display: grid; grid-template-columns: auto 1fr; gap: 6px 20px; margin: 12px 0 0; }
.facts dd { text-align: right; font-weight: 600; }
.plot { display: block; width: 100%; overflow: hidden; }
.bars { font-size: 14px; line-height: 22px; }
.bars .row { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: 16px; }
.bars .name { min-width: 0; overflow-wrap: anywhere; }
.bars .value { margin-left: auto; font-variant-numeric: tabular-nums; }
.bars svg { display: block; }
.bars svg + .row { margin-top: 9px; }
.plot .tick { font-size: 13px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.plot .track { fill: var(--track); } .plot .place { fill: transparent; }
.plot .bar { fill: var(--bar); } .plot .other { fill: var(--other); } .plot .warn { fill: var(--warn); }
.plot .axis { stroke: var(--other); } .plot .grid { stroke: var(--line); stroke-dasharray: 2 4; }
details { margin-top: 14px; font-size: 14px; }
summary { cursor: pointer; color: var(--soft); }
.wide { overflow-x: auto; margin-top: 10px; }
tbody th { min-width: 11ch; }
th.n, td.n { text-align: right; white-space: nowrap; padding-right: 0; padding-left: 14px; }
.missed { margin-top: 10px; overflow-wrap: anywhere; }
footer { padding-top: 36px; padding-bottom: 56px; }
footer p + p { margin-top: 8px; }
@media (max-width: 760px) {
  dl.tiles { grid-template-columns: repeat(2, 1fr); }
  .tiles div { padding: 12px 14px; }
  .tiles dd { font-size: 22px; }
  .big:not(.none) { font-size: 46px; }
}
@media print {
  footer { margin-top: 20px; }
  dl.tiles { break-inside: avoid; }
  /* Three cards go side by side. */
  .grid { grid-template-columns: repeat(3, 1fr); }
  .two { grid-template-columns: repeat(2, 1fr); }
  dl.tiles { grid-template-columns: repeat(4, 1fr); }
  .grid, .two { gap: 12px; }
  .bars { font-size: 12px; }
  .plot text { font-size: 12px; }
  dl.tiles { gap: 2px; }
  /* What the tables say stands in the plots, names and all. */
  details { display: none; }
}
"""
)

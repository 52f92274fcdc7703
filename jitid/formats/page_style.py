"""The style that the pages have in common: system fonts, two schemes, cards and lists, from a phone to paper."""

from __future__ import annotations

BASE = """
:root {
  color-scheme: light;
  --page: #f5f6f8; --card: #ffffff; --ink: #17212b; --soft: #4d5b69; --line: #dbe1e7;
  --bar: #2a6592; --track: #e8edf2; --other: #66788a; --warn: #a23e13; --good: #1d6a3f; --code: #f0f3f6;
  --medium: #805000;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --page: #0e1419; --card: #172028; --ink: #e7edf2; --soft: #a7b4c0; --line: #2b3742;
    --bar: #6cb0de; --track: #26323d; --other: #74879a; --warn: #f2a37c; --good: #7ecf9f; --code: #101920;
    --medium: #e3b341;
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
.mono, code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.mono { font-size: 13px; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 20px; min-width: 0;
  overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--warn); }
dt { color: var(--soft); font-size: 14px; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 6px; font-size: 13px; }
th, td { text-align: left; font-weight: 400; padding: 6px 14px 6px 0; border-top: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
thead th, thead th.n { color: var(--soft); border-top: 0; overflow-wrap: normal; white-space: normal; }
.findings { list-style: none; margin: 0; padding: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
.findings li { padding: 16px 20px; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.findings li:first-child { border-top: 0; }
.level { font-size: 13px; font-weight: 650; text-transform: uppercase; letter-spacing: 0.04em; margin-right: 10px; }
.critical, .high { color: var(--warn); } .medium { color: var(--medium); } .low, .info { color: var(--soft); }
code { display: block; margin-top: 8px; padding: 8px 12px; border-radius: 5px; background: var(--code); font-size: 13px;
  line-height: 1.45; overflow-wrap: anywhere; white-space: pre-wrap; user-select: all; }
p code, td code { display: inline; margin: 0; padding: 1px 4px; font-size: 0.9em; white-space: normal; }
:focus-visible { outline: 2px solid var(--bar); outline-offset: 3px; border-radius: 2px; }
@media (max-width: 760px) {
  header, main, footer { padding-left: 16px; padding-right: 16px; }
  header { padding-top: 24px; }
  h1 { font-size: 26px; }
  .card, .findings li { padding: 16px; }
}
@media print {
  @page { size: A4; margin: 14mm; }
  :root { --page: #ffffff; }
  /* Paper is read from nearer by than a screen. */
  body { zoom: 0.78; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  header, main, footer { max-width: none; padding-left: 0; padding-right: 0; }
  header, footer { padding-top: 0; padding-bottom: 0; }
  h2 { margin-top: 26px; break-after: avoid; }
  .card, .findings li { break-inside: avoid; }
}
"""
"""Paper is light whatever the scheme: whoever prints at night does not print black pages."""

"""Write all that is generated from the command tree: `python -m tests.generate`."""

from __future__ import annotations

from tests.generate.producers import produced

for path, text in produced():
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")

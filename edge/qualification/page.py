"""The page of a qualification: one HTML file that a person reads and sends.

A `Record` goes in; HTML comes out. Self-contained, no script; every text is escaped.
"""

from __future__ import annotations

from html import escape
from typing import Any

from edge.qualification.qualify import Record

COLOURS = {"passed": "#1d7a46", "failed": "#b3261e", "left out": "#7a6a16"}
STYLE = """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,sans-serif;color:#1c2127;max-width:960px;margin:32px auto}
body{padding:0 20px}
h1{font-size:22px;margin:0 0 4px}
h2{font-size:16px;margin:28px 0 8px}
.verdict{font-size:17px;font-weight:600;margin:0 0 18px}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:6px 10px 6px 0;border-bottom:1px solid #e3e6ea}
th{font-weight:600;color:#57606a}
.name{width:24%;font-weight:600}
.state,.s{white-space:nowrap;font-weight:600}
.s{font-weight:400;text-align:right;padding-right:0}
.more{display:block;font-weight:400;color:#57606a}
.name .more,.small{font-size:13px}
.found{overflow-wrap:anywhere}
code{font:13px ui-monospace,monospace}
@media print{body{margin:0}}
"""


def page(record: Record) -> str:
    """The document."""
    values = record.document
    colour = COLOURS[next(s for s in ("failed", "left out", "passed") if record.count(s))]
    title = f"{values['mission']} on {values['device']['board'] or 'this machine'}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Qualification: {escape(title)}</title>",
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="verdict" style="color:{colour}">{escape(record.verdict)}</p>',
            _facts(values),
            "<h2>Steps</h2>",
            "<table><tr><th>step</th><th></th><th>found</th><th></th></tr>",
            *(_row(step) for step in record.steps),
            "</table>",
            f'<p class="small">Digest of all that the JSON beside this page says: '
            f"<code>{escape(values['digest'])}</code>. It shows whether that file was changed; it "
            "does not show by whom the file was made: it is not a signature.</p>",
            "</body></html>",
            "",
        ]
    )


def _facts(values: dict[str, Any]) -> str:
    device, machine = values["device"], values["machine"]
    rows = {
        "finished": values["finished"],
        "signed off by": values["signed_off_by"] or "nobody yet",
        "mission": f"{values['mission']}, {values['conversion']} in {values['precision']}",
        "device": " · ".join(
            str(part)
            for part in (
                device["board"],
                f"L4T {device['l4t']}" if device["l4t"] else None,
                f"CUDA {device['cuda']}" if device["cuda"] else None,
                machine["architecture"],
                f"kernel {machine['kernel']}",
            )
            if part
        ),
        "software": f"brakepoint {values['brakepoint']}, Python {machine['python']}",
    }
    cells = "".join(
        f'<tr><td class="name">{escape(name)}</td><td>{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _row(step: dict[str, Any]) -> str:
    remedy = step["remedy"]
    word = "to mend" if step["state"] == "failed" else "hint"
    more = f'<span class="more">{word}: {escape(remedy)}</span>' if remedy else ""
    return (
        f'<tr><td class="name">{escape(step["step"])}'
        f'<span class="more">{escape(step["does"])}</span></td>'
        f'<td class="state" style="color:{COLOURS[step["state"]]}">{escape(step["state"])}</td>'
        f'<td class="found">{escape(step["found"])}{more}</td>'
        f'<td class="s">{step["seconds"]:.1f} s</td></tr>'
    )

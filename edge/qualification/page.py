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
.name{white-space:nowrap;font-weight:600}
.state{white-space:nowrap;font-weight:600}
.does,.remedy,.small{color:#57606a}
.remedy{display:block}
td{overflow-wrap:anywhere}
td.name,td.state,th{overflow-wrap:normal}
code{font:13px ui-monospace,monospace}
@media print{body{margin:0}}
"""


def page(record: Record) -> str:
    """The document."""
    values = record.document
    colour = COLOURS["failed" if record.count("failed") else "passed"]
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
            "<table><tr><th>step</th><th></th><th>found</th><th>s</th></tr>",
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
    more = f'<span class="remedy">{word}: {escape(remedy)}</span>' if remedy else ""
    return (
        f'<tr><td class="name">{escape(step["step"])}</td>'
        f'<td class="state" style="color:{COLOURS[step["state"]]}">{escape(step["state"])}</td>'
        f'<td>{escape(step["found"])}{more}<span class="remedy small">{escape(step["does"])}</span>'
        f"</td><td>{step['seconds']:.1f}</td></tr>"
    )

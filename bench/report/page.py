# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page, with its charts in it: nothing is loaded from elsewhere."""
import html

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"]
FLOOR_COLOUR = "#999999"


def time_text(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def bars(title, groups, unit):
    """Groups of bars: [(name, [(series, value)])]."""
    most = max((value for _, group in groups for _, value in group), default=0) or 1
    rows, y = [], 34
    for name, group in groups:
        rows.append(f'<text x="4" y="{y + 12}">{html.escape(name)}</text>')
        y += 18
        for number, (series, value) in enumerate(group):
            wide = max(1, 520 * value / most)
            colour = FLOOR_COLOUR if series == "floor" else COLOURS[number % len(COLOURS)]
            rows.append(f'<rect x="120" y="{y}" width="{wide:.1f}" height="12" fill="{colour}"/>'
                        f'<text x="114" y="{y + 10}" text-anchor="end">{html.escape(series)}</text>'
                        f'<text x="{126 + wide:.1f}" y="{y + 10}">{value:.4g} {unit}</text>')
            y += 16
        y += 8
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {y}" width="760" height="{y}" font-family="sans-serif" font-size="11" role="img">'
            f'<title>{html.escape(title)}</title><text x="4" y="18" font-size="14">{html.escape(title)}</text>{"".join(rows)}</svg>')


def table(head, rows):
    cells = "".join(f"<th>{html.escape(each)}</th>" for each in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(each))}</td>" for each in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def measured(row):
    """What a scenario was timed of: the engines, and last the floor."""
    return [*row["engines"].items(), *([("floor", row["floor"])] if "floor" in row else [])]


def scenarios(suite):
    """A section for each budget: a table, and bars for each row, since rows are far apart."""
    parts = [f"<h2>Scenarios</h2><p>The same work in each engine, in turns whose order alternates, each time a program that is started and ends. "
             f"{html.escape('; '.join(suite['engines']))}. The floor is what the machine takes for the like of it with no cache at all.</p>",
             *(f"<p><b>Missing peer</b> {html.escape(each)}</p>" for each in suite["missing"])]
    for budget in dict.fromkeys(row["budget"] for row in suite["rows"]):
        rows = [row for row in suite["rows"] if row["budget"] == budget]
        body = [[row["name"], name if name != "floor" else f"floor: {value['what']}", f"{value['median']:.4g} {row['unit']}", f"{value['least']:.4g}", f"{value['most']:.4g}",
                 value["runs"]] for row in rows for name, value in measured(row)]
        body += [[row["name"], name, "not run", "", "", reason] for row in rows for name, reason in row["skipped"].items()]
        parts.append(f"<h3>{html.escape(budget)}</h3>" + table(["work", "engine", "median", "least", "most", "runs"], body))
        parts += [f"<p>{html.escape(row['name'])}: {html.escape(row['note'])}.</p>" for row in rows if row["note"]]
        parts += [f"<p>{html.escape(row['name'])}: {html.escape(name)} failed {count} times and was asked again, which is in its time.</p>"
                  for row in rows for name, count in row["retries"].items()]
        parts += [bars(f"{row['unit']}, less is better", [(row["name"], [(name, value["median"]) for name, value in measured(row)])], row["unit"]) for row in rows]
    return parts


def page(report):
    about = report["machine"]
    parts = [f"<h1>Cairn: what it does on this machine</h1><p>{html.escape(about['date'])}; {about['cores']} cores {html.escape(about['cpu'])}, {about['memory_gib']} GiB, "
             f"kernel {html.escape(about['kernel'])}; load {about['load']} when it began, {report['load_at_end']} at the end; commit {html.escape(about['commit'])}. "
             "Medians; beside them the least and the most of all runs.</p>"]
    if "scenarios" in report:
        parts += scenarios(report["scenarios"])
    if "hit-rate" in report:
        parts.append("<h2>Hit rate</h2><p>Traces of how caches are used, made by bench/workloads/generate of the measured costs of real projects, replayed. The working set "
                     "is the smallest store in which LRU has 99 % of all possible hits. Saved: rebuild seconds less than with LRU in the same size; below 0 it took more.</p>")
        rows = []
        for row in report["hit-rate"]:
            for label in ("half", "three quarters", "whole"):
                lru, cost = row["runs"][f"lru, {label}"], row["runs"][f"cost, {label}"]
                rows.append([row["name"], label, f"{100 * row['runs']['infinite']['hit_rate']:.1f} %", f"{100 * lru['hit_rate']:.1f} %", f"{100 * cost['hit_rate']:.1f} %",
                             f"{lru['saved_ns'] / 1e9:.0f} s", f"{cost['saved_ns'] / 1e9:.0f} s", f"{lru['rebuilding_ns'] / 1e9:.0f} s",
                             f"{cost['rebuilding_ns'] / 1e9:.0f} s", f"{100 * row['saved_over_lru, ' + label]:.0f} %"])
        parts.append(table(["workload", "of the working set", "hits, infinite", "LRU", "ours", "saved, LRU", "ours", "built again, LRU", "ours", "less than LRU"], rows))
        parts.append(bars("Seconds built again at three quarters of the working set, less is better",
                          [(row["name"], [(each, row["runs"][f"{each}, three quarters"]["rebuilding_ns"] / 1e9) for each in ("lru", "cost")])
                           for row in report["hit-rate"]], "s"))
    if "micro" in report:
        parts.append("<h2>Micro</h2>" + table(["benchmark", "median", "least", "most", "CPU", "rate"], [
            [row["name"], time_text(row["median"]), time_text(row["least"]), time_text(row["most"]), time_text(row["cpu"]),
             f"{row['bytes_per_second'] / 1e9:.2f} GB/s" if "bytes_per_second" in row else ""] for row in report["micro"]]))
    style = ("body{font-family:sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;"
             "font-size:90%}th{background:#f2f2f2}")
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Cairn: benchmarks</title><style>{style}</style></head><body>{"".join(parts)}</body></html>\n'

//! The figures as a table for people, as JSON for programs, and as a page with the picture.

use std::fmt::Write;
use std::time::Duration;

use super::{PATIENCE, Row, svg};

/// The figures as a table in Markdown.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| start | nodes | loss | cadence | seeds | p50 | p99 | worst | datagrams/s | kB/s | peak datagrams/s | peak dials/s |\n\
         |---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in sorted(rows) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "| {} |", cells(row).join(" | "));
    }
    text
}

/// The figures as JSON: nothing in them depends on the machine or on the number of threads.
#[must_use]
pub fn json(rows: &[Row]) -> serde_json::Value {
    let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
    let row = |row: &Row| {
        serde_json::json!({
            "start": row.case.start.name(),
            "nodes": row.case.nodes,
            "loss_percent": row.case.loss,
            "cadence": row.case.name,
            "seeds": row.seeds,
            "pairs": row.found.len() + row.missed,
            "never_found": row.missed,
            "p50_ms": millis(row.within(500)),
            "p99_ms": millis(row.within(990)),
            "worst_ms": millis(row.found.worst()),
            "datagrams_per_second": row.datagrams_a_second,
            "bytes_per_second": row.bytes_a_second,
            "peak_datagrams_per_second": row.peak_datagrams,
            "peak_dials_per_second": row.peak_dials,
        })
    };
    sorted(rows).into_iter().map(row).collect()
}

/// The page: the picture, what is in it, and the table. It needs nothing else.
#[must_use]
pub fn html(rows: &[Row]) -> String {
    let mut table = String::new();
    for row in sorted(rows) {
        let class = if row.case.name == super::cadences()[0].0 { " class=default" } else { "" };
        let cells: String = cells(row).iter().map(|cell| format!("<td>{cell}</td>")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(table, "<tr{class}>{cells}</tr>");
    }
    PAGE.replace("{{picture}}", &svg(rows))
        .replace("{{default}}", super::cadences()[0].0)
        .replace("{{patience}}", &PATIENCE.as_secs().to_string())
        .replace("{{rows}}", &table)
}

fn sorted(rows: &[Row]) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (row.case.start, row.case.nodes, row.case.loss));
    rows
}

fn cells(row: &Row) -> [String; 12] {
    let worst = if row.missed > 0 { None } else { row.found.worst() };
    [
        row.case.start.name().to_owned(),
        row.case.nodes.to_string(),
        format!("{} %", row.case.loss),
        row.case.name.to_owned(),
        row.seeds.to_string(),
        time(row.within(500)),
        time(row.within(990)),
        time(worst),
        format!("{:.2}", row.datagrams_a_second),
        format!("{:.2}", row.bytes_a_second / 1000.0),
        row.peak_datagrams.to_string(),
        row.peak_dials.to_string(),
    ]
}

/// Three digits and a unit.
pub(super) fn time(time: Option<Duration>) -> String {
    let Some(time) = time else { return "never".to_owned() };
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..0.9995 => format!("{millis:.2} ms"),
        ..9.995 => format!("{millis:.2} ms"),
        ..99.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        ..9_995.0 => format!("{:.2} s", millis / 1000.0),
        ..99_950.0 => format!("{:.1} s", millis / 1000.0),
        _ => format!("{:.0} s", millis / 1000.0),
    }
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>p2pnet: how soon nodes find each other</title>
<style>
:root { color-scheme: light dark; --ink: #1f2430; --faint: #667085; --paper: #ffffff; --line: #e4e7ec; --mark: #f2f6fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --faint: #98a2b3; --paper: #14171d; --line: #2b313b; --mark: #1b222d; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1160px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
p, li { max-width: 75ch; }
figure { margin: 1.5rem 0; overflow-x: auto; }
svg { max-width: 100%; height: auto; min-width: 760px; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; position: sticky; top: 0; background: var(--paper); }
th:nth-child(1), td:nth-child(1), th:nth-child(4), td:nth-child(4) { text-align: left; }
tr.default { background: var(--mark); }
</style>
<h1>How soon nodes find each other</h1>
<p>Engines on one simulated LAN, with beacons as the only way to learn of each other: no dial is ever answered.
The clock is virtual, so the same seeds give the same figures on every machine. The default cadence is {{default}}.</p>
<ul>
<li><b>together</b>: all start in the same instant. <b>late</b>: one starts 60 to 120 s after the others; pairs with it count.
<b>joined</b>: two halves of the LAN run for 120 to 240 s before they are joined, without any interface event; pairs across count.</li>
<li>A pair is counted from the moment at which both could hear each other until the one knows the other; both directions count.
Loss is drawn for each datagram and receiver. Who was not found within {{patience}} s counts as never.</li>
<li>Datagrams and bytes are what the whole LAN sends in the steady state, each copy once, with the headers of IP and UDP;
the peaks are those of the worst second of the worst seed.</li>
</ul>
<figure>
{{picture}}
</figure>
<div class="scroll">
<table>
<thead><tr><th>start</th><th>nodes</th><th>loss</th><th>cadence</th><th>seeds</th><th>p50</th><th>p99</th><th>worst</th><th>datagrams/s</th><th>kB/s</th><th>peak datagrams/s</th><th>peak dials/s</th></tr></thead>
<tbody>
{{rows}}</tbody>
</table>
</div>
</html>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let text = |micros| time(Some(Duration::from_micros(micros)));
        let texts = [250, 1_500, 12_340, 123_400, 1_234_000, 12_340_000, 123_400_000].map(text);
        assert_eq!(texts, ["0.25 ms", "1.50 ms", "12.3 ms", "123 ms", "1.23 s", "12.3 s", "123 s"]);
        assert_eq!(time(None), "never");
    }
}

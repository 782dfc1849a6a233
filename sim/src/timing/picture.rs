//! The figures as a picture: one file without scripts, for light and dark.

use std::fmt::Write;
use std::time::Duration;

use super::{PATIENCE, Row, Start, cadences};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 118.0;
const GAP: f64 = 22.0;
/// What one loss of one cadence takes, and what is between two cadences.
const LANE: f64 = 11.0;
const BETWEEN: f64 = 11.0;
/// The shortest and the longest time of the axis, as powers of ten of a millisecond.
const DECADES: (f64, f64) = (-1.0, 6.0);

const STYLE: &str = "
svg { --ink: #1f2430; --faint: #667085; --grid: #e8ebf0; --panel: #fafbfc; --c0: #2f7dc1; --c1: #d9822b; --c2: #c0392b; --k0: #2f7dc1; --k1: #d9822b; --k2: #3f9b52; --k3: #8e5bb5; --k4: #7a6a58; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e6e9ef; --faint: #98a2b3; --grid: #2a303a; --panel: #181c23; --c0: #5aa9e6; --c1: #f0a04b; --c2: #ef6a5b; --k0: #5aa9e6; --k1: #f0a04b; --k2: #69c27c; --k3: #b98ae0; --k4: #b5a48f; }
}
text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 14px; font-weight: 600; }
.faint { fill: var(--faint); font-size: 11px; }
.panel { fill: var(--panel); }
.grid { stroke: var(--grid); stroke-width: 1; }
.budget { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 4 3; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); }
.k0 { --c: var(--k0); } .k1 { --c: var(--k1); } .k2 { --c: var(--k2); } .k3 { --c: var(--k3); } .k4 { --c: var(--k4); }
.range { stroke: var(--c); stroke-width: 1.6; opacity: .55; }
.dot { fill: var(--c); }
.ring { fill: var(--panel); stroke: var(--c); stroke-width: 1.6; }
.worst { stroke: var(--c); stroke-width: 1.6; }
.curve { fill: none; stroke: var(--c); stroke-width: 1.6; }
.first { stroke-width: 2.8; }
";

/// The figures as SVG: for each start and number of nodes the times of each cadence and loss, then what the LAN sends.
#[must_use]
pub fn svg(rows: &[Row]) -> String {
    let mut picture = Picture::of(rows);
    for (_, start) in Start::ALL {
        if rows.iter().any(|row| row.case.start == start) {
            picture.times(start);
        }
    }
    picture.traffic();
    picture.finish()
}

struct Picture<'a> {
    rows: &'a [Row],
    nodes: Vec<usize>,
    losses: Vec<u8>,
    names: Vec<&'static str>,
    body: String,
    y: f64,
}

fn distinct<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Vec<T> {
    let set: std::collections::BTreeSet<T> = values.collect();
    set.into_iter().collect()
}

impl<'a> Picture<'a> {
    fn of(rows: &'a [Row]) -> Self {
        let has = |name: &str| rows.iter().any(|row| row.case.name == name);
        let mut names: Vec<&'static str> = cadences().iter().map(|(name, _)| *name).collect();
        names.retain(|name| has(name));
        for row in rows {
            if !names.contains(&row.case.name) {
                names.push(row.case.name);
            }
        }
        let mut picture = Picture {
            rows,
            nodes: distinct(rows.iter().map(|row| row.case.nodes)),
            losses: distinct(rows.iter().map(|row| row.case.loss)),
            names,
            body: String::new(),
            y: 26.0,
        };
        picture.legend();
        picture
    }

    /// Adds a line to the picture. Writing to a String does not fail.
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    fn legend(&mut self) {
        let y = self.y - 4.0;
        self.text(0.0, y, "title", "start", "Time until one node knows another, by its beacons");
        let mut x = 420.0;
        for (i, loss) in self.losses.clone().into_iter().enumerate() {
            let class = format!("c{}", i % 3);
            self.marks(&class, y - 4.0, [Some(x), Some(x + 20.0), Some(x + 40.0)], false);
            self.text(x + 50.0, y, "", "start", &format!("{loss} % lost"));
            x += 130.0;
        }
        self.text(WIDTH, y, "faint", "end", "dot: p50, ring: p99, bar: worst");
        self.y += 14.0;
    }

    /// The half, the 99 of a hundred and the last of them, where they are.
    fn marks(&mut self, class: &str, y: f64, [half, most, worst]: [Option<f64>; 3], never: bool) {
        let last = worst.or(most).or(half);
        if let (Some(from), Some(to)) = (half, last) {
            self.line(&format!("range {class}"), (from, y), (to, y));
        }
        if let Some(x) = worst {
            self.line(&format!("worst {class}"), (x, y - 4.0), (x, y + 4.0));
        }
        if let Some(x) = most {
            self.put(format_args!("<circle class=\"ring {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"));
        }
        if let Some(x) = half {
            self.put(format_args!("<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.4\"/>"));
        }
        if never {
            let x = last.unwrap_or(LEFT) + 8.0;
            self.text(x, y + 4.0, "faint", "start", "never");
        }
    }

    /// One panel for each number of nodes.
    fn times(&mut self, start: Start) {
        let (names, losses, nodes) = (self.names.clone(), self.losses.clone(), self.nodes.clone());
        self.y += 30.0;
        let top = self.y;
        self.text(0.0, top - 16.0, "title", "start", start.name());
        self.text(LEFT, top - 16.0, "faint", "start", start.about());
        let group = losses.len() as f64 * LANE + BETWEEN;
        let height = names.len() as f64 * group + 8.0;
        for (i, name) in names.iter().enumerate() {
            let y = top + 20.0 + 8.0 + i as f64 * group + losses.len() as f64 * LANE / 2.0;
            let class = if i == 0 { "" } else { "faint" };
            self.text(LEFT - 10.0, y + 2.0, class, "end", name);
        }
        let width = panel_width(nodes.len());
        for (column, &count) in nodes.iter().enumerate() {
            let left = LEFT + column as f64 * (width + GAP);
            let (panel, bottom) = (top + 20.0, top + 20.0 + height);
            self.put(format_args!(
                "<rect class=\"panel\" x=\"{left:.1}\" y=\"{panel:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            ));
            let x_of = |time: Duration| left + along(time) * width;
            for (exponent, label) in
                [(0, "1 ms"), (1, ""), (2, "100 ms"), (3, ""), (4, "10 s"), (5, ""), (6, "1000 s")]
            {
                let x = x_of(Duration::from_millis(10u64.pow(exponent)));
                self.line("grid", (x, panel), (x, bottom));
                self.text(x, bottom + 14.0, "faint", "middle", label);
            }
            for (i, name) in names.iter().enumerate() {
                for (j, &loss) in losses.iter().enumerate() {
                    let found = self.rows.iter().find(|row| {
                        (row.case.start, row.case.nodes, row.case.loss, row.case.name)
                            == (start, count, loss, *name)
                    });
                    let Some(row) = found else { continue };
                    let y = panel + 10.0 + i as f64 * group + (j as f64 + 0.5) * LANE;
                    let at = [row.within(500), row.within(990), row.found.worst()];
                    self.marks(&format!("c{}", j % 3), y, at.map(|time| time.map(x_of)), row.missed > 0);
                }
            }
            let seeds = self.rows.iter().find(|row| row.case.start == start && row.case.nodes == count);
            let seeds = seeds.map_or(0, |row| row.seeds);
            let many = if seeds == 1 { "" } else { "s" };
            self.text(left, panel - 6.0, "", "start", &format!("{count} nodes"));
            self.text(left + width, panel - 6.0, "faint", "end", &format!("{seeds} seed{many} each"));
        }
        self.y = top + 20.0 + height + 26.0;
    }

    /// What the LAN sends by its size, without loss: in the steady state, and in the worst second.
    fn traffic(&mut self) {
        type Figure = (&'static str, &'static str, fn(&Row) -> f64, Option<f64>);
        let figures: [Figure; 3] = [
            ("datagrams a second", "whole LAN, steady state", |row| row.datagrams_a_second, Some(15.0)),
            (
                "datagrams in the worst second",
                "whole LAN, all start at once",
                |row| row.peak_datagrams as f64,
                None,
            ),
            ("dials in the worst second", "whole LAN, all start at once", |row| row.peak_dials as f64, None),
        ];
        let (names, nodes) = (self.names.clone(), self.nodes.clone());
        let loss = self.losses.first().copied().unwrap_or(0);
        let start = if self.rows.iter().any(|row| row.case.start == Start::Together) {
            Start::Together
        } else {
            self.rows.first().map_or(Start::Together, |row| row.case.start)
        };
        self.y += 36.0;
        let top = self.y;
        self.text(0.0, top - 16.0, "title", "start", "traffic");
        let mut x = LEFT;
        for (i, name) in names.iter().enumerate() {
            self.line(&format!("curve k{} {}", i % 5, first(i)), (x, top - 20.0), (x + 22.0, top - 20.0));
            self.text(x + 28.0, top - 16.0, "", "start", name);
            x += 52.0 + 7.0 * name.len() as f64;
        }
        let (width, height) = (panel_width(figures.len()), 170.0);
        for (column, (title, about, of, budget)) in figures.into_iter().enumerate() {
            let left = LEFT + column as f64 * (width + GAP);
            let (panel, bottom) = (top + 24.0, top + 24.0 + height);
            self.put(format_args!(
                "<rect class=\"panel\" x=\"{left:.1}\" y=\"{panel:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            ));
            self.text(left, panel - 6.0, "", "start", title);
            self.text(left + width, panel - 6.0, "faint", "end", about);
            let rows: Vec<&Row> =
                self.rows.iter().filter(|row| row.case.start == start && row.case.loss == loss).collect();
            let values = rows.iter().map(|row| of(row).max(0.1)).chain(budget);
            let (least, most) = values.fold((f64::MAX, 1.0f64), |(a, b), value| (a.min(value), b.max(value)));
            let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
            let y_of =
                |value: f64| bottom - 10.0 - (value.max(0.1).log10() - low) / (high - low) * (height - 20.0);
            let span = |i: usize| left + 34.0 + (width - 50.0) * i as f64 / (nodes.len().max(2) - 1) as f64;
            #[expect(clippy::cast_possible_truncation, reason = "a handful of decades")]
            for exponent in low as i32..=high as i32 {
                let y = y_of(10f64.powi(exponent));
                self.line("grid", (left, y), (left + width, y));
                self.text(left + 4.0, y - 2.0, "faint", "start", &short(10f64.powi(exponent)));
            }
            if let Some(budget) = budget {
                self.line("budget", (left, y_of(budget)), (left + width, y_of(budget)));
                let label = format!("budget {budget}");
                self.text(left + width - 4.0, y_of(budget) - 4.0, "faint", "end", &label);
            }
            for (i, &count) in nodes.iter().enumerate() {
                self.text(span(i), bottom + 14.0, "faint", "middle", &count.to_string());
            }
            for (i, name) in names.iter().enumerate() {
                let mut points = String::new();
                for (j, &count) in nodes.iter().enumerate() {
                    if let Some(row) =
                        rows.iter().find(|row| row.case.name == *name && row.case.nodes == count)
                    {
                        let (x, y) = (span(j), y_of(of(row)));
                        // Writing to a String does not fail.
                        let _ = write!(points, "{x:.1},{y:.1} ");
                        self.put(format_args!(
                            "<circle class=\"dot k{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>",
                            i % 5
                        ));
                    }
                }
                self.put(format_args!(
                    "<polyline class=\"curve k{} {}\" points=\"{}\"/>",
                    i % 5,
                    first(i),
                    points.trim_end()
                ));
            }
        }
        let x = LEFT + (WIDTH - LEFT) / 2.0;
        self.text(x, top + 24.0 + height + 30.0, "faint", "middle", &format!("nodes; {loss} % lost"));
        self.y = top + 24.0 + height + 40.0;
    }

    fn finish(self) -> String {
        let height = self.y;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-8 0 {:.0} {height:.0}\" width=\"{:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"Time until nodes find each other, by cadence, loss and number of nodes\">\n<style>{STYLE}</style>\n{}</svg>\n",
            WIDTH + 24.0,
            WIDTH + 24.0,
            self.body
        )
    }
}

fn panel_width(panels: usize) -> f64 {
    let panels = panels.max(1) as f64;
    (WIDTH - LEFT - GAP * (panels - 1.0)) / panels
}

/// The class of the default.
fn first(i: usize) -> &'static str {
    if i == 0 { "first" } else { "" }
}

/// Where on the axis a time is, from 0 to 1.
fn along(time: Duration) -> f64 {
    let millis = (time.min(PATIENCE).as_secs_f64() * 1000.0).max(1e-3);
    ((millis.log10() - DECADES.0) / (DECADES.1 + 0.2 - DECADES.0)).clamp(0.0, 1.0)
}

fn short(value: f64) -> String {
    match value {
        1_000_000.0.. => format!("{} M", value / 1_000_000.0),
        1000.0.. => format!("{} k", value / 1000.0),
        _ => format!("{value}"),
    }
}

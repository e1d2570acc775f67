//! The tables, and the bars of the gateway.

use std::collections::BTreeMap;
use std::io::Write as _;

use crate::cell::{self, Cell};
use crate::results::{Measure, Results, Sample, Spread};
use crate::subject::Kind;
use Kind::{Direct, Floor, Keys, LiteLlm, Portkey, Traced, Unreceived, Untraced};

/// Requests a second that one core must serve.
pub const G3_RATE: f64 = 6500.0;

const MIB: f64 = (1 << 20) as f64;

/// Resident memory in bytes; 0 where it was not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Before any request.
    pub idle: u64,
    /// The most after a closed loop.
    pub loaded: u64,
    /// With a thousand streams open.
    pub streaming: u64,
    /// Half a minute after them.
    pub afterwards: u64,
}

/// One bar: what was found, what was wanted.
struct Bar {
    id: &'static str,
    what: &'static str,
    found: Option<Spread>,
    unit: &'static str,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    fn at_most(
        id: &'static str,
        what: &'static str,
        found: Option<Spread>,
        most: f64,
        unit: &'static str,
    ) -> Self {
        Bar { id, what, found, unit, limit: Limit::AtMost(most) }
    }

    fn at_least(
        id: &'static str,
        what: &'static str,
        found: Option<Spread>,
        least: f64,
        unit: &'static str,
    ) -> Self {
        Bar { id, what, found, unit, limit: Limit::AtLeast(least) }
    }
}

/// Prints everything.
pub fn print(results: &Results, memory: &BTreeMap<Kind, Memory>) {
    for cell in cell::ALL {
        print_cell(results, cell);
    }
    print_memory(memory);
    print_bars(results, memory);
}

/// One line on standard error for each window.
pub fn progress(round: usize, cell: &Cell, kind: Kind, sample: &Sample) {
    let void = sample.void.as_deref().map(|why| format!("  VOID: {why}")).unwrap_or_default();
    let Sample { p50, p99, cpu, rate, .. } = sample;
    // A progress line that cannot be written is no reason to end.
    writeln!(
        std::io::stderr(),
        "{round} {:34} {kind:22} p50 {p50:9.1} µs  p99 {p99:9.1} µs  cpu {cpu:8.1} µs  {rate:8.0}/s{void}",
        cell.name
    )
    .ok();
}

fn print_cell(results: &Results, cell: &Cell) {
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| results.has(cell, *kind)).collect();
    if kinds.is_empty() {
        return;
    }
    let mut columns: Vec<(&str, Measure)> = vec![
        ("p50 µs", |sample| sample.p50),
        ("p99 µs", |sample| sample.p99),
        ("CPU µs/request", |sample| sample.cpu),
        ("requests/s", |sample| sample.rate),
    ];
    if cell.n_events.is_some() {
        columns.insert(0, ("first content p50 µs", |sample| sample.first_content));
    }
    if cell.model.contains("clock") {
        columns.push(("event delayed p99 µs", |sample| sample.delay_p99));
        columns.push(("gap grown p99 µs", |sample| sample.gap_p99));
    }
    println!("\n### {}: medians [middle half]\n", cell.name);
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    println!("| subject | {} | void |\n|{}", names.join(" | "), "---|".repeat(names.len() + 2));
    for kind in kinds {
        let spread = |(_, measure): &(&str, Measure)| {
            results.of(cell, kind, *measure).map_or("-".to_owned(), bracketed)
        };
        let cells: Vec<String> = columns.iter().map(spread).collect();
        let voids = results.voids(cell, kind);
        let void = voids.first().map_or(String::new(), |why| format!("{}: {why}", voids.len()));
        println!("| {kind} | {} | {void} |", cells.join(" | "));
    }
}

fn bracketed(spread: Spread) -> String {
    let Spread { median, low, high } = spread;
    if median.abs() >= 1000.0 {
        format!("{median:.0} [{low:.0}–{high:.0}]")
    } else {
        format!("{median:.1} [{low:.1}–{high:.1}]")
    }
}

fn print_memory(memory: &BTreeMap<Kind, Memory>) {
    println!("\n### Resident memory, MiB\n");
    println!("| subject | idle | after load | 1,000 streams | 30 s later |\n|---|---|---|---|---|");
    for (kind, memory) in memory.iter().filter(|(kind, _)| **kind != Direct) {
        let mib = |bytes: u64| match bytes {
            0 => "-".to_owned(),
            _ => format!("{:.1}", bytes as f64 / MIB),
        };
        let Memory { idle, loaded, streaming, afterwards } = *memory;
        let [idle, loaded, streaming, afterwards] = [idle, loaded, streaming, afterwards].map(mib);
        println!("| {kind} | {idle} | {loaded} | {streaming} | {afterwards} |");
    }
}

fn print_bars(results: &Results, memory: &BTreeMap<Kind, Memory>) {
    println!("\n### Bars\n");
    println!("| | what | found | bar | |\n|---|---|---|---|---|");
    let mut bars = latency_bars(results);
    bars.extend(cpu_bars(results));
    bars.extend(stream_bars(results));
    bars.extend(memory_bars(memory));
    bars.extend(peer_bars(results));
    bars.extend(sink_bars(results));
    for Bar { id, what, found, unit, limit } in bars {
        let (bar, is_met): (String, Box<dyn Fn(f64) -> bool>) = match limit {
            Limit::AtMost(most) => (format!("≤ {most}"), Box::new(move |found| found <= most)),
            Limit::AtLeast(least) => (format!("≥ {least}"), Box::new(move |found| found >= least)),
        };
        let (found, verdict) = match found {
            Some(spread) if is_met(spread.median) => (bracketed(spread), "met"),
            Some(spread) => (bracketed(spread), "MISSED"),
            None => ("-".to_owned(), "not measured"),
        };
        println!("| {id} | {what} | {found} {unit} | {bar} {unit} | {verdict} |");
    }
}

fn less(a: f64, b: f64) -> f64 {
    a - b
}

fn times(a: f64, b: f64) -> f64 {
    a / b
}

fn latency_bars(results: &Results) -> Vec<Bar> {
    let added = |kind, measure: Measure| {
        results.paired((&cell::ALONE, kind), (&cell::ALONE, Direct), measure, less)
    };
    let ours = added(Traced, |sample| sample.p50);
    let floor = added(Floor, |sample| sample.p50);
    let ratio = ours.zip(floor).map(|(ours, floor)| Spread {
        median: ours.median / floor.median,
        low: ours.low / floor.high,
        high: ours.high / floor.low,
    });
    vec![
        Bar::at_most("G1", "added p50, c=1, of the floor's", ratio, 1.6, "×"),
        Bar::at_most("G1", "added p99, c=1", added(Traced, |sample| sample.p99), 150.0, "µs"),
    ]
}

fn cpu_bars(results: &Results) -> Vec<Bar> {
    let cpu: Measure = |sample| sample.cpu;
    let at_eight = |kind| results.of(&cell::EIGHT, kind, cpu);
    let tax = |cell, measure| results.paired((cell, Traced), (cell, Untraced), measure, less);
    let beyond_traced =
        |cell, kind| results.paired((cell, kind), (&cell::EIGHT, Traced), cpu, less);
    let share =
        results.paired((&cell::MANY, Traced), (&cell::MANY, Floor), |sample| sample.rate, times);
    vec![
        Bar::at_most("G2", "CPU of a request, c=8, traced", at_eight(Traced), 60.0, "µs"),
        Bar::at_most("G2", "the same, untraced", at_eight(Untraced), 40.0, "µs"),
        Bar::at_most("G2", "tracing's share of it", tax(&cell::EIGHT, cpu), 12.0, "µs"),
        Bar::at_most(
            "G2",
            "tracing's share of p50, c=1",
            tax(&cell::ALONE, |sample| sample.p50),
            10.0,
            "µs",
        ),
        Bar::at_least(
            "G3",
            "requests on one core, c=32",
            results.of(&cell::MANY, Traced, |sample| sample.rate),
            G3_RATE,
            "/s",
        ),
        Bar::at_least("G3", "the same, of the floor's", share, 0.6, "×"),
        Bar::at_most(
            "G4",
            "CPU of a body of 100 KB",
            results.of(&cell::LONG_BODY, Traced, cpu),
            180.0,
            "µs",
        ),
        Bar::at_most("G8", "keys, limits and cost", beyond_traced(&cell::EIGHT, Keys), 8.0, "µs"),
        Bar::at_most(
            "G9",
            "chat to messages",
            beyond_traced(&cell::TRANSLATED, Traced),
            25.0,
            "µs",
        ),
    ]
}

fn stream_bars(results: &Results) -> Vec<Bar> {
    let added =
        |cell, measure: Measure| results.paired((cell, Traced), (cell, Direct), measure, less);
    let first: Measure = |sample| sample.first_content;
    vec![
        Bar::at_most(
            "G5",
            "added to the first content, one stream, p50",
            added(&cell::STREAM, first),
            300.0,
            "µs",
        ),
        Bar::at_most("G5", "the same, 64 streams", added(&cell::STREAMS, first), 1000.0, "µs"),
        Bar::at_most(
            "G5",
            "added to gaps, one stream, p99",
            added(&cell::STREAM, |sample| sample.gap_p99),
            50.0,
            "µs",
        ),
    ]
}

fn memory_bars(memory: &BTreeMap<Kind, Memory>) -> Vec<Bar> {
    let mib = |bytes: fn(&Memory) -> u64| {
        let bytes = memory.get(&Traced).map(bytes).filter(|bytes| *bytes > 0)?;
        Spread::of(vec![bytes as f64 / MIB])
    };
    vec![
        Bar::at_most("G6", "memory, idle", mib(|memory| memory.idle), 15.0, "MiB"),
        Bar::at_most(
            "G6",
            "memory, 1,000 open streams",
            mib(|memory| memory.streaming),
            64.0,
            "MiB",
        ),
    ]
}

fn peer_bars(results: &Results) -> Vec<Bar> {
    let ratio = |peer| {
        results.paired((&cell::EIGHT, peer), (&cell::EIGHT, Traced), |sample| sample.cpu, times)
    };
    vec![
        Bar::at_least("G7", "Portkey's CPU of a request, of ours", ratio(Portkey), 25.0, "×"),
        Bar::at_least("G7", "LiteLLM's", ratio(LiteLlm), 100.0, "×"),
    ]
}

fn sink_bars(results: &Results) -> Vec<Bar> {
    let live = (&cell::LIVE_SINK, Unreceived);
    let of_live = |cell| results.paired((cell, Unreceived), live, |sample| sample.p50, times);
    let bar = |what, cell| Bar::at_most("T", what, of_live(cell), 1.05, "×");
    vec![
        bar("p50, c=8, sink dead, of the live one's", &cell::DEAD_SINK),
        bar("sink slow", &cell::SLOW_SINK),
        bar("sink refusing", &cell::REFUSING_SINK),
    ]
}

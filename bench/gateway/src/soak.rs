//! Half of what the gateway can do, with streams beside it, for long enough to see it grow.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use spanwise_bench_gateway::mock::{self, MockUpstream};

use crate::load::{self, Pace, Tally, Window};
use crate::results::{Sample, Spread};
use crate::run::{Setting, missing_spans};
use crate::subject::{Kind, Subject, Workshop};
use crate::{Outcome, cell, process, seconds};

const N_STREAMS: usize = 200;
const MIB: f64 = (1 << 20) as f64;

/// How long, and with what.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setting: Setting,
    /// Seconds of load
    #[arg(long, default_value = "600", value_parser = seconds)]
    seconds: Duration,
}

/// Runs it, and prints what became of memory, requests and spans.
pub fn run(options: &Options) -> Outcome<()> {
    println!("{}", process::settle()?);
    let mock = MockUpstream::start_with(mock::Options { forgets: true, ..Default::default() })?;
    fs::create_dir_all(&options.setting.folder)?;
    let folder = options.setting.folder.canonicalize()?;
    let gateway = &options.setting.gateway;
    let workshop = Workshop { gateway, peers: &folder, folder: &folder, mock: &mock };
    let subject = Subject::start(Kind::Traced, &workshop)?;
    let whole = subject.shot(cell::EIGHT.model, cell::EIGHT.body_bytes, None);
    let stream = subject.shot("gpt-4o~deltas=64,pace=200", 400, cell::STREAM.n_events);
    let cpu = || subject.cpu_time();

    let brief = Window { warm_up: Duration::from_secs(2), measured: Duration::from_secs(5) };
    let tally = load::run(&whole, Pace::Closed(32), brief, cpu)?;
    let most = Sample::of(&tally).rate;
    if let Some(wrong) = missing_spans(&subject.sink, Kind::Traced, &tally) {
        println!("{wrong}");
    }
    subject.sink.clear();
    let rate = (most / 2.0) as u32;
    println!(
        "{most:.0} requests a second at most; {rate} and {N_STREAMS} streams for {:?}",
        options.seconds
    );

    let window = Window { warm_up: Duration::from_secs(10), measured: options.seconds };
    let (tallies, sizes) = thread::scope(|scope| {
        let whole = scope.spawn(|| load::run(&whole, Pace::Open(rate.max(1)), window, cpu));
        let streams = scope.spawn(|| load::run(&stream, Pace::Closed(N_STREAMS), window, cpu));
        let sizes = watch(&subject, window);
        ([whole, streams].map(|loads| loads.join().map_err(|_| "a load died")), sizes)
    });
    let mut all = Tally::default();
    for (what, tally) in ["requests", "streams"].into_iter().zip(tallies) {
        let tally = tally??;
        let Sample { p50, p99, rate, void, .. } = Sample::of(&tally);
        let failed = void.unwrap_or_else(|| "none failed".to_owned());
        println!(
            "{what}: {} sent, {rate:.0}/s, p50 {p50:.0} µs, p99 {p99:.0} µs, {failed}",
            tally.n_sent
        );
        all.n_sent += tally.n_sent;
    }
    let wrong = missing_spans(&subject.sink, Kind::Traced, &all);
    println!(
        "spans: {}",
        wrong.unwrap_or_else(|| format!("all {}", subject.sink.counts().n_spans))
    );
    print_growth(&sizes?);
    Ok(())
}

/// Memory every ten seconds, with the time.
fn watch(subject: &Subject, window: Window) -> Outcome<Vec<(Duration, u64)>> {
    let started = Instant::now();
    let mut sizes = Vec::new();
    while started.elapsed() < window.warm_up + window.measured {
        thread::sleep(Duration::from_secs(10));
        if started.elapsed() > window.warm_up {
            sizes.push((started.elapsed(), subject.resident()?));
        }
    }
    Ok(sizes)
}

/// The slope of a line through the sizes, by least squares.
fn print_growth(sizes: &[(Duration, u64)]) {
    let points: Vec<(f64, f64)> =
        sizes.iter().map(|(time, size)| (time.as_secs_f64() / 60.0, *size as f64 / MIB)).collect();
    let Some(spread) = Spread::of(points.iter().map(|(_, size)| *size).collect()) else { return };
    println!(
        "memory: {:.1} MiB [{:.1}–{:.1}], growing by {:.3} MiB a minute (bar 0.1)",
        spread.median,
        spread.low,
        spread.high,
        slope(&points)
    );
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let n_points = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / n_points;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_found() {
        assert!((slope(&[(1.0, 5.0), (2.0, 7.0), (4.0, 11.0)]) - 2.0).abs() < 1e-9);
    }
}

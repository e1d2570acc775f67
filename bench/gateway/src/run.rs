//! Rounds of every load over every subject, in turns, so that a slow minute is slow for all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use spanwise_bench_gateway::mock::{self, MockUpstream};
use spanwise_bench_gateway::sink::{Mode, Sink};

use crate::cell::{self, Cell};
use crate::load::{self, Pace, Tally, Window};
use crate::process;
use crate::report::{self, Memory};
use crate::results::{Results, Sample, Spread};
use crate::subject::{Kind, Subject, Workshop};
use crate::{Outcome, seconds};

/// What our gateway is measured with.
#[derive(Args, Clone)]
pub struct Setting {
    /// The binary that is `spanwise gateway`
    #[arg(long, env = "SPANWISE_BIN", default_value = "target/release/spanwise")]
    pub gateway: PathBuf,
    /// For configurations and logs
    #[arg(long, default_value = "target/bench-gateway")]
    pub folder: PathBuf,
}

/// How the comparison is made.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setting: Setting,
    /// Where peers were installed; those that were not are left out
    #[arg(long)]
    peers: Option<PathBuf>,
    /// How often each load is put on each subject
    #[arg(long, env = "ROUNDS", default_value_t = 7)]
    rounds: usize,
    /// Seconds that count, of each window
    #[arg(long, default_value = "8", value_parser = seconds)]
    seconds: Duration,
    /// Seconds before them
    #[arg(long, default_value = "2", value_parser = seconds)]
    warm_up: Duration,
    /// Two rounds of short windows
    #[arg(long)]
    quick: bool,
    /// Only loads with this in their names
    #[arg(long)]
    only: Option<String>,
    /// Seconds to wait for the machine to be as fast as usual, before each round
    #[arg(long, default_value = "60", value_parser = seconds)]
    patience: Duration,
}

impl Options {
    fn window(&self) -> Window {
        if self.quick {
            let (warm_up, measured) = (Duration::from_millis(500), Duration::from_secs(2));
            return Window { warm_up, measured };
        }
        Window { warm_up: self.warm_up, measured: self.seconds }
    }

    fn wants(&self, cell: &Cell) -> bool {
        self.only.as_ref().is_none_or(|part| cell.name.contains(part.as_str()))
    }
}

/// A run in progress.
struct Run<'a> {
    options: &'a Options,
    subjects: BTreeMap<Kind, Subject>,
    results: Results,
    memory: BTreeMap<Kind, Memory>,
    /// Direct latencies with one request at a time, in microseconds.
    probes: Vec<f64>,
}

/// Compares, and prints what came of it.
pub fn run(options: &Options) -> Outcome<()> {
    println!("{}", process::settle()?);
    let mock = MockUpstream::start_with(mock::Options { forgets: true, ..Default::default() })?;
    fs::create_dir_all(&options.setting.folder)?;
    let folder = options.setting.folder.canonicalize()?;
    let workshop = Workshop {
        gateway: &options.setting.gateway,
        peers: options.peers.as_deref().unwrap_or(&folder),
        folder: &folder,
        mock: &mock,
    };
    let mut run = Run {
        options,
        subjects: start(options, &workshop),
        results: Results::default(),
        memory: BTreeMap::new(),
        probes: Vec::new(),
    };
    thread::sleep(Duration::from_secs(2));
    for (kind, subject) in &run.subjects {
        run.memory.insert(*kind, Memory { idle: subject.resident()?, ..Memory::default() });
    }
    run.check_headroom()?;
    let rounds = if options.quick { 2 } else { options.rounds };
    for round in 0..rounds {
        run.wait_until_usual(round)?;
        run.round(round)?;
    }
    run.weigh_streams()?;
    report::print(&run.results, &run.memory);
    Ok(())
}

/// Starts what can be started; says what cannot, and why.
fn start(options: &Options, workshop: &Workshop<'_>) -> BTreeMap<Kind, Subject> {
    let wanted = |kind: &Kind| {
        let is_under = |cell: &&Cell| options.wants(cell) && cell.subjects.contains(kind);
        *kind == Kind::Direct || cell::ALL.into_iter().any(|cell| is_under(&cell))
    };
    let mut subjects = BTreeMap::new();
    for kind in Kind::ALL.into_iter().filter(wanted) {
        if options.peers.is_none() && matches!(kind, Kind::Portkey | Kind::LiteLlm) {
            continue;
        }
        match Subject::start(kind, workshop) {
            Ok(subject) => {
                subjects.insert(kind, subject);
            }
            Err(error) => println!("left out: {kind}: {error}"),
        }
    }
    subjects
}

impl Run<'_> {
    fn round(&mut self, round: usize) -> Outcome<()> {
        for cell in cell::ALL.into_iter().filter(|cell| self.options.wants(cell)) {
            let mut kinds = cell.subjects.to_vec();
            // Whoever comes first finds other caches than whoever comes last.
            kinds.rotate_left(round % cell.subjects.len());
            for kind in kinds {
                if self.subjects.contains_key(&kind) {
                    let sample = self.measure(cell, kind)?;
                    report::progress(round, cell, kind, &sample);
                    self.results.add(cell, kind, round, sample);
                }
            }
        }
        Ok(())
    }

    fn measure(&mut self, cell: &Cell, kind: Kind) -> Outcome<Sample> {
        let subject = &self.subjects[&kind];
        subject.sink.clear();
        subject.sink.set_mode(cell.sink);
        let shot = subject.shot(cell.model, cell.body_bytes, cell.n_events);
        let tally = load::run(&shot, cell.pace, self.options.window(), || subject.cpu_time())?;
        let mut sample = Sample::of(&tally);
        if sample.void.is_none() && cell.sink == Mode::Live {
            sample.void = missing_spans(&subject.sink, kind, &tally);
        }
        subject.sink.set_mode(Mode::Live);
        if let (Pace::Closed(_), Some(memory)) = (cell.pace, self.memory.get_mut(&kind)) {
            memory.loaded = memory.loaded.max(subject.resident()?);
        }
        Ok(sample)
    }

    /// Waits until a direct request takes as long as it usually does.
    fn wait_until_usual(&mut self, round: usize) -> Outcome<()> {
        while self.probes.len() < 5 {
            self.probe()?;
        }
        let started = Instant::now();
        loop {
            let now = self.probe()?;
            let usual = Spread::of(self.probes.clone()).map_or(now, |spread| spread.median);
            let share = now / usual;
            if (0.8..=1.2).contains(&share) {
                return Ok(());
            }
            if started.elapsed() > self.options.patience {
                println!(
                    "round {round} began although direct requests take {share:.2} times as long as usual"
                );
                return Ok(());
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn probe(&mut self) -> Outcome<f64> {
        let window =
            Window { warm_up: Duration::from_millis(100), measured: Duration::from_millis(400) };
        let tally = self.direct(Pace::Closed(1), window)?;
        let p50 = Sample::of(&tally).p50;
        self.probes.push(p50);
        Ok(p50)
    }

    fn direct(&self, pace: Pace, window: Window) -> Outcome<Tally> {
        let subject = &self.subjects[&Kind::Direct];
        let shot = subject.shot(cell::ALONE.model, cell::ALONE.body_bytes, None);
        load::run(&shot, pace, window, || Ok(process::thread_cpu_time("mock").unwrap_or_default()))
    }

    /// The mock must be able to answer five times as much as it is asked for.
    fn check_headroom(&self) -> Outcome<()> {
        let window =
            Window { warm_up: Duration::from_millis(500), measured: Duration::from_secs(2) };
        let tally = self.direct(Pace::Closed(8), window)?;
        let micros = tally.cpu.as_secs_f64() * 1e6 / tally.n_done.max(1) as f64;
        let per_second = 1e6 / micros;
        println!(
            "the mock needs {micros:.1} µs of CPU for an answer, so it could give {per_second:.0} a second: {:.1} times what G3 asks for ({})",
            per_second / report::G3_RATE,
            if per_second >= 5.0 * report::G3_RATE { "enough" } else { "TOO LITTLE, bar 5" }
        );
        Ok(())
    }

    /// What streams hold while they are open, and what is left half a minute later.
    fn weigh_streams(&mut self) -> Outcome<()> {
        if !self.options.wants(&cell::HELD) {
            return Ok(());
        }
        for kind in cell::HELD.subjects {
            let (Some(subject), Some(memory)) =
                (self.subjects.get(kind), self.memory.get_mut(kind))
            else {
                continue;
            };
            let shot = subject.shot(cell::HELD.model, cell::HELD.body_bytes, cell::HELD.n_events);
            let mut held = Vec::new();
            let window =
                Window { warm_up: Duration::from_secs(6), measured: Duration::from_secs(4) };
            let sampled = std::cell::RefCell::new(&mut held);
            let tally = load::run(&shot, cell::HELD.pace, window, || {
                sampled.borrow_mut().push(subject.resident()?);
                subject.cpu_time()
            })?;
            if let Some(failure) = tally.failure {
                println!("{}: {} failed: {failure}", cell::HELD.name, tally.n_failed);
            }
            memory.streaming = held.into_iter().max().unwrap_or_default();
            thread::sleep(Duration::from_secs(30));
            memory.afterwards = subject.resident()?;
        }
        Ok(())
    }
}

/// Waits for the spans of these requests; says what is wrong with them.
pub fn missing_spans(sink: &Sink, kind: Kind, tally: &Tally) -> Option<String> {
    let expected = kind.spans_per_request()? * tally.n_sent;
    let started = Instant::now();
    let mut counts = sink.counts();
    while counts.n_spans < expected && started.elapsed() < Duration::from_secs(15) {
        thread::sleep(Duration::from_millis(50));
        counts = sink.counts();
    }
    if counts.n_spans != expected {
        return Some(format!("{} spans instead of {expected}", counts.n_spans));
    }
    if let Some(wrong) = counts.first_wrong {
        return Some(format!("{} calls with wrong usage: {wrong}", counts.n_wrong));
    }
    let n_calls = if expected == 0 { 0 } else { tally.n_sent };
    (counts.n_right != n_calls)
        .then(|| format!("{} calls with usage instead of {n_calls}", counts.n_right))
}

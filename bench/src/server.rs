//! The process under measurement, and what `/proc` says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::http::Connection;
use crate::{Outcome, Target};

/// What Linux calls a clock tick in `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

/// A running `spanwise serve`; killed when dropped.
pub struct Server {
    child: Child,
    /// Base URL of API and UI.
    pub api: String,
    /// Base URL of the OTLP receiver.
    pub otlp: String,
}

/// Memory of a process in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// All that is resident, mapped files too.
    pub resident: u64,
    /// What is its own alone.
    pub anonymous: u64,
}

impl Server {
    /// Starts the target on free ports; `config` is the YAML of its configuration file.
    pub fn start(target: &Target, config: &str) -> Outcome<Self> {
        fs::create_dir_all(&target.data_dir)?;
        let file = target.data_dir.with_extension("yaml");
        fs::write(&file, config)?;
        let child = Command::new(&target.binary)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--otlp-http", "127.0.0.1:0", "--log", "warn"])
            .arg("--config")
            .arg(&file)
            .arg("--data-dir")
            .arg(&target.data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", target.binary.display()))?;
        let mut server = Server { child, api: String::new(), otlp: String::new() };
        server.read_addresses()?;
        Ok(server)
    }

    fn read_addresses(&mut self) -> Outcome<()> {
        let stdout = self.child.stdout.take().ok_or("the server has no output")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["listening", "ui", address] => address.clone_into(&mut self.api),
                ["listening", "otlp-http", address] => address.clone_into(&mut self.otlp),
                ["ready"] => return Ok(()),
                _ => {}
            }
        }
        Err("the server ended before it was ready".into())
    }

    /// One of the numbers that it publishes about its store.
    pub fn gauge(&self, name: &str) -> Outcome<f64> {
        let body = Connection::open(&self.api)?.get("/metrics")?.success()?;
        let text = String::from_utf8(body)?;
        let value = |line: &str| {
            let rest = line.strip_prefix("spanwise_")?.strip_prefix(name)?;
            rest.strip_prefix(' ')?.parse().ok()
        };
        text.lines().find_map(value).ok_or_else(|| format!("no number {name}").into())
    }

    /// CPU time it has used so far, over all threads.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold spaces; user and system time are fields 14 and 15.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let mut ticks = fields.split_whitespace().skip(11).take(2);
        let mut next = || ticks.next().and_then(|text| text.parse::<u32>().ok());
        match (next(), next()) {
            (Some(user), Some(system)) => Ok(TICK * (user + system)),
            _ => Err("cannot read the server's CPU time".into()),
        }
    }

    /// Its memory now.
    pub fn memory(&self) -> Outcome<Memory> {
        memory(self.child.id())
    }

    /// Its memory half a minute later: what a burst took is given back in pieces.
    pub fn memory_at_rest(&self) -> Outcome<Memory> {
        thread::sleep(Duration::from_secs(30));
        self.memory()
    }

    /// Watches its memory until the watch is asked for the peak.
    pub fn watch_memory(&self) -> MemoryWatch {
        let stop = Arc::new(AtomicBool::new(false));
        let (id, stopped) = (self.child.id(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut peak = Memory::default();
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(now) = memory(id) {
                    peak.resident = peak.resident.max(now.resident);
                    peak.anonymous = peak.anonymous.max(now.anonymous);
                }
                thread::sleep(Duration::from_millis(100));
            }
            peak
        });
        MemoryWatch { stop, thread }
    }

    /// Waits until it has been idle for three seconds; returns how long that took.
    pub fn settle(&self, at_most: Duration) -> Outcome<Duration> {
        let started = Instant::now();
        let mut last = (Instant::now(), self.cpu_time()?);
        while last.0.elapsed() < Duration::from_secs(3) && started.elapsed() < at_most {
            thread::sleep(Duration::from_millis(500));
            let now = self.cpu_time()?;
            // Up to 4 % of a core is housekeeping.
            if now.saturating_sub(last.1) > last.0.elapsed().mul_f64(0.04) + TICK {
                last = (Instant::now(), now);
            }
        }
        Ok(started.elapsed().saturating_sub(last.0.elapsed()))
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Outcome<()> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A thread that remembers the most memory it saw.
pub struct MemoryWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Memory>,
}

impl MemoryWatch {
    /// Ends the watch.
    pub fn peak(self) -> Memory {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn memory(id: u32) -> Outcome<Memory> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("no {name} of process {id}"))
    };
    Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")? })
}

/// An empty folder for a store; what an earlier run left is removed.
pub fn fresh_folder(folder: &Path) -> Outcome<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

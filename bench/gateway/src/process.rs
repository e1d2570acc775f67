//! Processes under measurement: on a core of their own, with what `/proc` says of them.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, getsid, kill_process, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Outcome;

/// What Linux calls a clock tick in `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

/// The core of whatever is measured; everything else has the other one.
const MEASURED_CORE: usize = 0;
const OWN_CORE: usize = 1;

/// How much sooner than others this process and its children get a core.
const NICENESS: i32 = -15;

/// A process and its children; ended when dropped.
pub struct Process {
    child: Child,
}

/// Puts this process on its own core, ahead of others where that is allowed; says what came of it.
pub fn settle() -> Outcome<String> {
    if thread::available_parallelism()?.get() < 2 {
        return Ok("one core only: nothing is pinned, and latencies mean little".into());
    }
    pin(OWN_CORE)?;
    let priority = if get_ahead() { "ahead of other processes" } else { "beside other processes" };
    Ok(format!(
        "measured processes on core {MEASURED_CORE}; load, mock and sink on core {OWN_CORE}; \
         {priority}"
    ))
}

/// Asks for more of the cores than others get.
fn get_ahead() -> bool {
    let is_ahead = setpriority_process(None, NICENESS).is_ok();
    // Where Linux groups processes by session, only groups are weighed against each other. A
    // session that is shared is left as it is.
    match fs::metadata("/proc/self/autogroup") {
        Ok(_) if getsid(None) == Ok(getpid()) => {
            is_ahead && fs::write("/proc/self/autogroup", NICENESS.to_string()).is_ok()
        }
        Ok(_) => false,
        Err(_) => is_ahead,
    }
}

fn pin(core: usize) -> Outcome<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A port of the loopback that nobody listens on now.
pub fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

impl Process {
    /// Starts it on the measured core; what it says goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> Outcome<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A child begins where its parent is: nothing of it ever runs on the other core.
        let is_pinned = pin(MEASURED_CORE).is_ok();
        let child = command.spawn();
        if is_pinned {
            pin(OWN_CORE)?;
        }
        let program = command.get_program().to_string_lossy();
        Ok(Process { child: child.map_err(|error| format!("cannot start {program}: {error}"))? })
    }

    /// Waits until it accepts connections.
    pub fn wait_for(&mut self, address: SocketAddr, at_most: Duration) -> Outcome<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status} before it listened").into());
            }
            if started.elapsed() > at_most {
                return Err(format!("it did not listen within {at_most:?}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// CPU time of all its processes so far, those that have ended included.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let stats = self.tree()?;
        Ok(TICK * stats.iter().map(|stat| stat.cpu_ticks).sum::<u32>())
    }

    /// What all its processes have resident, in bytes.
    pub fn resident(&self) -> Outcome<u64> {
        let own = |stat: &Stat| {
            let status = fs::read_to_string(format!("/proc/{}/status", stat.id)).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        Ok(self.tree()?.iter().filter_map(own).sum::<u64>() * 1024)
    }

    /// It and everything below it.
    fn tree(&self) -> Outcome<Vec<Stat>> {
        let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
        let all: Vec<Stat> = entries.filter_map(|entry| Stat::read(&entry.path())).collect();
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.id));
            next += 1;
        }
        let tree: Vec<_> = all.into_iter().filter(|stat| found.contains(&stat.id)).collect();
        if tree.is_empty() { Err("the process has ended".into()) } else { Ok(tree) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A gateway that is asked to end sends its last spans; one that does not is killed.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM).ok();
        }
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(10) && matches!(self.child.try_wait(), Ok(None))
        {
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What one line of `/proc/PID/stat` says.
struct Stat {
    id: u32,
    parent: u32,
    cpu_ticks: u32,
}

impl Stat {
    fn read(folder: &Path) -> Option<Self> {
        let id = folder.file_name()?.to_str()?.parse().ok()?;
        let text = fs::read_to_string(folder.join("stat")).ok()?;
        // The name in parentheses may hold spaces; the state is the first field behind it.
        let fields: Vec<u32> = text
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        // User and system time of its own, and of the children that it has waited for.
        Some(Stat { id, parent: *fields.get(1)?, cpu_ticks: fields.get(11..15)?.iter().sum() })
    }
}

/// CPU time of this process's thread with this name.
pub fn thread_cpu_time(name: &str) -> Option<Duration> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.filter_map(Result::ok);
    let task = tasks.map(|task| task.path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    })?;
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

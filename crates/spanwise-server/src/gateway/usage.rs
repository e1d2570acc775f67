//! What was used under a gateway's limits, in a file, so that a restart gives no budget anew.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spanwise_gateway::config::Config;
use spanwise_gateway::limits::{Limits, Snapshot};

use crate::ingest::unix_nano_now;
use crate::{StartError, replace};

/// How often what has changed is written down.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// How often a file that cannot be written is complained about.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// The file, and what it says.
#[derive(Debug)]
pub struct UsageFile {
    path: PathBuf,
    written: Snapshot,
    tried: Instant,
    complained: Option<Instant>,
}

/// Which file that is: as the configuration says, else beside the keys, else in the folder that
/// the server has for its data.
pub fn path(config: &Config, data_dir: Option<&Path>) -> Option<PathBuf> {
    let said = config.limits.state_file.as_ref().map(PathBuf::from);
    let beside = || {
        let keys = config.keys.as_ref()?;
        Some(Path::new(&keys.file).with_extension("usage.json"))
    };
    said.or_else(beside).or_else(|| Some(data_dir?.join("gateway.usage.json")))
}

impl UsageFile {
    /// Takes up what the file says, if there is one. A file that makes no sense is set aside.
    pub fn restore(path: PathBuf, limits: &Limits) -> Result<Self, StartError> {
        let written = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).or_else(|error| set_aside(&path, &error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Snapshot::default(),
            Err(error) => {
                let path = path.display();
                return Err(StartError::Io(format!("limits.state_file: {path}: {error}")));
            }
        };
        limits.restore(&written, unix_nano_now());
        Ok(UsageFile { written, ..Self::new(path) })
    }

    /// A file of which nothing is taken up.
    pub fn new(path: PathBuf) -> Self {
        UsageFile { path, written: Snapshot::default(), tried: Instant::now(), complained: None }
    }

    /// Goes on in another file.
    pub fn move_to(&mut self, path: PathBuf) {
        if self.path != path {
            (self.path, self.written) = (path, Snapshot::default());
        }
    }

    /// Writes down what has changed, but not at every call.
    pub fn keep_up(&mut self, limits: &Limits) {
        if self.tried.elapsed() >= WRITE_EVERY {
            self.write(limits);
        }
    }

    /// Writes down what has changed.
    pub fn write(&mut self, limits: &Limits) {
        self.tried = Instant::now();
        let now = limits.snapshot(unix_nano_now());
        if now == self.written {
            return;
        }
        let text = serde_json::to_vec(&now).unwrap_or_default();
        match replace::replace(&self.path, &text) {
            Ok(()) => (self.written, self.complained) = (now, None),
            Err(error) if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) => {
                self.complained = Some(Instant::now());
                let path = self.path.display();
                tracing::error!(%path, %error, "what was used under limits cannot be written down");
            }
            Err(_) => {}
        }
    }
}

fn set_aside(path: &Path, error: &serde_json::Error) -> Result<Snapshot, StartError> {
    let aside = path.with_extension("broken");
    std::fs::rename(path, &aside).map_err(|error| {
        StartError::Io(format!("limits.state_file: {}: {error}", path.display()))
    })?;
    let (path, aside) = (path.display(), aside.display());
    tracing::error!(%path, %aside, %error, "the file makes no sense and was set aside: limits begin anew");
    Ok(Snapshot::default())
}

#[cfg(test)]
mod tests {
    use spanwise_gateway::keys::Keys;
    use spanwise_gateway::limits::{Amount, Reservation, Rule, Who};

    use super::*;

    fn limits() -> Limits {
        let rule = r#"{"name":"all","limits":{"requests_total":2}}"#;
        let rule: Rule = serde_json::from_str(rule).unwrap();
        Limits::new([rule], &Keys::default()).unwrap()
    }

    fn ask(limits: &Limits) -> bool {
        let who = Who { key: "", model: "m" };
        let one = Amount { requests: 1, ..Amount::default() };
        limits.reserve(who, one, unix_nano_now()).map(Reservation::keep).is_ok()
    }

    #[test]
    fn what_was_used_stays_used_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage.json");
        let first = limits();
        let mut file = UsageFile::restore(path.clone(), &first).unwrap();
        file.write(&first);
        assert!(!path.exists(), "nothing was used");
        assert!(ask(&first));
        file.write(&first);
        let second = limits();
        UsageFile::restore(path, &second).unwrap();
        assert!(ask(&second));
        assert!(!ask(&second));
    }

    #[test]
    fn a_broken_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("usage.json");
        std::fs::write(&path, "{\"accounts\":").unwrap();
        let mut file = UsageFile::restore(path.clone(), &limits()).unwrap();
        let aside = std::fs::read_to_string(dir.path().join("usage.broken")).unwrap();
        assert_eq!((aside.as_str(), path.exists()), ("{\"accounts\":", false));
        let used = limits();
        assert!(ask(&used));
        file.write(&used);
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let used = limits();
        let path = dir.path().join("no/such/folder/usage.json");
        let mut file = UsageFile::restore(path, &used).unwrap();
        assert!(ask(&used));
        file.write(&used);
        file.write(&used);
    }
}

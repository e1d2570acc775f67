//! The files that say what a gateway does, and how their changes are noticed.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spanwise_gateway::config::Config;
use spanwise_gateway::keys::{Key, KeyList};
use spanwise_gateway::plan::{Mistake, Plan, Secrets};

use crate::StartError;
use crate::config::{is_servers, parse_yaml, place_in, section_gateway};

/// How often a file may be another than the time before until it is read all the same: who writes
/// without pause must not keep a revoked key alive.
const PATIENCE: u32 = 5;

/// Where a gateway's configuration stands.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file of its own.
    File(PathBuf),
    /// Below `gateway:` in the server's file.
    Section(PathBuf),
}

impl Source {
    /// Finds out which of the two a file is.
    pub fn of(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if is_servers(&text) { Source::Section(path) } else { Source::File(path) }
    }

    /// The file of keys that the configuration names.
    pub fn file_of_keys(&self) -> Result<PathBuf, StartError> {
        let name = self.path().display();
        let wrong = |error: String| StartError::Config(format!("{name}: {error}"));
        let text = Reader::default().text(self.path()).map_err(StartError::Config)?;
        let keys = self.parse(&text).map_err(wrong)?.keys;
        let none = || wrong("there is no `keys: {file: keys.yaml}` that names a file".to_owned());
        Ok(keys.ok_or_else(none)?.file.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        let (Source::File(path) | Source::Section(path)) = self;
        path
    }

    fn parse(&self, text: &str) -> Result<Config, String> {
        match self {
            Source::File(_) => parse_yaml(text, |_| None),
            Source::Section(_) => section_gateway(text)?
                .ok_or_else(|| "gateway: there is no such section any more".to_owned()),
        }
    }

    /// A mistake with the line where it is, as far as that is known.
    fn located(&self, mistake: &Mistake, text: &str) -> String {
        let prefix = if matches!(self, Source::Section(_)) { "gateway." } else { "" };
        let place = mistake.place().and_then(|place| place_in(text, &format!("{prefix}{place}")));
        format!("{}: {mistake}{}", self.path().display(), place.unwrap_or_default())
    }
}

/// The configuration, and all files that belong to it.
#[derive(Debug)]
pub struct Files {
    source: Source,
    /// What was read last, as it was then.
    read: Stamps,
    /// How the files were when they were last looked at, if not as they were read, and how often
    /// they have been another since.
    pending: Option<(Stamps, u32)>,
}

/// Files, and how each was.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// What changes whenever a file is written or replaced: inode, times of its text and of itself,
/// length.
type Stamp = (u64, (i64, i64), (i64, i64), u64);

/// What the files say.
#[derive(Debug)]
pub struct Reading {
    /// What the gateway does.
    pub plan: Plan,
    /// The keys of its own.
    pub keys: Option<Vec<Key>>,
}

impl Files {
    /// The files of this configuration; nothing is read yet.
    pub fn new(source: Source) -> Self {
        Files { source, read: Vec::new(), pending: None }
    }

    /// Reads everything. What did not change since `before` lives on.
    pub fn read(&mut self, before: Option<&Plan>) -> Result<Reading, StartError> {
        let reader = Reader::default();
        let reading = self.read_by(&reader, before).map_err(StartError::Config);
        let mut read = reader.read.into_inner();
        if reading.is_err() {
            // A mistake may have kept us from looking at all of them.
            let known = |path: &Path| read.iter().any(|(read, _)| read == path);
            let others: Vec<_> = self.read.iter().filter(|(path, _)| !known(path)).collect();
            let others: Vec<_> =
                others.into_iter().map(|(path, _)| (path.clone(), stamp(path))).collect();
            read.extend(others);
        }
        self.read = read;
        self.pending = None;
        reading
    }

    fn read_by(&self, reader: &Reader, before: Option<&Plan>) -> Result<Reading, String> {
        let name = self.source.path().display();
        let text = reader.text(self.source.path())?;
        let config = self.source.parse(&text).map_err(|error| format!("{name}: {error}"))?;
        let keys = config.keys.as_ref().map(|keys| {
            let text = reader.text(Path::new(&keys.file))?;
            parse_keys(&text).map_err(|error| format!("{}: {error}", keys.file))
        });
        let keys = keys.transpose()?.map(|list| list.keys);
        let plan = Plan::after(config, reader, before)
            .map_err(|mistake| self.source.located(&mistake, &text))?;
        Ok(Reading { plan, keys })
    }

    /// Whether the files are to be read again: they are others than those that were read, and
    /// nobody is in the middle of writing them.
    pub fn are_due(&mut self) -> bool {
        let now: Stamps = self.read.iter().map(|(path, _)| (path.clone(), stamp(path))).collect();
        if now == self.read {
            self.pending = None;
            return false;
        }
        let n_looks = match &self.pending {
            Some((seen, _)) if *seen == now => return true,
            Some((_, n_looks)) if *n_looks >= PATIENCE => return true,
            Some((_, n_looks)) => *n_looks,
            None => 0,
        };
        self.pending = Some((now, n_looks + 1));
        false
    }
}

/// What a file of keys says; one that says nothing has none.
pub fn parse_keys(text: &str) -> Result<KeyList, String> {
    let list = parse_yaml::<Option<MaybeKeys>>(text, |_| None)?;
    Ok(KeyList { keys: list.and_then(|list| list.keys).unwrap_or_default() })
}

/// A list of keys, or the place for one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaybeKeys {
    keys: Option<Vec<Key>>,
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    let (text, itself) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    Some((meta.ino(), text, itself, meta.len()))
}

/// Reads files and the environment, and remembers which files those were.
#[derive(Debug, Default)]
pub struct Reader {
    read: RefCell<Stamps>,
}

impl Reader {
    fn text(&self, path: &Path) -> Result<String, String> {
        // Before it is read: what is written meanwhile makes another stamp.
        self.read.borrow_mut().push((path.to_owned(), stamp(path)));
        std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))
    }
}

impl Secrets for Reader {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.text(Path::new(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, text: &str) -> (PathBuf, Files) {
        let path = dir.join("gateway.yaml");
        std::fs::write(&path, text).unwrap();
        (path.clone(), Files::new(Source::File(path)))
    }

    #[test]
    fn a_change_counts_when_nobody_writes_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut files) = files(dir.path(), "listeners: [{name: m, port: 0}]");
        files.read(None).unwrap();
        assert!(!files.are_due());
        std::fs::write(&path, "listeners: [{name: m, po").unwrap();
        assert!(!files.are_due(), "it may be half written");
        std::fs::write(&path, "listeners: [{name: m, port: 1}]").unwrap();
        assert!(!files.are_due());
        assert!(files.are_due());
        files.read(None).unwrap();
        assert!(!files.are_due());
    }

    #[test]
    fn who_writes_without_pause_is_read_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut files) = files(dir.path(), "listeners: [{name: m, port: 0}]");
        files.read(None).unwrap();
        let looks = (0..100).take_while(|n| {
            std::fs::write(&path, " ".repeat(*n)).unwrap();
            !files.are_due()
        });
        assert_eq!(looks.count(), PATIENCE as usize);
    }

    #[test]
    fn a_mistake_is_read_once_and_secrets_in_files_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "one").unwrap();
        let text = format!(
            "listeners: [{{name: m, port: 0}}]\n\
             model_providers: [{{model: openai/a, access_key: 'file:{}'}}]\n",
            secret.display()
        );
        let (path, mut files) = files(dir.path(), &text);
        files.read(None).unwrap();
        std::fs::write(&path, "listeners: [").unwrap();
        assert!(!files.are_due() && files.are_due());
        files.read(None).unwrap_err();
        assert!(!files.are_due());
        std::fs::write(&path, &text).unwrap();
        files.read(None).unwrap();
        std::fs::write(&secret, "another").unwrap();
        assert!(!files.are_due() && files.are_due());
    }

    #[test]
    fn mistakes_name_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let text = "listeners: [{name: m, port: 0}]\nmodel_providers:\n  \
                    - {model: openai/a}\n  - model: acme/x\n";
        let (_, mut plain) = files(dir.path(), text);
        let error = plain.read(None).unwrap_err().to_string();
        assert!(error.ends_with(" at line 4, column 5"), "{error}");
        let path = dir.path().join("spanwise.yaml");
        let section = text.lines().collect::<Vec<_>>().join("\n  ");
        std::fs::write(&path, format!("listen: 127.0.0.1:0\ngateway:\n  {section}\n")).unwrap();
        let error = Files::new(Source::Section(path)).read(None).unwrap_err().to_string();
        assert!(error.ends_with(" at line 6, column 7"), "{error}");
    }
}

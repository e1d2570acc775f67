//! API keys at rest: `keys.json` in the data folder, which holds hashes and never a key.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{hex, valid_project};
use crate::{StartError, replace};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send spans.
    Ingest,
    /// Ask the query API and look at the UI.
    Read,
}

impl Scope {
    /// `ingest` or `read`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
        }
    }
}

/// One key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Names the key in commands.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// The project whose spans it may send or read.
    pub project: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How the key begins, to recognise it by.
    pub prefix: String,
    /// SHA-256 of the key, hex. The key is 192 random bits, so that no salt is needed.
    pub sha256: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
}

impl Key {
    /// The key's description for lists.
    pub fn without_hash(&self) -> serde_json::Value {
        serde_json::json!({
            "id": self.id, "name": self.name, "project": self.project, "scopes": self.scopes,
            "prefix": self.prefix, "created": self.created, "revoked": self.revoked,
        })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    version: u32,
    keys: Vec<Key>,
}

/// `keys.json` and the commands that change it.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file of this data folder.
    pub fn in_folder(dir: &Path) -> Self {
        KeyFile { path: dir.join("keys.json") }
    }

    /// Makes a key and gives it back; only its hash is kept.
    pub fn create(
        &self,
        name: &str,
        project: &str,
        scopes: Vec<Scope>,
    ) -> Result<String, StartError> {
        if !valid_project(project) {
            return Err(StartError::Config(format!(
                "`{project}` is no project name; use up to 64 letters, digits, `.`, `_` and `-`"
            )));
        }
        let secret = format!("sw-{}", hex(&rand::random::<[u8; 24]>()));
        let key = Key {
            id: hex(&rand::random::<[u8; 4]>()),
            name: name.to_owned(),
            project: project.to_owned(),
            scopes,
            prefix: secret[..11].to_owned(),
            sha256: hex(&hash(&secret)),
            created: now(),
            revoked: None,
        };
        self.change(|keys| {
            keys.push(key);
            Ok(())
        })?;
        Ok(secret)
    }

    /// All keys, oldest first.
    pub fn list(&self) -> Result<Vec<Key>, StartError> {
        self.read().map(|contents| contents.keys)
    }

    /// Revokes the key with this id or prefix. Revoking twice is the same as once.
    pub fn revoke(&self, id_or_prefix: &str) -> Result<Key, StartError> {
        self.change(|keys| {
            let named = |key: &&mut Key| key.id == id_or_prefix || key.prefix == id_or_prefix;
            let key = keys.iter_mut().find(named).ok_or_else(|| {
                StartError::Config(format!("no key has the id or prefix `{id_or_prefix}`"))
            })?;
            key.revoked.get_or_insert_with(now);
            Ok(key.clone())
        })
    }

    /// Changes the file under a lock, and replaces it in one step so that a reader sees all or
    /// nothing.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Key>) -> Result<T, StartError>,
    ) -> Result<T, StartError> {
        let failed = |error: std::io::Error| self.failed(&error);
        let _lock = replace::lock(&self.path).map_err(failed)?;
        let mut contents = self.read()?;
        let outcome = change(&mut contents.keys)?;
        contents.version = 1;
        let json = serde_json::to_vec_pretty(&contents)
            .map_err(|error| StartError::Io(error.to_string()))?;
        replace::replace(&self.path, &json).map_err(failed)?;
        Ok(outcome)
    }

    fn read(&self) -> Result<Contents, StartError> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => return Err(self.failed(&error)),
        };
        serde_json::from_slice(&text)
            .map_err(|error| StartError::Io(format!("{} is damaged: {error}", self.path.display())))
    }

    fn failed(&self, error: &std::io::Error) -> StartError {
        StartError::Io(format!("{}: {error}", self.path.display()))
    }
}

/// The keys in force. Follows the file, so that a new or revoked key counts at once.
#[derive(Debug)]
pub struct KeyRing {
    file: KeyFile,
    loaded: RwLock<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    version: Option<FileVersion>,
    keys: HashMap<[u8; 32], Arc<Key>>,
}

/// Changes whenever the file is replaced: inode, modification time, length.
type FileVersion = (u64, i64, i64, u64);

impl KeyRing {
    /// Reads the keys of this data folder.
    pub fn open(dir: &Path) -> Result<Self, StartError> {
        let ring = KeyRing { file: KeyFile::in_folder(dir), loaded: RwLock::default() };
        ring.file.read()?;
        Ok(ring)
    }

    /// The key with this hash, unless it is unknown or revoked.
    pub fn find(&self, hash: &[u8; 32]) -> Option<Arc<Key>> {
        let version = std::fs::metadata(&self.file.path).ok().map(|meta| file_version(&meta));
        {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if loaded.version == version {
                return loaded.keys.get(hash).cloned();
            }
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        match self.file.read() {
            Ok(contents) => *loaded = Loaded { version, keys: in_force(contents.keys) },
            // Fail closed: a damaged file must not bring a revoked key back to life.
            Err(error) => {
                tracing::error!(%error, "keys cannot be read; refusing all of them");
                *loaded = Loaded { version, keys: HashMap::new() };
            }
        }
        loaded.keys.get(hash).cloned()
    }
}

fn in_force(keys: Vec<Key>) -> HashMap<[u8; 32], Arc<Key>> {
    keys.into_iter()
        .filter(|key| key.revoked.is_none())
        .filter_map(|key| Some((unhex(&key.sha256)?, Arc::new(key))))
        .collect()
}

fn file_version(meta: &Metadata) -> FileVersion {
    (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len())
}

/// SHA-256 of a key.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_until_it_is_revoked_and_is_never_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(dir.path()).unwrap();
        let file = KeyFile::in_folder(dir.path());
        let secret = file.create("ci", "demo", vec![Scope::Ingest]).unwrap();
        let key = ring.find(&hash(&secret)).unwrap();
        assert_eq!((key.project.as_str(), &key.scopes[..]), ("demo", &[Scope::Ingest][..]));
        let text = std::fs::read_to_string(dir.path().join("keys.json")).unwrap();
        assert!(!text.contains(&secret));

        file.revoke(&key.prefix).unwrap();
        assert!(ring.find(&hash(&secret)).is_none());
        assert!(file.list().unwrap()[0].revoked.is_some());
    }

    #[test]
    fn a_damaged_file_refuses_every_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(dir.path());
        let secret = file.create("ci", "demo", vec![Scope::Read]).unwrap();
        let ring = KeyRing::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("keys.json"), "{").unwrap();
        assert!(ring.find(&hash(&secret)).is_none());
        assert!(KeyRing::open(dir.path()).is_err());
    }

    #[test]
    fn project_names_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_folder(dir.path());
        assert!(file.create("x", "../etc", vec![Scope::Read]).is_err());
        assert!(file.revoke("nothing").is_err());
    }
}

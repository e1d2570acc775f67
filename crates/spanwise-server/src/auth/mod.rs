//! Who may send and read, and for which project.
//!
//! Every caller ends up with exactly one project. With authentication off that is `default`, or
//! the one named in the header `spanwise-project`; with it on, the project of the key.

pub mod keys;
mod sessions;

use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use spanwise_model::wire::base64;

use crate::StartError;
use crate::config::AuthMode;
use keys::{Key, KeyRing, Scope};
use sessions::Sessions;

/// The project of callers that name none.
pub const DEFAULT_PROJECT: &str = "default";

/// The header that names a project while authentication is off.
pub const PROJECT_HEADER: &str = "spanwise-project";

const SESSION_COOKIE: &str = "spanwise_session";

/// Decides who comes in.
#[derive(Debug)]
pub struct Gate {
    required: bool,
    keys: KeyRing,
    sessions: Sessions,
    default_project: Arc<str>,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The one project whose spans this caller sends or reads.
    pub project: Arc<str>,
    /// The key that was shown, if any.
    pub key: Option<Arc<Key>>,
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("an API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`")]
    NoKey,
    #[error("the API key is unknown or revoked")]
    UnknownKey,
    #[error("this API key may not send spans; it lacks the scope `ingest`")]
    NotForIngest,
    #[error("this API key may not read; it lacks the scope `read`")]
    NotForReading,
    #[error("this API key belongs to another project than the header spanwise-project names")]
    OtherProject,
    #[error("spanwise-project: use up to 64 letters, digits, `.`, `_` and `-`")]
    BadProject,
}

impl Gate {
    /// A gate with the keys and sessions of this data folder.
    pub fn open(mode: AuthMode, data_dir: &Path) -> Result<Self, StartError> {
        Ok(Gate {
            required: mode == AuthMode::Required,
            keys: KeyRing::open(data_dir)?,
            sessions: Sessions::default(),
            default_project: DEFAULT_PROJECT.into(),
        })
    }

    /// Whether a key is asked for.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Lets a caller in who may do what `scope` says.
    pub fn admit(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller, Refusal> {
        let named = match headers.get(PROJECT_HEADER) {
            None => None,
            Some(value) => match value.to_str() {
                Ok(name) if valid_project(name) => Some(name),
                _ => return Err(Refusal::BadProject),
            },
        };
        let key = self.key_of(headers);
        if !self.required {
            return Ok(self.open_caller(named, key.ok()));
        }
        let key = key?;
        if !key.scopes.contains(&scope) {
            return Err(match scope {
                Scope::Ingest => Refusal::NotForIngest,
                Scope::Read => Refusal::NotForReading,
            });
        }
        if named.is_some_and(|name| name != key.project) {
            return Err(Refusal::OtherProject);
        }
        Ok(Caller { project: key.project.as_str().into(), key: Some(key) })
    }

    /// With authentication off, a known key still says which project its sender means.
    fn open_caller(&self, named: Option<&str>, key: Option<Arc<Key>>) -> Caller {
        let project = match (named, &key) {
            (Some(name), _) => name.into(),
            (None, Some(key)) => key.project.as_str().into(),
            (None, None) => Arc::clone(&self.default_project),
        };
        Caller { project, key }
    }

    /// The key that the headers show: itself, or through a session.
    fn key_of(&self, headers: &HeaderMap) -> Result<Arc<Key>, Refusal> {
        let hash = match shown_key(headers) {
            Some(secret) => keys::hash(&secret),
            None => cookie(headers)
                .and_then(|token| self.sessions.key_hash(token))
                .ok_or(Refusal::NoKey)?,
        };
        self.keys.find(&hash).ok_or(Refusal::UnknownKey)
    }

    /// Starts a session of the UI with a key that may read. Gives the cookie to set.
    pub fn sign_in(&self, secret: &str, secure: bool) -> Result<(String, Arc<Key>), Refusal> {
        let hash = keys::hash(secret.trim());
        let key = self.keys.find(&hash).ok_or(Refusal::UnknownKey)?;
        if !key.scopes.contains(&Scope::Read) {
            return Err(Refusal::NotForReading);
        }
        let token = self.sessions.start(hash);
        let lifetime = sessions::LIFETIME.as_secs();
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!(
            "{SESSION_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; \
             Max-Age={lifetime}{secure}"
        );
        Ok((cookie, key))
    }

    /// Ends the session that the headers name. Gives the cookie that clears it.
    pub fn sign_out(&self, headers: &HeaderMap) -> String {
        if let Some(token) = cookie(headers) {
            self.sessions.end(token);
        }
        format!("{SESSION_COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
    }
}

/// Whether this can name a project.
pub fn valid_project(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(allowed)
}

/// The key in one of the headers that clients put it in.
fn shown_key(headers: &HeaderMap) -> Option<String> {
    for name in ["x-api-key", "x-spanwise-api-key"] {
        if let Some(key) = headers.get(name).and_then(|value| value.to_str().ok()) {
            return Some(key.trim().to_owned());
        }
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.trim().to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(base64::decode(rest.trim())?).ok()?;
        text.split_once(':').map(|(_, password)| password.to_owned())
    } else {
        None
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, token)| token)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;

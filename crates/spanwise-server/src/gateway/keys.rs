//! `spanwise gateway keys`: makes, lists and revokes the keys of a gateway, in its file of keys.
//!
//! The file is its owner's, with comments and an order of its own. So it is edited, not written
//! anew, wherever the outcome can be proved to say what it should by reading it again.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json};
use spanwise_gateway::keys::{Expiry, Key, KeyList, Keys, NewKey};
use spanwise_gateway::limits::Quotas;
use spanwise_gateway::pattern::Patterns;

use super::files::parse_keys;
use crate::cli::say;
use crate::units::parse_duration;
use crate::{StartError, replace};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Make a key and print it, this once
    Create(Box<Create>),
    /// Show all keys without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key useless: within a second for a gateway that runs
    Revoke {
        /// The id of the key, as `list` shows it
        id: String,
    },
}

/// The options of a new key.
#[derive(Args, Debug)]
pub struct Create {
    /// What the key is for
    #[arg(long)]
    name: Option<String>,
    /// Names it in limits, spans and messages [default: eight random digits]
    #[arg(long)]
    id: Option<String>,
    /// A model that it may ask for, `*` stands for anything; repeat for several [default: all]
    #[arg(long, value_name = "PATTERN")]
    model: Vec<String>,
    /// An agent that it may call; repeat for several [default: all]
    #[arg(long, value_name = "PATTERN")]
    agent: Vec<String>,
    /// Until when it is good: a date, a time, or from now such as 30d [default: for ever]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// How much it may use, such as usd_per_day=20; repeat for several
    #[arg(long, value_name = "LIMIT=N")]
    limit: Vec<String>,
}

impl KeysAction {
    /// Does it to this file.
    pub fn run(self, path: PathBuf) -> Result<(), StartError> {
        let file = KeyFile { path };
        match self {
            KeysAction::Create(create) => {
                let new = NewKey::generate();
                let key = create.key(&new).map_err(StartError::Config)?;
                let id = key.id.clone();
                file.change(|text| with_key(text, key))?;
                say(&format!("{}\n", new.secret))?;
                tell(&format!(
                    "key `{id}` is in {}; its secret is shown here and nowhere else",
                    file.path.display()
                ));
                Ok(())
            }
            KeysAction::List { json } => {
                let keys = parse_keys(&file.read()?).map_err(|error| file.wrong(&error))?.keys;
                say(&if json { as_json(&keys) } else { as_table(&keys) })
            }
            KeysAction::Revoke { id } => {
                file.change(|text| without_key(text, &id))?;
                say(&format!("revoked {id}\n"))
            }
        }
    }
}

impl Create {
    fn key(&self, new: &NewKey) -> Result<Key, String> {
        let id = self.id.clone().unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
        let mut key = Key::new(id, new.hash);
        key.name = self.name.clone().unwrap_or_default();
        if !self.model.is_empty() {
            key.models = Patterns::of(self.model.iter().map(String::as_str));
        }
        if !self.agent.is_empty() {
            key.agents = Patterns::of(self.agent.iter().map(String::as_str));
        }
        key.expires = self.expires.as_deref().map(expiry).transpose()?;
        key.limits = quotas(&self.limit)?;
        Ok(key)
    }
}

fn expiry(text: &str) -> Result<Expiry, String> {
    let from_now = parse_duration(text).ok().and_then(|time| {
        let seconds = i64::try_from(time.as_secs()).ok()?;
        let at = jiff::Timestamp::now().as_second().checked_add(seconds)?;
        jiff::Timestamp::from_second(at).ok()?.to_string().parse().ok()
    });
    from_now.or_else(|| text.parse().ok()).ok_or_else(|| {
        format!("--expires: `{text}` is no time; write 2027-01-31, 2027-01-31T12:00:00Z or 30d")
    })
}

fn quotas(limits: &[String]) -> Result<Quotas, String> {
    let mut written = Map::new();
    for limit in limits {
        let parts =
            limit.split_once('=').and_then(|(name, n)| Some((name, n.parse::<f64>().ok()?)));
        let Some((name, n)) = parts else {
            return Err(format!(
                "--limit: `{limit}` is no limit; write for example usd_per_day=20"
            ));
        };
        written.insert(name.to_owned(), n.into());
    }
    serde_json::from_value(Json::Object(written)).map_err(|error| format!("--limit: {error}"))
}

/// The file of keys.
struct KeyFile {
    path: PathBuf,
}

/// The text that a file is to have.
#[derive(Debug, PartialEq, Eq)]
struct Edited {
    text: String,
    /// Whether comments and layout are gone, as the file could not be edited.
    is_anew: bool,
}

impl KeyFile {
    fn change(
        &self,
        change: impl FnOnce(&str) -> Result<Edited, String>,
    ) -> Result<(), StartError> {
        let failed = |error: std::io::Error| self.failed(&error);
        let _lock = replace::lock(&self.path).map_err(failed)?;
        let old = self.read()?;
        let edited = change(&old).map_err(|error| self.wrong(&error))?;
        if edited.is_anew && !old.trim().is_empty() {
            let kept = self.path.with_extension("old");
            replace::replace(&kept, old.as_bytes()).map_err(failed)?;
            let (path, kept) = (self.path.display(), kept.display());
            tell(&format!(
                "{path} was written anew, without its comments; how it was is in {kept}"
            ));
        }
        replace::replace(&self.path, edited.text.as_bytes()).map_err(failed)
    }

    fn read(&self) -> Result<String, StartError> {
        match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| self.failed(&error)),
        }
    }

    fn failed(&self, error: &std::io::Error) -> StartError {
        StartError::Io(format!("{}: {error}", self.path.display()))
    }

    fn wrong(&self, mistake: &str) -> StartError {
        StartError::Config(format!("{}: {mistake}", self.path.display()))
    }
}

/// The file with one key more.
fn with_key(text: &str, key: Key) -> Result<Edited, String> {
    let mut list = parse_keys(text)?;
    let item = |indent: usize| written(&key, indent);
    let indent = items(text).map_or(2, |(_, indent)| indent);
    let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let edited = [
        format!("{text}{line_end}{}", item(indent)),
        format!("{text}{line_end}keys:\n{}", item(2)),
        text.replacen("keys: []", &format!("keys:\n{}", item(2).trim_end()), 1),
    ];
    list.keys.push(key);
    Keys::new(list.keys.iter().cloned()).map_err(|error| error.to_string())?;
    Ok(first_that_says(&list, edited))
}

/// The file with one key disabled. It stays there, so that nobody gets its id by chance and spans
/// that name it can be understood.
fn without_key(text: &str, id: &str) -> Result<Edited, String> {
    let mut list = parse_keys(text)?;
    let at = list.keys.iter().position(|key| &*key.id == id);
    let at = at.ok_or_else(|| format!("no key has the id `{id}`"))?;
    if list.keys[at].disabled {
        return Ok(Edited { text: text.to_owned(), is_anew: false });
    }
    list.keys[at].disabled = true;
    let edited = disabled_line(text, at);
    Ok(first_that_says(&list, edited))
}

/// The text with a line more in its item of this number, or with the line that it has changed.
fn disabled_line(text: &str, at: usize) -> Option<String> {
    let (starts, indent) = items(text)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let start = *starts.get(at)?;
    let end = starts.get(at + 1).copied().unwrap_or(lines.len());
    let inner = indent + lines[start][indent + 1..].find(|c| c != ' ')? + 1;
    let line = format!("{}disabled: true", " ".repeat(inner));
    let own = |line: &String| line.trim_start().starts_with("disabled:");
    match lines[start..end].iter().position(own) {
        Some(old) if old > 0 => lines[start + old] = line,
        _ => lines.insert(start + 1, line),
    }
    Some(lines.join("\n") + "\n")
}

/// On which lines the items of the list begin, and how far they are indented.
fn items(text: &str) -> Option<(Vec<usize>, usize)> {
    let dash = |line: &str| {
        let item = line.trim_start_matches(' ');
        (item.starts_with("- ")).then(|| line.len() - item.len())
    };
    let indent = text.lines().find_map(dash)?;
    let starts = text.lines().enumerate().filter(|(_, line)| dash(line) == Some(indent));
    Some((starts.map(|(n, _)| n).collect(), indent))
}

/// The first text that says what it should, else one that is written anew.
fn first_that_says(list: &KeyList, edited: impl IntoIterator<Item = String>) -> Edited {
    let says = |text: &String| parse_keys(text).is_ok_and(|read| read == *list);
    if let Some(text) = edited.into_iter().find(says) {
        return Edited { text, is_anew: false };
    }
    let items: String = list.keys.iter().map(|key| written(key, 2)).collect();
    Edited { text: format!("keys:\n{items}"), is_anew: true }
}

/// A key as an item of a list in YAML.
fn written(key: &Key, indent: usize) -> String {
    let fields = serde_json::to_value(key).unwrap_or_default();
    let fields = fields.as_object().into_iter().flatten();
    let line = |(n, (name, value)): (usize, (&String, &Json))| {
        let before = if n == 0 { "- " } else { "  " };
        format!("{}{before}{name}: {value}\n", " ".repeat(indent))
    };
    fields.enumerate().map(line).collect()
}

fn as_table(keys: &[Key]) -> String {
    let row = |id: &str, state: &str, expires: &str, models: &str, name: &str| {
        format!("{id:<16} {state:<9} {expires:<21} {models:<24} {name}\n")
    };
    let head = row("ID", "STATE", "EXPIRES", "MODELS", "NAME");
    let now = jiff::Timestamp::now().as_nanosecond();
    let rows = keys.iter().map(|key| {
        let is_over = key.expires.is_some_and(|expiry| i128::from(expiry.unix_nano()) <= now);
        let state = match (key.disabled, is_over) {
            (true, _) => "revoked",
            (false, true) => "expired",
            (false, false) => "good",
        };
        let shown = without_hash(key);
        let text = |name: &str| match &shown[name] {
            Json::String(text) => text.clone(),
            Json::Array(all) => all.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(","),
            _ => String::new(),
        };
        let models = if key.models.is_all() { "*".to_owned() } else { text("models") };
        row(&key.id, state, &text("expires"), &models, &key.name)
    });
    std::iter::once(head).chain(rows).collect()
}

fn as_json(keys: &[Key]) -> String {
    format!("{:#}\n", keys.iter().map(without_hash).collect::<Json>())
}

fn without_hash(key: &Key) -> Json {
    let mut shown = serde_json::to_value(key).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        fields.shift_remove("hash");
    }
    shown
}

/// Says something to the person, not to what reads the standard output.
fn tell(text: &str) {
    // Nobody is left to tell when the terminal is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

    fn key(id: &str) -> Key {
        Key::new(id, NewKey::generate().hash)
    }

    fn file() -> String {
        format!(
            "# Ours.\nkeys:\n# Team A.\n- id: a   # the first\n  hash: \"{HASH}\"\n\
             - id: b\n  disabled: false\n  hash: \"{}2\"\n# The end.\n",
            &HASH[..HASH.len() - 1]
        )
    }

    #[test]
    fn a_new_key_joins_the_others_and_comments_stay() {
        for before in ["", "keys:\n", "# Nobody yet.\n", "keys: []\n", &file()] {
            let edited = with_key(before, key("new")).unwrap();
            assert!(!edited.is_anew, "{before:?} became {}", edited.text);
            let n_before = parse_keys(before).unwrap().keys.len();
            assert_eq!(parse_keys(&edited.text).unwrap().keys.len(), n_before + 1);
            let comments = before.lines().filter(|line| line.starts_with('#'));
            assert!(comments.clone().all(|line| edited.text.contains(line)), "{}", edited.text);
        }
    }

    #[test]
    fn a_key_is_written_with_all_that_it_has() {
        let create = Create {
            name: Some("Team \"A\": batch".to_owned()),
            id: Some("team-a".to_owned()),
            model: vec!["openai/*".to_owned(), "fast".to_owned()],
            agent: vec!["billing".to_owned()],
            expires: Some("30d".to_owned()),
            limit: vec!["usd_per_day=2.5".to_owned(), "requests_per_minute=60".to_owned()],
        };
        let made = create.key(&NewKey::generate()).unwrap();
        let edited = with_key("", made.clone()).unwrap();
        assert_eq!(parse_keys(&edited.text).unwrap().keys, [made]);
        for (limit, expires) in
            [("usd=x", None), ("coins_per_day=1", None), ("usd_total=1", Some("soon"))]
        {
            let wrong = Create {
                limit: vec![limit.to_owned()],
                expires: expires.map(str::to_owned),
                name: None,
                id: None,
                model: Vec::new(),
                agent: Vec::new(),
            };
            assert!(wrong.key(&NewKey::generate()).is_err(), "{limit}");
        }
    }

    #[test]
    fn an_id_is_given_once_and_a_file_with_mistakes_is_not_touched() {
        assert!(with_key(&file(), key("a")).unwrap_err().contains("`a`"));
        assert!(with_key(&file(), key("no id")).is_err());
        let error = with_key("keys:\n- id: a\n  hsh: x\n", key("b")).unwrap_err();
        assert!(error.contains("hsh") && error.contains("line 3"), "{error}");
        assert!(without_key(&file(), "c").is_err());
    }

    #[test]
    fn revoking_changes_one_line() {
        let of_a = without_key(&file(), "a").unwrap();
        let expected = file().replace("the first\n", "the first\n  disabled: true\n");
        assert_eq!(of_a, Edited { text: expected, is_anew: false });
        let of_b = without_key(&file(), "b").unwrap();
        let expected = file().replace("disabled: false", "disabled: true");
        assert_eq!(of_b, Edited { text: expected.clone(), is_anew: false });
        assert_eq!(without_key(&expected, "b").unwrap().text, expected);
    }

    #[test]
    fn a_file_that_cannot_be_edited_is_written_anew_and_says_so() {
        let flow = format!("{{\"keys\":[{{\"id\":\"a\",\"hash\":\"{HASH}\"}}]}}");
        for edited in [with_key(&flow, key("b")).unwrap(), without_key(&flow, "a").unwrap()] {
            assert!(edited.is_anew);
            assert_eq!(parse_keys(&edited.text).unwrap().keys[0].id, "a".into());
        }
    }

    #[test]
    fn nothing_that_is_shown_has_a_hash() {
        let keys = parse_keys(&file()).unwrap().keys;
        assert!(!as_json(&keys).contains("sha256") && !as_table(&keys).contains("sha256"));
        assert!(as_table(&keys).contains("good"));
    }
}

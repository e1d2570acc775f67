//! What an upstream does other than answer well, written into a path, a header or a model's name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The manners of one answer.
///
/// Written as `key=value` pairs and bare words between commas: `status=429,retry-after=2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// `delay=MS`: before the head.
    pub delay: Duration,
    /// `ttft=MS`: between the head and the first event of a stream.
    pub ttft: Duration,
    /// `pace=MS`: between the events of a stream.
    pub pace: Duration,
    /// `deltas=N`: how many pieces of content a stream has.
    pub n_deltas: usize,
    /// `size=BYTES`: how long the content is.
    pub size: usize,
    /// `tools=N`: how many tools are called, in parallel, instead of text.
    pub n_tools: usize,
    /// `status=CODE`: an error in the dialect's own shape, or an answer without body.
    pub status: u16,
    /// `retry-after=TEXT`, as it stands.
    pub retry_after: Option<String>,
    /// `redirect=URL`: a 307 to there.
    pub redirect: Option<String>,
    /// `info=CODE`: an interim answer before the real one.
    pub info: Option<u16>,
    /// `body=html`, `body=empty`, `body=junk`: instead of what the dialect says.
    pub body: Option<Odd>,
    /// `error=N`: an error inside a 200, after so many pieces of content.
    pub error: Option<usize>,
    /// `short=N`: an orderly end after so many pieces, without the dialect's end marker.
    pub short: Option<usize>,
    /// `cut=N`: the connection ends after so many pieces; a whole answer ends halfway.
    pub cut: Option<usize>,
    /// `reset=N`: the same with a reset.
    pub reset: Option<usize>,
    /// `hangup`: the connection ends instead of an answer.
    pub hangup: bool,
    /// `refuse`: it is reset instead of an answer.
    pub refuse: bool,
    /// `stale`: it is reset when the next request arrives on it.
    pub stale: bool,
    /// `hang`: nothing is ever answered.
    pub hang: bool,
    /// `dribble=MS`: one byte at a time, so far apart.
    pub dribble: Option<Duration>,
    /// `length=±N`: how far the content length is off.
    pub length_error: i64,
    /// `eof`: neither length nor chunks; the body ends with the connection.
    pub until_end: bool,
    /// `encoding=gzip`, or any other name, under which the bytes stand as they are.
    pub encoding: Option<String>,
    /// `split=N` or `split=random`: a stream's bytes in pieces without regard to its events.
    pub split: Option<Split>,
    /// `eol=lf`, `eol=crlf`, `eol=cr`: the line ends of events.
    pub line_end: &'static str,
    /// `comments`: a comment before each event.
    pub comments: bool,
    /// `nospace`: nothing between `data:` and the data.
    pub no_space: bool,
    /// `frame=BYTES`: so much without any delimiter before the first content.
    pub endless_frame: usize,
    /// `usage=…`: how the counts are wrong.
    pub usage: Counts,
    /// `clock`: each event carries the monotonic time at which it left.
    pub clock: bool,
}

/// A body that no dialect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// A proxy's error page.
    Html,
    /// Nothing.
    Empty,
    /// JSON cut in the middle.
    Junk,
}

/// How a stream's bytes are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Always so many bytes.
    Every(usize),
    /// One to forty bytes, the same ones each time.
    Random,
}

/// How counts of tokens are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counts {
    /// As the dialect has them.
    #[default]
    Right,
    /// `none`: the member is missing.
    Missing,
    /// `null`.
    Null,
    /// `strings`: digits between quotes.
    Strings,
    /// `negative`.
    Negative,
    /// `huge`: 1e30.
    Huge,
    /// `inconsistent`: more cached than there was input, and a total that is no sum.
    Inconsistent,
    /// `twice`: chat streams have two chunks of usage, the first one wrong.
    Twice,
    /// `middle`: chat streams have it in the middle.
    Middle,
}

/// A script that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidScript(String);

impl fmt::Display for InvalidScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mock does not understand {:?}", self.0)
    }
}

impl std::error::Error for InvalidScript {}

impl Default for Script {
    fn default() -> Self {
        Script {
            delay: Duration::ZERO,
            ttft: Duration::ZERO,
            pace: Duration::ZERO,
            n_deltas: 8,
            size: 400,
            n_tools: 0,
            status: 200,
            retry_after: None,
            redirect: None,
            info: None,
            body: None,
            error: None,
            short: None,
            cut: None,
            reset: None,
            hangup: false,
            refuse: false,
            stale: false,
            hang: false,
            dribble: None,
            length_error: 0,
            until_end: false,
            encoding: None,
            split: None,
            line_end: "\n",
            comments: false,
            no_space: false,
            endless_frame: 0,
            usage: Counts::Right,
            clock: false,
        }
    }
}

impl FromStr for Script {
    type Err = InvalidScript;

    fn from_str(text: &str) -> Result<Self, InvalidScript> {
        let mut script = Script::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            script.set(key, value).ok_or_else(|| InvalidScript(item.to_owned()))?;
        }
        Ok(script)
    }
}

impl Script {
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "delay" => self.delay = millis(value)?,
            "ttft" => self.ttft = millis(value)?,
            "pace" => self.pace = millis(value)?,
            "deltas" => self.n_deltas = value.parse().ok()?,
            "size" => self.size = value.parse().ok()?,
            "tools" => self.n_tools = value.parse().ok()?,
            "status" => self.status = value.parse().ok()?,
            "retry-after" => self.retry_after = Some(value.to_owned()),
            "redirect" => self.redirect = Some(value.to_owned()),
            "info" => self.info = Some(value.parse().ok()?),
            "body" => self.body = Some(odd(value)?),
            "error" => self.error = Some(value.parse().ok()?),
            "short" => self.short = Some(value.parse().ok()?),
            "cut" => self.cut = Some(value.parse().ok()?),
            "reset" => self.reset = Some(value.parse().ok()?),
            "dribble" => self.dribble = Some(millis(value)?),
            "length" => self.length_error = value.parse().ok()?,
            "encoding" => self.encoding = Some(value.to_owned()),
            "split" => self.split = Some(split(value)?),
            "eol" => self.line_end = line_end(value)?,
            "frame" => self.endless_frame = value.parse().ok()?,
            "usage" => self.usage = counts(value)?,
            word if value.is_empty() => *self.flag(word)? = true,
            _ => return None,
        }
        Some(())
    }

    fn flag(&mut self, word: &str) -> Option<&mut bool> {
        Some(match word {
            "hangup" => &mut self.hangup,
            "refuse" => &mut self.refuse,
            "stale" => &mut self.stale,
            "hang" => &mut self.hang,
            "eof" => &mut self.until_end,
            "comments" => &mut self.comments,
            "nospace" => &mut self.no_space,
            "clock" => &mut self.clock,
            _ => return None,
        })
    }
}

fn millis(value: &str) -> Option<Duration> {
    value.parse().ok().map(Duration::from_millis)
}

fn odd(value: &str) -> Option<Odd> {
    Some(match value {
        "html" => Odd::Html,
        "empty" => Odd::Empty,
        "junk" => Odd::Junk,
        _ => return None,
    })
}

fn split(value: &str) -> Option<Split> {
    match value {
        "random" => Some(Split::Random),
        _ => value.parse().ok().filter(|size| *size > 0).map(Split::Every),
    }
}

fn line_end(value: &str) -> Option<&'static str> {
    Some(match value {
        "lf" => "\n",
        "crlf" => "\r\n",
        "cr" => "\r",
        _ => return None,
    })
}

fn counts(value: &str) -> Option<Counts> {
    Some(match value {
        "none" => Counts::Missing,
        "null" => Counts::Null,
        "strings" => Counts::Strings,
        "negative" => Counts::Negative,
        "huge" => Counts::Huge,
        "inconsistent" => Counts::Inconsistent,
        "twice" => Counts::Twice,
        "middle" => Counts::Middle,
        _ => return None,
    })
}

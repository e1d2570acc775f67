//! The request that stands between all dialects: what a client says to a model.

use std::borrow::Cow;
use std::collections::HashSet;

use super::json::{Text, compact, parse};
use super::{Notes, Untranslatable};

/// One request, in a form that every dialect can be read into and written from.
#[derive(Debug, Default)]
pub struct Conversation<'a> {
    /// What stands before the first turn.
    pub system: Vec<Text<'a>>,
    /// Who said what, in order.
    pub turns: Vec<Turn<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub parallel_tool_calls: Option<bool>,
    pub sampling: Sampling<'a>,
    pub reasoning: Reasoning,
    pub format: Format<'a>,
    /// The end user, by the name the client gave.
    pub user: Option<Text<'a>>,
    pub stream: bool,
    /// Whether a client of Chat wants the usage at the end of its stream.
    pub include_usage: bool,
}

/// What one side said at once.
#[derive(Debug)]
pub struct Turn<'a> {
    pub role: Role,
    pub parts: Vec<Part<'a>>,
}

/// Who said something. What tools answered counts as said by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// One piece of a turn or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    Text(Text<'a>),
    Refusal(Text<'a>),
    Image(Media<'a>),
    Document(Media<'a>),
    Reasoning(Thought<'a>),
    Call(Call<'a>),
    Result(ToolResult<'a>),
}

/// An image or a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Media<'a> {
    pub source: Source<'a>,
    /// A document's name.
    pub name: Option<Text<'a>>,
    /// How closely OpenAI's models shall look at an image.
    pub detail: Option<Text<'a>>,
}

/// Where an image or a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<'a> {
    /// In the request, in base64.
    Inline { mime: Text<'a>, data: Text<'a> },
    /// Somewhere else.
    Url(Text<'a>),
    /// In the request, as plain text.
    Plain(Text<'a>),
}

/// What a model thought before it answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thought<'a> {
    pub text: Text<'a>,
    /// By which the provider knows its own thought again.
    pub signature: Option<Text<'a>>,
    /// The thought in a form only the provider can read.
    pub redacted: Option<Text<'a>>,
}

/// A model's wish that a tool be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Call<'a> {
    /// Empty where the dialect has none; [`Conversation::link`] fills it in.
    pub id: Text<'a>,
    pub name: Text<'a>,
    pub arguments: Arguments<'a>,
    /// Gemini's signature of the thought that led here.
    pub signature: Option<Text<'a>>,
}

/// The arguments of a call: some dialects write a JSON value, some a text with JSON in it.
#[derive(Clone, Debug)]
pub enum Arguments<'a> {
    Value(Cow<'a, str>),
    Text(Text<'a>),
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult<'a> {
    pub id: Text<'a>,
    pub name: Text<'a>,
    /// Texts, images and documents.
    pub parts: Vec<Part<'a>>,
    pub is_error: bool,
}

/// A tool that the model may call.
#[derive(Debug)]
pub struct Tool<'a> {
    pub name: Text<'a>,
    pub description: Option<Text<'a>>,
    /// The JSON schema of its arguments.
    pub parameters: Option<Cow<'a, str>>,
    pub strict: bool,
}

/// Whether and which tools must be called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice<'a> {
    Auto,
    None,
    Required,
    Tool(Text<'a>),
}

/// The numbers that steer sampling, as they were written.
#[derive(Debug, Default)]
pub struct Sampling<'a> {
    pub max_tokens: Option<u64>,
    pub temperature: Option<&'a str>,
    pub top_p: Option<&'a str>,
    pub top_k: Option<&'a str>,
    pub frequency_penalty: Option<&'a str>,
    pub presence_penalty: Option<&'a str>,
    pub seed: Option<&'a str>,
    pub stop: Vec<Text<'a>>,
    /// How many answers are wanted; 1 where it is not said.
    pub n: Option<u64>,
}

/// How much the model shall think.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// On or off, where it was said in so many words.
    pub enabled: Option<bool>,
    pub effort: Option<Effort>,
    pub budget_tokens: Option<u64>,
    /// Whether the client wants to see the thoughts.
    pub visible: bool,
}

/// How hard to think, from not at all upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

/// The shape that the answer's text must have.
#[derive(Debug, Default)]
pub enum Format<'a> {
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON of this schema.
    Schema(Schema<'a>),
}

/// A schema with its name.
#[derive(Debug)]
pub struct Schema<'a> {
    pub name: Option<Text<'a>>,
    pub description: Option<Text<'a>>,
    pub json: Cow<'a, str>,
    pub strict: bool,
}

impl<'a> Conversation<'a> {
    /// Gives every call an id and every result the id and the name of its call, which some
    /// dialects leave out: a result without an id answers the first open call of its name.
    pub fn link(&mut self) {
        let mut calls: Vec<(Text<'a>, Text<'a>, bool)> = Vec::new();
        for (turn_number, turn) in self.turns.iter_mut().enumerate() {
            for (number, part) in turn.parts.iter_mut().enumerate() {
                match part {
                    Part::Call(call) => {
                        if call.id.is_empty() {
                            call.id =
                                made_id(&[&turn_number.to_string(), call.name.escaped()], number);
                        }
                        calls.push((call.id.clone(), call.name.clone(), false));
                    }
                    Part::Result(result) => link_result(result, &mut calls),
                    _ => {}
                }
            }
        }
    }

    /// The turns with neighbours of one side joined, as dialects want that let the sides alternate.
    pub fn alternating(self) -> Vec<Turn<'a>> {
        let mut turns: Vec<Turn<'a>> = Vec::with_capacity(self.turns.len());
        for turn in self.turns {
            match turns.last_mut() {
                Some(last) if last.role == turn.role => last.parts.extend(turn.parts),
                _ => turns.push(turn),
            }
        }
        turns
    }

    /// Adds what one side said, to its last turn if that was the last turn at all.
    pub fn say(&mut self, role: Role, part: Part<'a>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.push(part),
            _ => self.turns.push(Turn { role, parts: vec![part] }),
        }
    }

    /// Whether any turn has a call or a result of one.
    pub fn has_calls(&self) -> bool {
        self.turns
            .iter()
            .flat_map(|turn| &turn.parts)
            .any(|part| matches!(part, Part::Call(_) | Part::Result(_)))
    }

    /// Moves what the system says between the turns to the front, where some dialects want it all.
    pub fn gather_system(&mut self, notes: &mut Notes) {
        for turn in self.turns.extract_if(.., |turn| turn.role == Role::System) {
            notes.drop("messages[].role system", "was moved before the first turn");
            self.system.extend(turn.parts.into_iter().filter_map(Part::into_text));
        }
    }

    /// Keeps only the tools with these names.
    pub fn allow_only(&mut self, names: &[Text<'_>]) {
        let names: HashSet<_> = names.iter().map(Text::plain).collect();
        self.tools.retain(|tool| names.contains(&tool.name.plain()));
    }

    /// Refuses or notes what a dialect has no place for.
    pub fn leave_out(&self, lacks: &Lacks, notes: &mut Notes) -> Result<(), Untranslatable> {
        let sampling = &self.sampling;
        let is_many = sampling.n.is_some_and(|n| n > 1);
        if is_many && lacks.choices {
            return Err(Untranslatable::refused("n", "the target gives one answer only"));
        }
        if is_many && self.stream {
            let why = "several answers in one stream are not translated";
            return Err(Untranslatable::refused("n", why));
        }
        if lacks.stop && !sampling.stop.is_empty() {
            return Err(Untranslatable::refused("stop", "the target has no stop sequences"));
        }
        let numbers = [
            (lacks.top_k, "top_k", sampling.top_k),
            (lacks.penalties, "frequency_penalty", sampling.frequency_penalty),
            (lacks.penalties, "presence_penalty", sampling.presence_penalty),
            (lacks.seed, "seed", sampling.seed),
        ];
        for (lacking, name, value) in numbers {
            if lacking && value.is_some_and(|value| value.parse() != Ok(0.0)) {
                notes.drop(name, "the target has no such parameter");
            }
        }
        if lacks.user && self.user.is_some() {
            notes.drop("user", "the target takes no end user");
        }
        if lacks.parallel && self.parallel_tool_calls == Some(false) {
            notes.drop("parallel_tool_calls", "the target may call several tools at once");
        }
        if lacks.thoughts && self.turns.iter().any(|turn| turn.parts.iter().any(Part::is_thought)) {
            notes.drop("reasoning", "earlier thoughts mean something to their own provider only");
        }
        if lacks.strict && self.tools.iter().any(|tool| tool.strict) {
            notes.drop("tools[].strict", "the target does not hold to schemas strictly");
        }
        Ok(())
    }
}

/// What a dialect has no place for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lacks {
    pub choices: bool,
    pub stop: bool,
    pub top_k: bool,
    pub penalties: bool,
    pub seed: bool,
    pub user: bool,
    pub parallel: bool,
    pub strict: bool,
    pub thoughts: bool,
}

fn link_result<'a>(result: &mut ToolResult<'a>, calls: &mut [(Text<'a>, Text<'a>, bool)]) {
    // Results follow their calls closely; a long history need not be searched for each.
    let recent = calls.len().saturating_sub(MOST_PARALLEL);
    let calls = &mut calls[recent..];
    let call = if result.id.is_empty() {
        let open = calls.iter().position(|(_, name, done)| {
            !done && (result.name.is_empty() || *name.plain() == *result.name.plain())
        });
        open.map(|at| &mut calls[at])
    } else {
        calls.iter_mut().rev().find(|(id, _, _)| *id == result.id)
    };
    let Some((id, name, done)) = call else { return };
    *done = true;
    result.id = id.clone();
    if result.name.is_empty() {
        result.name = name.clone();
    }
}

impl<'a> Part<'a> {
    /// The text, if this is text.
    pub fn into_text(self) -> Option<Text<'a>> {
        match self {
            Part::Text(text) | Part::Refusal(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is a thought.
    pub fn is_thought(&self) -> bool {
        matches!(self, Part::Reasoning(_))
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&Text<'a>> {
        match self {
            Part::Text(text) | Part::Refusal(text) => Some(text),
            _ => None,
        }
    }
}

impl ToolResult<'_> {
    /// The texts of the result as one, for dialects that take nothing else.
    pub fn as_text(&self) -> Text<'_> {
        joined(self.parts.iter().filter_map(|part| part.as_text().map(Text::borrow)))
            .unwrap_or_default()
    }
}

impl Arguments<'_> {
    /// As a JSON object. A model may have written something else, which is then wrapped in one.
    pub fn object(&self, notes: &mut Notes) -> Cow<'_, str> {
        let json = match self {
            Arguments::Value(json) => Cow::Borrowed(json.as_ref()),
            Arguments::Text(text) => text.plain(),
        };
        if json.trim().is_empty() {
            return Cow::Borrowed("{}");
        }
        if parse(json.as_bytes()).is_ok_and(|node| node.is_object()) {
            return json;
        }
        notes.drop("arguments", "are no JSON object; sent as one with the field invalid_json");
        let text = Text::from_plain(json.as_ref());
        Cow::Owned(format!("{{\"invalid_json\":\"{}\"}}", text.escaped()))
    }

    /// As a text with JSON in it.
    pub fn text(&self) -> Text<'_> {
        match self {
            Arguments::Value(json) => match compact(json) {
                Cow::Borrowed(json) => Text::from_plain(json),
                Cow::Owned(json) => Text::from_plain(json),
            },
            Arguments::Text(text) if text.is_blank() => Text::from_plain("{}"),
            Arguments::Text(text) => text.borrow(),
        }
    }
}

impl PartialEq for Arguments<'_> {
    /// Whether both say the same, however they are written.
    fn eq(&self, other: &Self) -> bool {
        self.text().plain() == other.text().plain()
    }
}

impl Effort {
    /// The word that every dialect uses for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// The effort with this name, in small or capital letters.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Effort::None,
            Effort::Minimal,
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::XHigh,
            Effort::Max,
        ]
        .into_iter()
        .find(|effort| effort.as_str().eq_ignore_ascii_case(name))
    }

    /// The effort that a budget of tokens for thinking amounts to.
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=4_095 => Effort::Low,
            4_096..=16_383 => Effort::Medium,
            _ => Effort::High,
        }
    }
}

impl Reasoning {
    /// What was said, as one word; `None` if nothing was said that a word could be made of.
    pub fn as_effort(self) -> Option<Effort> {
        if self.enabled == Some(false) {
            return Some(Effort::None);
        }
        self.effort.or_else(|| self.budget_tokens.map(Effort::of_budget))
    }
}

impl<'a> Media<'a> {
    /// What a URL or a data URL points at.
    pub fn from_url(url: Text<'a>) -> Self {
        let plain = url.clone().into_plain();
        let inline = plain.strip_prefix("data:").and_then(|rest| {
            let (mime, data) = rest.split_once(";base64,")?;
            let mime = mime.split(';').next().unwrap_or_default();
            Some(Source::Inline {
                mime: Text::from_plain(mime.to_owned()),
                data: Text::from_plain(data.to_owned()),
            })
        });
        Media { source: inline.unwrap_or(Source::Url(url)), name: None, detail: None }
    }

    /// A URL, which is a data URL for what is inline.
    pub fn to_url(&self) -> Option<Text<'_>> {
        match &self.source {
            Source::Inline { mime, data } => {
                let mut url = Text::from_plain("data:");
                url.push(mime);
                url.push(&Text::from_plain(";base64,"));
                url.push(data);
                Some(url)
            }
            Source::Url(url) => Some(url.borrow()),
            Source::Plain(_) => None,
        }
    }
}

impl<'a> Thought<'a> {
    /// A thought of which only the text is known.
    pub fn of_text(text: Text<'a>) -> Self {
        Thought { text, ..Thought::default() }
    }

    /// Whether its provider will know it again.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some() || self.redacted.is_some()
    }
}

/// A text made of several, with a blank line between them.
pub fn joined<'a>(texts: impl IntoIterator<Item = Text<'a>>) -> Option<Text<'a>> {
    let mut texts = texts.into_iter();
    let mut all = texts.next()?;
    for text in texts {
        all.push(&Text::from_escaped("\\n\\n"));
        all.push(&text);
    }
    Some(all)
}

/// An id that is the same whenever it is made of the same texts and number.
///
/// It is short and plain enough for every dialect: letters, digits and an underscore.
pub fn made_id(of: &[&str], number: usize) -> Text<'static> {
    let mut hash = fnv(FNV_START, &number.to_le_bytes());
    for text in of {
        hash = fnv(fnv(hash, text.as_bytes()), &[0xff]);
    }
    Text::from_plain(format!("call_{hash:016x}"))
}

/// The id of a call in letters that every provider takes, unchanged if it is so already.
pub fn plain_id<'b>(id: &'b Text<'_>, longest: usize) -> Text<'b> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.escaped().len() <= longest && id.escaped().bytes().all(is_plain) {
        id.borrow()
    } else {
        made_id(&[id.escaped()], 0)
    }
}

/// More calls than any model makes at once.
const MOST_PARALLEL: usize = 1024;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: no protection against anything, but the same on every machine and for ever.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

//! Putting the pieces of an answer into an order that every dialect can write.

use spanwise_model::genai::Usage;

use super::super::answer::Finish;
use super::super::conversation::made_id;
use super::super::error::ErrorKind;
use super::super::json::Text;
use super::super::reply::Stamp;
use super::{CallDelta, Event};

/// What happens next in the client's stream. `Start` comes first; between `Open` and `Close` of
/// one block there is no other; the last is `End` or `Error`.
#[derive(Debug)]
pub enum Step<'a> {
    Start {
        id: &'a Text<'a>,
        model: &'a Text<'a>,
    },
    Open(Block<'a>),
    /// More of the open block: text, or arguments of a call.
    Delta(&'a Text<'a>),
    /// The signature of the open thought.
    Signature(&'a Text<'a>),
    Close,
    End {
        finish: &'a Finish,
        usage: &'a Usage,
    },
    Error {
        kind: ErrorKind,
        message: &'a Text<'a>,
    },
}

/// What a block is.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    Text,
    Refusal,
    Thought,
    Redacted { data: &'a Text<'a> },
    Call { id: &'a Text<'a>, name: &'a Text<'a>, signature: Option<&'a Text<'a>> },
}

/// The state of the answer so far.
#[derive(Debug)]
pub struct Blocks {
    id: Text<'static>,
    model: Text<'static>,
    state: State,
    open: Option<Open>,
    calls: Vec<Call>,
    finish: Option<Finish>,
    usage: Usage,
    /// Half a character at the end of the last text, which waits for its other half.
    half: Option<Text<'static>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Started,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    Thought,
    /// The call at this place.
    Call(usize),
}

/// One call and what of it waits to be sent.
#[derive(Debug, Default)]
struct Call {
    key: u64,
    id: Option<Text<'static>>,
    name: Text<'static>,
    signature: Option<Text<'static>>,
    waiting: Text<'static>,
    balance: Balance,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    Open,
    Closed,
}

type Sink<'s> = dyn FnMut(&Step<'_>) + 's;

impl Blocks {
    /// Nothing yet; the stamp fills in for what the provider will not say.
    pub fn new(stamp: &Stamp<'_>) -> Self {
        Blocks {
            id: Text::from_plain(stamp.id).into_owned(),
            model: Text::from_plain(stamp.model).into_owned(),
            state: State::New,
            open: None,
            calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
            half: None,
        }
    }

    /// Whether the model said why it stopped.
    pub fn has_finish(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether the last step was made.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes an event and makes the steps it leads to.
    pub fn take(&mut self, event: Event<'_>, sink: &mut Sink<'_>) {
        match (self.state, event) {
            (State::Ended, _) | (State::Started, Event::Start { .. }) => {}
            (State::New, Event::Start { id, model }) => {
                if let Some(id) = id {
                    self.id = id.into_owned();
                }
                if let Some(model) = model {
                    self.model = model.into_owned();
                }
                self.start(sink);
            }
            (_, Event::Error { kind, message }) => {
                self.state = State::Ended;
                sink(&Step::Error { kind, message: &message });
            }
            (_, Event::Usage(usage)) => self.usage = usage,
            (_, Event::Finish(finish)) => self.finish = Some(finish),
            (_, event) => {
                self.start(sink);
                self.content(event, sink);
            }
        }
    }

    fn start(&mut self, sink: &mut Sink<'_>) {
        if self.state == State::New {
            self.state = State::Started;
            sink(&Step::Start { id: &self.id, model: &self.model });
        }
    }

    fn content(&mut self, event: Event<'_>, sink: &mut Sink<'_>) {
        match event {
            Event::Text(text) => self.said(Open::Text, &text, sink),
            Event::Refusal(text) => self.said(Open::Refusal, &text, sink),
            Event::Thought(text) => self.said(Open::Thought, &text, sink),
            Event::Signature(signature) => {
                self.open(Open::Thought, sink);
                sink(&Step::Signature(&signature));
            }
            Event::Redacted(data) => {
                self.close(sink);
                sink(&Step::Open(Block::Redacted { data: &data }));
                sink(&Step::Close);
            }
            Event::Call(delta) => self.call(&delta, sink),
            Event::Break => self.close(sink),
            Event::End => {
                self.close(sink);
                self.state = State::Ended;
                let mut finish = self.finish.take().unwrap_or_default();
                if finish == Finish::Stop && !self.calls.is_empty() {
                    finish = Finish::Calls;
                }
                sink(&Step::End { finish: &finish, usage: &self.usage });
            }
            Event::Start { .. } | Event::Finish(_) | Event::Usage(_) | Event::Error { .. } => {}
        }
    }

    fn said(&mut self, what: Open, text: &Text<'_>, sink: &mut Sink<'_>) {
        if text.is_empty() {
            return;
        }
        self.open(what, sink);
        let whole = match self.half.take() {
            Some(mut half) => {
                half.push(text);
                half
            }
            None => text.borrow(),
        };
        let (whole, half) = whole.split_half();
        self.half = half;
        if !whole.is_empty() {
            sink(&Step::Delta(&whole));
        }
    }

    fn open(&mut self, what: Open, sink: &mut Sink<'_>) {
        if self.open == Some(what) {
            return;
        }
        self.close(sink);
        self.open = Some(what);
        sink(&Step::Open(match what {
            Open::Text => Block::Text,
            Open::Refusal => Block::Refusal,
            Open::Thought | Open::Call(_) => Block::Thought,
        }));
    }

    /// Closes what is open, after every call that waits for its turn has had it.
    fn close(&mut self, sink: &mut Sink<'_>) {
        if !matches!(self.open, None | Some(Open::Call(_))) {
            if let Some(half) = self.half.take() {
                sink(&Step::Delta(&half));
            }
            sink(&Step::Close);
            self.open = None;
        }
        while self.open.is_some() || self.calls.iter().any(|call| call.stage == Stage::Waiting) {
            self.close_call(sink);
            if let Some(next) = self.waiting() {
                self.open_call(next, sink);
            }
        }
    }

    fn call(&mut self, delta: &CallDelta<'_>, sink: &mut Sink<'_>) {
        if !matches!(self.open, None | Some(Open::Call(_))) {
            self.close(sink);
        }
        let Some(at) = self.call_of(delta) else { return };
        let call = &mut self.calls[at];
        if let Some(name) = &delta.name
            && call.name != *name
        {
            call.name.push(name);
        }
        if call.id.is_none() {
            call.id = delta.id.clone().map(Text::into_owned);
        }
        if call.signature.is_none() {
            call.signature = delta.signature.clone().map(Text::into_owned);
        }
        let Some(arguments) = delta.arguments.as_ref().filter(|text| !text.is_empty()) else {
            return;
        };
        call.balance.take(&arguments.plain());
        if self.open == Some(Open::Call(at)) {
            sink(&Step::Delta(arguments));
        } else {
            call.waiting.push(arguments);
        }
        self.advance(sink);
    }

    /// The call that a piece belongs to. A piece with the key of an earlier call starts a new one
    /// if it has another id, or a name though the arguments have begun. What comes after a call
    /// was closed belongs to none.
    fn call_of(&mut self, delta: &CallDelta<'_>) -> Option<usize> {
        let known = self.calls.iter().rposition(|call| call.key == delta.key);
        if let Some(at) = known {
            let call = &self.calls[at];
            let is_other_id = matches!((&call.id, &delta.id), (Some(a), Some(b)) if a != b);
            let is_same_id = matches!((&call.id, &delta.id), (Some(a), Some(b)) if a == b);
            let is_renamed = delta.name.is_some() && call.balance.has_begun() && !is_same_id;
            if !is_other_id && !is_renamed {
                return (call.stage != Stage::Closed).then_some(at);
            }
        }
        self.calls.push(Call { key: delta.key, ..Call::default() });
        Some(self.calls.len() - 1)
    }

    /// Lets the next call be said if the one that is being said is whole.
    fn advance(&mut self, sink: &mut Sink<'_>) {
        while let Some(next) = self.waiting() {
            match self.open {
                Some(Open::Call(at)) if !self.calls[at].balance.is_whole() => return,
                // Its name may not be whole yet.
                _ if !self.calls[next].balance.has_begun() => return,
                _ => {}
            }
            self.close_call(sink);
            self.open_call(next, sink);
        }
    }

    fn waiting(&self) -> Option<usize> {
        self.calls.iter().position(|call| call.stage == Stage::Waiting)
    }

    fn open_call(&mut self, at: usize, sink: &mut Sink<'_>) {
        let call = &mut self.calls[at];
        call.stage = Stage::Open;
        self.open = Some(Open::Call(at));
        let made = || made_id(&[self.id.escaped(), call.name.escaped()], at);
        let id = call.id.clone().unwrap_or_else(made);
        let signature = call.signature.as_ref();
        sink(&Step::Open(Block::Call { id: &id, name: &call.name, signature }));
        if !call.waiting.is_empty() {
            sink(&Step::Delta(&call.waiting));
        }
        call.waiting = Text::default();
    }

    fn close_call(&mut self, sink: &mut Sink<'_>) {
        if let Some(Open::Call(at)) = self.open.take() {
            let call = &mut self.calls[at];
            call.stage = Stage::Closed;
            if !call.balance.has_begun() {
                // Clients read the arguments as JSON, which no arguments at all are not.
                sink(&Step::Delta(&Text::from_plain("{}")));
            }
            sink(&Step::Close);
        }
    }
}

/// Whether the JSON that has come so far is a whole value.
#[derive(Clone, Copy, Debug, Default)]
struct Balance {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_begun: bool,
}

impl Balance {
    fn take(&mut self, json: &str) {
        for byte in json.bytes() {
            self.has_begun |= !byte.is_ascii_whitespace();
            if self.in_string {
                self.in_string = self.is_escaped || byte != b'"';
                self.is_escaped = !self.is_escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn has_begun(self) -> bool {
        self.has_begun
    }

    fn is_whole(self) -> bool {
        self.has_begun && self.depth == 0 && !self.in_string
    }
}

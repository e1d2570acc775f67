//! An answer on its way from an upstream to a client. Bytes go on first; a copy is read.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use spanwise_model::genai::Usage;
use tokio::time::Sleep;

use crate::admission::Admitted;
use crate::balance::{InFlight, Outcome};
use crate::cache;
use crate::created::Note;
use crate::dialect::Dialect;
use crate::fold::{self, Fold, Seen};
use crate::frames::{Frame, Frames, Framing, Trouble};
use crate::json::Value;
use crate::limits::Reservation;
use crate::record::{Fault, Record};
use crate::reply::BrokenOff;
use crate::translate::{self, ErrorKind, error_body};
use crate::upstream::{Failure, FailureKind};

pub use source::Source;

mod source;

/// Bytes of a whole answer that are kept for reading.
const MAX_READ: usize = 32 << 20;
/// How long the beginning of a stream is held back while it might still turn out to be an error.
const HELD_AT_MOST: Duration = Duration::from_secs(5);
/// How many bytes of it are held back.
const MAX_HELD: usize = 256 << 10;

/// What a request holds while it is served.
#[derive(Debug, Default)]
pub struct Holds {
    /// Its place at the target.
    pub in_flight: Option<InFlight>,
    /// What it may use.
    pub reservation: Option<Reservation>,
    /// Its place in the gateway.
    pub admitted: Option<Admitted>,
}

/// How an answer is read, and what is done to it.
pub struct Manner {
    /// What the client speaks.
    pub client: Dialect,
    /// How a stream is divided; `None` for an answer in one piece.
    pub framing: Option<Framing>,
    /// Bytes of one frame that are looked at.
    pub max_event_bytes: usize,
    /// Reads the copy.
    pub fold: Fold,
    /// Whether the usage at the end was asked for by us and not by the client.
    pub strips_usage: bool,
    /// Into the client's dialect, where that is another.
    pub translation: Option<translate::Stream>,
    /// The longest silence.
    pub idle: Duration,
    /// After how long a silence the client gets a comment.
    pub keep_alive: Option<Duration>,
    /// When all of it has to be over.
    pub deadline: Instant,
    /// Keeps it for the next who asks.
    pub recording: Option<(cache::Recording, http::HeaderMap)>,
    /// Notes who made the answer, if it is one that can be asked for again by its id.
    pub note: Option<Note>,
}

/// An answer on its way.
pub struct Relay {
    source: Source,
    reading: Reading,
    fold: Option<Fold>,
    client: Dialect,
    is_sse: bool,
    strips_usage: bool,
    translation: Option<translate::Stream>,
    /// What is to go to the client.
    ready: VecDeque<Bytes>,
    record: Box<Record>,
    holds: Holds,
    recording: Option<(cache::Recording, http::HeaderMap)>,
    note: Option<Note>,
    deadline: Instant,
    heartbeat: Option<Heartbeat>,
    /// Whether content has come, or an end without any.
    has_begun: bool,
    /// An error that came before any content.
    early_error: Option<fold::ProviderError>,
    /// Bytes of the answer so far.
    n_received: usize,
    is_over: bool,
    /// Whether the upstream said everything it had to say.
    is_complete: bool,
    /// Why the client's answer has to break off behind what is ready.
    broken: Option<BrokenOff>,
    /// Whether the client was given something that may not have left yet.
    has_given: bool,
}

/// Reminds of a client that has heard nothing for a while.
struct Heartbeat {
    every: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    fn new(every: Duration) -> Self {
        Heartbeat { every, timer: Box::pin(tokio::time::sleep(every)) }
    }

    fn restart(&mut self) {
        self.timer.as_mut().reset(tokio::time::Instant::now() + self.every);
    }
}

enum Reading {
    Whole { pieces: Vec<Bytes>, n_bytes: usize },
    Frames(Box<Frames>),
}

/// Why an answer that had come with a good status is of no use.
#[derive(Debug)]
pub enum FalseStart {
    /// The stream began with an error.
    Error(fold::ProviderError),
    /// The connection failed.
    Failed(Failure),
}

impl Relay {
    /// Takes over an answer whose head has come.
    pub fn new(upstream: Incoming, manner: Manner, record: Box<Record>, holds: Holds) -> Self {
        let reading = match manner.framing {
            Some(framing) => {
                Reading::Frames(Box::new(Frames::new(framing, manner.max_event_bytes)))
            }
            None => Reading::Whole { pieces: Vec::new(), n_bytes: 0 },
        };
        Relay {
            source: Source::new(upstream, manner.idle, manner.deadline),
            reading,
            fold: Some(manner.fold),
            client: manner.client,
            is_sse: manner.framing == Some(Framing::Sse) || manner.translation.is_some(),
            strips_usage: manner.strips_usage,
            translation: manner.translation,
            ready: VecDeque::new(),
            record,
            holds,
            recording: manner.recording,
            note: manner.note,
            deadline: manner.deadline,
            heartbeat: manner.keep_alive.map(Heartbeat::new),
            has_begun: false,
            early_error: None,
            n_received: 0,
            is_over: false,
            is_complete: false,
            broken: None,
            has_given: false,
        }
    }

    /// Waits until a stream has begun for good. What has come until then is held back, so that
    /// another upstream can still be asked without the client noticing.
    pub async fn begin(&mut self, first_event: Duration) -> Result<(), FalseStart> {
        if matches!(self.reading, Reading::Whole { .. }) {
            return Ok(());
        }
        let started = Instant::now();
        // Whoever is to hear a sign of life has to get the head first.
        let keep_alive = self.heartbeat.as_ref().map(|beat| beat.every);
        let keep_alive = keep_alive.filter(|every| *every < first_event);
        loop {
            let hold = (!self.ready.is_empty()).then_some(HELD_AT_MOST);
            let hold = hold.into_iter().chain(keep_alive).min();
            let patience = hold.unwrap_or(first_event).min(first_event);
            let latest = (started + patience).min(self.deadline);
            let next = std::future::poll_fn(|context| self.poll_upstream(context));
            let came = tokio::time::timeout_at(latest.into(), next).await;
            if let Some(error) = self.early_error.take() {
                return Err(FalseStart::Error(error));
            }
            match came {
                Err(_) if hold.is_some() => return Ok(()),
                Err(_) => {
                    let late = Failure::late(FailureKind::FirstEventTimeout, patience);
                    return Err(FalseStart::Failed(late));
                }
                Ok(Err(failure)) => return Err(FalseStart::Failed(failure)),
                Ok(Ok(())) if self.has_begun || self.is_over || self.n_received > MAX_HELD => {
                    return Ok(());
                }
                Ok(Ok(())) => {}
            }
        }
    }

    /// What was found out so far, to be used for another attempt.
    pub fn give_back(self) -> (Box<Record>, Holds) {
        (self.record, self.holds)
    }

    /// Adds to what is known of the exchange.
    pub fn with_record(&mut self, add: impl FnOnce(&mut Record)) {
        add(&mut self.record);
    }

    /// From now on the client gets it, and what goes wrong is the answer's fault: nobody else can
    /// be asked any more.
    pub fn pass(mut self) -> Passing {
        self.has_begun = true;
        Passing(Box::new(self))
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.has_given = true;
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(broken) = self.broken.take() {
                if std::mem::take(&mut self.has_given) {
                    // An error ends the connection at once: what was given has to leave before.
                    self.broken = Some(broken);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(broken)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.poll_upstream(context) {
                Poll::Pending => return self.poll_heartbeat(context).map(|beat| Some(Ok(beat))),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => self.break_off(&failure),
            }
        }
    }

    /// A sign of life for the client of a provider that thinks for long.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        let Some(beat) = &mut self.heartbeat else { return Poll::Pending };
        while beat.timer.as_mut().poll(context).is_ready() {
            beat.restart();
            if matches!(&self.reading, Reading::Frames(frames) if frames.is_between()) {
                return Poll::Ready(Bytes::from_static(b": keep-alive\n\n"));
            }
        }
        Poll::Pending
    }

    /// Reads one piece of what the upstream sends, or learns that it was all.
    fn poll_upstream(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(self.source.poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.take(data);
                }
                if self.source.is_over() {
                    self.end();
                }
            }
            Some(Err(failure)) => return Poll::Ready(Err(failure)),
            None => self.end(),
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let now = Instant::now();
        self.n_received += data.len();
        self.record.firsts.byte.get_or_insert(now);
        if let Some(beat) = &mut self.heartbeat {
            beat.restart();
        }
        if let Some((recording, _)) = &mut self.recording {
            recording.push(&data, now);
        }
        match &mut self.reading {
            Reading::Whole { pieces, n_bytes } => {
                *n_bytes += data.len();
                if *n_bytes <= MAX_READ {
                    pieces.push(data.clone());
                }
                self.ready.push_back(data);
            }
            Reading::Frames(frames) => {
                // Where nothing is taken out, a piece goes on as it came, frame or not.
                let passes = !self.strips_usage && self.translation.is_none();
                if passes {
                    self.ready.push_back(data.clone());
                }
                frames.push(data);
                self.read_frames(now, passes);
            }
        }
    }

    fn read_frames(&mut self, now: Instant, passes: bool) {
        while let Reading::Frames(frames) = &mut self.reading
            && let Some(frame) = frames.next()
        {
            self.see(&frame, now, passes);
        }
        let Reading::Frames(frames) = &self.reading else { return };
        if frames.trouble().is_some_and(Trouble::is_damage) && !self.is_over {
            self.is_over = true;
            self.tell_client(ErrorKind::Upstream, "the provider's stream is damaged");
        }
    }

    fn see(&mut self, frame: &Frame, now: Instant, passes: bool) {
        let Some(fold) = &mut self.fold else { return };
        let seen = fold.frame(frame);
        let is_event = !frame.data().is_empty();
        if is_event && self.record.firsts.event.is_none() {
            self.record.firsts.event = Some(now);
        }
        if self.note.is_some()
            && let Some(id) = fold.response_id()
            && let Some(note) = self.note.take()
        {
            note.take(id);
        }
        let is_usage = matches!(seen, Seen::Usage);
        match seen {
            Seen::Content if self.record.firsts.content.is_none() => {
                self.record.firsts.content = Some(now);
                self.has_begun = true;
                if let Some(in_flight) = &mut self.holds.in_flight {
                    in_flight.first_token(now);
                    // A probe of a target that had failed must not keep others waiting.
                    in_flight.report(Outcome::Succeeded, now);
                }
            }
            Seen::Error(error) if !self.has_begun => self.early_error = Some(error),
            Seen::Error(error) => self.record.blame(&Fault::of(&error)),
            Seen::End => self.has_begun = true,
            _ => {}
        }
        if passes || (self.strips_usage && is_usage) {
            return;
        }
        let bytes = match &mut self.translation {
            Some(translation) if is_event => translation.frame(frame.event(), frame.data()),
            Some(_) => Bytes::new(),
            None => frame.raw.clone(),
        };
        if !bytes.is_empty() {
            self.ready.push_back(bytes);
        }
    }

    /// The upstream has sent everything.
    fn end(&mut self) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let now = Instant::now();
        self.note_whole();
        let passes = !self.strips_usage && self.translation.is_none();
        if let Reading::Frames(frames) = &mut self.reading
            && let Some(frame) = frames.finish()
        {
            self.see(&frame, now, passes);
            if self.fold.as_ref().is_some_and(|fold| !fold.has_ended()) {
                self.close_event();
            }
        }
        let ended = self.fold.as_ref().is_none_or(Fold::has_ended);
        self.is_complete = matches!(self.reading, Reading::Whole { .. }) || ended;
        if self.is_complete {
            if let Some(translation) = &mut self.translation {
                self.ready.push_back(translation.finish(translate::Ending::Closed));
            }
        } else {
            let message = "the provider's stream ended early";
            self.record.blame(&Fault::new("stream_truncated", message));
            self.tell_client(ErrorKind::Upstream, message);
        }
        if let Some(attempt) = self.record.attempt() {
            attempt.ended = Some(now);
        }
        self.ready.retain(|bytes| !bytes.is_empty());
    }

    /// Notes who made an answer in one piece, before the client has the last of it and can ask.
    fn note_whole(&mut self) {
        let Reading::Whole { pieces, n_bytes } = &self.reading else { return };
        if self.note.is_none() || *n_bytes > MAX_READ {
            return;
        }
        let whole = joined(pieces);
        let object = simdutf8::basic::from_utf8(&whole).ok().and_then(Value::object);
        let id = object.and_then(|object| object.get("id")).and_then(|id| id.as_text());
        if let (Some(id), Some(note)) = (id, self.note.take()) {
            note.take(&id);
        }
    }

    /// The upstream failed on the way.
    fn break_off(&mut self, failure: &Failure) {
        self.is_over = true;
        self.record.blame(&Fault::new(failure.kind.as_str(), failure.message.clone()));
        if let Some(in_flight) = &mut self.holds.in_flight {
            in_flight.report(Outcome::Failed, Instant::now());
        }
        if matches!(&self.reading, Reading::Frames(frames) if !frames.is_between()) {
            self.close_event();
        }
        let kind = if failure.kind.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Upstream };
        self.tell_client(kind, "the provider's answer broke off");
    }

    /// Tells the client that there is no more. A stream ends with an error that its client
    /// understands; anything else has to break off, so that nobody takes it for complete.
    fn tell_client(&mut self, kind: ErrorKind, message: &str) {
        match &mut self.translation {
            Some(translation) => {
                let event = translation.finish(translate::Ending::Failed(kind, message));
                self.ready.push_back(event);
            }
            None if self.is_sse => self.ready.push_back(error_event(self.client, kind, message)),
            None => self.broken = Some(BrokenOff(message.to_owned())),
        }
    }

    /// Ends the event in the middle of which a stream ended, so that the next is one of its own.
    fn close_event(&mut self) {
        if self.is_sse && self.translation.is_none() {
            self.ready.push_back(Bytes::from_static(b"\n\n"));
        }
    }

    /// Says what the answer was, once the client has all of it or has gone away.
    fn conclude(&mut self) {
        let has_gone = !self.is_over || !self.ready.is_empty();
        let Some(mut fold) = self.fold.take() else { return };
        if let Reading::Whole { pieces, n_bytes } = &self.reading
            && *n_bytes <= MAX_READ
        {
            fold.body(self.record.status, &joined(pieces));
            self.record.firsts.event = self.record.firsts.byte;
        }
        let ending = match (has_gone, self.is_complete) {
            (true, _) => fold::Ending::ClientGone,
            (false, true) => fold::Ending::Closed,
            (false, false) => fold::Ending::Broken,
        };
        let mut answer = fold.finish(ending);
        if self.record.call.as_ref().is_some_and(|call| call.is_about_another) {
            answer.usage = Usage::default();
        }
        if has_gone {
            let message = "the client went away before the answer was complete";
            self.record.blame(&Fault::new("client_disconnect", message));
        } else if self.record.fault.is_none() {
            self.report_success();
        }
        self.record.answer = Some(answer);
        self.record.settle(self.holds.reservation.take());
        self.record.finish();
    }

    fn report_success(&mut self) {
        let now = Instant::now();
        if let Some(in_flight) = &mut self.holds.in_flight {
            in_flight.report(Outcome::Succeeded, now);
        }
        if let Some((recording, headers)) = self.recording.take() {
            recording.keep(http::StatusCode::OK, headers, now);
        }
    }
}

/// An answer that the client is getting. However that ends, it is concluded.
#[derive(Debug)]
pub struct Passing(Box<Relay>);

impl Passing {
    /// Gives the client what there is.
    pub fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.0.poll_data(context)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.conclude();
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [one] => one.clone(),
        many => many.concat().into(),
    }
}

/// How a stream in this dialect says that it failed.
fn error_event(client: Dialect, kind: ErrorKind, message: &str) -> Bytes {
    let status = kind.status(client);
    let body = error_body(client, status, kind, message).body;
    let body = String::from_utf8_lossy(&body);
    match client {
        Dialect::Messages => format!("event: error\ndata: {body}\n\n"),
        Dialect::Responses => {
            let message = serde_json::Value::from(message);
            format!(
                "event: error\ndata: {{\"type\":\"error\",\"code\":\"server_error\",\
                 \"message\":{message},\"param\":null}}\n\n"
            )
        }
        _ => format!("data: {body}\n\n"),
    }
    .into()
}

//! The loads under which subjects are compared.

use std::time::Duration;

use spanwise_bench_gateway::sink::Mode;

use crate::load::Pace;
use crate::subject::Kind;
use Kind::{Direct, Floor, Keys, LiteLlm, OnePercent, Portkey, Traced, Unreceived, Untraced};

/// One load, and who is put under it.
pub struct Cell {
    /// What tables call it.
    pub name: &'static str,
    /// The model that is asked for, with the mock's script behind a `~`.
    pub model: &'static str,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// How many events an answer has, if it is a stream.
    pub n_events: Option<usize>,
    /// When requests are sent.
    pub pace: Pace,
    /// Who is put under it.
    pub subjects: &'static [Kind],
    /// How spans are received meanwhile.
    pub sink: Mode,
}

/// 64 pieces of content between the role and the end, which is one event with the reason and one
/// without anything.
const N_EVENTS: Option<usize> = Some(67);

const WHOLE: Cell = Cell {
    name: "",
    model: "gpt-4o",
    body_bytes: 400,
    n_events: None,
    pace: Pace::Closed(8),
    subjects: &[],
    sink: Mode::Live,
};

/// One request at a time.
pub const ALONE: Cell = Cell {
    name: "c=1",
    pace: Pace::Closed(1),
    subjects: &[Direct, Floor, Traced, Untraced, Portkey, LiteLlm],
    ..WHOLE
};

/// Eight at a time.
pub const EIGHT: Cell = Cell {
    name: "c=8",
    subjects: &[Direct, Floor, Traced, OnePercent, Untraced, Keys, Portkey, LiteLlm],
    ..WHOLE
};

/// As many as one core can take.
pub const MANY: Cell = Cell {
    name: "c=32",
    pace: Pace::Closed(32),
    subjects: &[Direct, Floor, Traced, Portkey, LiteLlm],
    ..WHOLE
};

/// Long conversations.
pub const LONG_BODY: Cell = Cell {
    name: "body of 100 KB, c=8",
    body_bytes: 100_000,
    subjects: &[Floor, Traced, Untraced],
    ..WHOLE
};

/// Middling conversations with long answers.
pub const LONG_ANSWER: Cell = Cell {
    name: "body and answer of 10 KB, c=8",
    model: "gpt-4o~size=9600",
    body_bytes: 10_000,
    subjects: &[Floor, Traced, Untraced],
    ..WHOLE
};

/// Chat in, Anthropic's messages out.
pub const TRANSLATED: Cell =
    Cell { name: "chat to messages, c=8", model: "anthropic/bench", subjects: &[Traced], ..WHOLE };

/// One stream at a time; faster than a model, for the sake of many first events.
pub const STREAM: Cell = Cell {
    name: "one stream, 64 events 2 ms apart",
    model: "gpt-4o~deltas=64,pace=2,clock",
    n_events: N_EVENTS,
    pace: Pace::Closed(1),
    subjects: &[Direct, Floor, Traced],
    ..WHOLE
};

/// Many streams at a model's pace.
pub const STREAMS: Cell = Cell {
    name: "64 streams, 64 events 20 ms apart",
    model: "gpt-4o~deltas=64,pace=20,clock",
    n_events: N_EVENTS,
    pace: Pace::Closed(64),
    subjects: &[Direct, Floor, Traced],
    ..WHOLE
};

/// Streams as fast as they go.
pub const FLOOD: Cell = Cell {
    name: "8 streams, 64 events at once",
    model: "gpt-4o~deltas=64",
    n_events: N_EVENTS,
    subjects: &[Direct, Floor, Traced, Untraced],
    ..WHOLE
};

/// Requests that come whether or not there was time for those before.
pub const CALM: Cell =
    Cell { name: "500/s", pace: Pace::Open(500), subjects: &[Direct, Floor, Traced], ..WHOLE };

/// The same, four times as many.
pub const BUSY: Cell = Cell { name: "2,000/s", pace: Pace::Open(2000), ..CALM };

/// The same subject as below while all is well.
pub const LIVE_SINK: Cell = Cell { name: "c=8, sink live", sink: Mode::Live, ..DEAD_SINK };

/// Nobody takes the spans.
pub const DEAD_SINK: Cell =
    Cell { name: "c=8, sink dead", subjects: &[Unreceived], sink: Mode::Dead, ..WHOLE };

/// Whoever takes the spans takes half a minute.
pub const SLOW_SINK: Cell =
    Cell { name: "c=8, sink slow", sink: Mode::Slow(Duration::from_secs(30)), ..DEAD_SINK };

/// Whoever should take the spans refuses.
pub const REFUSING_SINK: Cell =
    Cell { name: "c=8, sink refusing", sink: Mode::Refusing, ..DEAD_SINK };

/// All of them in the order in which a round takes them.
pub const ALL: [&Cell; 15] = [
    &ALONE,
    &EIGHT,
    &MANY,
    &LONG_BODY,
    &LONG_ANSWER,
    &TRANSLATED,
    &STREAM,
    &STREAMS,
    &FLOOD,
    &CALM,
    &BUSY,
    &LIVE_SINK,
    &DEAD_SINK,
    &SLOW_SINK,
    &REFUSING_SINK,
];

/// Streams that stay open, to see what each holds.
pub const HELD: Cell = Cell {
    name: "1,000 open streams",
    model: "gpt-4o~deltas=64,pace=1000",
    n_events: N_EVENTS,
    pace: Pace::Held(1000),
    subjects: &[Traced],
    ..WHOLE
};

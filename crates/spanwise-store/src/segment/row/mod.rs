//! A span as the bytes of a row of `rows.bin`, and back, exactly.
//!
//! A row is its outline (all but attributes, events and links) after its length, then the rest.
//! Names are numbers of `names.bin`, long texts are numbers of pieces in `texts.bin`, resource
//! and scope are numbers of `resources.bin` and `scopes.bin`.

mod decode;
mod encode;
mod walk;

use spanwise_model::span::StatusCode;
use spanwise_model::{Attributes, Span};

pub(super) use decode::Decoder;
pub(super) use encode::{Encoded, Encoder};
pub(super) use walk::{Found, RowView, Scalar};

/// What an outline keeps of a span's attributes: that it failed, where its status does not say so.
pub(super) fn outline_attributes(failed: bool) -> Attributes {
    failed.then_some(("error", true)).into_iter().collect()
}

/// Whether it is the attribute `error` that says that a span failed.
pub(super) fn fails_by_attribute(span: &Span) -> bool {
    span.status.code != StatusCode::Error && span.is_error()
}

/// Set in the byte with the kind and the status of a span that [`fails_by_attribute`].
const FAILED: u8 = 0x80;

/// Values nest at most this deep; deeper bytes are corrupt.
const MAX_DEPTH: usize = 1000;

/// The tag before a value.
mod tag {
    pub const NULL: u8 = 0;
    /// A text, in place.
    pub const SHORT: u8 = 1;
    /// A text in pieces: how many, the first number, then differences.
    pub const TEXT: u8 = 2;
    pub const FALSE: u8 = 3;
    pub const TRUE: u8 = 4;
    pub const INT: u8 = 5;
    pub const DOUBLE: u8 = 6;
    /// Bytes, in place.
    pub const BYTES: u8 = 7;
    /// Bytes as one entry of `texts.bin`.
    pub const BINARY: u8 = 8;
    pub const ARRAY: u8 = 9;
    pub const MAP: u8 = 10;
}

/// Bits of the byte that says which rare parts an outline has.
mod part {
    pub const LOG_EVENT: u8 = 1;
    pub const PARENT: u8 = 2;
    pub const TRACE_STATE: u8 = 4;
    pub const FLAGS: u8 = 8;
    pub const DROPPED: u8 = 16;
    pub const WARNINGS: u8 = 32;
    pub const FACTS: u8 = 64;
}

/// Bits that say which facts are known. The strings come first, in the order of
/// [`fact_strings!`].
mod fact {
    pub const N_STRINGS: u32 = 16;
    pub const OPERATION: u32 = 16;
    /// The first of six counts.
    pub const USAGE: u32 = 17;
    pub const COST: u32 = 23;
    pub const COST_COMPUTED: u32 = 24;
    pub const FIRST_TOKEN: u32 = 25;
    pub const INPUT_IS_MESSAGE: u32 = 26;
    pub const OUTPUT_IS_MESSAGE: u32 = 27;
}

/// The strings among the facts, in the order of their bits.
macro_rules! fact_strings {
    ($facts:expr) => {
        [
            &$facts.provider,
            &$facts.request_model,
            &$facts.response_model,
            &$facts.finish_reasons,
            &$facts.agent_name,
            &$facts.tool_name,
            &$facts.workflow_name,
            &$facts.environment,
            &$facts.error_type,
            &$facts.agent_id,
            &$facts.response_id,
            &$facts.session_id,
            &$facts.conversation_id,
            &$facts.user_id,
            &$facts.input_preview,
            &$facts.output_preview,
        ]
    };
    (mut $facts:expr) => {
        [
            &mut $facts.provider,
            &mut $facts.request_model,
            &mut $facts.response_model,
            &mut $facts.finish_reasons,
            &mut $facts.agent_name,
            &mut $facts.tool_name,
            &mut $facts.workflow_name,
            &mut $facts.environment,
            &mut $facts.error_type,
            &mut $facts.agent_id,
            &mut $facts.response_id,
            &mut $facts.session_id,
            &mut $facts.conversation_id,
            &mut $facts.user_id,
            &mut $facts.input_preview,
            &mut $facts.output_preview,
        ]
    };
}
pub(super) use fact_strings;

/// How many of the fact strings have few distinct values and are written as names.
const N_NAMED_FACTS: usize = 10;

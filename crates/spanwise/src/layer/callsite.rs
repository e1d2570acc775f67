//! What every span of a callsite has: written once by each thread, not once for each span.

use std::cell::RefCell;

use spanwise_model::wire::otlp::{Owner, ValueRef};
use tracing::Metadata;

use crate::fields::Fields;
use crate::recording::Recording;
use crate::settings::Limits;

/// Callsites that a thread remembers. Of two that want the same place the last one has it.
const PLACES: usize = 128;

thread_local! {
    static KNOWN: RefCell<Vec<Option<Callsite>>> = const { RefCell::new(Vec::new()) };
}

struct Callsite {
    metadata: &'static Metadata<'static>,
    has_location: bool,
    limits: Limits,
    fields: Fields,
}

/// Says where a span that was just started is.
pub(super) fn describe(
    recording: &mut Recording,
    metadata: &'static Metadata<'static>,
    has_location: bool,
) {
    let written = KNOWN.try_with(|known| {
        let mut known = known.borrow_mut();
        if known.is_empty() {
            known.resize_with(PLACES, || None);
        }
        let limits = recording.limits();
        let place = &mut known[place_of(metadata)];
        let is_it = |callsite: &Callsite| {
            std::ptr::eq(callsite.metadata, metadata)
                && callsite.has_location == has_location
                && callsite.limits == *limits
        };
        if !place.as_ref().is_some_and(is_it) {
            *place = Some(Callsite::new(metadata, has_location, *limits));
        }
        if let Some(callsite) = place {
            recording.start_with(&callsite.fields);
        }
    });
    if written.is_err() {
        // The thread is ending and remembers nothing any more.
        let callsite = Callsite::new(metadata, has_location, *recording.limits());
        recording.start_with(&callsite.fields);
    }
}

/// Metadata are statics of more than a hundred bytes: their addresses differ from the sixth bit on.
fn place_of(metadata: &'static Metadata<'static>) -> usize {
    let address = std::ptr::from_ref(metadata).addr();
    (address >> 6 ^ address >> 13) % PLACES
}

impl Callsite {
    fn new(metadata: &'static Metadata<'static>, has_location: bool, limits: Limits) -> Self {
        let mut fields = Fields::new(Owner::Span);
        let mut set = |key, value| fields.set(&limits, key, value);
        set("level", ValueRef::String(metadata.level().as_str()));
        set("target", ValueRef::String(metadata.target()));
        if let (true, Some(file)) = (has_location, metadata.file()) {
            set("code.file.path", ValueRef::String(file));
        }
        if let (true, Some(line)) = (has_location, metadata.line()) {
            set("code.line.number", ValueRef::Int(line.into()));
        }
        Callsite { metadata, has_location, limits, fields }
    }
}

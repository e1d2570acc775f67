//! Attributes as they will leave: written to bytes when they are set, each key once.

use spanwise_model::Attributes;
use spanwise_model::wire::otlp::{Owner, ValueRef, key_of, put_attribute};

use crate::settings::Limits;

/// Attributes of one span, event or link.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    owner: Owner,
    bytes: Vec<u8>,
    /// Where each attribute starts, in order.
    slots: Vec<Slot>,
    /// A bit for each key that may be there: most keys that are set are new, and need no look.
    seen: u64,
    dropped: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Tells most keys apart without reading them.
    fingerprint: u32,
    start: u32,
}

impl Fields {
    pub fn new(owner: Owner) -> Self {
        Fields { owner, bytes: Vec::new(), slots: Vec::new(), seen: 0, dropped: 0 }
    }

    /// The attributes, written one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many were refused for a limit.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.slots.clear();
        self.seen = 0;
        self.dropped = 0;
    }

    /// Has what another set has, and nothing else.
    pub fn become_like(&mut self, other: &Fields) {
        self.clear();
        self.bytes.extend_from_slice(&other.bytes);
        self.slots.extend_from_slice(&other.slots);
        (self.seen, self.dropped) = (other.seen, other.dropped);
    }

    /// Gives back what a huge value took.
    pub fn shrink(&mut self, capacity: usize) {
        self.bytes.shrink_to(capacity);
        self.slots.shrink_to(capacity / 64);
    }

    /// Sets an attribute; a key that is set again gets the new value.
    ///
    /// Small enough to stand where it is called: there key and type are mostly known, so that the
    /// fingerprint is a constant and what writes the value is called straight away.
    #[expect(
        clippy::inline_always,
        reason = "left alone the compiler does not see that it shrinks"
    )]
    #[inline(always)]
    pub fn set(&mut self, limits: &Limits, key: &str, value: ValueRef<'_>) {
        if !self.admit(limits, key, fingerprint(key)) {
            return;
        }
        match value {
            ValueRef::String(text) if text.len() > limits.text_bytes => {
                let cut = &text[..text.floor_char_boundary(limits.text_bytes)];
                put_attribute(&mut self.bytes, self.owner, key, ValueRef::String(cut));
            }
            value => put_attribute(&mut self.bytes, self.owner, key, value),
        }
    }

    /// Makes a place for a key whose attribute is about to be written, if it may have one.
    #[inline(never)]
    fn admit(&mut self, limits: &Limits, key: &str, fingerprint: u32) -> bool {
        if self.may_have(fingerprint) {
            self.forget(key, fingerprint);
        }
        if self.slots.len() >= limits.attributes && !self.make_way(limits) {
            return false;
        }
        // An attribute starts within 4 GiB; what comes after is refused like one too many.
        let Ok(start) = u32::try_from(self.bytes.len()) else {
            self.dropped += 1;
            return false;
        };
        self.add(Slot { fingerprint, start });
        true
    }

    #[inline]
    fn add(&mut self, slot: Slot) {
        self.seen |= bit(slot.fingerprint);
        self.slots.push(slot);
    }

    #[inline]
    fn may_have(&self, fingerprint: u32) -> bool {
        self.seen & bit(fingerprint) != 0
    }

    fn forget(&mut self, key: &str, fingerprint: u32) {
        if let Some(at) = self.find(key.as_bytes(), fingerprint) {
            self.remove(at);
        }
    }

    fn find(&self, key: &[u8], fingerprint: u32) -> Option<usize> {
        let mut same = self.slots.iter().enumerate().filter(|(_, s)| s.fingerprint == fingerprint);
        same.find_map(|(at, _)| (self.key(at) == Some(key)).then_some(at))
    }

    /// Counts one too many; says whether the oldest made way for it.
    #[cold]
    fn make_way(&mut self, limits: &Limits) -> bool {
        self.dropped += 1;
        let makes_way = limits.drops_oldest && !self.slots.is_empty();
        if makes_way {
            self.remove(0);
        }
        makes_way
    }

    pub fn set_all(&mut self, limits: &Limits, attributes: &Attributes) {
        for one in attributes {
            self.set(limits, &one.key, ValueRef::from(&one.value));
        }
    }

    /// Adds those of another set whose keys are not in this one.
    pub fn inherit(&mut self, limits: &Limits, from: &Fields) {
        for (at, slot) in from.slots.iter().enumerate() {
            let fingerprint = slot.fingerprint;
            let is_same = |key| self.find(key, fingerprint).is_some();
            let is_set = self.may_have(fingerprint) && from.key(at).is_some_and(is_same);
            if is_set || self.slots.len() >= limits.attributes {
                continue;
            }
            let Ok(start) = u32::try_from(self.bytes.len()) else { continue };
            self.add(Slot { fingerprint, start });
            self.bytes.extend_from_slice(from.written(at));
        }
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        key_of(self.written(at))
    }

    fn written(&self, at: usize) -> &[u8] {
        let end = self.slots.get(at + 1).map_or(self.bytes.len(), |next| next.start as usize);
        &self.bytes[self.slots[at].start as usize..end]
    }

    fn remove(&mut self, at: usize) {
        let length = self.written(at).len();
        let start = self.slots.remove(at).start as usize;
        self.bytes.drain(start..start + length);
        for later in &mut self.slots[at..] {
            later.start -= length as u32;
        }
    }
}

/// Some of a key's bytes and its length, mixed.
#[inline]
fn fingerprint(key: &str) -> u32 {
    let bytes = key.as_bytes();
    let some = if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from_le_bytes(*head) ^ u64::from_le_bytes(*tail).rotate_left(29)
    } else {
        let at = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let (middle, last) = (bytes.len() / 2, bytes.len().saturating_sub(1));
        u64::from(u32::from_le_bytes([at(0), at(1), at(middle), at(last)]))
    };
    ((some ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// The bit of [`Fields::seen`].
#[inline]
fn bit(fingerprint: u32) -> u64 {
    1 << (fingerprint >> 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fields: &Fields) -> Vec<String> {
        let key = |at| String::from_utf8(fields.key(at).unwrap().to_vec()).unwrap();
        (0..fields.slots.len()).map(key).collect()
    }

    #[test]
    fn a_key_that_is_set_again_is_there_once_with_its_last_value() {
        let (mut twice, mut once) = (Fields::new(Owner::Span), Fields::new(Owner::Span));
        let limits = Limits::default();
        for (key, value) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
            twice.set(&limits, key, ValueRef::Int(value));
        }
        for (key, value) in [("b", 2), ("c", 3), ("a", 4)] {
            once.set(&limits, key, ValueRef::Int(value));
        }
        assert_eq!(twice.bytes(), once.bytes());
        assert_eq!(keys(&twice), ["b", "c", "a"]);
    }

    #[test]
    fn of_many_keys_each_is_there_once() {
        let limits = Limits::default();
        let mut fields = Fields::new(Owner::Span);
        for round in 0..2 {
            for key in 0..100 {
                fields.set(&limits, &format!("key.{key}"), ValueRef::Int(round));
            }
        }
        let mut copy = Fields::new(Owner::Span);
        copy.set(&limits, "gone", ValueRef::Int(0));
        copy.become_like(&fields);
        copy.set(&limits, "key.7", ValueRef::Int(1));
        let mut written = keys(&copy);
        written.sort_unstable();
        written.dedup();
        assert_eq!((written.len(), copy.slots.len()), (100, 100));
    }

    #[test]
    fn beyond_the_limit_attributes_are_counted_and_texts_are_cut() {
        let mut fields = Fields::new(Owner::Span);
        let limits = Limits { attributes: 2, text_bytes: 4, ..Limits::default() };
        for key in ["a", "b", "c"] {
            fields.set(&limits, key, ValueRef::String("äää"));
        }
        fields.set(&limits, "a", ValueRef::Bool(true));
        assert_eq!((keys(&fields), fields.dropped()), (vec!["b".to_owned(), "a".to_owned()], 1));
        assert!(fields.bytes().ends_with(&[2 << 3, 1]));
        assert!(fields.bytes().windows(4).any(|window| window == "ää".as_bytes()));
    }

    #[test]
    fn where_the_oldest_makes_way_the_newest_stay() {
        let mut fields = Fields::new(Owner::Span);
        let limits = Limits { attributes: 2, drops_oldest: true, ..Limits::default() };
        for key in ["a", "b", "a", "c"] {
            fields.set(&limits, key, ValueRef::Int(1));
        }
        assert_eq!((keys(&fields), fields.dropped()), (vec!["a".to_owned(), "c".to_owned()], 1));
        let none = Limits { attributes: 0, ..limits };
        let mut fields = Fields::new(Owner::Span);
        fields.set(&none, "a", ValueRef::Int(1));
        assert_eq!((keys(&fields), fields.dropped()), (Vec::new(), 1));
    }

    #[test]
    fn what_is_inherited_does_not_replace_what_is_set() {
        let (mut own, mut above) = (Fields::new(Owner::Span), Fields::new(Owner::Span));
        let limits = Limits::default();
        own.set(&limits, "user.id", ValueRef::String("me"));
        above.set(&limits, "user.id", ValueRef::String("you"));
        above.set(&limits, "organization.id", ValueRef::String("acme"));
        own.inherit(&limits, &above);
        assert_eq!(keys(&own), ["user.id", "organization.id"]);
        assert!(!own.bytes().windows(3).any(|window| window == b"you"));
    }
}

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
        Fields { owner, bytes: Vec::new(), slots: Vec::new(), dropped: 0 }
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
        self.dropped = 0;
    }

    /// Gives back what a huge value took.
    pub fn shrink(&mut self, capacity: usize) {
        self.bytes.shrink_to(capacity);
        self.slots.shrink_to(capacity / 64);
    }

    /// Sets an attribute; a key that is set again gets the new value.
    #[inline]
    pub fn set(&mut self, limits: &Limits, key: &str, value: ValueRef<'_>) {
        let fingerprint = fingerprint(key);
        let mut same = self.slots.iter().enumerate().filter(|(_, s)| s.fingerprint == fingerprint);
        if let Some(at) = same.find_map(|(at, _)| self.has_key(at, key).then_some(at)) {
            self.remove(at);
        }
        if self.slots.len() >= limits.attributes {
            self.dropped += 1;
            if !limits.drops_oldest || self.slots.is_empty() {
                return;
            }
            self.remove(0);
        }
        // An attribute starts within 4 GiB; what comes after is refused like one too many.
        let Ok(start) = u32::try_from(self.bytes.len()) else {
            self.dropped += 1;
            return;
        };
        self.slots.push(Slot { fingerprint, start });
        match (value, limits.text_bytes) {
            (ValueRef::String(text), limit) if text.len() > limit => {
                let cut = ValueRef::String(&text[..text.floor_char_boundary(limit)]);
                put_attribute(&mut self.bytes, self.owner, key, cut);
            }
            _ => put_attribute(&mut self.bytes, self.owner, key, value),
        }
    }

    pub fn set_all(&mut self, limits: &Limits, attributes: &Attributes) {
        for one in attributes {
            self.set(limits, &one.key, ValueRef::from(&one.value));
        }
    }

    /// Adds those of another set whose keys are not in this one.
    pub fn inherit(&mut self, limits: &Limits, from: &Fields) {
        for (at, slot) in from.slots.iter().enumerate() {
            let own = |slot: &Slot, mine: &Slot| mine.fingerprint == slot.fingerprint;
            let key = from.key(at);
            let is_set = (0..self.slots.len())
                .any(|mine| own(slot, &self.slots[mine]) && self.key(mine) == key);
            if is_set || self.slots.len() >= limits.attributes {
                continue;
            }
            let Ok(start) = u32::try_from(self.bytes.len()) else { continue };
            self.slots.push(Slot { fingerprint: slot.fingerprint, start });
            self.bytes.extend_from_slice(from.written(at));
        }
    }

    fn has_key(&self, at: usize, key: &str) -> bool {
        self.key(at) == Some(key.as_bytes())
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

//! One pass over a span's attributes, which finds for every field the best key that it has.

use std::borrow::Cow;

use serde_json::Value as Json;
use spanwise_model::{Attributes, Span, Str, Value};

use super::index::{INDEX, Target};
use super::table::{Answer, Field, Side, Sort, Source};

/// Rule L1: flattened keys beyond this many are left alone.
const MAX_FLATTENED: usize = 100_000;
/// Rule L1: indices are 0 to 9 999.
const MAX_INDEX_DIGITS: usize = 4;
/// Rule L3: how much of a text is looked at.
pub const LOOK_BYTES: usize = 4 << 20;
/// How many sources there may be over all dialects.
const MAX_SOURCES: usize = 64;
const NOT_FOUND: u32 = u32::MAX;

/// What one pass over a span's attributes found.
pub struct Reading<'a> {
    pub span: &'a Span,
    best: [Best; Field::COUNT],
    /// Values that came out of JSON.
    from_json: Vec<(Value, &'static str)>,
    kind: Option<(u16, Answer, &'static str)>,
    /// By source: where its attribute is; for flattened sources, any of its attributes.
    sources: [u32; MAX_SOURCES],
    flattened: Vec<Flat<'a>>,
    /// Whether any key was one that we know.
    pub is_known: bool,
}

#[derive(Clone, Copy)]
struct Best {
    field: Field,
    rank: u16,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    Attribute(u32),
    FromJson(u32),
}

/// One flattened key: `llm.input_messages.<n>.<rest>`.
#[derive(Clone, Copy)]
pub struct Flat<'a> {
    source: u8,
    pub n: u16,
    /// What follows the index, without the layer (`message.`) that some dialects put in between.
    pub rest: &'a str,
    pub value: &'a Value,
}

impl<'a> Reading<'a> {
    /// Reads a span.
    pub fn new(span: &'a Span) -> Self {
        let mut reading = Reading {
            span,
            best: Field::ALL.map(|field| Best { field, rank: u16::MAX, place: Place::Nowhere }),
            from_json: Vec::new(),
            kind: None,
            sources: [NOT_FOUND; MAX_SOURCES],
            flattened: Vec::new(),
            is_known: false,
        };
        let mut paths = Vec::new();
        for (place, attribute) in span.attributes.iter().enumerate() {
            let targets = INDEX.targets(&attribute.key);
            if targets.is_empty() {
                reading.flattened(place, &attribute.key, &attribute.value);
                continue;
            }
            reading.is_known = true;
            for target in targets {
                match *target {
                    Target::Field(field, rank) => reading.offer(field, rank, place, attribute),
                    Target::Path(number) => paths.push((number, place)),
                    Target::Kind(number) => reading.offer_kind(number, &attribute.value),
                    Target::Source(number) if is_meaningful(&attribute.value, Sort::Any) => {
                        reading.sources[usize::from(number)] = place as u32;
                    }
                    Target::Source(_) => {}
                }
            }
        }
        reading.follow(&paths);
        reading
    }

    fn offer(
        &mut self,
        field: Field,
        rank: u16,
        place: usize,
        attribute: &spanwise_model::Attribute,
    ) {
        let best = &mut self.best[field as usize];
        if rank < best.rank && is_meaningful(&attribute.value, field.sort()) {
            *best = Best { field, rank, place: Place::Attribute(place as u32) };
        }
    }

    fn offer_kind(&mut self, number: u16, value: &Value) {
        let rule = INDEX.kinds[usize::from(number)];
        if self.kind.is_some_and(|(rank, ..)| rank <= rule.rank) {
            return;
        }
        let Some(text) = value.as_str() else { return };
        let found = rule
            .values
            .iter()
            .find(|(name, _)| *name == text || (rule.any_case && name.eq_ignore_ascii_case(text)));
        if let Some(&(_, answer)) = found {
            self.kind = Some((rule.rank, answer, rule.key));
        }
    }

    fn flattened(&mut self, place: usize, key: &'a str, value: &'a Value) {
        let Some((source, rest)) = INDEX.flattened(key) else { return };
        let Some((n, rest)) = split_index(rest) else { return };
        if self.flattened.len() >= MAX_FLATTENED {
            return;
        }
        self.is_known = true;
        self.sources[usize::from(source)] = place as u32;
        let rest = rest.strip_prefix("message.").unwrap_or(rest);
        self.flattened.push(Flat { source, n, rest, value });
    }

    /// Looks inside JSON for what no better key gave. Done last, so that most JSON stays closed.
    fn follow(&mut self, paths: &[(u16, usize)]) {
        let mut parsed: Option<(usize, Json)> = None;
        for &(number, place) in paths {
            let row = INDEX.paths[usize::from(number)];
            if row.rank >= self.best[row.field as usize].rank {
                continue;
            }
            if parsed.as_ref().is_none_or(|(of, _)| *of != place) {
                parsed = Some((place, object(&self.span.attributes.0[place].value)));
            }
            let Some(json) = parsed.as_ref().and_then(|(_, json)| at_path(json, row.path)) else {
                continue;
            };
            let value = scalar(json);
            if is_meaningful(&value, row.field.sort()) {
                let place = Place::FromJson(self.from_json.len() as u32);
                self.best[row.field as usize] = Best { field: row.field, rank: row.rank, place };
                self.from_json.push((value, row.key));
            }
        }
    }

    /// The best value of a field.
    pub fn value(&self, field: Field) -> Option<&Value> {
        match self.best[field as usize].place {
            Place::Nowhere => None,
            Place::Attribute(place) => Some(&self.span.attributes.0[place as usize].value),
            Place::FromJson(number) => Some(&self.from_json[number as usize].0),
        }
    }

    /// The rank of that value: lower is better.
    pub fn rank(&self, field: Field) -> u16 {
        self.best[field as usize].rank
    }

    /// Every field that has a value, with the key that it came from.
    pub fn keys(&self) -> impl Iterator<Item = (Field, &str)> {
        self.best.iter().filter_map(|best| {
            let key = match best.place {
                Place::Nowhere => return None,
                Place::Attribute(place) => &*self.span.attributes.0[place as usize].key,
                Place::FromJson(number) => self.from_json[number as usize].1,
            };
            Some((best.field, key))
        })
    }

    /// The best value of a field as text; empty if there is none.
    pub fn text(&self, field: Field) -> Str {
        match self.value(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Int(number)) => number.to_string().into(),
            Some(Value::Double(number)) => number.to_string().into(),
            Some(Value::Bool(truth)) => truth.to_string().into(),
            _ => Str::new(),
        }
    }

    /// The best value of a field as a whole number.
    pub fn count(&self, field: Field) -> Option<u64> {
        self.value(field).and_then(count)
    }

    /// The best value of a field as a number.
    pub fn number(&self, field: Field) -> Option<f64> {
        self.value(field).and_then(number)
    }

    /// Whether a field has a value.
    pub fn has(&self, field: Field) -> bool {
        !matches!(self.best[field as usize].place, Place::Nowhere)
    }

    /// What the first rule of §4 that knows its value says, and the key it looked at.
    pub fn kind(&self) -> Option<(Answer, &'static str)> {
        self.kind.map(|(_, answer, key)| (answer, key))
    }

    /// The sources that the span has for one side, best first.
    pub fn sources(&self, side: Side) -> impl Iterator<Item = Found<'_, 'a>> {
        INDEX.sources.iter().enumerate().filter_map(move |(number, source)| {
            let place = self.sources[number];
            (source.side == side && place != NOT_FOUND).then(|| Found {
                reading: self,
                number: number as u8,
                source,
                value: &self.span.attributes.0[place as usize].value,
            })
        })
    }

    /// Whether a flattened source has a key that ends so.
    pub fn has_flattened(&self, start: &str, rest: &str) -> bool {
        self.flattened.iter().any(|flat| {
            INDEX.sources[usize::from(flat.source)].key == start
                && (rest.is_empty() || flat.rest == rest)
        })
    }
}

/// A source that a span has.
pub struct Found<'r, 'a> {
    reading: &'r Reading<'a>,
    number: u8,
    pub source: &'static Source,
    /// Its value; of a flattened source, one of its values.
    pub value: &'r Value,
}

impl<'r, 'a> Found<'r, 'a> {
    /// The keys of a flattened source.
    pub fn flats(&self) -> impl Iterator<Item = Flat<'a>> + Clone + use<'r, 'a> {
        let number = self.number;
        self.reading.flattened.iter().filter(move |flat| flat.source == number).copied()
    }
}

/// Splits `12.role` into 12 and `role`.
pub fn split_index(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_index = !digits.is_empty()
        && digits.len() <= MAX_INDEX_DIGITS
        && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_index.then(|| digits.parse().ok().map(|n| (n, rest))).flatten()
}

/// Whether a value counts (rules P2, P6, T5).
fn is_meaningful(value: &Value, sort: Sort) -> bool {
    match sort {
        Sort::Text => match value {
            Value::String(text) => !text.is_empty(),
            Value::Int(_) | Value::Bool(_) | Value::Double(_) => true,
            _ => false,
        },
        Sort::Model => is_name(value),
        Sort::Provider => is_name(value) && !value.as_str().is_some_and(is_framework),
        Sort::Count => count(value).is_some(),
        Sort::Number => number(value).is_some(),
        Sort::Any => match value {
            Value::Null => false,
            Value::String(text) => !matches!(&**text, "" | "[]" | "{}" | "null"),
            Value::Array(values) => !values.is_empty(),
            Value::Map(entries) => !entries.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) => true,
        },
    }
}

fn is_name(value: &Value) -> bool {
    let is_placeholder = |text: &str| {
        ["unknown", "_OTHER", "none"].iter().any(|word| word.eq_ignore_ascii_case(text))
    };
    value.as_str().is_some_and(|text| !text.is_empty() && !is_placeholder(text))
}

/// Frameworks that instrumentations write where a provider belongs.
fn is_framework(name: &str) -> bool {
    ["langchain", "crewai", "agno", "gcp.vertex.agent", "llamaindex"]
        .iter()
        .any(|framework| framework.eq_ignore_ascii_case(name))
}

/// Rules P6 and T5: `12`, `"12"` and `12.0` are whole numbers; negative and huge ones are not.
pub fn count(value: &Value) -> Option<u64> {
    const MAX: u64 = 1 << 53;
    let count = match value {
        Value::Int(number) => u64::try_from(*number).ok()?,
        Value::Double(number) if number.fract() == 0.0 && *number >= 0.0 => *number as u64,
        Value::String(text) => match text.parse::<u64>() {
            Ok(number) => number,
            Err(_) => return count(&Value::Double(text.parse().ok()?)),
        },
        _ => return None,
    };
    (count <= MAX).then_some(count)
}

/// A finite number that is not negative.
pub fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Double(number) => *number,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// The start of a text that is looked at.
pub fn look(text: &str) -> &str {
    if text.len() <= LOOK_BYTES { text } else { &text[..text.floor_char_boundary(LOOK_BYTES)] }
}

/// A value that should be a JSON object, or null.
fn object(value: &Value) -> Json {
    match value {
        Value::String(text) if text.len() <= LOOK_BYTES => {
            serde_json::from_str(text).unwrap_or_default()
        }
        Value::Map(_) => to_json(value),
        _ => Json::Null,
    }
}

fn at_path<'j>(json: &'j Json, path: &[&str]) -> Option<&'j Json> {
    path.iter().try_fold(json, |json, name| json.get(name))
}

fn scalar(json: &Json) -> Value {
    match json {
        Json::String(text) => Value::from(text.clone()),
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => number.as_f64().map_or(Value::Null, Value::Double),
        },
        _ => Value::Null,
    }
}

/// A structured value as JSON. Bytes become text as far as they are text; numbers that JSON does
/// not have become their names.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::String(text) => Json::String(text.to_string()),
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Double(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        Value::Bytes(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Array(values) => Json::Array(values.iter().map(to_json).collect()),
        Value::Map(entries) => Json::Object(map_to_json(entries)),
    }
}

/// Attributes as a JSON object.
pub fn map_to_json(attributes: &Attributes) -> serde_json::Map<String, Json> {
    attributes.iter().map(|a| (a.key.to_string(), to_json(&a.value))).collect()
}

/// Text as the JSON that it is, else as a JSON string (rule P5).
pub fn parse_or_text(text: &str) -> Json {
    let looked = look(text);
    let first = looked.trim_start().as_bytes().first();
    let may_be_json =
        matches!(first, Some(b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9'));
    let parsed = may_be_json.then(|| serde_json::from_str(looked).ok()).flatten();
    parsed.unwrap_or_else(|| Json::String(text.to_owned()))
}

/// An attribute's value as JSON, looking inside text.
pub fn parse_value(value: &Value) -> Json {
    match value {
        Value::String(text) => parse_or_text(text),
        other => to_json(other),
    }
}

/// Text of a value: itself if it is text, else its JSON.
pub fn value_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(to_json(other).to_string()),
    }
}

//! Zipkin's JSON, read with an eye to what clients get wrong.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::mapping::{Annotation, Endpoint, Request, Zipkin};
use crate::wire::draft::{DecodeError, Draft, Signal};
use crate::wire::utf8;
use crate::{Attribute, Batch, Kind, Str, Value};

/// Reads the JSON array of spans that Zipkin's clients post. A span that is not as it should be is
/// rejected, or repaired; its neighbours are taken.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode(body: Bytes) -> Result<Batch, DecodeError> {
    let text = utf8::slice(&body, 0..body.len()).ok_or_else(|| DecodeError::not_utf8(&body))?;
    let mut reader = Reader { text: &text, request: Request::new(Draft::new(Signal::Traces)) };
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut take = |raw| reader.read(raw);
    Elements {
        expected: "a list of Zipkin v2 spans (a body of OTLP goes to /v1/traces)",
        take: &mut take,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end())
    .map_err(|error| DecodeError::of_json(&text, &error))?;
    Ok(reader.request.draft.batch)
}

/// Hands the elements of an array out one by one, so that they need no memory all at once, and one
/// that is odd does not spoil the others.
struct Elements<'f, F> {
    expected: &'static str,
    take: &'f mut F,
}

impl<'t, F: FnMut(&'t RawValue) -> Result<(), String>> DeserializeSeed<'t> for Elements<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t, F: FnMut(&'t RawValue) -> Result<(), String>> Visitor<'t> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(E::invalid_type(serde::de::Unexpected::Unit, &self))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&'t RawValue>()? {
            (self.take)(raw).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// Hands the members of an object out one by one, likewise.
struct Members<'f, F>(&'f mut F);

impl<'t, F> Visitor<'t> for Members<'_, F>
where
    F: FnMut(Cow<'t, str>, &'t RawValue) -> Result<(), String>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

        while let Some((key, value)) = map.next_entry::<Key<'t>, &'t RawValue>()? {
            (self.0)(key.0, value).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// The members of the object `raw`, or the reason why it is none.
fn members<'t>(
    raw: &'t RawValue,
    mut take: impl FnMut(Cow<'t, str>, &'t RawValue) -> Result<(), String>,
) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    json.deserialize_map(Members(&mut take))
        .map_err(|error| DecodeError::of_json(raw.get(), &error).reason)
}

struct Reader<'t> {
    text: &'t Str,
    request: Request,
}

impl<'t> Reader<'t> {
    /// Reads one span into the draft; fails only when the request as a whole takes too much.
    fn read(&mut self, raw: &'t RawValue) -> Result<(), String> {
        let mut zipkin = Zipkin::default();
        let read = members(raw, |key, value| match value.get() {
            "null" => Ok(()),
            _ => self.field(&mut zipkin, &key, value),
        });
        match read {
            Ok(()) => self.request.take(zipkin),
            Err(reason) => self.request.draft.reject(&zipkin.name, reason),
        }
    }

    fn field(&mut self, zipkin: &mut Zipkin, key: &str, value: &'t RawValue) -> Result<(), String> {
        match key {
            "traceId" => zipkin.trace_id = self.text(value),
            "id" => zipkin.id = self.text(value),
            "parentId" => zipkin.parent_id = self.text(value),
            "kind" => zipkin.kind = kind(&self.text(value)),
            "name" => zipkin.name = self.text(value),
            "timestamp" => zipkin.timestamp_micros = micros(value, "timestamp")?,
            "duration" => zipkin.duration_micros = micros(value, "duration")?,
            "localEndpoint" => zipkin.local_endpoint = self.endpoint(value)?,
            "remoteEndpoint" => zipkin.remote_endpoint = self.endpoint(value)?,
            "annotations" => self.annotations(value, &mut zipkin.annotations)?,
            "tags" => members(value, |key, value| {
                let key = match key {
                    Cow::Borrowed(key) => self.text.slice_ref(key),
                    Cow::Owned(key) => key.into(),
                };
                let value = Value::String(self.text(value));
                self.request.draft.charge::<Attribute>(1)?;
                zipkin.tags.0.push(Attribute { key, value });
                Ok(())
            })?,
            "debug" => zipkin.debug = value.get() == "true",
            "shared" => zipkin.shared = value.get() == "true",
            _ => {}
        }
        Ok(())
    }

    fn endpoint(&mut self, raw: &'t RawValue) -> Result<Endpoint, String> {
        let mut endpoint = Endpoint::default();
        members(raw, |key, value| {
            match &*key {
                _ if value.get() == "null" => {}
                "serviceName" => endpoint.service = self.text(value),
                "ipv4" => endpoint.ipv4 = self.text(value),
                "ipv6" => endpoint.ipv6 = self.text(value),
                "port" => endpoint.port = self.text(value).parse().unwrap_or_default(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(endpoint)
    }

    fn annotations(
        &mut self,
        raw: &'t RawValue,
        annotations: &mut Vec<Annotation>,
    ) -> Result<(), String> {
        let mut take = |raw| {
            let mut annotation = Annotation::default();
            members(raw, |key, value| {
                match &*key {
                    _ if value.get() == "null" => {}
                    "timestamp" => {
                        annotation.timestamp_micros = micros(value, "an annotation's timestamp")?;
                    }
                    "value" => annotation.value = self.text(value),
                    _ => {}
                }
                Ok(())
            })?;
            // Once as it is, once as the event that it becomes.
            self.request.draft.charge::<[Annotation; 3]>(1)?;
            annotations.push(annotation);
            Ok(())
        };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        Elements { expected: "a list of annotations", take: &mut take }
            .deserialize(&mut json)
            .map_err(|error| DecodeError::of_json(raw.get(), &error).reason)
    }

    /// A text, or the literal of what is there in its place.
    fn text(&mut self, raw: &'t RawValue) -> Str {
        let literal = raw.get();
        let Some(inner) = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return self.text.slice_ref(literal);
        };
        if !inner.contains('\\') {
            return self.text.slice_ref(inner);
        }
        let bytes: Result<Unescaped, _> = serde_json::from_str(literal);
        let bytes = bytes.map_or_else(|_| inner.as_bytes().to_vec(), |unescaped| unescaped.0);
        match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => {
                self.request.draft.repairs.note_invalid_utf8("a text");
                String::from_utf8_lossy(error.as_bytes()).into_owned().into()
            }
        }
    }
}

/// The bytes of a JSON string: JavaScript cuts texts in the middle of surrogate pairs, and
/// serde_json refuses to call the halves a string.
struct Unescaped(Vec<u8>);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_bytes(Text).map(Unescaped)
    }
}

/// Microseconds, as a number or as one in quotes; negative ones are 0.
fn micros(raw: &RawValue, field: &str) -> Result<u64, String> {
    let literal = raw.get().trim_matches('"');
    if literal.is_empty() {
        return Ok(0);
    }
    let micros = literal.parse().or_else(|_| literal.parse().map(|micros: f64| micros as u64));
    micros.map_err(|_| format!("{field} is not a number"))
}

fn kind(name: &str) -> Kind {
    match name {
        "CLIENT" => Kind::Client,
        "SERVER" => Kind::Server,
        "PRODUCER" => Kind::Producer,
        "CONSUMER" => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

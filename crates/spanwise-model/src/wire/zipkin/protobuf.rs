//! Zipkin's protobuf
//! ([zipkin.proto](https://github.com/openzipkin/zipkin-api/blob/master/zipkin.proto)), read by the
//! same walk over fields as OTLP.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;

use super::mapping::{Annotation, Endpoint, Request, Zipkin};
use crate::wire::draft::{DecodeError, Draft, Signal};
use crate::wire::fields::{Fault, Fields, Wire, fault};
use crate::{Attribute, Batch, Kind, Str, Value};

/// Reads a `ListOfSpans`.
#[expect(clippy::needless_pass_by_value, reason = "what is decoded keeps the body alive")]
pub fn decode_protobuf(body: Bytes) -> Result<Batch, DecodeError> {
    let request = Request::new(Draft::new(Signal::Traces));
    let mut reader = Reader { body: &body, request };
    reader.spans().map_err(|fault| *fault)?;
    Ok(reader.request.draft.batch)
}

struct Reader<'b> {
    body: &'b Bytes,
    request: Request,
}

impl Reader<'_> {
    fn spans(&mut self) -> Result<(), Fault> {
        let mut spans = Fields::new(self.body, 0..self.body.len());
        while let Some(range) = spans.next_message(1)? {
            let start = range.start;
            let zipkin = self.span(range)?;
            self.request.take(zipkin).or_else(|reason| fault(start, reason))?;
        }
        Ok(())
    }

    fn span(&mut self, range: Range<usize>) -> Result<Zipkin, Fault> {
        let mut zipkin = Zipkin::default();
        let mut fields = Fields::new(self.body, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => zipkin.trace_id = self.hex(range),
                (2, Wire::Bytes(range)) => zipkin.parent_id = self.hex(range),
                (3, Wire::Bytes(range)) => zipkin.id = self.hex(range),
                (4, Wire::Varint(number)) => zipkin.kind = kind(number),
                (5, Wire::Bytes(range)) => zipkin.name = self.text(range),
                (6, Wire::Fixed64(micros)) => zipkin.timestamp_micros = micros,
                (7, Wire::Varint(micros)) => zipkin.duration_micros = micros,
                (8, Wire::Bytes(range)) => zipkin.local_endpoint = self.endpoint(range)?,
                (9, Wire::Bytes(range)) => zipkin.remote_endpoint = self.endpoint(range)?,
                (10, Wire::Bytes(range)) => {
                    // Once as it is, once as the event that it becomes.
                    self.charge::<[Annotation; 3]>(range.start)?;
                    zipkin.annotations.push(self.annotation(range)?);
                }
                (11, Wire::Bytes(range)) => {
                    self.charge::<Attribute>(range.start)?;
                    zipkin.tags.0.push(self.tag(range)?);
                }
                (12, Wire::Varint(truth)) => zipkin.debug = truth != 0,
                (13, Wire::Varint(truth)) => zipkin.shared = truth != 0,
                _ => {}
            }
        }
        Ok(zipkin)
    }

    fn endpoint(&mut self, range: Range<usize>) -> Result<Endpoint, Fault> {
        let mut endpoint = Endpoint::default();
        let mut fields = Fields::new(self.body, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => endpoint.service = self.text(range),
                (2, Wire::Bytes(range)) => endpoint.ipv4 = address::<4>(&self.body[range]),
                (3, Wire::Bytes(range)) => endpoint.ipv6 = address::<16>(&self.body[range]),
                (4, Wire::Varint(port)) => endpoint.port = u16::try_from(port).unwrap_or_default(),
                _ => {}
            }
        }
        Ok(endpoint)
    }

    fn annotation(&mut self, range: Range<usize>) -> Result<Annotation, Fault> {
        let mut annotation = Annotation::default();
        let mut fields = Fields::new(self.body, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Fixed64(micros)) => annotation.timestamp_micros = micros,
                (2, Wire::Bytes(range)) => annotation.value = self.text(range),
                _ => {}
            }
        }
        Ok(annotation)
    }

    fn tag(&mut self, range: Range<usize>) -> Result<Attribute, Fault> {
        let (mut key, mut value) = (Str::new(), Str::new());
        let mut fields = Fields::new(self.body, range);
        while let Some(field) = fields.next()? {
            match field {
                (1, Wire::Bytes(range)) => key = self.text(range),
                (2, Wire::Bytes(range)) => value = self.text(range),
                _ => {}
            }
        }
        Ok(Attribute { key, value: Value::String(value) })
    }

    fn text(&mut self, range: Range<usize>) -> Str {
        self.request.draft.text(self.body, range, "a text")
    }

    /// An id; what is longer than any id is not worth writing out.
    fn hex(&self, range: Range<usize>) -> Str {
        let mut hex = String::new();
        for byte in self.body[range].iter().take(17) {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex.into()
    }

    fn charge<T>(&mut self, offset: usize) -> Result<(), Fault> {
        self.request.draft.charge::<T>(1).or_else(|reason| fault(offset, reason))
    }
}

/// An IP address; empty if it has the wrong length.
fn address<const N: usize>(bytes: &[u8]) -> Str
where
    core::net::IpAddr: From<[u8; N]>,
{
    let address = <[u8; N]>::try_from(bytes);
    address.map(|bytes| core::net::IpAddr::from(bytes).to_string().into()).unwrap_or_default()
}

fn kind(number: u64) -> Kind {
    match number {
        1 => Kind::Client,
        2 => Kind::Server,
        3 => Kind::Producer,
        4 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

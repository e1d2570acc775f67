//! Amazon's binary event stream, written: `application/vnd.amazon.eventstream`.

/// The type of a header whose value is text.
const TEXT: u8 = 7;

/// Appends one message with these headers.
pub fn write_frame(headers: &[(&str, &str)], payload: &[u8], out: &mut Vec<u8>) {
    let length: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let total = 12 + length + payload.len() + 4;
    let from = out.len();
    out.extend_from_slice(&(total as u32).to_be_bytes());
    out.extend_from_slice(&(length as u32).to_be_bytes());
    let prelude = crc32fast::hash(&out[from..]);
    out.extend_from_slice(&prelude.to_be_bytes());
    for (name, value) in headers {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    let message = crc32fast::hash(&out[from..]);
    out.extend_from_slice(&message.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_checksums_stand_where_clients_look_for_them() {
        let mut out = b"before".to_vec();
        write_frame(&[(":event-type", "messageStop")], b"{}", &mut out);
        let frame = &out[6..];
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        assert_eq!(number(4) as usize, ":event-type".len() + "messageStop".len() + 4);
        assert_eq!(number(8), crc32fast::hash(&frame[..8]));
        assert_eq!(number(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        assert_eq!(&frame[frame.len() - 6..frame.len() - 4], b"{}");
    }
}

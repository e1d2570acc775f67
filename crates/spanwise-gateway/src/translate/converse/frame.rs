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
    let prelude = crc32(&out[from..]);
    out.extend_from_slice(&prelude.to_be_bytes());
    for (name, value) in headers {
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    let message = crc32(&out[from..]);
    out.extend_from_slice(&message.to_be_bytes());
}

/// The CRC-32 of zlib, with a table that the compiler makes.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn lengths_and_checksums_stand_where_clients_look_for_them() {
        let mut out = b"before".to_vec();
        write_frame(&[(":event-type", "messageStop")], b"{}", &mut out);
        let frame = &out[6..];
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        assert_eq!(number(4) as usize, ":event-type".len() + "messageStop".len() + 4);
        assert_eq!(number(8), crc32(&frame[..8]));
        assert_eq!(number(frame.len() - 4), crc32(&frame[..frame.len() - 4]));
        assert_eq!(&frame[frame.len() - 6..frame.len() - 4], b"{}");
    }
}

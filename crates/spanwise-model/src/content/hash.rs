//! What stands in the place of content: enough to see that two contents are equal.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// How contents are hashed.
#[derive(Clone, PartialEq, Eq)]
pub enum HashKey {
    /// Not keyed: whoever guesses a content can confirm the guess.
    Unkeyed,
    /// Keyed, so that only holders of the key can.
    Keyed(Arc<[u8]>),
}

impl std::fmt::Debug for HashKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            HashKey::Unkeyed => "Unkeyed",
            HashKey::Keyed(_) => "Keyed(…)",
        })
    }
}

impl HashKey {
    /// `sha256:<hex>` of the UTF-8 text, or `hmac-sha256:<hex>` with a key.
    pub fn hash(&self, content: &str) -> String {
        match self {
            HashKey::Unkeyed => named("sha256:", &Sha256::digest(content)),
            HashKey::Keyed(key) => named("hmac-sha256:", &hmac_sha256(key, content.as_bytes())),
        }
    }
}

/// A keyed hash: HMAC (RFC 2104) over SHA-256. Requests to some clouds are signed with it too.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new_with_prefix(pad(0x36)).chain_update(message).finalize();
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner).finalize().into()
}

fn named(name: &str, digest: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 2 * digest.len());
    text.push_str(name);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_standard_ones() {
        let hash = HashKey::Unkeyed.hash("abc");
        assert_eq!(hash, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // RFC 4231, cases 1 and 6.
        let keyed = |key: &[u8], text| HashKey::Keyed(key.into()).hash(text);
        assert_eq!(
            keyed(&[0x0b; 20], "Hi There"),
            "hmac-sha256:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            keyed(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First"),
            "hmac-sha256:60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        assert!(!format!("{:?}", HashKey::Keyed([7_u8; 3][..].into())).contains('7'));
    }
}

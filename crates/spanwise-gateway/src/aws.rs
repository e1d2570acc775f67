//! AWS's signature, version 4, for requests whose body is known.

use std::fmt::Write as _;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, Uri};
use sha2::{Digest, Sha256};
use spanwise_model::content::hmac_sha256;

use crate::plan::AwsCredential;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs a request: sets `x-amz-date`, `authorization` and, for temporary credentials,
/// `x-amz-security-token`. Of the other headers only the host is signed, so that whoever is on the
/// way may add to them.
pub fn sign(
    credential: &AwsCredential,
    service: &str,
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
    body: &[u8],
    now: SystemTime,
) {
    let (day, moment) = dates(now);
    let mut set = |name: &'static str, value: &str| {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    let mut signed = vec![
        ("host", uri.authority().map_or("", |authority| authority.as_str())),
        ("x-amz-date", moment.as_str()),
    ];
    set("x-amz-date", &moment);
    if let Some(token) = &credential.session_token {
        set("x-amz-security-token", token);
        signed.push(("x-amz-security-token", token));
    }
    let names: Vec<_> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = canonical_request(method, uri, &signed, &names, body);
    let scope = format!("{day}/{}/{service}/aws4_request", credential.region);
    let text = format!("{ALGORITHM}\n{moment}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let signature = hex(&hmac_sha256(&signing_key(credential, &day, service), text.as_bytes()));
    let key = &credential.access_key;
    set(
        "authorization",
        &format!(
            "{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
        ),
    );
}

fn canonical_request(
    method: &Method,
    uri: &Uri,
    signed: &[(&str, &str)],
    names: &str,
    body: &[u8],
) -> String {
    let mut canonical = format!("{method}\n{}\n{}\n", escaped_again(uri.path()), query(uri));
    for (name, value) in signed {
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let _ = write!(canonical, "\n{names}\n{}", hex(&Sha256::digest(body)));
    canonical
}

/// Every service but S3 signs the path as it is escaped, escaped once more.
fn escaped_again(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The parameters in order.
fn query(uri: &Uri) -> String {
    let mut parameters: Vec<_> =
        uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()).collect();
    parameters.sort_unstable();
    parameters.join("&")
}

fn signing_key(credential: &AwsCredential, day: &str, service: &str) -> [u8; 32] {
    let secret = format!("AWS4{}", credential.secret_key);
    let parts = [day, &credential.region, service, "aws4_request"];
    let start = hmac_sha256(secret.as_bytes(), parts[0].as_bytes());
    parts[1..].iter().fold(start, |key, part| hmac_sha256(&key, part.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The day, and the second, as signatures write them.
fn dates(now: SystemTime) -> (String, String) {
    let now = jiff::Timestamp::try_from(now).unwrap_or_default();
    (now.strftime("%Y%m%d").to_string(), now.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn credential(session_token: Option<&str>) -> AwsCredential {
        AwsCredential {
            region: "us-east-1".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: session_token.map(str::to_owned),
        }
    }

    /// The date of AWS's published test vectors.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_mins(24_015_636)
    }

    fn authorization(method: &Method, uri: &str) -> String {
        let uri: Uri = uri.parse().unwrap();
        let mut headers = HeaderMap::new();
        sign(&credential(None), "service", method, &uri, &mut headers, b"", then());
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        headers["authorization"].to_str().unwrap().to_owned()
    }

    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        let expected = "AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=";
        for (method, uri, signature) in [
            (
                Method::GET,
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                Method::POST,
                "https://example.amazonaws.com/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                Method::GET,
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            assert_eq!(authorization(&method, uri), format!("{expected}{signature}"), "{uri}");
        }
    }

    #[test]
    fn keyed_hashes_are_those_of_rfc_4231() {
        let short = hmac_sha256(&[0x0b; 20], b"Hi There");
        assert_eq!(hex(&short), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let long =
            hmac_sha256(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn temporary_credentials_sign_their_token() {
        let uri: Uri =
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/a%3A0/converse".parse().unwrap();
        let mut headers = HeaderMap::new();
        let credential = credential(Some("token"));
        sign(&credential, "bedrock", &Method::POST, &uri, &mut headers, b"{}", then());
        assert_eq!(headers["x-amz-security-token"], "token");
        let signed = headers["authorization"].to_str().unwrap();
        assert!(signed.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{signed}");
        assert_eq!(escaped_again(uri.path()), "/model/a%253A0/converse");
    }
}

//! How each dialect says that something went wrong.

use std::io::Write as _;

use bytes::Bytes;

use crate::dialect::Dialect;

use super::json::{Node, Text, parse};

/// What went wrong, in the words that all dialects share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be understood or is not allowed as it stands.
    InvalidRequest,
    /// There is no credential, or a wrong one.
    Authentication,
    /// The credential does not reach this far.
    Permission,
    /// No such model, route or object.
    NotFound,
    /// The body is larger than is taken.
    TooLarge,
    /// Too many requests or tokens for now.
    RateLimit,
    /// The money or quota is used up; waiting will not help.
    Budget,
    /// Somebody did not answer in time.
    Timeout,
    /// The provider has more to do than it can.
    Overloaded,
    /// What was asked for cannot be done by this target.
    NotImplemented,
    /// The provider failed, or answered what cannot be understood.
    Upstream,
    /// A fault of the gateway itself.
    Internal,
}

/// The body of an error answer, and what belongs into the head beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// The body; its content type is `application/json`.
    pub body: Bytes,
    /// The value of `x-amzn-errortype`, by which clients of Bedrock tell errors apart.
    pub amzn_errortype: Option<&'static str>,
}

/// An error as the dialect writes it. The status is the one the answer is sent with.
pub fn error_body(dialect: Dialect, status: u16, kind: ErrorKind, message: &str) -> ErrorBody {
    let message = serde_json::Value::from(message);
    let mut body = Vec::with_capacity(128);
    let written = match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Embeddings => {
            let (name, code) = kind.openai();
            let code = code.map_or_else(|| "null".to_owned(), |code| format!("\"{code}\""));
            write!(
                body,
                r#"{{"error":{{"message":{message},"type":"{name}","param":null,"code":{code}}}}}"#
            )
        }
        Dialect::Messages => write!(
            body,
            r#"{{"type":"error","error":{{"type":"{}","message":{message}}}}}"#,
            kind.anthropic()
        ),
        Dialect::Gemini => write!(
            body,
            r#"{{"error":{{"code":{status},"message":{message},"status":"{}"}}}}"#,
            kind.google()
        ),
        Dialect::Converse => write!(body, r#"{{"message":{message}}}"#),
        Dialect::Ollama => write!(body, r#"{{"error":{message}}}"#),
    };
    debug_assert!(written.is_ok(), "writing into memory does not fail");
    ErrorBody {
        body: body.into(),
        amzn_errortype: (dialect == Dialect::Converse).then(|| kind.amazon()),
    }
}

/// An error of a provider in the dialect of the client, with the status to send it with.
pub fn error(client: Dialect, status: u16, body: &[u8]) -> (u16, ErrorBody) {
    let root = parse(body).ok();
    let (kind, message) = match root.as_ref().and_then(|root| read_error(root, Some(status))) {
        Some((kind, message)) => (kind, message.into_plain()),
        None => (ErrorKind::of_status(status), "the provider answered with an error".into()),
    };
    let status = kind.status(client);
    (status, error_body(client, status, kind, &message))
}

/// What an object says went wrong, in whichever dialect; `None` if it is no error.
pub(super) fn read_error<'a>(
    root: &Node<'a>,
    status: Option<u16>,
) -> Option<(ErrorKind, Text<'a>)> {
    // Gemini wraps its error in a list when a stream was asked for.
    let root = root.as_array().and_then(<[_]>::first).unwrap_or(root);
    let error = root.get("error").unwrap_or(root);
    let message = error.as_text().or_else(|| error.text("message"));
    if message.is_none() && root.get("error").is_none() {
        return None;
    }
    let words = ["type", "code", "status", "__type"].map(|key| error.text(key));
    let named = words.iter().flatten().find_map(|word| ErrorKind::of_word(&word.plain()));
    let numbered = error.count("code").and_then(|code| u16::try_from(code).ok());
    let kind = named.or(status.or(numbered).map(ErrorKind::of_status));
    Some((kind.unwrap_or(ErrorKind::Upstream), message.unwrap_or_default()))
}

impl ErrorKind {
    /// The kind that a provider's word stands for, where it says more than the status does.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        let word: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        Some(match word.to_ascii_lowercase().as_str() {
            "insufficientquota" | "billingerror" => ErrorKind::Budget,
            "ratelimiterror"
            | "ratelimitexceeded"
            | "resourceexhausted"
            | "throttlingexception" => ErrorKind::RateLimit,
            "overloadederror" | "unavailable" | "serviceunavailableexception" | "overloaded" => {
                ErrorKind::Overloaded
            }
            "authenticationerror" | "invalidapikey" | "unauthenticated" => {
                ErrorKind::Authentication
            }
            "permissionerror" | "permissiondenied" | "accessdeniedexception" => {
                ErrorKind::Permission
            }
            "notfounderror" | "modelnotfound" | "notfound" | "resourcenotfoundexception" => {
                ErrorKind::NotFound
            }
            "requesttoolarge" => ErrorKind::TooLarge,
            "timeouterror" | "deadlineexceeded" | "modeltimeoutexception" => ErrorKind::Timeout,
            "validationexception" | "invalidprompt" | "contextlengthexceeded" => {
                ErrorKind::InvalidRequest
            }
            _ => return None,
        })
    }

    /// Every kind.
    pub const ALL: [ErrorKind; 12] = [
        ErrorKind::InvalidRequest,
        ErrorKind::Authentication,
        ErrorKind::Permission,
        ErrorKind::NotFound,
        ErrorKind::TooLarge,
        ErrorKind::RateLimit,
        ErrorKind::Budget,
        ErrorKind::Timeout,
        ErrorKind::Overloaded,
        ErrorKind::NotImplemented,
        ErrorKind::Upstream,
        ErrorKind::Internal,
    ];

    /// The kind that an HTTP status stands for when nothing else is known.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => ErrorKind::Authentication,
            402 => ErrorKind::Budget,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            408 | 504 => ErrorKind::Timeout,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimit,
            501 => ErrorKind::NotImplemented,
            503 | 529 => ErrorKind::Overloaded,
            400..=499 => ErrorKind::InvalidRequest,
            _ => ErrorKind::Upstream,
        }
    }

    /// The HTTP status with which a dialect sends this kind.
    pub fn status(self, dialect: Dialect) -> u16 {
        match self {
            ErrorKind::InvalidRequest => 400,
            ErrorKind::Authentication => 401,
            ErrorKind::Permission => 403,
            ErrorKind::NotFound => 404,
            ErrorKind::TooLarge => 413,
            ErrorKind::RateLimit | ErrorKind::Budget => 429,
            // Clients of Bedrock know a model's time running out by this status only.
            ErrorKind::Timeout if dialect == Dialect::Converse => 408,
            ErrorKind::Timeout => 504,
            ErrorKind::Overloaded if dialect == Dialect::Messages => 529,
            ErrorKind::Overloaded => 503,
            ErrorKind::NotImplemented => 501,
            ErrorKind::Upstream if dialect == Dialect::Converse => 424,
            ErrorKind::Upstream => 502,
            ErrorKind::Internal => 500,
        }
    }

    /// OpenAI's `type` and `code`.
    fn openai(self) -> (&'static str, Option<&'static str>) {
        match self {
            ErrorKind::InvalidRequest => ("invalid_request_error", None),
            ErrorKind::Authentication => ("invalid_request_error", Some("invalid_api_key")),
            ErrorKind::Permission => ("invalid_request_error", Some("permission_denied")),
            ErrorKind::NotFound => ("invalid_request_error", Some("model_not_found")),
            ErrorKind::TooLarge => ("invalid_request_error", Some("request_too_large")),
            ErrorKind::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
            ErrorKind::Budget => ("insufficient_quota", Some("insufficient_quota")),
            ErrorKind::Timeout => ("server_error", Some("timeout")),
            ErrorKind::Overloaded => ("server_error", Some("overloaded")),
            ErrorKind::NotImplemented => ("invalid_request_error", Some("unsupported")),
            ErrorKind::Upstream => ("server_error", Some("upstream_error")),
            ErrorKind::Internal => ("server_error", Some("internal_error")),
        }
    }

    fn anthropic(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest | ErrorKind::NotImplemented => "invalid_request_error",
            ErrorKind::Authentication => "authentication_error",
            ErrorKind::Permission => "permission_error",
            ErrorKind::NotFound => "not_found_error",
            ErrorKind::TooLarge => "request_too_large",
            ErrorKind::RateLimit => "rate_limit_error",
            ErrorKind::Budget => "billing_error",
            ErrorKind::Timeout => "timeout_error",
            ErrorKind::Overloaded => "overloaded_error",
            ErrorKind::Upstream | ErrorKind::Internal => "api_error",
        }
    }

    fn google(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest | ErrorKind::TooLarge => "INVALID_ARGUMENT",
            ErrorKind::Authentication => "UNAUTHENTICATED",
            ErrorKind::Permission => "PERMISSION_DENIED",
            ErrorKind::NotFound => "NOT_FOUND",
            ErrorKind::RateLimit | ErrorKind::Budget => "RESOURCE_EXHAUSTED",
            ErrorKind::Timeout => "DEADLINE_EXCEEDED",
            ErrorKind::Overloaded | ErrorKind::Upstream => "UNAVAILABLE",
            ErrorKind::NotImplemented => "UNIMPLEMENTED",
            ErrorKind::Internal => "INTERNAL",
        }
    }

    fn amazon(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest | ErrorKind::TooLarge | ErrorKind::NotImplemented => {
                "ValidationException"
            }
            ErrorKind::Authentication | ErrorKind::Permission => "AccessDeniedException",
            ErrorKind::NotFound => "ResourceNotFoundException",
            ErrorKind::RateLimit | ErrorKind::Budget => "ThrottlingException",
            ErrorKind::Timeout => "ModelTimeoutException",
            ErrorKind::Overloaded => "ServiceUnavailableException",
            ErrorKind::Upstream => "ModelErrorException",
            ErrorKind::Internal => "InternalServerException",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect, kind: ErrorKind) -> String {
        let error = error_body(dialect, kind.status(dialect), kind, "no \"such\" thing\n");
        String::from_utf8(error.body.to_vec()).unwrap()
    }

    #[test]
    fn every_dialect_has_its_own_shape() {
        assert_eq!(
            written(Dialect::Chat, ErrorKind::RateLimit),
            r#"{"error":{"message":"no \"such\" thing\n","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#
        );
        assert_eq!(
            written(Dialect::Messages, ErrorKind::Overloaded),
            r#"{"type":"error","error":{"type":"overloaded_error","message":"no \"such\" thing\n"}}"#
        );
        assert_eq!(
            written(Dialect::Gemini, ErrorKind::NotFound),
            r#"{"error":{"code":404,"message":"no \"such\" thing\n","status":"NOT_FOUND"}}"#
        );
        assert_eq!(
            written(Dialect::Converse, ErrorKind::Internal),
            r#"{"message":"no \"such\" thing\n"}"#
        );
        assert_eq!(
            written(Dialect::Ollama, ErrorKind::Internal),
            r#"{"error":"no \"such\" thing\n"}"#
        );
    }

    #[test]
    fn every_kind_is_valid_json_in_every_dialect() {
        for dialect in Dialect::ALL {
            for kind in ErrorKind::ALL {
                let error = error_body(dialect, 500, kind, "\u{1}é\u{2028}");
                serde_json::from_slice::<serde_json::Value>(&error.body).unwrap();
                assert_eq!(error.amzn_errortype.is_some(), dialect == Dialect::Converse);
                assert!(kind.status(dialect) >= 400);
            }
        }
    }

    #[test]
    fn a_providers_error_is_told_in_the_clients_dialect() {
        for (client, status, body, told) in [
            (
                Dialect::Messages,
                503,
                r#"{"error":{"message":"busy","type":"server_error","code":null}}"#,
                (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#),
            ),
            (
                Dialect::Ollama,
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                (503, r#"{"error":"Overloaded"}"#),
            ),
            (
                Dialect::Gemini,
                429,
                r#"{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                (429, r#"{"error":{"code":429,"message":"pay","status":"RESOURCE_EXHAUSTED"}}"#),
            ),
            (
                Dialect::Converse,
                404,
                r#"[{"error":{"code":404,"message":"no model","status":"NOT_FOUND"}}]"#,
                (404, r#"{"message":"no model"}"#),
            ),
            (
                Dialect::Ollama,
                502,
                "<html>Bad Gateway</html>",
                (502, r#"{"error":"the provider answered with an error"}"#),
            ),
        ] {
            let (status, error) = error(client, status, body.as_bytes());
            assert_eq!((status, std::str::from_utf8(&error.body).unwrap()), told);
        }
    }

    #[test]
    fn a_status_leads_back_to_its_kind() {
        for kind in [
            ErrorKind::InvalidRequest,
            ErrorKind::Authentication,
            ErrorKind::Permission,
            ErrorKind::NotFound,
            ErrorKind::TooLarge,
            ErrorKind::RateLimit,
            ErrorKind::Timeout,
            ErrorKind::Overloaded,
            ErrorKind::NotImplemented,
        ] {
            for dialect in Dialect::ALL {
                assert_eq!(ErrorKind::of_status(kind.status(dialect)), kind);
            }
        }
    }
}

//! URLs, and what they say about the protocol.

use http::Uri;
use http::uri::PathAndQuery;

use super::ConfigError;

/// What listens at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
    Jaeger,
    Zipkin,
    Datadog,
}

/// Reads an absolute URL; `http` is meant where no scheme is said. `option` is what an error names.
pub(super) fn url(option: &str, text: &str) -> Result<Uri, ConfigError> {
    let invalid = |reason: &str| Err(ConfigError::invalid(option, format!("{reason}: `{text}`")));
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let Ok(url) = whole.parse::<Uri>() else { return invalid("not a URL") };
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return invalid("the scheme has to be http or https");
    }
    let Some(authority) = url.authority() else { return invalid("the URL has no host") };
    if authority.as_str().contains('@') {
        // Not repeated: it has a password in it.
        let reason = "credentials do not belong into the URL but into a header (otlp_headers)";
        return Err(ConfigError::invalid(option, reason));
    }
    if authority.host().is_empty() {
        return invalid("the URL has no host");
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
        return invalid("the port is no number up to 65535");
    }
    Ok(url)
}

/// What usually listens there.
pub(super) fn protocol(url: &Uri) -> Protocol {
    let path = url.path().trim_end_matches('/');
    match (url.port_u16(), path) {
        (_, path) if path.ends_with("/v1/traces") => Protocol::Http,
        (_, path) if path.ends_with("/api/v2/spans") => Protocol::Zipkin,
        (Some(4317), _) => Protocol::Grpc,
        (_, path) if path.ends_with("/api/traces") => Protocol::Jaeger,
        (Some(14268), _) => Protocol::Jaeger,
        (Some(9411), _) => Protocol::Zipkin,
        (Some(8126), _) => Protocol::Datadog,
        _ => Protocol::Http,
    }
}

/// The URL with `path` at its end, unless that is there already.
pub(super) fn with_path(url: Uri, path: &str) -> Uri {
    let own = url.path().trim_end_matches('/');
    if own.ends_with(path) {
        return url;
    }
    let whole = format!("{own}{path}{}", url.query().map(|q| format!("?{q}")).unwrap_or_default());
    let mut parts = url.clone().into_parts();
    let Ok(whole) = PathAndQuery::try_from(whole) else { return url };
    parts.path_and_query = Some(whole);
    Uri::from_parts(parts).unwrap_or(url)
}

/// Checks `host:port`.
pub(super) fn address(option: &str, text: &str) -> Result<String, ConfigError> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(port)) if port > 0 => Ok(text.to_owned()),
        _ => Err(ConfigError::invalid(option, format!("expected `host:port`, got `{text}`"))),
    }
}

//! The card that an agent publishes about itself: where it says that the agent is, the gateway
//! puts its own address, so that whoever reads it comes through the gateway.

use std::net::IpAddr;

use bytes::Bytes;
use http::Uri;

use crate::json::{self, Kind, Value};
use crate::plan::Upstream;

/// Where cards are, now and in earlier versions.
const PLACES: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];

/// Whether an agent's card is at this path.
pub fn is_at(path: &str) -> bool {
    PLACES.iter().any(|place| path.ends_with(place))
}

/// How an agent's own addresses look from where the client is.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Scheme and host of the gateway, as the client wrote them, and the agent's path there.
    pub base: String,
}

impl Outside {
    /// The address under which a client reaches what `written` names, if that is the agent.
    pub fn of(&self, written: &str, agent: &Upstream) -> Option<String> {
        let uri: Uri = written.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let host = authority.host();
        let is_agents = host.eq_ignore_ascii_case(agent.authority.host()) || !is_public(host);
        if !is_http || !is_agents {
            return None;
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let below = path.strip_prefix(agent.base_path.as_str())?;
        if !below.is_empty() && !below.starts_with(['/', '?']) {
            return None;
        }
        let below = if below == "/" && !written.ends_with('/') { "" } else { below };
        Some(format!("{}{below}", self.base))
    }

    /// The card, or the answer that holds it, with the gateway's addresses. A signature would no
    /// longer fit, and is taken out.
    pub fn rewrite(&self, body: String, agent: &Upstream) -> Bytes {
        let Some(card) = Value::first(&body) else { return body.into() };
        let card = card.get("result").filter(|_| card.get("jsonrpc").is_some()).unwrap_or(card);
        let listed = ["supportedInterfaces", "additionalInterfaces"];
        let interfaces = listed.iter().filter_map(|list| card.get(list));
        let interfaces = interfaces.flat_map(|list| list.elements());
        let places = std::iter::once(card).chain(interfaces);
        let mut edits: Vec<_> = places
            .filter_map(|place| {
                let written = place.get("url")?;
                let url = self.of(&written.as_text()?, agent)?;
                Some((written.range(), serde_json::Value::from(url).to_string()))
            })
            .collect();
        let signatures = card.get("signatures").filter(|list| list.kind == Kind::Array);
        if let Some(signatures) = signatures.filter(|_| !edits.is_empty()) {
            edits.push((signatures.range(), "[]".to_owned()));
        }
        json::splice(&body.into(), edits)
    }
}

/// Whether a host may mean the same to everybody. Others are the agent's own idea of where it is.
fn is_public(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified())
        }
        Ok(IpAddr::V6(ip)) => {
            !(ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified())
        }
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            let inside = [".internal", ".local", ".lan", ".localhost", ".test", ".intranet"];
            host.contains('.') && !inside.iter().any(|suffix| host.ends_with(suffix))
        }
    }
}

#[cfg(test)]
mod tests;

//! Responses that their providers keep: they are fetched, deleted and cancelled where they were
//! made, and conversations go on there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};

use super::attempt::Prepared;
use super::{Asked, Exchange, Target};
use crate::created::Maker;
use crate::dialect::Dialect;
use crate::gateway::Worker;
use crate::plan::{self, Route};
use crate::record::Call;
use crate::reply::{Body, Refusal};
use crate::scan::RequestFacts;
use crate::translate::ErrorKind;

/// Bytes of a response's id.
const MAX_ID: usize = 256;

/// A response that is kept, or a part of what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    id: String,
    /// What follows the id in the path.
    part: &'static str,
    route: &'static str,
}

impl Kept {
    /// The response that a path is about.
    pub fn of_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/responses/")?;
        let (id, part) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (part, route) = match part {
            "" => ("", "/v1/responses/{id}"),
            "/cancel" => ("/cancel", "/v1/responses/{id}/cancel"),
            "/input_items" => ("/input_items", "/v1/responses/{id}/input_items"),
            _ => return None,
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_id = !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(is_plain);
        is_id.then(|| Kept { id: id.to_owned(), part, route })
    }

    /// What this method does, as spans name it.
    pub fn operation(&self, method: &Method) -> Option<&'static str> {
        match (method, self.part) {
            (&Method::GET, "" | "/input_items") => Some("fetch_response"),
            (&Method::DELETE, "") => Some("delete_response"),
            (&Method::POST, "/cancel") => Some("cancel_response"),
            _ => None,
        }
    }
}

/// Serves a request about a response that is kept.
pub async fn serve(
    worker: Arc<Worker>,
    kept: Kept,
    operation: &'static str,
    head: Parts,
) -> Response<Body> {
    let target = Target {
        dialect: Dialect::Responses,
        route: kept.route,
        model: None,
        is_stream: false,
        counts_tokens: false,
    };
    let state = worker.state();
    let mut exchange = Exchange::enter(worker, state, target, kept.route.into(), head);
    match exchange.ask_keeper(&kept, operation).await {
        Ok(response) => response,
        Err(refusal) => exchange.refuse(&refusal),
    }
}

impl Exchange<Target> {
    async fn ask_keeper(
        &mut self,
        kept: &Kept,
        operation: &'static str,
    ) -> Result<Response<Body>, Refusal> {
        self.authenticate()?;
        self.refuse_loops()?;
        self.admit().await?;
        self.record().call = Some(Call { operation, is_about_another: true, ..Call::default() });
        let keeper = self.keeper(&kept.id)?;
        let asked = Asked {
            body: Bytes::new(),
            facts: RequestFacts::default(),
            model: Some(keeper.upstream.id.clone()),
            is_stream: false,
        };
        let path = keeper.upstream.path(Dialect::Responses, &keeper.model, false);
        let (place, query) = path.split_once('?').unwrap_or((&path, ""));
        let queries = [query, self.head.uri.query().unwrap_or_default()];
        let query = queries.into_iter().filter(|query| !query.is_empty()).collect::<Vec<_>>();
        let mark = if query.is_empty() { "" } else { "?" };
        let prepared = Prepared {
            dialect: Dialect::Responses,
            method: self.head.method.clone(),
            path: format!("{place}/{}{}{mark}{}", kept.id, kept.part, query.join("&")),
            body: Bytes::new(),
            injects_usage: false,
            reply: None,
        };
        match self.send(&keeper, &asked, prepared, Duration::ZERO, &mut None).await? {
            Ok(response) => Ok(response),
            Err(failed) => {
                self.report(&failed, Instant::now());
                Ok(self.give_up(failed, &asked))
            }
        }
    }

    /// Where a response is kept: where it was made, or where else it could have been.
    fn keeper(&self, id: &str) -> Result<plan::Target, Refusal> {
        let unknown = || {
            let message = format!("the response `{id}` is not known here");
            Refusal::new(ErrorKind::NotFound, "response_not_found", message)
        };
        let maker = self.state.created.maker(id, Instant::now());
        if maker.as_ref().is_some_and(|maker| !self.is_for_us(maker)) {
            return Err(unknown());
        }
        let upstream = maker.as_ref().map(|maker| &*maker.upstream);
        self.state.plan.keeper(upstream).ok_or_else(unknown)
    }

    /// The route, without those targets that do not know what the conversation goes on from.
    pub(super) fn stay(&self, route: Arc<Route>, asked: &Asked) -> Result<Arc<Route>, Refusal> {
        let Some(before) = &asked.facts.parameters.previous_response_id else { return Ok(route) };
        let Some(maker) = self.state.created.maker(before, Instant::now()) else {
            return Ok(route);
        };
        let keeper = self.state.plan.keeper(Some(&*maker.upstream));
        let targets = route.targets.iter().filter(|target| {
            let keeper = keeper.as_ref().filter(|_| self.is_for_us(&maker));
            keeper.is_some_and(|keeper| target.upstream.shares_account(&keeper.upstream))
        });
        let targets: Vec<_> = targets.cloned().collect();
        if targets.len() == route.targets.len() {
            return Ok(route);
        }
        if targets.is_empty() {
            let message =
                format!("previous_response_id: `{before}` is not known to `{}`", route.name);
            return Err(Refusal::new(ErrorKind::NotFound, "response_not_found", message));
        }
        Ok(Arc::new(route.only(targets)))
    }

    /// Whether a response may be asked for with the key that was shown.
    fn is_for_us(&self, maker: &Maker) -> bool {
        *maker.key == *self.key.as_ref().map_or("", |key| &key.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods() {
        for (method, path, operation) in [
            (Method::GET, "/v1/responses/resp_1", Some("fetch_response")),
            (Method::GET, "/v1/responses/resp_1/input_items", Some("fetch_response")),
            (Method::DELETE, "/v1/responses/resp_1", Some("delete_response")),
            (Method::POST, "/v1/responses/resp_1/cancel", Some("cancel_response")),
            (Method::POST, "/v1/responses/resp_1", None),
            (Method::GET, "/v1/responses/resp_1/cancel", None),
            (Method::GET, "/v1/responses/", None),
            (Method::GET, "/v1/responses/a%2Fb", None),
            (Method::GET, "/v1/responses/../models", None),
            (Method::GET, "/v1/responses/a/b", None),
        ] {
            let found = Kept::of_path(path).and_then(|kept| kept.operation(&method));
            assert_eq!(found, operation, "{method} {path}");
        }
    }
}

//! What a configuration amounts to: every name resolved, every mistake found before it matters.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::uri::{Authority, Scheme as UriScheme};
use http::{HeaderName, HeaderValue, Uri};

use crate::address;
use crate::balance::{self, Balancer, BreakerPolicy, Credential as Login, Member};
use crate::config::{
    self, Config, Listener, ListenerKind, ModelProvider, Propagate, Secret, Strategy, Timeouts,
};
use crate::dialect::Dialect;
use crate::provider::{self, Preset, Scheme};

/// Models of families that are remembered; their names come from clients.
const MAX_MEMBERS: usize = 1000;

/// Where secrets are found: in the environment and in files.
pub trait Secrets {
    /// The variable's value.
    fn variable(&self, name: &str) -> Option<String>;
    /// The file's text.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// A mistake in a configuration, said so that its author can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    place: Option<String>,
}

impl Mistake {
    fn new(message: String) -> Self {
        Mistake { message, place: None }
    }

    /// The same, made there in the configuration.
    fn at(self, place: String) -> Self {
        Mistake { place: Some(place), ..self }
    }

    /// Where in the configuration it was made, as a path such as `model_providers[2]`.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}

/// What a gateway does.
#[derive(Debug)]
pub struct Plan {
    /// What it was made of.
    pub config: Config,
    by_name: HashMap<String, Arc<Route>>,
    /// `gpt-4o` for `openai/gpt-4o`, where nothing else is called so.
    short: HashMap<String, Arc<Route>>,
    /// `provider/*`, longest provider first.
    families: Vec<(String, Arc<Upstream>)>,
    /// Models of families that were asked for, so that their health is not forgotten.
    members: Mutex<HashMap<String, Arc<Route>>>,
    default: Option<String>,
    agents: HashMap<String, Arc<Upstream>>,
    /// By listener.
    agent_routes: HashMap<String, Vec<AgentRoute>>,
    /// What was there before, while the plan is made.
    heritage: Heritage,
}

/// Upstreams and targets of an earlier plan. Those that have not changed live on, and with them
/// their connections and what is known of their health.
#[derive(Debug, Default)]
struct Heritage {
    upstreams: HashMap<String, Arc<Upstream>>,
    /// By where the upstream is in memory, which `upstreams` keeps its own, and the model.
    targets: HashMap<(usize, String), Arc<balance::Target>>,
}

/// Paths that lead to an agent.
#[derive(Clone, Debug)]
pub struct AgentRoute {
    /// What they begin with, without a slash at its end.
    pub prefix: String,
    /// Where they lead.
    pub agent: Arc<Upstream>,
}

impl AgentRoute {
    /// What is left of a path, and its query, behind the prefix.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = path.strip_prefix(self.prefix.as_str())?;
        (below.is_empty() || below.starts_with(['/', '?'])).then_some(below)
    }
}

/// What a name stands for.
#[derive(Debug)]
pub struct Route {
    /// The name that clients ask for.
    pub name: String,
    /// In order of preference, never empty.
    pub targets: Vec<Target>,
    /// Chooses one of them.
    pub balancer: Balancer,
    /// Whether answers may come out of the cache.
    pub is_cached: bool,
}

/// A provider and the model that it is asked for.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is served.
    pub upstream: Arc<Upstream>,
    /// What the provider calls it.
    pub model: String,
    /// Its share among the others' weights.
    pub weight: u32,
    /// How it fares; shared by all routes that lead to it.
    pub state: Arc<balance::Target>,
}

/// A connection to a provider or an agent: its address, its credential, its manners.
#[derive(Debug)]
pub struct Upstream {
    /// What messages call it.
    pub id: String,
    /// OpenTelemetry's name of the provider.
    pub provider: String,
    /// Where it is.
    pub scheme: UriScheme,
    /// Host and port.
    pub authority: Authority,
    /// The beginning of every path, without a slash at its end.
    pub base_path: String,
    /// How it is told who asks.
    pub credential: Credential,
    /// How that fares.
    pub login: Arc<Login>,
    /// What it speaks, in order of preference.
    pub dialects: Vec<Dialect>,
    /// Headers that each request gets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What it learns of the trace.
    pub propagate: Propagate,
    /// Whether it gets the baggage too.
    pub passes_baggage: bool,
    /// Whether it tells the usage of a stream when asked to, and only then.
    pub injects_usage: bool,
    /// Azure's `api-version`.
    pub api_version: Option<String>,
    /// How long everything may take there.
    pub timeouts: Timeouts,
    /// PEM text of certificates to trust beside the system's.
    pub ca_pem: Option<String>,
    /// Whether it is kept away from addresses that no agent may have.
    pub is_confined: bool,
}

/// How an upstream is told who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// With the headers that the client sent for it.
    Clients,
    /// With this header.
    Header(HeaderName, HeaderValue),
    /// With AWS's signature.
    Aws(Arc<AwsCredential>),
}

/// What signatures for AWS are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredential {
    /// Where the service is.
    pub region: String,
    /// The access key's id.
    pub access_key: String,
    /// The access key's secret.
    pub secret_key: String,
    /// Of a temporary credential.
    pub session_token: Option<String>,
}

impl Plan {
    /// Works out what a configuration means.
    pub fn new(config: Config, secrets: &dyn Secrets) -> Result<Self, Mistake> {
        Self::after(config, secrets, None)
    }

    /// The same for a configuration that takes the place of another: what is the same in both
    /// keeps its connections, and what is known of its health.
    pub fn after(
        config: Config,
        secrets: &dyn Secrets,
        before: Option<&Plan>,
    ) -> Result<Self, Mistake> {
        let mut plan = Plan {
            by_name: HashMap::new(),
            short: HashMap::new(),
            families: Vec::new(),
            members: Mutex::default(),
            default: None,
            agents: HashMap::new(),
            agent_routes: HashMap::new(),
            heritage: before.map(Heritage::of).unwrap_or_default(),
            config,
        };
        let config = plan.config.clone();
        check_listeners(&config)?;
        for (n, provider) in config.model_providers.iter().enumerate() {
            let at = |mistake: Mistake| mistake.at(format!("model_providers[{n}]"));
            plan.add_provider(provider, secrets).map_err(at)?;
        }
        plan.short = plan.short_names();
        let routes = config.routes.iter().map(|route| (route.model.as_str(), route)).collect();
        for (n, route) in config.routes.iter().enumerate() {
            let at = |mistake: Mistake| mistake.at(format!("routes[{n}]"));
            let targets = targets_of(&route.model, &routes, &plan, &mut Vec::new()).map_err(at)?;
            if plan.by_name.contains_key(&route.model) {
                let message = format!("routes: `{}` is already the name of a model", route.model);
                return fail(message).map_err(at);
            }
            let is_cached =
                route.cache.unwrap_or_else(|| config.cache.is_some_and(|cache| cache.enabled));
            let planned = Route::new(&route.model, route.strategy, targets, is_cached);
            plan.by_name.insert(route.model.clone(), Arc::new(planned));
        }
        for (n, agent) in config.agents.iter().enumerate() {
            let at = |mistake: Mistake| mistake.at(format!("agents[{n}]"));
            let upstream = agent_upstream(agent, &config, secrets).map_err(at)?;
            let upstream = plan.heritage.keep(upstream);
            if plan.agents.insert(agent.id.clone(), upstream).is_some() {
                return fail(format!("agents: `{}` is there twice", agent.id)).map_err(at);
            }
        }
        for (n, listener) in config.listeners.iter().enumerate() {
            if listener.kind == ListenerKind::Agent {
                let at = |mistake: Mistake| mistake.at(format!("listeners[{n}]"));
                let routes = plan.routes_of(listener).map_err(at)?;
                plan.agent_routes.insert(listener.name.clone(), routes);
            }
        }
        if !(0.0..=100.0).contains(&config.tracing.random_sampling) {
            return fail("tracing.random_sampling: expected percent from 0 to 100".to_owned())
                .map_err(|mistake| mistake.at("tracing.random_sampling".to_owned()));
        }
        if let Some(before) = before {
            plan.remember_members(before);
        }
        plan.heritage = Heritage::default();
        Ok(plan)
    }

    /// Models of families that were asked for before stay known, so that their health does.
    fn remember_members(&self, before: &Plan) {
        let members = before.members.lock().unwrap_or_else(PoisonError::into_inner);
        for name in members.keys() {
            // Whether it still leads anywhere shows when somebody asks.
            drop(self.route(Some(name)));
        }
    }

    /// What a client's name for a model stands for; without a name, the default.
    pub fn route(&self, name: Option<&str>) -> Option<Arc<Route>> {
        let name = name.or(self.default.as_deref())?;
        if let Some(route) = self.by_name.get(name).or_else(|| self.short.get(name)) {
            return Some(Arc::clone(route));
        }
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = members.get(name) {
            return Some(Arc::clone(route));
        }
        let (upstream, model) = self.family_of(name)?;
        let route = Arc::new(self.single(name, &upstream, model));
        if members.len() == MAX_MEMBERS {
            members.clear();
        }
        members.insert(name.to_owned(), Arc::clone(&route));
        Some(route)
    }

    /// The agent with this id.
    pub fn agent(&self, id: &str) -> Option<&Arc<Upstream>> {
        self.agents.get(id)
    }

    /// The routes of a listener for agents, longest prefix first; `None` if it is one for models.
    pub fn agent_routes(&self, listener: &str) -> Option<&[AgentRoute]> {
        self.agent_routes.get(listener).map(Vec::as_slice)
    }

    fn routes_of(&self, listener: &Listener) -> Result<Vec<AgentRoute>, Mistake> {
        let mut routes: Vec<AgentRoute> = Vec::new();
        for route in &listener.routes {
            let written = &route.path_prefix;
            let Some(agent) = self.agents.get(&route.agent) else {
                return fail(format!(
                    "listeners: `{written}` leads to the agent `{}`, which is not under agents",
                    route.agent
                ));
            };
            if !written.starts_with('/') {
                return fail(format!(
                    "listeners: expected a path_prefix such as /billing, found `{written}`"
                ));
            }
            let prefix = written.trim_end_matches('/').to_owned();
            if routes.iter().any(|other| other.prefix == prefix) {
                return fail(format!("listeners: `{written}` leads to two agents"));
            }
            routes.push(AgentRoute { prefix, agent: Arc::clone(agent) });
        }
        if self.agents.is_empty() {
            let name = &listener.name;
            return fail(format!("listeners: `{name}` is for agents, and there are no agents"));
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Ok(routes)
    }

    /// The names that clients may ask for, sorted, without those of families.
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Where responses are kept: the upstream of this id, or without one the only account that
    /// can have them. No model goes with it.
    pub fn keeper(&self, id: Option<&str>) -> Option<Target> {
        let keeps = |upstream: &Arc<Upstream>| upstream.dialects.contains(&Dialect::Responses);
        let mut keepers = self.upstreams().into_iter().filter(keeps);
        let upstream = if let Some(id) = id {
            keepers.find(|upstream| upstream.id == id)?
        } else {
            let first = keepers.next()?;
            let is_only = keepers.all(|other| other.shares_account(&first));
            Some(first).filter(|_| is_only)?
        };
        self.single(&upstream.id, &upstream, "").targets.pop()
    }

    /// What upstreams call the models that the configuration names.
    pub fn upstream_models(&self) -> impl Iterator<Item = &str> {
        self.by_name.values().flat_map(|route| &route.targets).map(|target| target.model.as_str())
    }

    /// Every upstream once.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let routed = self.by_name.values().flat_map(|route| &route.targets);
        let all = routed.map(|target| &target.upstream).chain(self.families.iter().map(|f| &f.1));
        let all = all.chain(self.agents.values());
        let mut known = HashSet::new();
        all.filter(|upstream| known.insert(Arc::as_ptr(upstream))).map(Arc::clone).collect()
    }

    /// Everything that requests can be sent to, once each: sorted by their names.
    pub fn targets(&self) -> Vec<Arc<balance::Target>> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.by_name.values().chain(members.values()).flat_map(|route| &route.targets);
        let mut known = HashSet::new();
        let states = all.map(|target| &target.state);
        let mut targets: Vec<_> =
            states.filter(|state| known.insert(Arc::as_ptr(state))).map(Arc::clone).collect();
        targets.sort_by(|one, other| one.name().cmp(other.name()));
        targets
    }

    fn add_provider(
        &mut self,
        entry: &ModelProvider,
        secrets: &dyn Secrets,
    ) -> Result<(), Mistake> {
        let Some((provider, model)) = entry.model.split_once('/') else {
            return fail(format!(
                "model_providers: expected `provider/model`, found `{}`",
                entry.model
            ));
        };
        let upstream = self.heritage.keep(upstream(entry, provider, &self.config, secrets)?);
        if entry.default {
            if let Some(other) = &self.default {
                return fail(format!(
                    "model_providers: `{other}` and `{}` are both default",
                    entry.model
                ));
            }
            if model == "*" {
                return fail(format!(
                    "model_providers: `{}` names no model to default to",
                    entry.model
                ));
            }
            self.default = Some(entry.model.clone());
        }
        if model == "*" {
            self.families.push((provider.to_owned(), upstream));
            return Ok(());
        }
        let upstream_model = entry.upstream_model.as_deref().unwrap_or(model);
        let route = Arc::new(self.single(&entry.model, &upstream, upstream_model));
        if self.by_name.insert(entry.model.clone(), route).is_some() {
            return fail(format!("model_providers: `{}` is there twice", entry.model));
        }
        Ok(())
    }

    fn single(&self, name: &str, upstream: &Arc<Upstream>, model: &str) -> Route {
        let anew = || {
            let name_of_target = format!("{} {model}", upstream.id);
            let login = Arc::clone(&upstream.login);
            Arc::new(balance::Target::new(name_of_target, login, BreakerPolicy::default()))
        };
        let target = Target {
            upstream: Arc::clone(upstream),
            model: model.to_owned(),
            weight: 1,
            state: self.heritage.target(upstream, model).unwrap_or_else(anew),
        };
        let is_cached = self.config.cache.is_some_and(|cache| cache.enabled);
        Route::new(name, Strategy::Fallback, vec![target], is_cached)
    }

    /// The provider of a model that only a `provider/*` allows.
    fn family_of<'n>(&self, name: &'n str) -> Option<(Arc<Upstream>, &'n str)> {
        let in_family = |(provider, upstream): &(String, Arc<Upstream>)| {
            let model = name.strip_prefix(provider.as_str())?.strip_prefix('/')?;
            Some((Arc::clone(upstream), model)).filter(|_| !model.is_empty())
        };
        self.families.iter().find_map(in_family).or_else(|| match self.families.as_slice() {
            [(_, only)] => Some((Arc::clone(only), name)),
            _ => None,
        })
    }

    fn short_names(&self) -> HashMap<String, Arc<Route>> {
        let mut short: HashMap<String, Option<Arc<Route>>> = HashMap::new();
        for (name, route) in &self.by_name {
            let Some((_, model)) = name.split_once('/') else { continue };
            let first = Some(Arc::clone(route));
            short.entry(model.to_owned()).and_modify(|known| *known = None).or_insert(first);
        }
        short.into_iter().filter_map(|(name, route)| Some((name, route?))).collect()
    }
}

impl Heritage {
    fn of(before: &Plan) -> Self {
        let upstreams = before.upstreams().into_iter();
        let members = before.members.lock().unwrap_or_else(PoisonError::into_inner);
        let routes = before.by_name.values().chain(members.values());
        let target = |target: &Target| {
            let place = Arc::as_ptr(&target.upstream) as usize;
            ((place, target.model.clone()), Arc::clone(&target.state))
        };
        Heritage {
            upstreams: upstreams.map(|upstream| (upstream.id.clone(), upstream)).collect(),
            targets: routes.flat_map(|route| route.targets.iter().map(target)).collect(),
        }
    }

    /// The upstream as it was before, if nothing about it has changed.
    fn keep(&self, upstream: Upstream) -> Arc<Upstream> {
        let known = self.upstreams.get(&upstream.id);
        let same = known.filter(|known| known.is_reached_as(&upstream));
        same.cloned().unwrap_or_else(|| Arc::new(upstream))
    }

    fn target(&self, upstream: &Arc<Upstream>, model: &str) -> Option<Arc<balance::Target>> {
        self.targets.get(&(Arc::as_ptr(upstream) as usize, model.to_owned())).cloned()
    }
}

impl Route {
    fn new(name: &str, strategy: Strategy, targets: Vec<Target>, is_cached: bool) -> Self {
        let member =
            |target: &Target| Member { target: Arc::clone(&target.state), weight: target.weight };
        let balancer = Balancer::new(strategy, targets.iter().map(member).collect());
        Route { name: name.to_owned(), targets, balancer, is_cached }
    }

    /// The same with some of its targets.
    #[must_use]
    pub fn only(&self, targets: Vec<Target>) -> Self {
        Route::new(&self.name, self.balancer.strategy(), targets, self.is_cached)
    }
}

fn check_listeners(config: &Config) -> Result<(), Mistake> {
    if config.listeners.is_empty() {
        return fail("listeners: there has to be at least one".to_owned());
    }
    for (n, listener) in config.listeners.iter().enumerate() {
        check_listener(listener, &config.listeners[..n])
            .map_err(|mistake| mistake.at(format!("listeners[{n}]")))?;
    }
    Ok(())
}

fn check_listener(listener: &Listener, before: &[Listener]) -> Result<(), Mistake> {
    let name = &listener.name;
    if listener.kind == ListenerKind::Model && !listener.routes.is_empty() {
        return fail(format!("listeners: `{name}` has routes, which only agents have"));
    }
    if before.iter().any(|other| other.name == *name) {
        return fail(format!("listeners: two are called `{name}`"));
    }
    let place = (&listener.address, listener.port);
    if listener.port != 0 && before.iter().any(|other| (&other.address, other.port) == place) {
        return fail(format!("listeners: two are at {}:{}", listener.address, listener.port));
    }
    Ok(())
}

/// The models behind a route, those behind routes among them too.
fn targets_of<'c>(
    name: &'c str,
    routes: &HashMap<&'c str, &'c config::Route>,
    plan: &Plan,
    on_the_way: &mut Vec<&'c str>,
) -> Result<Vec<Target>, Mistake> {
    if on_the_way.contains(&name) {
        on_the_way.push(name);
        return fail(format!("routes: {} is a circle", on_the_way.join(" → ")));
    }
    let Some(route) = routes.get(name) else {
        return match plan.route(Some(name)) {
            Some(route) => Ok(route.targets.clone()),
            None => fail(format!("routes: there is no model `{name}`")),
        };
    };
    if route.targets.is_empty() {
        return fail(format!("routes: `{name}` has no targets"));
    }
    on_the_way.push(name);
    let mut targets = Vec::new();
    for target in &route.targets {
        for found in targets_of(target.model(), routes, plan, on_the_way)? {
            targets.push(Target { weight: target.weight(), ..found });
        }
    }
    on_the_way.pop();
    Ok(targets)
}

fn upstream(
    entry: &ModelProvider,
    provider: &str,
    config: &Config,
    secrets: &dyn Secrets,
) -> Result<Upstream, Mistake> {
    let at = |what: &str| format!("model_providers: `{}`: {what}", entry.model);
    let preset = match Preset::named(provider) {
        Some(preset) => *preset,
        None if entry.base_url.is_some() => Preset::compatible(),
        None => {
            return fail(at(&format!(
                "`{provider}` is not known; a base_url would say where it is"
            )));
        }
    };
    let address = address_of(entry, &preset).map_err(|reason| Mistake::new(at(&reason)))?;
    let dialects = dialects_of(entry, &preset).map_err(|reason| Mistake::new(at(&reason)))?;
    let credential =
        credential(entry, &preset, secrets).map_err(|reason| Mistake::new(at(&reason)))?;
    let ca_pem = entry.ca_file.as_deref().map(|path| secrets.file(path)).transpose();
    Ok(Upstream {
        id: entry.model.clone(),
        provider: entry.provider_name.clone().unwrap_or_else(|| preset.otel.to_owned()),
        scheme: address.scheme,
        authority: address.authority,
        base_path: address.path,
        credential,
        login: Arc::new(Login::new(BreakerPolicy::credential())),
        dialects,
        headers: headers(&entry.headers, secrets).map_err(|reason| Mistake::new(at(&reason)))?,
        propagate: entry.propagate,
        passes_baggage: entry.baggage.unwrap_or(entry.base_url.is_some()),
        injects_usage: entry.include_usage.unwrap_or(preset.injects_usage),
        api_version: entry.api_version.clone(),
        timeouts: entry.timeouts.unwrap_or(config.timeouts),
        ca_pem: ca_pem.map_err(|reason| Mistake::new(at(&reason)))?,
        is_confined: false,
    })
}

fn agent_upstream(
    agent: &config::Agent,
    config: &Config,
    secrets: &dyn Secrets,
) -> Result<Upstream, Mistake> {
    let at = |reason: String| Mistake::new(format!("agents: `{}`: {reason}", agent.id));
    let ca_pem = agent.ca_file.as_deref().map(|path| secrets.file(path)).transpose();
    let address = parse_address(&agent.url).map_err(at)?;
    if let Some(reason) = address::forbidden(address.authority.host()) {
        return Err(at(format!("no agent may be at `{}`: it {reason}", agent.url)));
    }
    Ok(Upstream {
        id: agent.id.clone(),
        provider: String::new(),
        scheme: address.scheme,
        authority: address.authority,
        base_path: address.path,
        credential: Credential::Clients,
        login: Arc::new(Login::new(BreakerPolicy::credential())),
        dialects: Vec::new(),
        headers: headers(&agent.headers, secrets).map_err(at)?,
        propagate: agent.propagate,
        passes_baggage: true,
        injects_usage: false,
        api_version: None,
        timeouts: agent.timeouts.unwrap_or(config.timeouts),
        ca_pem: ca_pem.map_err(at)?,
        is_confined: true,
    })
}

/// The parts of a base address.
struct Address {
    scheme: UriScheme,
    authority: Authority,
    path: String,
}

fn address_of(entry: &ModelProvider, preset: &Preset) -> Result<Address, String> {
    let regional = entry.region.as_ref().map(|region| match preset.scheme {
        Scheme::Aws => format!("https://bedrock-runtime.{region}.amazonaws.com"),
        _ => String::new(),
    });
    let written = entry.base_url.clone().or(regional).unwrap_or(preset.base_url.to_owned());
    if written.is_empty() {
        return Err(match preset.scheme {
            Scheme::Aws => "a region is missing".to_owned(),
            _ => "a base_url is missing".to_owned(),
        });
    }
    let mut address = parse_address(&written)?;
    if address.path.is_empty() {
        let usual = match preset.name {
            "bedrock" | "perplexity" => "",
            "gemini" => "/v1beta",
            "azure" if entry.api_version.is_some() => "/openai",
            "azure" => "/openai/v1",
            _ => "/v1",
        };
        usual.clone_into(&mut address.path);
    }
    Ok(address)
}

fn parse_address(written: &str) -> Result<Address, String> {
    let wrong =
        || format!("expected an address such as https://models.example.com, found `{written}`");
    let uri: Uri = written.parse().map_err(|_| wrong())?;
    let parts = uri.into_parts();
    let scheme = parts.scheme.filter(|s| *s == UriScheme::HTTP || *s == UriScheme::HTTPS);
    let path = parts.path_and_query.as_ref().map_or("", |path| path.path());
    Ok(Address {
        scheme: scheme.ok_or_else(wrong)?,
        authority: parts.authority.filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?,
        path: path.trim_end_matches('/').to_owned(),
    })
}

fn dialects_of(entry: &ModelProvider, preset: &Preset) -> Result<Vec<Dialect>, String> {
    if entry.dialects.is_empty() {
        return Ok(preset.dialects.to_vec());
    }
    let read = |name: &String| {
        let names = || Dialect::ALL.map(Dialect::as_str).join(", ");
        Dialect::from_name(name).ok_or_else(|| format!("`{name}` is none of {}", names()))
    };
    entry.dialects.iter().map(read).collect()
}

fn credential(
    entry: &ModelProvider,
    preset: &Preset,
    secrets: &dyn Secrets,
) -> Result<Credential, String> {
    let Some(key) = &entry.access_key else {
        return match preset.scheme {
            Scheme::Aws => Err("an access_key and a secret_key are missing".to_owned()),
            _ => Ok(Credential::Clients),
        };
    };
    let key = secret("access_key", key, secrets)?;
    let header = |name: &'static str, value: String| {
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| "access_key: has characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(Credential::Header(HeaderName::from_static(name), value))
    };
    match preset.scheme {
        Scheme::Bearer => header("authorization", format!("Bearer {key}")),
        Scheme::Header(name) => header(name, key),
        Scheme::Aws => {
            let region = entry.region.clone().ok_or("a region is missing")?;
            let secret_key = entry.secret_key.as_ref().ok_or("a secret_key is missing")?;
            let token = entry.session_token.as_ref();
            Ok(Credential::Aws(Arc::new(AwsCredential {
                region,
                access_key: key,
                secret_key: secret("secret_key", secret_key, secrets)?,
                session_token: token.map(|t| secret("session_token", t, secrets)).transpose()?,
            })))
        }
    }
}

fn headers(
    written: &std::collections::BTreeMap<String, Secret>,
    secrets: &dyn Secrets,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): (&String, &Secret)| {
        let value = look_up(value, secrets)?.unwrap_or_else(|| value.0.clone());
        let wrong = || format!("headers: `{name}` is no header, or its value cannot be sent");
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let value: HeaderValue = value.parse().map_err(|_| wrong())?;
        Ok((name, value))
    };
    written.iter().map(header).collect()
}

/// A credential, which never stands in the file itself.
fn secret(key: &str, written: &Secret, secrets: &dyn Secrets) -> Result<String, String> {
    let found = look_up(written, secrets).map_err(|reason| format!("{key}: {reason}"))?;
    found.filter(|text| !text.is_empty()).ok_or_else(|| {
        format!(
            "{key}: expected `$VARIABLE` or `file:/path`, so that no secret stands in this file"
        )
    })
}

/// What a text of the configuration stands for; `None` if it stands for itself.
pub fn look_up(written: &Secret, secrets: &dyn Secrets) -> Result<Option<String>, String> {
    if let Some(path) = written.0.strip_prefix("file:") {
        return secrets.file(path).map(|text| Some(text.trim().to_owned()));
    }
    let Some(name) = written.0.strip_prefix('$') else { return Ok(None) };
    let name = name.trim_start_matches('{').trim_end_matches('}');
    let value = secrets.variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
    Ok(Some(value))
}

fn fail<T>(message: String) -> Result<T, Mistake> {
    Err(Mistake::new(message))
}

impl Upstream {
    /// The port, also where the address leaves it to the scheme.
    pub fn port(&self) -> u16 {
        let usual = if self.scheme == UriScheme::HTTPS { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(usual)
    }

    /// Whether what one has, the other has too: it is asked at the same place with the same
    /// credential.
    pub fn shares_account(&self, other: &Upstream) -> bool {
        (&self.scheme, &self.authority, &self.base_path, &self.credential)
            == (&other.scheme, &other.authority, &other.base_path, &other.credential)
    }

    /// Whether it is the same place, asked by the same credential in the same manner. Its login is
    /// left out: that is not how it is reached, but how that went.
    fn is_reached_as(&self, other: &Upstream) -> bool {
        let Upstream {
            id,
            provider,
            scheme,
            authority,
            base_path,
            credential,
            login: _,
            dialects,
            headers,
            propagate,
            passes_baggage,
            injects_usage,
            api_version,
            timeouts,
            ca_pem,
            is_confined,
        } = self;
        (id, provider, scheme, authority, base_path)
            == (&other.id, &other.provider, &other.scheme, &other.authority, &other.base_path)
            && (credential, dialects, headers, propagate)
                == (&other.credential, &other.dialects, &other.headers, &other.propagate)
            && (passes_baggage, injects_usage, api_version, timeouts, ca_pem, is_confined)
                == (
                    &other.passes_baggage,
                    &other.injects_usage,
                    &other.api_version,
                    &other.timeouts,
                    &other.ca_pem,
                    &other.is_confined,
                )
    }

    /// The path, with its query, under which a model is served in a dialect.
    pub fn path(&self, dialect: Dialect, model: &str, is_stream: bool) -> String {
        let base = match (dialect, &self.api_version) {
            (Dialect::Ollama, _) => self.base_path.trim_end_matches("/v1").to_owned(),
            (_, Some(_)) => format!("{}/deployments/{model}", self.base_path),
            _ => self.base_path.clone(),
        };
        let path = provider::path(dialect, model, is_stream);
        match &self.api_version {
            Some(version) => format!("{base}{path}?api-version={version}"),
            None => format!("{base}{path}"),
        }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credential::Clients => "Clients",
            Credential::Header(..) => "Header",
            Credential::Aws(_) => "Aws",
        })
    }
}

#[cfg(test)]
mod tests;

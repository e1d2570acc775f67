//! Limits on requests, tokens and dollars, by key, by model and by both.
//!
//! A [`Rule`] says which requests it counts and whether they share one counter or have one for
//! each key, model or both. A request *reserves* what it is expected to use in every rule that
//! counts it, all or nothing, and *settles* with what it used; a reservation that is dropped is
//! refunded. Windows begin and end with the clock in UTC. The guarantees are written down in
//! `docs/gateway-limits.md`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::keys::{Key, Keys};
use crate::pattern::{Pattern, Patterns};

use account::Account;
pub use account::UseRecord;
pub use quota::{Amount, Level, Quota, Quotas, Shortage, Standing, Unit, Window};

mod account;
mod quota;
#[cfg(test)]
mod tests;

/// How many counters one rule may have. Names of models come from clients; those beyond this
/// number share one counter.
const MAX_GROUPS: usize = 10_000;
/// How often counters are looked through for those that may be closed. Looking through all of
/// them takes about a millisecond.
const TIDY_EVERY_NANOS: u64 = 60_000_000_000;
/// How many pairs of key and model are remembered with the counters that they concern.
const MAX_PLANS: usize = 10_000;
/// The key and model of the counter that groups beyond the number share.
const OTHER: &str = "_OTHER";

/// Which requests a limit counts, and how much they may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule in messages and snapshots.
    pub name: Arc<str>,
    /// The keys whose requests count, by id.
    #[serde(default)]
    pub keys: Patterns,
    /// The models whose requests count.
    #[serde(default)]
    pub models: Patterns,
    /// What has a counter of its own; nothing means that all share one.
    #[serde(default)]
    pub each: Vec<Dimension>,
    /// How much may be used.
    pub limits: Quotas,
}

/// What a rule can count apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Each key has a counter.
    Key,
    /// Each model has a counter.
    Model,
}

impl Rule {
    /// The rules that a key brings with it.
    pub fn of_key(key: &Key) -> impl Iterator<Item = Rule> {
        let rule = |name: String, models: Patterns, limits: &Quotas| Rule {
            name: name.into(),
            keys: Patterns::of([&*key.id]),
            models,
            each: Vec::new(),
            limits: limits.clone(),
        };
        let own = rule(format!("key {}", key.id), Patterns::ALL, &key.limits);
        let by_model = key.model_limits.iter().map(move |(model, limits)| {
            let name = format!("key {} model {}", key.id, model.as_str());
            rule(name, Patterns::of([model.as_str()]), limits)
        });
        std::iter::once(own).chain(by_model).filter(|rule| !rule.limits.is_empty())
    }

    /// The rule that the models of a pattern bring with them: all keys share it.
    pub fn of_model(model: &Pattern, limits: &Quotas) -> Rule {
        Rule {
            name: format!("model {}", model.as_str()).into(),
            keys: Patterns::ALL,
            models: Patterns::of([model.as_str()]),
            each: Vec::new(),
            limits: limits.clone(),
        }
    }

    fn group(&self, who: Who<'_>) -> Group {
        let part = |dimension, name: &str| {
            if self.each.contains(&dimension) { name.into() } else { Box::default() }
        };
        Group { key: part(Dimension::Key, who.key), model: part(Dimension::Model, who.model) }
    }

    fn counts(&self, who: Who<'_>) -> bool {
        self.keys.matches(who.key) && self.models.matches(who.model)
    }

    fn windows(&self) -> impl Iterator<Item = Window> {
        let used = |window: &Window| self.limits.iter().any(|quota| quota.window == *window);
        Window::ALL.into_iter().filter(used)
    }
}

/// Whose request it is and what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The id of the key; empty if the gateway asks for none.
    pub key: &'a str,
    /// The model.
    pub model: &'a str,
}

/// Two rules of one name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("two limits have the name `{0}`")]
pub struct RepeatedRule(Arc<str>);

/// The requests that share a counter; empty where a rule does not tell them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct Group {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    key: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    model: Box<str>,
}

/// Every counter there is. Outlives the rules, so that a reload forgets nothing that was used and
/// a request that was admitted before it settles where it reserved.
#[derive(Debug, Default)]
struct Ledger {
    by_rule: HashMap<Arc<str>, HashMap<Group, Arc<Account>>>,
    n_opened: u64,
    tidied_at: u64,
}

impl Ledger {
    fn account(&mut self, rule: &Arc<str>, group: Group) -> Arc<Account> {
        let accounts = self.by_rule.entry(rule.clone()).or_default();
        let group = if accounts.len() < MAX_GROUPS || accounts.contains_key(&group) {
            group
        } else {
            Group { key: OTHER.into(), model: OTHER.into() }
        };
        accounts
            .entry(group)
            .or_insert_with(|| {
                self.n_opened += 1;
                Arc::new(Account::new(self.n_opened))
            })
            .clone()
    }

    /// Whether a rule has as many counters as it may have, and there may be some to close.
    fn wants_tidying(&self, rules: &[Arc<Rule>], now: u64) -> bool {
        let is_full = |rule: &Arc<Rule>| {
            self.by_rule.get(&rule.name).is_some_and(|accounts| accounts.len() >= MAX_GROUPS)
        };
        now.abs_diff(self.tidied_at) >= TIDY_EVERY_NANOS && rules.iter().any(is_full)
    }

    /// Closes the accounts that nobody holds and that have nothing to remember.
    fn tidy(&mut self, now: u64) {
        self.tidied_at = now;
        for accounts in self.by_rule.values_mut() {
            accounts.retain(|_, account| {
                Arc::strong_count(account) > 1 || !account.record(now).is_empty()
            });
        }
    }
}

/// A rule that concerns a request, and where the request is counted.
#[derive(Debug)]
struct Charge {
    rule: Arc<Rule>,
    account: Arc<Account>,
}

/// What concerns one pair of key and model, in the order in which accounts are locked.
type Plan = Arc<[Charge]>;
/// Plans by key and by model.
type Plans = HashMap<Box<str>, HashMap<Box<str>, Plan>>;

/// The limits in force.
#[derive(Debug, Default)]
pub struct Limits {
    rules: Vec<Arc<Rule>>,
    ledger: Arc<Mutex<Ledger>>,
    plans: RwLock<Plans>,
}

impl Limits {
    /// The limits of a gateway that starts: these rules and those of the keys.
    pub fn new(rules: impl IntoIterator<Item = Rule>, keys: &Keys) -> Result<Self, RepeatedRule> {
        Self::default().with_rules(rules, keys)
    }

    /// Other rules over what is used already. A rule of the same name takes over the counters of
    /// the old one.
    pub fn with_rules(
        &self,
        rules: impl IntoIterator<Item = Rule>,
        keys: &Keys,
    ) -> Result<Self, RepeatedRule> {
        let of_keys = keys.iter().flat_map(|key| Rule::of_key(key));
        let rules: Vec<_> = rules.into_iter().chain(of_keys).map(Arc::new).collect();
        let mut names = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !names.insert(&rule.name)) {
            return Err(RepeatedRule(twice.name.clone()));
        }
        Ok(Limits { rules, ledger: self.ledger.clone(), plans: RwLock::default() })
    }

    /// Reserves what a request is expected to use, in every rule that counts it or in none.
    ///
    /// A request passes while nothing is used up and its estimate fits into what is left. An
    /// estimate of zero passes too, as long as anything is left: who cannot estimate may cross a
    /// limit once, and the next request is refused.
    pub fn reserve(
        &self,
        who: Who<'_>,
        estimate: Amount,
        now_unix_nano: u64,
    ) -> Result<Reservation, Box<Refusal>> {
        let plan = self.plan(who, now_unix_nano);
        let mut standing = Standing::default();
        take(&plan, estimate, now_unix_nano, &mut standing)?;
        Ok(Reservation { plan, estimate, at: now_unix_nano, standing, open: true })
    }

    fn plan(&self, who: Who<'_>, now: u64) -> Plan {
        if self.rules.is_empty() {
            return Plan::default();
        }
        {
            let plans = self.plans.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(plan) = plans.get(who.key).and_then(|models| models.get(who.model)) {
                return plan.clone();
            }
        }
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.ledger();
        if plans.values().map(HashMap::len).sum::<usize>() >= MAX_PLANS {
            plans.clear();
        }
        if ledger.wants_tidying(&self.rules, now) {
            plans.clear();
            ledger.tidy(now);
        }
        let mut charges: Vec<Charge> = self
            .rules
            .iter()
            .filter(|rule| rule.counts(who))
            .map(|rule| Charge {
                rule: rule.clone(),
                account: ledger.account(&rule.name, rule.group(who)),
            })
            .collect();
        charges.sort_by_key(|charge| charge.account.serial);
        let plan = Plan::from(charges);
        plans.entry(who.key.into()).or_default().insert(who.model.into(), plan.clone());
        plan
    }

    /// What is used in windows that have not ended, to be kept over a restart. What is reserved
    /// counts as used.
    pub fn snapshot(&self, now_unix_nano: u64) -> Snapshot {
        let mut accounts = BTreeMap::<Arc<str>, Vec<AccountRecord>>::new();
        for (rule, groups) in &self.ledger().by_rule {
            let records = groups.iter().filter_map(|(group, account)| {
                let uses = account.record(now_unix_nano);
                (!uses.is_empty()).then(|| AccountRecord { group: group.clone(), uses })
            });
            let mut records: Vec<_> = records.collect();
            records.sort_by(|one, other| one.group.cmp(&other.group));
            if !records.is_empty() {
                accounts.insert(rule.clone(), records);
            }
        }
        Snapshot { accounts }
    }

    /// Takes up what was used before a restart, under the rules that still have their names. To
    /// be called before the first request.
    pub fn restore(&self, snapshot: &Snapshot, now_unix_nano: u64) {
        let mut ledger = self.ledger();
        for rule in &self.rules {
            for record in snapshot.accounts.get(&rule.name).into_iter().flatten() {
                let account = ledger.account(&rule.name, record.group.clone());
                for used in &record.uses {
                    account.restore(used, now_unix_nano);
                }
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks all accounts while all of them are locked, and only then charges them: nobody sees a
/// reservation that is about to be taken back, so that nobody is refused because of it.
fn take(
    plan: &[Charge],
    estimate: Amount,
    now: u64,
    standing: &mut Standing,
) -> Result<(), Box<Refusal>> {
    let Some((charge, rest)) = plan.split_first() else { return Ok(()) };
    let mut uses = charge.account.lock();
    let shortages = charge.rule.limits.iter().filter_map(|quota| {
        let slot = &mut uses[quota.window as usize];
        let used = slot.at(quota.window, now).of(quota.unit);
        let reset = (quota.window != Window::Total)
            .then(|| Duration::from_nanos(slot.end().saturating_sub(now)));
        quota.check(used, estimate.of(quota.unit), reset, standing)
    });
    // Of several reasons, the one that takes longest to pass.
    let worst = shortages.max_by_key(|short| short.retry_after.unwrap_or(Duration::MAX));
    if let Some(shortage) = worst {
        let (rule, standing) = (charge.rule.name.clone(), *standing);
        return Err(Box::new(Refusal { rule, shortage, standing }));
    }
    take(rest, estimate, now, standing)?;
    for window in charge.rule.windows() {
        uses[window as usize].charge(estimate);
    }
    Ok(())
}

/// What a request under way has reserved. Dropping it gives everything back, which is right for a
/// request that failed before a provider did anything for it.
#[derive(Debug)]
#[must_use = "dropping a reservation refunds it"]
pub struct Reservation {
    plan: Plan,
    estimate: Amount,
    at: u64,
    standing: Standing,
    open: bool,
}

impl Reservation {
    /// How the client stands, with this reservation taken off.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What is reserved.
    pub fn estimate(&self) -> Amount {
        self.estimate
    }

    /// Puts what was used in place of what was reserved. It may be more, even more than there is:
    /// the request is served already, and it is the next one that is refused.
    pub fn settle(mut self, actual: Amount, now_unix_nano: u64) {
        self.open = false;
        for charge in self.plan.iter() {
            let mut uses = charge.account.lock();
            for window in charge.rule.windows() {
                let slot = &mut uses[window as usize];
                slot.at(window, now_unix_nano);
                slot.settle(self.estimate, actual, self.at);
            }
        }
    }

    /// Lets the estimate stand, where nobody said what was used: unknown is not nothing.
    pub fn keep(mut self) {
        self.open = false;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        for charge in self.plan.iter() {
            let mut uses = charge.account.lock();
            for window in charge.rule.windows() {
                uses[window as usize].refund(self.estimate, self.at);
            }
        }
    }
}

/// Which limit a request ran into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the rule.
    pub rule: Arc<str>,
    /// What does not suffice.
    pub shortage: Shortage,
    standing: Standing,
}

impl Refusal {
    /// How the client stands, as far as was looked at.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The value of `Retry-After`, whole seconds; `None` if waiting will not help.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.shortage.retry_after.map(quota::whole_seconds)
    }

    /// The headers of the answer: `retry-after` and `x-ratelimit-*`.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let retry_after = self.retry_after_seconds().map(|s| ("retry-after", s.to_string()));
        retry_after.into_iter().chain(self.standing.headers())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit `{}` of {}", self.rule, self.shortage.quota)?;
        if self.shortage.wanted > self.shortage.quota.limit {
            return write!(f, " is less than the request may use");
        }
        write!(f, " is used up")?;
        match self.retry_after_seconds() {
            Some(seconds) => write!(f, "; try again in {seconds} s"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// What was used when the snapshot was taken. Its JSON may be kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    accounts: BTreeMap<Arc<str>, Vec<AccountRecord>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AccountRecord {
    #[serde(flatten)]
    group: Group,
    uses: Vec<UseRecord>,
}

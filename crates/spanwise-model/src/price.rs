//! What tokens cost, in integer nano-dollars.
//!
//! A [`PriceTable`] is dated, and so is each of its rates: what a call cost last year does not
//! change when a price does. A model that is not in the table has no cost, which is not the same
//! as costing nothing.

use std::collections::HashMap;

use serde::Deserialize;

use crate::genai::Usage;

/// Prices by model.
#[derive(Clone, Debug)]
pub struct PriceTable {
    date: String,
    models: Vec<Model>,
    /// Every name and alias, in lower case, with the models of that name: one per provider.
    by_name: HashMap<String, Vec<usize>>,
}

/// Why a text is no price table.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPriceTable {
    /// Not JSON, or not of the expected shape.
    #[error("price table: {0}")]
    Json(#[from] serde_json::Error),
    /// A table of a later format.
    #[error("price table has format {0}, expected {FORMAT}")]
    Format(u32),
    /// Something other than `YYYY-MM-DD`.
    #[error("price table: model {model} has the date {date:?}, expected YYYY-MM-DD")]
    Date {
        /// The model.
        model: String,
        /// What stood there.
        date: String,
    },
    /// A price that is negative or absurdly high.
    #[error("price table: model {model} has a price outside 0 to {MAX_USD_PER_MILLION}")]
    Price {
        /// The model.
        model: String,
    },
    /// A model without rates.
    #[error("price table: model {0} has no rates")]
    NoRates(String),
    /// Two models with one name.
    #[error("price table: {0} is named twice by one provider")]
    Repeated(String),
}

const FORMAT: u32 = 1;
const MAX_USD_PER_MILLION: f64 = 1e6;
/// Providers that run models on somebody's own machine: a price list does not apply to them.
const SELF_HOSTED: [&str; 6] = ["ollama", "vllm", "lm_studio", "llama_cpp", "localai", "local"];

/// What a call is priced by, besides its tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// Who served it; empty if not known.
    pub provider: &'a str,
    /// The model; the one that answered if it is known.
    pub model: &'a str,
    /// `default`, `flex`, `priority` and so on; empty if not known.
    pub service_tier: &'a str,
    /// When, nanoseconds since 1970: the rates of that day apply.
    pub time_unix_nano: u64,
}

#[derive(Clone, Debug)]
struct Model {
    provider: String,
    rates: Vec<Rate>,
}

/// Prices in pico-dollars per token (which is micro-dollars per million tokens).
#[derive(Clone, Debug)]
struct Rate {
    since_unix_nano: u64,
    input_above: Option<u64>,
    service_tiers: Vec<String>,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
}

impl PriceTable {
    /// The table that comes with the program.
    pub fn bundled() -> Self {
        #[expect(clippy::expect_used, reason = "the text is part of the program; a test parses it")]
        Self::parse(include_str!("price/table.json")).expect("the bundled price table is valid")
    }

    /// A table without prices: every cost is unknown.
    pub fn empty() -> Self {
        PriceTable { date: String::new(), models: Vec::new(), by_name: HashMap::new() }
    }

    /// Reads a table in our JSON format.
    pub fn parse(json: &str) -> Result<Self, InvalidPriceTable> {
        let file: TableFile = serde_json::from_str(json)?;
        if file.format != FORMAT {
            return Err(InvalidPriceTable::Format(file.format));
        }
        let mut table = PriceTable { date: file.date, ..Self::empty() };
        for model in file.models {
            table.add(model)?;
        }
        Ok(table)
    }

    fn add(&mut self, file: ModelFile) -> Result<(), InvalidPriceTable> {
        let rates: Vec<Rate> =
            file.rates.iter().map(|rate| rate.check(&file.model)).collect::<Result<_, _>>()?;
        if rates.is_empty() {
            return Err(InvalidPriceTable::NoRates(file.model));
        }
        let index = self.models.len();
        for name in std::iter::once(file.model).chain(file.aliases) {
            let named = self.by_name.entry(name.to_lowercase()).or_default();
            if named.iter().any(|&other| self.models[other].provider == file.provider) {
                return Err(InvalidPriceTable::Repeated(name));
            }
            named.push(index);
        }
        self.models.push(Model { provider: file.provider, rates });
        Ok(())
    }

    /// The day on which the table was made, `YYYY-MM-DD`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// How many models have a price.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether there are no prices.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// What a call cost in nano-dollars; `None` when the model or the tokens are not known.
    pub fn cost(&self, terms: Terms<'_>, usage: &Usage) -> Option<i64> {
        let model = self.find(terms)?;
        model.rate(terms, usage.input.unwrap_or(0))?.cost(usage)
    }

    fn find(&self, terms: Terms<'_>) -> Option<&Model> {
        if terms.model.is_empty() || SELF_HOSTED.contains(&terms.provider) {
            return None;
        }
        let named = self.by_name.get(terms.model).or_else(|| self.resolve(terms.model))?;
        let mut models = named.iter().map(|&index| &self.models[index]);
        // A cloud that resells a model charges its maker's price unless the table says otherwise.
        models.clone().find(|model| model.provider == terms.provider).or_else(|| models.next())
    }

    /// Finds a model under the longer names that gateways, clouds and releases give it:
    /// `openai/gpt-4o`, `us.anthropic.claude-3-haiku-20240307-v1:0`, `gpt-4o-2099-01-01`.
    fn resolve(&self, model: &str) -> Option<&Vec<usize>> {
        let lower = model.to_lowercase();
        let bare = lower.rsplit('/').next().unwrap_or(&lower);
        let bare = bare.find("anthropic.").map_or(bare, |at| &bare[at + "anthropic.".len()..]);
        let ends = bare.rmatch_indices(['-', '@', ':']);
        let shorter =
            ends.filter(|&(at, _)| is_version(&bare[at + 1..])).map(|(at, _)| &bare[..at]);
        std::iter::once(bare)
            .chain(fine_tuned_base(bare))
            .chain(shorter)
            .find_map(|name| self.by_name.get(name))
    }
}

/// `ft:gpt-3.5-turbo-0613` of `ft:gpt-3.5-turbo-0613:organisation::id`.
fn fine_tuned_base(model: &str) -> Option<&str> {
    let base = model.strip_prefix("ft:")?;
    base.find(':').map(|end| &model[..end + "ft:".len()])
}

/// Whether the end of a model's name only says which release it is. A word such as `mini` or a
/// small number makes another model, whose price we would be guessing.
fn is_version(suffix: &str) -> bool {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let is_release = |word: &str| word == "latest" || word.strip_prefix('v').is_some_and(is_number);
    let mut words = suffix.split(['-', '@', ':']);
    words.next().is_some_and(|word| is_release(word) || (word.len() >= 3 && is_number(word)))
        && words.all(|word| is_release(word) || is_number(word))
}

impl Model {
    /// The rate in force at that time under those terms. A call older than the first rate is
    /// priced by the first: the table starts when we noticed the model, not when it appeared.
    fn rate(&self, terms: Terms<'_>, input_tokens: u64) -> Option<&Rate> {
        let first = self.rates.iter().map(|rate| rate.since_unix_nano).min()?;
        let at = terms.time_unix_nano.max(first);
        self.rates
            .iter()
            .filter(|rate| rate.since_unix_nano <= at && rate.applies(terms, input_tokens))
            .max_by_key(|rate| (rate.since_unix_nano, rate.specificity()))
    }
}

impl Rate {
    fn applies(&self, terms: Terms<'_>, input_tokens: u64) -> bool {
        self.input_above.is_none_or(|limit| input_tokens > limit)
            && (self.service_tiers.is_empty()
                || self.service_tiers.iter().any(|tier| tier == terms.service_tier))
    }

    fn specificity(&self) -> u8 {
        2 * u8::from(!self.service_tiers.is_empty()) + u8::from(self.input_above.is_some())
    }

    /// Rule $2. Counts are inclusive, so the parts with prices of their own are taken out first.
    fn cost(&self, usage: &Usage) -> Option<i64> {
        if usage.input.is_none() && usage.output.is_none() {
            // A model that has no output (an embedding) may give its tokens as a total only.
            let total = usage.total.filter(|_| self.output == 0)?;
            return nano_usd(u128::from(total) * u128::from(self.input));
        }
        let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
        let cache_read = usage.cache_read.unwrap_or(0).min(input);
        let cache_write = usage.cache_write.unwrap_or(0).min(input - cache_read);
        let reasoning = usage.reasoning.unwrap_or(0).min(output);
        let parts = [
            (input - cache_read - cache_write, self.input),
            (cache_read, self.cache_read),
            (cache_write, self.cache_write),
            (output - reasoning, self.output),
            (reasoning, self.reasoning),
        ];
        nano_usd(parts.iter().map(|&(n, price)| u128::from(n) * u128::from(price)).sum())
    }
}

/// Pico-dollars to nano-dollars, rounded to the nearest.
fn nano_usd(pico_usd: u128) -> Option<i64> {
    i64::try_from((pico_usd + 500) / 1000).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    format: u32,
    date: String,
    #[serde(rename = "unit")]
    _unit: String,
    models: Vec<ModelFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    provider: String,
    model: String,
    #[serde(default)]
    aliases: Vec<String>,
    rates: Vec<RateFile>,
}

/// Prices in dollars per million tokens, as price lists give them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateFile {
    since: String,
    input_above: Option<u64>,
    #[serde(default)]
    service_tier: Vec<String>,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    reasoning: Option<f64>,
}

impl RateFile {
    fn check(&self, model: &str) -> Result<Rate, InvalidPriceTable> {
        let price = |usd_per_million: f64| {
            if (0.0..=MAX_USD_PER_MILLION).contains(&usd_per_million) {
                Ok((usd_per_million * 1e6).round() as u64)
            } else {
                Err(InvalidPriceTable::Price { model: model.to_owned() })
            }
        };
        let since_unix_nano = midnight(&self.since).ok_or_else(|| InvalidPriceTable::Date {
            model: model.to_owned(),
            date: self.since.clone(),
        })?;
        Ok(Rate {
            since_unix_nano,
            input_above: self.input_above,
            service_tiers: self.service_tier.clone(),
            input: price(self.input)?,
            output: price(self.output)?,
            cache_read: price(self.cache_read.unwrap_or(self.input))?,
            cache_write: price(self.cache_write.unwrap_or(self.input))?,
            reasoning: price(self.reasoning.unwrap_or(self.output))?,
        })
    }
}

/// Days from the first of March of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;

/// The start of a day (`YYYY-MM-DD`, UTC), nanoseconds since 1970.
fn midnight(date: &str) -> Option<u64> {
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=2400).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Counting years from March puts the leap day last, so months have fixed offsets.
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leap_days + (month_from_march * 153 + 2) / 5 + day - 1;
    Some((days - DAYS_TO_1970) * 86_400 * 1_000_000_000)
}

#[cfg(test)]
mod tests;

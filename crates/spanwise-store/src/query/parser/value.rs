//! What stands after `field:`: patterns, numbers with units, ranges, lists, regular expressions.

use super::super::field::{FieldType, Unit};
use super::super::{Bound, Field, Filter, Pattern, Range, Test};
use super::{ParseError, Parser, join_any, negate};

/// One item of a list of values, as written.
struct Item {
    /// The text, quotes taken off.
    text: String,
    start: usize,
    quoted: bool,
    wildcard: bool,
}

impl Parser<'_> {
    /// Reads what stands after `field:`.
    pub(super) fn field_value(&mut self, field: &Field) -> Result<Filter, ParseError> {
        match self.peek() {
            None | Some(')') => return Err(self.missing_value(field)),
            Some(c) if c.is_whitespace() => return Err(self.missing_value(field)),
            Some('(') => {
                let expected = format!("a value; for one of several, {}:a,b", field.name());
                return Err(self.error("\"(\" where a value should be", expected));
            }
            Some('~') => return self.regex_value(field),
            Some('>' | '<') => return self.comparison(field),
            Some(_) => {}
        }
        let items = self.items(field)?;
        self.end_of_value()?;
        if let [only] = items.as_slice() {
            if only.wildcard && only.text == "*" {
                return Ok(Filter::Has(field.clone()));
            }
            if *field == Field::Error && !only.quoted {
                match only.text.to_ascii_lowercase().as_str() {
                    "true" => return Ok(Filter::Failed),
                    "false" => return Ok(negate(Filter::Failed)),
                    _ => {}
                }
            }
        }
        self.list(field, items)
    }

    fn missing_value(&self, field: &Field) -> ParseError {
        self.error(format!("\"{}:\" without a value", field.name()), "a value, without a space")
    }

    fn regex_value(&mut self, field: &Field) -> Result<Filter, ParseError> {
        self.at += 1;
        let start = self.at;
        if let FieldType::Number(_) = field.value_type() {
            let message = format!("\"{}\" is a number", field.name());
            return Err(self.error(message, "a number, a comparison or a range"));
        }
        let text = if self.peek() == Some('"') { self.quoted()? } else { self.run(true) };
        if text.is_empty() {
            return Err(self.error("\"~\" without a regular expression", "one"));
        }
        self.end_of_value()?;
        Ok(Filter::Test(field.clone(), Test::Regex(self.regex(start, &text)?)))
    }

    /// Takes characters up to a space, or a parenthesis that the run itself did not open. A
    /// comma ends it unless `commas` belong to it, and so does a quote.
    fn run(&mut self, commas: bool) -> String {
        let mut open = 0_usize;
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.find(|c: char| {
            let in_regex_escape = escaped;
            escaped = commas && c == '\\' && !in_regex_escape;
            if in_regex_escape && !c.is_whitespace() {
                return false;
            }
            match c {
                '(' => open += 1,
                ')' if open == 0 => return true,
                ')' => open -= 1,
                ',' | '"' => return !commas,
                _ => {}
            }
            c.is_whitespace()
        });
        let run = &rest[..end.unwrap_or(rest.len())];
        self.at += run.len();
        run.to_owned()
    }

    fn comparison(&mut self, field: &Field) -> Result<Filter, ParseError> {
        let start = self.at;
        let is_min = self.eat(">");
        if !is_min {
            self.eat("<");
        }
        let inclusive = self.eat("=");
        let number_at = self.at;
        let text = if self.peek() == Some('"') { self.quoted()? } else { self.run(false) };
        self.end_of_value()?;
        let unit = self.unit_of(field, start)?;
        let value = parse_number(unit, &text, None)
            .ok_or_else(|| self.error_at(number_at, "this is no number", number_example(unit)))?;
        let bound = Some(Bound { value, inclusive });
        let range =
            if is_min { Range { min: bound, max: None } } else { Range { min: None, max: bound } };
        Ok(Filter::Test(field.clone(), Test::Range(range)))
    }

    /// The unit of a field that can be compared with a number.
    fn unit_of(&self, field: &Field, at: usize) -> Result<Option<Unit>, ParseError> {
        match field.value_type() {
            FieldType::Number(unit) => Ok(Some(unit)),
            FieldType::Recorded => Ok(None),
            _ => {
                let message = format!("\"{}\" is text and cannot be compared", field.name());
                Err(self.error_at(at, message, "a value, a list, a wildcard or ~regex"))
            }
        }
    }

    /// Takes the values of a list.
    fn items(&mut self, field: &Field) -> Result<Vec<Item>, ParseError> {
        let mut items = vec![];
        loop {
            items.push(self.item(field)?);
            if !self.eat(",") {
                return Ok(items);
            }
        }
    }

    /// Takes one value: runs and quoted strings side by side, as a shell reads them. A `*`
    /// outside of quotes makes it a wildcard.
    fn item(&mut self, field: &Field) -> Result<Item, ParseError> {
        let start = self.at;
        let mut item = Item { text: String::new(), start, quoted: false, wildcard: false };
        let mut quoted_star = false;
        loop {
            if self.peek() == Some('"') {
                let text = self.quoted()?;
                quoted_star |= text.contains('*');
                item.quoted = true;
                item.text += &text;
                continue;
            }
            let run = self.run(false);
            if run.is_empty() {
                break;
            }
            item.wildcard |= run.contains('*');
            item.text += &run;
        }
        if self.at == start {
            return Err(self.error("a value is missing", format!("a value of {}", field.name())));
        }
        if item.wildcard && quoted_star {
            let expected = "either quotes or wildcards; use ~regex for both";
            return Err(self.error_at(start, "a quoted \"*\" beside a wildcard", expected));
        }
        Ok(item)
    }

    fn list(&mut self, field: &Field, items: Vec<Item>) -> Result<Filter, ParseError> {
        let mut patterns = vec![];
        let mut filters = vec![];
        for item in items {
            let range = match field.value_type() {
                FieldType::Number(unit) => Some(self.number_or_range(unit, &item)?),
                FieldType::Recorded => self.recorded_range(&item)?,
                _ => None,
            };
            match range {
                Some(range) => {
                    if !filters.is_empty() {
                        self.count_term(item.start)?;
                    }
                    filters.push(Filter::Test(field.clone(), Test::Range(range)));
                }
                None => patterns.push(self.pattern(field, item)?),
            }
        }
        if !patterns.is_empty() {
            filters.insert(0, Filter::Test(field.clone(), Test::Any(patterns)));
        }
        Ok(join_any(filters))
    }

    fn pattern(&self, field: &Field, item: Item) -> Result<Pattern, ParseError> {
        let Item { text, start, wildcard, .. } = item;
        match field.value_type() {
            FieldType::Word(words) => {
                let text = text.to_ascii_lowercase();
                if !wildcard && !words.contains(&text.as_str()) {
                    return Err(self.unknown_word(field, start, &text, words));
                }
                Ok(if wildcard { Pattern::Wildcard(text) } else { Pattern::Exact(text) })
            }
            FieldType::Id(digits) => {
                let text = text.to_ascii_lowercase();
                let is_hex = text.chars().all(|c| c.is_ascii_hexdigit() || wildcard && c == '*');
                if !is_hex || (!wildcard && text.len() != digits) {
                    let message = format!("this is no {}", field.name());
                    let expected =
                        format!("{digits} hexadecimal digits, or the first of them and \"*\"");
                    return Err(self.error_at(start, message, expected));
                }
                Ok(if wildcard { Pattern::Wildcard(text) } else { Pattern::Exact(text) })
            }
            _ if wildcard => Ok(Pattern::Wildcard(text)),
            _ => Ok(Pattern::Exact(text)),
        }
    }

    fn unknown_word(
        &self,
        field: &Field,
        start: usize,
        text: &str,
        words: &'static [&'static str],
    ) -> ParseError {
        let message = match nearest(text, words) {
            Some(word) => format!("unknown {} \"{text}\", did you mean \"{word}\"?", field.name()),
            None => format!("unknown {} \"{text}\"", field.name()),
        };
        let expected = match words {
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
            [] => String::new(),
        };
        self.error_at(start, message, expected)
    }

    fn number_or_range(&self, unit: Unit, item: &Item) -> Result<Range, ParseError> {
        let text = item.text.as_str();
        let bad = || self.error_at(item.start, "this is no number", number_example(Some(unit)));
        let Some((min, max)) = text.split_once("..") else {
            let value = parse_number(Some(unit), text, None).ok_or_else(bad)?;
            return Ok(exactly(value));
        };
        let bound = |text: &str| {
            if text.is_empty() {
                return Ok(None);
            }
            parse_number(Some(unit), text, Some(max)).map(Some).ok_or_else(bad)
        };
        match (bound(min)?, bound(max)?) {
            (None, None) => Err(bad()),
            (min, max) => self.range(item, min, max),
        }
    }

    /// A range of recorded numbers, or nothing if the value is not one: `1.2..x` is text.
    fn recorded_range(&self, item: &Item) -> Result<Option<Range>, ParseError> {
        if item.quoted {
            return Ok(None);
        }
        let Some((min, max)) = item.text.split_once("..") else { return Ok(None) };
        let bounds = [min, max].map(|text| (text.is_empty(), parse_number(None, text, None)));
        match bounds {
            [(true, _), (true, _)] => Ok(None),
            [(min_open, min), (max_open, max)]
                if (min_open || min.is_some()) && (max_open || max.is_some()) =>
            {
                self.range(item, min, max).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn range(&self, item: &Item, min: Option<f64>, max: Option<f64>) -> Result<Range, ParseError> {
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(self.error_at(item.start, "this range is empty", "the smaller end first"));
        }
        let bound = |value| Bound { value, inclusive: true };
        Ok(Range { min: min.map(bound), max: max.map(bound) })
    }
}

fn exactly(value: f64) -> Range {
    let bound = Some(Bound { value, inclusive: true });
    Range { min: bound, max: bound }
}

fn number_example(unit: Option<Unit>) -> &'static str {
    match unit {
        Some(Unit::Duration) => "a duration such as 250ms, 1.5s or 2m",
        Some(Unit::Cost) => "an amount in dollars such as 0.05 or $1.20",
        Some(Unit::Tokens) => "a count such as 500, 10k or 1.5M",
        None => "a number such as 500 or 0.7",
    }
}

/// Durations' suffixes with their length as (factor, power of ten) in nanoseconds.
const DURATION_UNITS: [(&str, f64, i32); 10] = [
    ("ns", 1.0, 0),
    ("us", 1.0, 3),
    ("µs", 1.0, 3),
    ("ms", 1.0, 6),
    ("min", 60.0, 9),
    ("s", 1.0, 9),
    ("m", 60.0, 9),
    ("h", 3600.0, 9),
    ("d", 86400.0, 9),
    ("", 1.0, 6),
];

/// Reads a number in the unit of a field, exactly: scaling by a power of ten is done on the text.
/// A duration without a unit takes that of `unit_from`, so that `1..5s` means seconds.
fn parse_number(unit: Option<Unit>, text: &str, unit_from: Option<&str>) -> Option<f64> {
    match unit {
        None => parse_decimal(text, 0),
        Some(Unit::Tokens) => match text.strip_suffix(['k', 'K']) {
            Some(thousands) => parse_decimal(thousands, 3),
            None => match text.strip_suffix(['m', 'M']) {
                Some(millions) => parse_decimal(millions, 6),
                None => parse_decimal(text, 0),
            },
        },
        Some(Unit::Cost) => {
            let dollars = text.strip_prefix('$').or(text.strip_suffix('$')).unwrap_or(text);
            parse_decimal(dollars, 9)
        }
        Some(Unit::Duration) => {
            let suffix_of = |text: &'_ str| DURATION_UNITS.iter().find(|u| text.ends_with(u.0));
            let own = suffix_of(text)?;
            let inherited = unit_from.filter(|_| own.0.is_empty()).and_then(suffix_of);
            let (_, factor, power) = inherited.unwrap_or(own);
            let digits = &text[..text.len() - own.0.len()];
            Some(parse_decimal(digits, *power)? * factor)
        }
    }
}

/// Reads a decimal number times ten to the `power`.
fn parse_decimal(text: &str, power: i32) -> Option<f64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.parse::<i32>().ok()?.checked_add(power)?;
    let value: f64 = format!("{digits}e{exponent}").parse().ok()?;
    value.is_finite().then_some(value)
}

/// The word that was probably meant.
fn nearest(text: &str, words: &[&'static str]) -> Option<&'static str> {
    let by_distance = words.iter().map(|word| (edit_distance(text, word), *word));
    by_distance.min().filter(|(distance, word)| *distance <= 1 + word.len() / 4).map(|(_, w)| w)
}

/// How many insertions, deletions and replacements lead from one word to the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

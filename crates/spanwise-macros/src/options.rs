//! What may stand in a macro's parentheses.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitStr, Result, Token, parenthesized, token};

/// Options that set an attribute of the span and of everything below it.
const INHERITED: [&str; 6] =
    ["organization_id", "project_id", "agent_id", "request_id", "conversation_id", "user_id"];

const OTHERS: [&str; 5] = ["name", "skip", "skip_all", "skip_output", "err"];

/// What a use of a macro asks for.
#[derive(Default)]
pub struct Options {
    /// In place of the function's name.
    pub name: Option<LitStr>,
    /// Arguments that are not recorded.
    pub skip: Vec<Ident>,
    /// Whether no argument is.
    pub skip_all: bool,
    /// Whether the result is not.
    pub skip_output: bool,
    /// Whether an `Err` fails the span; where it was said.
    pub err: Option<Ident>,
    /// Attributes for the span and everything below it: option and value.
    pub inherited: Vec<(Ident, Expr)>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Options::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let key: Ident = input.parse().map_err(|error| {
                Error::new(error.span(), "expected an option, such as `name = \"…\"`")
            })?;
            if seen.contains(&key) {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            options.option(&key, input)?;
            seen.push(key);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if options.skip_all && !options.skip.is_empty() {
            return Err(Error::new(options.skip[0].span(), "`skip_all` skips it already"));
        }
        Ok(options)
    }
}

impl Options {
    fn option(&mut self, key: &Ident, input: ParseStream<'_>) -> Result<()> {
        let text = key.to_string();
        match text.as_str() {
            "name" => self.name = Some(name(key, input)?),
            "skip" => self.skip = skipped(key, input)?,
            "skip_all" => self.skip_all = true,
            "skip_output" => self.skip_output = true,
            "err" => self.err = Some(key.clone()),
            known if INHERITED.contains(&known) => {
                expect_value(key, input)?;
                self.inherited.push((key.clone(), input.parse()?));
            }
            _ => return Err(Error::new(key.span(), unknown(&text))),
        }
        Ok(())
    }
}

fn expect_value(key: &Ident, input: ParseStream<'_>) -> Result<()> {
    if input.parse::<Option<Token![=]>>()?.is_none() {
        return Err(Error::new(key.span(), format!("`{key}` needs a value: `{key} = …`")));
    }
    Ok(())
}

fn name(key: &Ident, input: ParseStream<'_>) -> Result<LitStr> {
    expect_value(key, input)?;
    let name: LitStr =
        input.parse().map_err(|error| Error::new(error.span(), "`name` needs a string literal"))?;
    if name.value().trim().is_empty() {
        return Err(Error::new(name.span(), "`name` is empty"));
    }
    Ok(name)
}

fn skipped(key: &Ident, input: ParseStream<'_>) -> Result<Vec<Ident>> {
    if !input.peek(token::Paren) {
        let message = "`skip` needs the arguments to leave out: `skip(a, b)`";
        return Err(Error::new(key.span(), message));
    }
    let inside;
    parenthesized!(inside in input);
    let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&inside, |input| {
        // `self` is a keyword, and never recorded anyway.
        input.call(syn::ext::IdentExt::parse_any)
    })?;
    Ok(names.into_iter().collect())
}

/// Names the option that was probably meant.
fn unknown(text: &str) -> String {
    let all = || OTHERS.iter().chain(&INHERITED);
    let nearest = all().map(|known| (distance(text, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 => {
            format!("unknown option `{text}`; did you mean `{known}`?")
        }
        _ => {
            let all: Vec<_> = all().map(|known| format!("`{known}`")).collect();
            format!("unknown option `{text}`, expected one of {}", all.join(", "))
        }
    }
}

/// How many characters have to be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, unknown};

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!((distance("", "ab"), distance("kitten", "sitting")), (2, 3));
        assert!(unknown("organisation_id").ends_with("did you mean `organization_id`?"));
        assert!(unknown("colour").contains("expected one of `name`, `skip`"));
    }
}

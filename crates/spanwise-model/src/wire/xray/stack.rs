//! Stack traces as lists of frames, and back.

/// One line of a stack trace that names a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame<'t> {
    pub(super) path: &'t str,
    pub(super) line: u32,
    pub(super) label: &'t str,
}

/// The frames of a stack trace as Python, Java and JavaScript write it. Other lines are left out.
pub(super) fn frames(stack: &str) -> impl Iterator<Item = Frame<'_>> {
    stack.lines().map(str::trim).filter_map(|line| python(line).or_else(|| at(line)))
}

/// `File "path", line 24, in label`.
fn python(line: &str) -> Option<Frame<'_>> {
    let (path, rest) = line.strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, label) = rest.split_once(", in ").unwrap_or((rest, ""));
    Some(Frame { path, line: number.parse().ok()?, label })
}

/// `at label (path:24)`, `at label(path:24:7)` or `at path:24`; a space may precede the number.
fn at(line: &str) -> Option<Frame<'_>> {
    let line = line.strip_prefix("at ")?;
    let (label, place) = match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((label, place)) => (label.trim_end(), place),
        None => ("", line),
    };
    let number = |text: &str| text.trim_start().parse().ok();
    let Some((path, last)) = place.rsplit_once(':') else {
        return Some(Frame { path: place, line: 0, label });
    };
    // Of two numbers the second is a column.
    match path.rsplit_once(':').and_then(|(path, line)| Some((path, number(line)?))) {
        Some((path, line)) if number(last).is_some() => Some(Frame { path, line, label }),
        _ => match number(last) {
            Some(line) => Some(Frame { path, line, label }),
            None => Some(Frame { path: place, line: 0, label }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_several_languages_are_found() {
        let stack = "Traceback (most recent call last):\n  File \"/a/b.py\", line 24, in <module>\n    \
                     raise x\njava.lang.Error: no\n\tat com.shop.Cart.buy(Cart.java:12)\n\
                     at fn (file:///x.js:10:5)\n    at /y.js:3:1\nat label (p.py: 7)\nat native";
        let found: Vec<_> = frames(stack).map(|f| (f.label, f.path, f.line)).collect();
        assert_eq!(
            found,
            [
                ("<module>", "/a/b.py", 24),
                ("com.shop.Cart.buy", "Cart.java", 12),
                ("fn", "file:///x.js", 10),
                ("", "/y.js", 3),
                ("label", "p.py", 7),
                ("", "native", 0),
            ]
        );
    }
}

//! Composes a shader from its template: imports, conditions and text-level unrolling.
//!
//! WGSL has no way to say "four named accumulators for each of eight pixels". Private arrays are
//! slow on some drivers, and `override` constants cannot change bindings or element types.
//!
//! A template line that starts with `#` is a directive:
//!
//! - `#import NAME` pastes `shaders/shared/NAME.wgsl`;
//! - `#if EXPR`, `#else`, `#endif` keep or drop lines;
//! - `#for NAME in A..B`, `#endfor` repeat lines;
//! - `${EXPR}` anywhere becomes the value of an integer expression over the defines and loop
//!   variables.
//!
//! Expressions have `+ - * / %`, comparisons, `!`, `&&`, `||` and parentheses, over `i64`; a true
//! comparison is 1.

use crate::text::cut;
use std::fmt::Write as _;

/// Integer constants that a template's directives see.
pub type Defines<'a> = &'a [(&'a str, i64)];

/// Expands `source` with `defines`; `import` finds shared files by name. Errors name the line.
pub fn compose<'s>(source: &'s str, defines: Defines<'_>, import: &dyn Fn(&str) -> Option<&'s str>) -> Result<String, String> {
    let mut names: Vec<(String, i64)> = defines.iter().map(|(n, v)| (n.to_string(), *v)).collect();
    let lines: Vec<&str> = source.lines().collect();
    let mut out = String::with_capacity(source.len() * 2);
    expand(&lines, &mut names, import, &mut out)?;
    Ok(out)
}

fn expand<'s>(
    lines: &[&'s str],
    names: &mut Vec<(String, i64)>,
    import: &dyn Fn(&str) -> Option<&'s str>,
    out: &mut String,
) -> Result<(), String> {
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let trimmed = line.trim_ascii_start();
        let fail = |why: String| format!("`{}`: {why}", trimmed.trim_ascii_end());
        if let Some(name) = trimmed.strip_prefix("#import ") {
            let text = import(name.trim_ascii()).ok_or_else(|| fail("no such shared file".into()))?;
            expand(&text.lines().collect::<Vec<_>>(), names, import, out)?;
            at += 1;
        } else if let Some(condition) = trimmed.strip_prefix("#if ") {
            let (middle, end) = block_end(lines, at, "#if ", "#endif").map_err(fail)?;
            let taken = evaluate(condition, names).map_err(fail)? != 0;
            let body = match (taken, middle) {
                (true, middle) => &lines[at + 1..middle.unwrap_or(end)],
                (false, Some(middle)) => &lines[middle + 1..end],
                (false, None) => &[],
            };
            expand(body, names, import, out)?;
            at = end + 1;
        } else if let Some(header) = trimmed.strip_prefix("#for ") {
            let (_, end) = block_end(lines, at, "#for ", "#endfor").map_err(fail)?;
            let (name, range) = cut(header, " in ").ok_or_else(|| fail("expected `#for NAME in A..B`".into()))?;
            let (low, high) = cut(range, "..").ok_or_else(|| fail("expected `#for NAME in A..B`".into()))?;
            let (low, high) = (evaluate(low, names).map_err(fail)?, evaluate(high, names).map_err(fail)?);
            for value in low..high {
                names.push((name.trim_ascii().to_string(), value));
                let result = expand(&lines[at + 1..end], names, import, out);
                names.pop();
                result?;
            }
            at = end + 1;
        } else if trimmed.starts_with('#') {
            return Err(fail("unknown or unmatched directive".into()));
        } else {
            substitute(line, names, out).map_err(fail)?;
            out.push('\n');
            at += 1;
        }
    }
    Ok(())
}

/// The `#else` (of an `#if`) and the end of the block that opens at `start`.
fn block_end(lines: &[&str], start: usize, open: &str, close: &str) -> Result<(Option<usize>, usize), String> {
    let (mut depth, mut middle) = (0, None);
    for (at, line) in lines.iter().enumerate().skip(start) {
        let line = line.trim_ascii();
        if line.starts_with(open) {
            depth += 1;
        } else if line == close {
            depth -= 1;
            if depth == 0 {
                return Ok((middle, at));
            }
        } else if line == "#else" && depth == 1 && open == "#if " {
            middle = Some(at);
        }
    }
    Err(format!("no matching {close}"))
}

fn substitute(line: &str, names: &[(String, i64)], out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some((before, after)) = cut(rest, "${") {
        let (expression, after) = cut(after, "}").ok_or("no `}` after `${`")?;
        out.push_str(before);
        write!(out, "{}", evaluate(expression, names)?).expect("writing to a String cannot fail");
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

fn evaluate(text: &str, names: &[(String, i64)]) -> Result<i64, String> {
    let mut parser = Expression { text: text.as_bytes(), at: 0, names };
    let value = parser.binary(0)?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(format!("cannot read `{}`", &text[parser.at..])),
    }
}

/// Precedence climbing over the operators below, weakest first.
struct Expression<'a> {
    text: &'a [u8],
    at: usize,
    names: &'a [(String, i64)],
}

const OPERATORS: [&[&str]; 5] = [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

impl Expression<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn binary(&mut self, level: usize) -> Result<i64, String> {
        let Some(operators) = OPERATORS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while self.peek().is_some() {
            let Some(operator) = operators.iter().find(|o| self.text[self.at..].starts_with(o.as_bytes())) else { break };
            self.at += operator.len();
            let right = self.binary(level + 1)?;
            left = match *operator {
                "||" => (left != 0 || right != 0).into(),
                "&&" => (left != 0 && right != 0).into(),
                "==" => (left == right).into(),
                "!=" => (left != right).into(),
                "<=" => (left <= right).into(),
                ">=" => (left >= right).into(),
                "<" => (left < right).into(),
                ">" => (left > right).into(),
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "/" => left.checked_div_euclid(right).ok_or("division by zero")?,
                _ => left.checked_rem_euclid(right).ok_or("division by zero")?,
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<i64, String> {
        match self.peek() {
            Some(b'!') => {
                self.at += 1;
                Ok((self.unary()? == 0).into())
            }
            Some(b'-') => {
                self.at += 1;
                Ok(-self.unary()?)
            }
            Some(b'(') => {
                self.at += 1;
                let value = self.binary(0)?;
                if self.peek() != Some(b')') {
                    return Err("missing `)`".into());
                }
                self.at += 1;
                Ok(value)
            }
            Some(c) if c.is_ascii_alphanumeric() || c == b'_' => {
                let start = self.at;
                while self.text.get(self.at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_') {
                    self.at += 1;
                }
                let word = std::str::from_utf8(&self.text[start..self.at]).map_err(|e| e.to_string())?;
                if c.is_ascii_digit() {
                    return word.parse().map_err(|_| format!("`{word}` is no number"));
                }
                // The innermost loop variable wins.
                self.names.iter().rev().find(|(n, _)| n == word).map(|(_, v)| *v).ok_or_else(|| format!("`{word}` is not defined"))
            }
            _ => Err("expression ends too early".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: &str, defines: Defines<'_>) -> Result<String, String> {
        compose(source, defines, &|name| (name == "shared").then_some("shared ${N}"))
    }

    #[test]
    fn loops_conditions_and_imports_nest() {
        let source = "#for p in 0..N\n#for b in p..N\nlet a${p}_${b} = ${(p + 1) * b};\n#endfor\n#if p == 1\nlast\n#else\nfirst\n#endif\n#endfor\n#import shared";
        assert_eq!(run(source, &[("N", 2)]).unwrap(), "let a0_0 = 0;\nlet a0_1 = 1;\nfirst\nlet a1_1 = 2;\nlast\nshared 2\n");
    }

    #[test]
    fn expressions_follow_precedence() {
        for (text, value) in [("1 + 2 * 3", 7), ("(1+2)*3 % 4", 1), ("!(2 > 1) || 3 >= 3 && 1", 1), ("-4 + 1", -3), ("7/2", 3)] {
            assert_eq!(evaluate(text, &[]), Ok(value), "{text}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (source, part) in [
            ("#if X\n#endif", "`X` is not defined"),
            ("#if 1\nx", "no matching #endif"),
            ("${1 +}", "ends too early"),
            ("#import nothing", "no such shared file"),
            ("#endfor", "unmatched"),
            ("${1/0}", "division by zero"),
        ] {
            let error = run(source, &[]).unwrap_err();
            assert!(error.contains(part), "{source}: {error}");
        }
    }
}

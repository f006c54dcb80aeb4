//! Reads JSON: the header of a weights file, its metadata, a `config.json`.
//!
//! It is small, for the browser package carries it: serde_json, the safetensors crate's reader and
//! what serde derives for both would be a large part of the package. A number stays the text that
//! it was, so that messages show it as it was written.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

/// A value of a JSON document, whose text it shares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// In the order of the document.
    Object(Vec<Field<'a>>),
}

/// A name and what stands under it.
pub(crate) type Field<'a> = (Cow<'a, str>, Value<'a>);

/// Lists and objects in each other: more are refused, for each takes room on the stack.
const DEEPEST: usize = 128;

/// Values that any document may have. More need more bytes, so that a document's values take four
/// times its bytes at most, and 64 MiB.
const FREE_VALUES: usize = 1 << 19;
/// Bytes for each value beyond.
const BYTES_PER_VALUE: usize = 16;

impl<'a> Value<'a> {
    /// Reads a document; the error says what was expected at which byte.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0, left: FREE_VALUES + text.len() / BYTES_PER_VALUE };
        let read = reader.value(0).and_then(|value| if reader.next().is_none() { Ok(value) } else { Err("the end") });
        read.map_err(|expected| format!("expected {expected} at byte {} of {}", reader.at, text.len()))
    }

    /// What the object holds under this key, the last time it is named there. Anything else holds
    /// nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Object(fields) = self else { return None };
        fields.iter().rfind(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Value<'a>]> {
        if let Value::List(items) = self { Some(items) } else { None }
    }

    /// A number that is written as a whole one.
    pub(crate) fn whole(&self) -> Option<usize> {
        if let Value::Number(number) = self { number.parse().ok() } else { None }
    }

    /// A whole number, which may be negative.
    pub(crate) fn step(&self) -> Option<isize> {
        if let Value::Number(number) = self { number.parse().ok() } else { None }
    }

    /// A number: the nearest, if it has up to 15 digits and an exponent up to 22, else one beside
    /// it at worst.
    pub(crate) fn number(&self) -> Option<f64> {
        let Value::Number(number) = self else { return None };
        let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        // What does not fit is far beyond the range of f64.
        let beyond = if exponent.starts_with('-') { -10_000 } else { 10_000 };
        let mut exponent = exponent.parse().unwrap_or(beyond).clamp(-10_000, 10_000);
        let mut mantissa = 0u64;
        let mut fraction = false;
        for digit in digits.bytes() {
            match digit {
                b'.' => fraction = true,
                b'0'..=b'9' if mantissa < u64::MAX / 100 => {
                    mantissa = mantissa * 10 + u64::from(digit - b'0');
                    exponent -= i32::from(fraction);
                }
                b'0'..=b'9' => exponent += i32::from(!fraction),
                _ => {}
            }
        }
        let mut value = mantissa as f64;
        while exponent != 0 && value != 0.0 && value.is_finite() {
            // f64 holds powers of ten up to here exactly.
            let step = exponent.clamp(-22, 22);
            let power = (0..step.abs()).fold(1.0, |power, _| power * 10.0);
            value = if step > 0 { value * power } else { value / power };
            exponent -= step;
        }
        Some(if digits.starts_with('-') { -value } else { value })
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => f.write_str(if *value { "true" } else { "false" }),
            Value::Number(number) => f.write_str(number),
            Value::Text(text) => quote(text, f),
            Value::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Value::Object(fields) => {
                f.write_char('{')?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { "," })?;
                    quote(name, f)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            '\0'..='\x1f' => write!(f, "\\u{:04x}", c as u32)?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// A document and how far it is read. Errors say what was expected there.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Values that may follow.
    left: usize,
}

impl<'a> Reader<'a> {
    /// The byte at hand.
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.peek()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, &'static str> {
        if depth > DEEPEST {
            return Err("fewer brackets in each other");
        }
        self.left = self.left.checked_sub(1).ok_or("fewer values in so few bytes")?;
        match self.next() {
            Some(b'{') => {
                let mut fields = Vec::new();
                self.items(b'}', |reader| {
                    reader.next();
                    let name = reader.string()?;
                    if !reader.take(b':') {
                        return Err("`:`");
                    }
                    fields.push((name, reader.value(depth + 1)?));
                    Ok(())
                })?;
                fields.shrink_to_fit();
                Ok(Value::Object(fields))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(b']', |reader| {
                    items.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                items.shrink_to_fit();
                Ok(Value::List(items))
            }
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
                let found = words.into_iter().find(|(word, _)| self.text.as_bytes()[self.at..].starts_with(word.as_bytes()));
                let (word, value) = found.ok_or("a value")?;
                self.at += word.len();
                Ok(value)
            }
        }
    }

    /// What stands between brackets, the first of which is at hand, with commas between.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Result<(), &'static str>) -> Result<(), &'static str> {
        self.at += 1;
        if self.take(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(end) {
                return Ok(());
            }
            if !self.take(b',') {
                return Err("`,` or a closing bracket");
            }
        }
    }

    fn digits(&mut self) -> Result<(), &'static str> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err("a digit") }
    }

    fn number(&mut self) -> Result<Value<'a>, &'static str> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        // Nothing follows a zero in front.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'-' | b'+')));
            self.digits()?;
        }
        Ok(Value::Number(self.text[start..self.at].into()))
    }

    /// A text, whose opening quote is expected at hand.
    fn string(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if self.peek() != Some(b'"') {
            return Err("`\"`");
        }
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            // What needs no change begins and ends at whole characters, for the bytes that end it
            // are characters of their own.
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            text += &rest[..plain];
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {}
                _ => return Err("the end of a text"),
            }
            self.at += 1;
            let escaped = match self.peek() {
                Some(c @ (b'"' | b'\\' | b'/')) => c.into(),
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(b'u') => {
                    let c = self.escaped()?;
                    text.to_mut().push(c);
                    continue;
                }
                _ => return Err("a character that may be escaped"),
            };
            text.to_mut().push(escaped);
            self.at += 1;
        }
        self.at += 1;
        Ok(text)
    }

    /// The character of a `\uXXXX`, whose `u` is at hand, or of two that make one.
    fn escaped(&mut self) -> Result<char, &'static str> {
        let first = self.unit()?;
        let code = match first {
            0xd800..0xdc00 if self.text.as_bytes()[self.at..].starts_with(b"\\u") => {
                self.at += 1;
                let second = self.unit()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err("the second half of a character");
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code).ok_or("a whole character")
    }

    /// The four digits after the `u` at hand.
    fn unit(&mut self) -> Result<u32, &'static str> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or("four hexadecimal digits")?;
            self.at += 1;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_and_shown() {
        let text = r#" {"a": [1, -0.5e+3, null, true, false], "b\n\u00e9\ud83d\ude00": {"c": "\"\\\/\b\f\r\t"}, "d": [], "e": {}} "#;
        let value = Value::parse(text).unwrap();
        assert_eq!(value.get("a").unwrap().to_string(), "[1,-0.5e+3,null,true,false]");
        assert_eq!(value.get("b\né😀").unwrap().get("c").unwrap().text(), Some("\"\\/\u{8}\u{c}\r\t"));
        assert_eq!(value.get("f"), None);
        // What is shown is JSON again.
        assert_eq!(Value::parse(&value.to_string()), Ok(value));
        assert_eq!(Value::parse(r#"{"a": 1, "a": 2}"#).unwrap().get("a").unwrap().whole(), Some(2));
    }

    #[test]
    fn numbers_are_the_nearest() {
        let number = |text: &str| Value::parse(text).unwrap().number().unwrap();
        for text in ["0", "-0.0", "0.485", "1e-7", "123456789012345", "0.1", "1.5E22", "-2.5e-10", "1e22", "1e400", "1e-400"] {
            assert_eq!(number(text).to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
        for text in ["1e99999999999", "-1e99999999999"] {
            assert!(number(text).is_infinite());
        }
        assert_eq!(number("1e-99999999999"), 0.0);
        let long = format!("0.{}", "3".repeat(1000));
        assert_eq!(number(&long) as f32, 1.0 / 3.0);
        for (text, whole) in
            [("18446744073709551615", Some(usize::MAX)), ("1e9", None), ("-4", None), ("1.0", None), ("18446744073709551616", None)]
        {
            assert_eq!(Value::parse(text).unwrap().whole(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "1 2",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "NaN",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "\u{feff}1",
            // A NUL is a byte as others are, not the end.
            "\0",
            "{}\0<html>",
            "[1\0]",
            "1\0",
            "\"\0\"",
            &deep,
        ] {
            assert!(Value::parse(text).is_err(), "{text}");
        }
        let many = format!("[{}0]", "0,".repeat(1 << 20));
        assert_eq!(Value::parse(&many), Err(format!("expected fewer values in so few bytes at byte 1310719 of {}", many.len())));
        assert_eq!(Value::parse("[1, x]"), Err("expected a value at byte 4 of 6".to_string()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_json_reads_it(text in r#"([\[\]{},:"\\ue0-9.+ -]|null|"a":|true|[1-9]){0,12}"#) {
            let other = serde_json::from_str::<serde_json::Value>(&text);
            match Value::parse(&text) {
                Ok(value) => prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&value.to_string()).ok(), other.ok()),
                // serde_json also refuses numbers that f64 does not hold.
                Err(_) => prop_assert!(other.is_err()),
            }
        }
    }
}

//! JSON (RFC 8259), one strict pass over the bytes.
//!
//! Our own parser, because neither serde's data model nor `serde_json::Value` preserves what the API
//! promises: digits as written, duplicate keys, and the location of every value.

use super::tree::{Builder, Kind, Origin, u32_of, usize_of};
use super::{Document, Malformed};
use std::borrow::Cow;

/// Maximum nesting of lists and objects. The deepest request (a plot's multipolygon in a batch) needs 8.
const MAX_DEPTH: u32 = 32;

/// Maximum number of values, keys included, in one body. It is twice the number in a batch of 10,000 seals or
/// 5,000 logs, and so many values need less than 15 MB of memory.
const MAX_VALUES: usize = 500_000;

/// If an object has at most this number of keys, each new key is compared with all others; if it has more,
/// the keys are sorted at the end of the object.
const FEW_KEYS: usize = 32;

impl<'s> Document<'s> {
    /// Reads a JSON body: UTF-8, with or without a byte order mark.
    ///
    /// # Errors
    /// [`Malformed`], the first syntax error, with its line and character.
    pub fn parse(body: &'s [u8]) -> Result<Self, Malformed> {
        let bytes = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        if u32::try_from(bytes.len()).is_err() {
            return Err(Malformed::in_text(b"", 0, "too-large", "The body is larger than 4 GiB."));
        }
        let source = std::str::from_utf8(bytes).map_err(|error| {
            Malformed::in_text(bytes, error.valid_up_to(), "not-utf8", "The body is not valid UTF-8.")
        })?;
        // A typical body has about one value per 16 bytes, so with this capacity the list rarely has to grow.
        let items = Vec::with_capacity((bytes.len() / 16).min(MAX_VALUES));
        let mut parser =
            Parser { source, at: 0, built: Builder { items, decoded: String::new() }, keys: Vec::new() };
        parser.space();
        parser.value(0, 0, MAX_DEPTH)?;
        parser.space();
        if parser.at < bytes.len() {
            return Err(parser.unexpected("the end of the body"));
        }
        Ok(parser.built.finish(source, Origin::Json, Vec::new()))
    }
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    built: Builder,
    /// Keys of the currently open objects, innermost last.
    keys: Vec<u32>,
}

impl Parser<'_> {
    fn error(&self, at: usize, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed::in_text(self.source.as_bytes(), at, code, detail)
    }

    fn unexpected(&self, expected: &str) -> Malformed {
        match self.source[self.at..].chars().next() {
            None if self.source.trim().is_empty() => self.error(self.at, "not-json", "The body is empty."),
            None => self.error(self.at, "not-json", format!("The body ends where {expected} should be.")),
            Some('\0') => self.nul(self.at),
            Some(found) => {
                let detail = format!("Expected {expected}, found `{}`.", found.escape_default());
                self.error(self.at, "not-json", detail)
            }
        }
    }

    fn nul(&self, at: usize) -> Malformed {
        self.error(at, "nul-character", "NUL characters are not accepted.")
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, parent: u32, position: u32, depth: u32) -> Result<(), Malformed> {
        if self.built.items.len() >= MAX_VALUES {
            let detail = format!("The body has more than {MAX_VALUES} keys and values.");
            return Err(self.error(self.at, "too-many-values", detail));
        }
        match self.peek() {
            Some(b'"') => self.string(parent, position).map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(parent, position),
            Some(b'{') => self.object(parent, position, self.inside(depth)?),
            Some(b'[') => self.list(parent, position, self.inside(depth)?),
            Some(b't') => self.word("true", Kind::True, parent, position),
            Some(b'f') => self.word("false", Kind::False, parent, position),
            Some(b'n') => self.word("null", Kind::Null, parent, position),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn inside(&self, depth: u32) -> Result<u32, Malformed> {
        depth.checked_sub(1).ok_or_else(|| {
            let detail = format!("Lists and objects may be nested {MAX_DEPTH} deep, not deeper.");
            self.error(self.at, "too-deep", detail)
        })
    }

    fn word(&mut self, word: &str, kind: Kind, parent: u32, position: u32) -> Result<(), Malformed> {
        if !self.source[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.built.leaf(kind, parent, self.at..self.at + word.len(), position);
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn number(&mut self, parent: u32, position: u32) -> Result<(), Malformed> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.built.leaf(Kind::Number, parent, from..self.at, position);
        Ok(())
    }

    fn list(&mut self, parent: u32, position: u32, depth: u32) -> Result<(), Malformed> {
        let list = self.built.open(Kind::List, parent, position);
        let mut len = 0;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.space();
                self.value(list, len, depth)?;
                len += 1;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return Err(self.unexpected("`,` or `]`")),
                }
            }
        }
        self.built.close(list, len);
        Ok(())
    }

    fn object(&mut self, parent: u32, position: u32, depth: u32) -> Result<(), Malformed> {
        let object = self.built.open(Kind::Object, parent, position);
        let first = self.keys.len();
        let mut len = 0;
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a key in quotes"));
                }
                let key_at = self.at;
                let key = self.string(object, u32_of(key_at))?;
                self.compare_key(key, first)?;
                self.space();
                if self.peek() != Some(b':') {
                    return Err(self.unexpected("`:`"));
                }
                self.at += 1;
                self.space();
                self.value(object, 0, depth)?;
                len += 1;
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err(self.unexpected("`,` or `}`")),
                }
            }
        }
        self.compare_many_keys(first)?;
        self.keys.truncate(first);
        self.built.close(object, len);
        Ok(())
    }

    fn key_text(&self, key: u32) -> &str {
        let item = self.built.items[usize_of(key)];
        let span = usize_of(item.start)..usize_of(item.start) + usize_of(item.len);
        if item.kind == Kind::Decoded { &self.built.decoded[span] } else { &self.source[span] }
    }

    fn compare_key(&mut self, key: u32, first: usize) -> Result<(), Malformed> {
        let open = &self.keys[first..];
        if open.len() < FEW_KEYS && open.iter().any(|other| self.key_text(*other) == self.key_text(key)) {
            return Err(self.duplicate(key));
        }
        self.keys.push(key);
        Ok(())
    }

    fn compare_many_keys(&mut self, first: usize) -> Result<(), Malformed> {
        if self.keys.len() - first <= FEW_KEYS {
            return Ok(());
        }
        let mut keys = self.keys.split_off(first);
        // The keys are sorted by text, then by position, so that the second of two equal keys is reported.
        keys.sort_unstable_by(|a, b| self.key_text(*a).cmp(self.key_text(*b)).then(a.cmp(b)));
        match keys.windows(2).find(|pair| self.key_text(pair[0]) == self.key_text(pair[1])) {
            Some(pair) => Err(self.duplicate(pair[1])),
            None => Ok(()),
        }
    }

    fn duplicate(&self, key: u32) -> Malformed {
        let name: String = self.key_text(key).chars().take(50).collect();
        let detail = format!("The key `{}` appears twice in one object.", name.escape_debug());
        self.error(usize_of(self.built.items[usize_of(key)].position), "duplicate-key", detail)
    }

    fn string(&mut self, parent: u32, position: u32) -> Result<u32, Malformed> {
        let opening = self.at;
        self.at += 1;
        let from = self.at;
        self.run();
        if self.peek() == Some(b'"') {
            let span = from..self.at;
            self.at += 1;
            return Ok(self.built.leaf(Kind::Text, parent, span, position));
        }
        let start = self.built.decoded.len();
        let mut from = from;
        loop {
            self.built.decoded.push_str(&self.source[from..self.at]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape()?;
                    self.built.decoded.push(character);
                }
                Some(0) => return Err(self.nul(self.at)),
                Some(control) => {
                    let detail = format!("The character U+{control:04X} must be escaped in a string.");
                    return Err(self.error(self.at, "not-json", detail));
                }
                None => return Err(self.error(opening, "not-json", "This string is not closed.")),
            }
            from = self.at;
            self.run();
        }
        self.at += 1;
        Ok(self.built.leaf(Kind::Decoded, parent, start..self.built.decoded.len(), position))
    }

    /// Skips the characters of a string that need no handling, up to a quote, a backslash or a control
    /// character.
    fn run(&mut self) {
        let rest = &self.source.as_bytes()[self.at..];
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
        self.at += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let backslash = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode(backslash);
            }
            _ => return Err(self.unexpected("one of `\"\\/bfnrtu`")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self, backslash: usize) -> Result<char, Malformed> {
        let lone =
            |parser: &Self| parser.error(backslash, "lone-surrogate", "Half of a surrogate pair is missing.");
        let code = match self.hex()? {
            0 => return Err(self.nul(backslash)),
            high @ 0xD800..=0xDBFF => {
                if !self.source[self.at..].starts_with("\\u") {
                    return Err(lone(self));
                }
                self.at += 2;
                match self.hex()? {
                    low @ 0xDC00..=0xDFFF => 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00),
                    _ => return Err(lone(self)),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| lone(self))
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

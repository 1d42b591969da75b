//! Splits Rust source into tokens and line comments, and cuts out the items that only tests compile.

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An identifier or keyword. A raw identifier keeps its `r#`, so it is never taken for a keyword.
    Word(String),
    /// A punctuation character.
    Sign(char),
    /// `::` and `=>` are tokens of their own; all other combinations of signs are separate signs.
    PathSep,
    FatArrow,
    /// The content of a string literal of any kind, escapes left as written.
    Text(String),
    /// A number, character or lifetime; its value is of no interest.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
}

impl Token {
    pub fn word(&self) -> Option<&str> {
        if let Kind::Word(word) = &self.kind { Some(word) } else { None }
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    pub fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    pub fn opens(&self) -> bool {
        matches!(self.kind, Kind::Sign('(' | '[' | '{'))
    }

    pub fn closes(&self) -> bool {
        matches!(self.kind, Kind::Sign(')' | ']' | '}'))
    }
}

/// What a file consists of.
#[derive(Debug, Default)]
pub struct Lexed {
    pub tokens: Vec<Token>,
    /// Every `//`, `///` and `//!` comment with its line number. Block comments are left out.
    pub comments: Vec<(usize, String)>,
}

struct Lexer {
    signs: Vec<char>,
    at: usize,
    line: usize,
    out: Lexed,
}

/// Splits a file. Never fails: source that does not compile gives some tokens, and the compiler reports it.
pub fn lex(source: &str, first_line: usize) -> Lexed {
    let mut lexer = Lexer { signs: source.chars().collect(), at: 0, line: first_line, out: Lexed::default() };
    while lexer.at < lexer.signs.len() {
        lexer.step();
    }
    lexer.out
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.signs.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let sign = self.peek(0);
        self.at += 1;
        if sign == '\n' {
            self.line += 1;
        }
        sign
    }

    fn push(&mut self, kind: Kind, line: usize) {
        self.out.tokens.push(Token { kind, line });
    }

    fn step(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                let mut text = String::new();
                while self.at < self.signs.len() && self.peek(0) != '\n' {
                    text.push(self.bump());
                }
                self.out.comments.push((line, text));
            }
            ('/', '*') => self.block_comment(),
            ('"', _) => {
                self.bump();
                self.string(line);
            }
            ('\'', _) => self.quote(line),
            (':', ':') => self.pair(Kind::PathSep, line),
            ('=', '>') => self.pair(Kind::FatArrow, line),
            (sign, _) if sign.is_ascii_digit() => {
                self.take_word();
                self.push(Kind::Other, line);
            }
            (sign, _) if is_word(sign) => self.word_or_prefixed(line),
            (sign, _) => {
                self.bump();
                if !sign.is_whitespace() {
                    self.push(Kind::Sign(sign), line);
                }
            }
        }
    }

    fn pair(&mut self, kind: Kind, line: usize) {
        self.at += 2;
        self.push(kind, line);
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at < self.signs.len() {
            let step = match (self.peek(0), self.peek(1)) {
                ('/', '*') => 1,
                ('*', '/') => -1,
                _ => 0,
            };
            depth = depth.saturating_add_signed(step);
            self.bump();
            if step != 0 {
                self.bump();
            }
            if depth == 0 {
                break;
            }
        }
    }

    /// Reads a string with escapes after its opening quote.
    fn string(&mut self, line: usize) {
        let mut text = String::new();
        while self.at < self.signs.len() {
            match self.bump() {
                '"' => break,
                '\\' => {
                    text.push('\\');
                    text.push(self.bump());
                }
                sign => text.push(sign),
            }
        }
        self.push(Kind::Text(text), line);
    }

    /// Reads a raw string after its `r`: its hashes and what they enclose.
    fn raw_string(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.bump();
        }
        self.bump();
        let mut text = String::new();
        while self.at < self.signs.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#') {
                self.at += 1 + hashes;
                break;
            }
            text.push(self.bump());
        }
        self.push(Kind::Text(text), line);
    }

    /// Reads a character (`'a'`) or a lifetime (`'a`).
    fn quote(&mut self, line: usize) {
        self.bump();
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.signs.len() && self.bump() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        } else {
            self.take_word();
        }
        self.push(Kind::Other, line);
    }

    fn take_word(&mut self) -> String {
        let mut word = String::new();
        while is_word(self.peek(0)) {
            word.push(self.bump());
        }
        word
    }

    fn word_or_prefixed(&mut self, line: usize) {
        let word = self.take_word();
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("r" | "br" | "cr", '"', _) | ("r" | "br" | "cr", '#', '"' | '#') => self.raw_string(line),
            ("b" | "c", '"', _) => {
                self.bump();
                self.string(line);
            }
            ("b", '\'', _) => self.quote(line),
            ("r", '#', sign) if is_word(sign) => {
                self.bump();
                let name = self.take_word();
                self.push(Kind::Word(format!("r#{name}")), line);
            }
            _ => self.push(Kind::Word(word), line),
        }
    }
}

pub fn is_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The index after the bracket that closes the one at `open`.
pub fn behind_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// The name of a module under `#[cfg(test)]`, and the value of its `#[path]` if it has one. An inline module
/// may also have files of its own.
#[derive(Debug, PartialEq)]
pub struct TestModule {
    pub name: String,
    pub path: Option<String>,
}

/// Removes every item, field, arm or statement under `#[cfg(test)]`, and returns the modules among them
/// so that the caller can leave out their files as well.
pub fn cut_tests(tokens: &[Token]) -> (Vec<Token>, Vec<TestModule>) {
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if let Some(open) = inner_attribute(tokens, at) {
            let end = behind_group(tokens, open);
            if is_test(&tokens[open..end]) {
                // `#![cfg(test)]`: the rest of the file or of the inline module is test code.
                at = end_of_block(tokens, end);
                continue;
            }
        }
        let mut body = at;
        let (mut test, mut path) = (false, None);
        while tokens[body..].first().is_some_and(|sign| sign.is('#')) && is_open(tokens, body + 1) {
            let end = behind_group(tokens, body + 1);
            test |= is_test(&tokens[body + 1..end]);
            path = path.or_else(|| path_attribute(&tokens[body + 1..end]));
            body = end;
        }
        if test {
            let end = end_of_item(tokens, body);
            modules.extend(outer_module(&tokens[body..end], path));
            at = end;
        } else {
            let end = body.max(at + 1);
            kept.extend_from_slice(&tokens[at..end]);
            at = end;
        }
    }
    (kept, modules)
}

fn is_open(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|sign| sign.is('['))
}

fn inner_attribute(tokens: &[Token], at: usize) -> Option<usize> {
    (tokens[at].is('#') && tokens.get(at + 1)?.is('!') && is_open(tokens, at + 2)).then_some(at + 2)
}

/// Whether this is `[cfg(test)]` or `[cfg(all(test, ..))]`. Code under `any(test, ..)` or `not(test)` is
/// compiled without tests too, so it stays.
fn is_test(attribute: &[Token]) -> bool {
    let words: Vec<&str> = attribute.iter().take(6).filter_map(Token::word).collect();
    words.starts_with(&["cfg", "test"]) || words.starts_with(&["cfg", "all", "test"])
}

fn path_attribute(attribute: &[Token]) -> Option<String> {
    let [_, name, _, value, ..] = attribute else { return None };
    match &value.kind {
        Kind::Text(path) if name.is_word("path") => Some(path.clone()),
        _ => None,
    }
}

fn outer_module(item: &[Token], path: Option<String>) -> Option<TestModule> {
    let at = item.iter().position(|token| token.is_word("mod"))?;
    let name = item.get(at + 1)?.word()?.to_owned();
    (!item[..at].iter().any(|token| token.is('{'))).then_some(TestModule { name, path })
}

fn end_of_block(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < tokens.len() && !tokens[at].closes() {
        at = if tokens[at].opens() { behind_group(tokens, at) } else { at + 1 };
    }
    at
}

/// The index after the item, field, arm or statement at `from`.
fn end_of_item(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    if tokens.get(at).is_some_and(|token| token.is_word("pub")) {
        at += 1;
        if tokens.get(at).is_some_and(|token| token.is('(')) {
            at = behind_group(tokens, at);
        }
    }
    let word = |at: usize| tokens.get(at).and_then(Token::word).unwrap_or_default();
    // An item with a block ends with the block, a `use`, constant or alias ends with `;`, and a field or arm
    // ends with a comma.
    let (block, comma) = match (word(at), word(at + 1)) {
        ("const" | "unsafe" | "extern" | "async", "fn" | "unsafe" | "impl" | "extern") => (true, false),
        ("use" | "const" | "static" | "type" | "let", _) | ("extern", "crate") => (false, false),
        (
            "fn" | "mod" | "struct" | "enum" | "union" | "trait" | "impl" | "unsafe" | "extern" | "async"
            | "macro_rules",
            _,
        ) => (true, false),
        _ => (tokens.get(at).is_some_and(|token| token.is('{')), true),
    };
    while at < tokens.len() {
        let token = &tokens[at];
        if token.closes() {
            return at;
        } else if token.opens() {
            let brace = token.is('{');
            at = behind_group(tokens, at);
            if block && brace {
                return at;
            }
        } else if token.is(';') || comma && token.is(',') {
            return at + 1;
        } else {
            at += 1;
        }
    }
    at
}

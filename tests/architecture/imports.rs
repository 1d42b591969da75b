//! Finds every Rust path (such as `crate::base::units`) in the source of the crate, and the modules to which
//! it leads.

use crate::lex::{Kind, Token, behind_group, cut_tests, lex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

pub const GROUPS: [&str; 8] = ["commands", "http", "services", "timber", "evidence", "db", "net", "base"];

/// Keywords that can stand before a path, but cannot be its first segment.
const KEYWORDS: [&str; 17] = [
    "as", "box", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move", "mut",
    "return", "where", "while",
];

/// The path of a module or item from the root of the crate, without `crate`. If its first segment is empty,
/// it is in another crate.
pub type Place = Vec<String>;

pub struct Source {
    /// The path from the folder of the crate, with slashes: `src/timber/seal/void.rs`.
    pub path: String,
    pub module: Place,
    /// The tokens of the file without code under `#[cfg(test)]`; empty if all of the file is such code.
    pub tokens: Vec<Token>,
    pub comments: Vec<(usize, String)>,
    pub lines: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    /// A path in a body, signature, macro or attribute.
    Path,
    /// An imported name of a `use` tree; `name` is the name under which it is imported.
    Use {
        name: String,
        public: bool,
    },
    Glob {
        public: bool,
    },
}

/// A path in the source (or an imported name of a `use` tree), as it is written there.
#[derive(Clone, Debug)]
pub struct Mention {
    pub source: usize,
    pub line: usize,
    module: Place,
    written: Vec<String>,
    leaf: Leaf,
}

/// An import of one node by another.
#[derive(Clone, Debug)]
pub struct Import {
    pub from: String,
    pub to: String,
    /// `src/timber/seal/void.rs:13`.
    pub at: String,
    /// What is imported, such as `crate::timber::custody::Table`, and the path of its definition if this is a
    /// re-export.
    pub what: String,
}

impl Source {
    /// Whether this file defines an enum of this name.
    pub fn defines(&self, name: &str) -> bool {
        self.tokens.windows(2).any(|two| two[0].is_word("enum") && two[1].is_word(name))
    }
}

impl Mention {
    pub fn is_glob(&self) -> bool {
        matches!(self.leaf, Leaf::Glob { .. })
    }

    /// Whether this is a `use` that makes the name available. `pub(crate) use name;` re-exports a macro and
    /// does not count, because following it would lead back to itself.
    fn brings(&self, name: &str) -> bool {
        matches!(&self.leaf, Leaf::Use { name: used, .. } if used == name)
            && (self.written.len() > 1 || self.written[0] != name)
    }

    pub fn is_use(&self) -> bool {
        matches!(self.leaf, Leaf::Use { .. })
    }
}

#[derive(Default)]
pub struct Tree {
    pub sources: Vec<Source>,
    pub mentions: Vec<Mention>,
    modules: BTreeSet<Place>,
    /// Names of the items that each module defines, including those in its functions and impls.
    items: BTreeMap<Place, BTreeSet<String>>,
    /// For each module, the indexes in `mentions` of the names that it imports by `use`.
    uses: BTreeMap<Place, Vec<usize>>,
    /// The modules that each module imports by a glob.
    globs: BTreeMap<Place, Vec<Place>>,
    /// Macros that `#[macro_export]` puts at the root of the crate, by name.
    macros: BTreeMap<String, Place>,
}

/// Every source file below a folder, named from `src/` on.
pub fn files_below(root: &Path) -> Vec<(String, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![(root.to_owned(), "src".to_owned())]);
    while let Some((folder, name)) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder").flatten() {
            let (path, file) = (entry.path(), entry.file_name().into_string().expect("a name in UTF-8"));
            if path.is_dir() {
                folders.push((path, format!("{name}/{file}")));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((format!("{name}/{file}"), fs::read_to_string(path).expect("source in UTF-8")));
            }
        }
    }
    files.sort();
    files
}

/// The module of a file. `src/a/b.rs` and `src/a/b/mod.rs` are both the module `a::b`; the module of `lib.rs`
/// and `main.rs` is empty.
fn module_of(path: &str) -> Place {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut place: Place = path.split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].contains(&place.last().map_or("", String::as_str)) {
        place.pop();
    }
    place
}

fn joined(place: &[String], name: &str) -> Place {
    place.iter().cloned().chain([name.to_owned()]).collect()
}

impl Tree {
    pub fn new(files: &[(String, String)]) -> Self {
        let mut tree = Self::default();
        let (mut test_files, mut test_folders) = (BTreeSet::new(), Vec::new());
        for (path, text) in files {
            let lexed = lex(text, 1);
            let (tokens, tests) = cut_tests(&lexed.tokens);
            let module = module_of(path);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for test in tests {
                let file = match test.path {
                    Some(file) => format!("{folder}/{file}"),
                    None => {
                        ["src"]
                            .into_iter()
                            .chain(module.iter().map(String::as_str))
                            .collect::<Vec<_>>()
                            .join("/")
                            + &format!("/{}.rs", test.name)
                    }
                };
                test_folders.push(file.trim_end_matches("rs").replace('.', "/"));
                test_files.insert(file);
            }
            let (comments, lines) = (lexed.comments, text.lines().count());
            tree.sources.push(Source { path: path.clone(), module, tokens, comments, lines });
        }
        for at in 0..tree.sources.len() {
            let path = &tree.sources[at].path;
            if test_files.contains(path) || test_folders.iter().any(|folder| path.starts_with(folder)) {
                tree.sources[at].tokens.clear();
                continue;
            }
            tree.read(at);
        }
        for (at, mention) in tree.mentions.iter().enumerate() {
            if mention.leaf != Leaf::Path && tree.sources[mention.source].path != "src/main.rs" {
                tree.uses.entry(mention.module.clone()).or_default().push(at);
            }
        }
        // The path of a glob may begin with a name that another glob imports. Such a path is resolved in the
        // second pass of the loop.
        for _ in 0..2 {
            let mut globs: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
            for mention in
                tree.uses.values().flatten().map(|at| &tree.mentions[*at]).filter(|one| one.is_glob())
            {
                let place = tree.place_of(&mention.module, &mention.written, 0);
                let places = tree.resolve(&place, 0);
                globs.entry(mention.module.clone()).or_default().extend(places);
            }
            tree.globs = globs;
        }
        tree
    }

    /// Collects the modules, the items and the written paths of a file.
    fn read(&mut self, source: usize) {
        let tokens = std::mem::take(&mut self.sources[source].tokens);
        let mut module = self.sources[source].module.clone();
        self.modules.extend((1..=module.len()).map(|n| module[..n].to_vec()));
        let (mut depth, mut inline, mut exported) = (0_usize, Vec::new(), false);
        let mut at = 0;
        while at < tokens.len() {
            let (here, token) = (at, &tokens[at]);
            let before = |n: usize| here.checked_sub(n).map(|at| &tokens[at]);
            let after = |n: usize| tokens.get(here + n);
            at += 1;
            match &token.kind {
                Kind::Sign('{') => depth += 1,
                Kind::Sign('}') => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                }
                Kind::Sign('#') => {
                    let open = if after(1).is_some_and(|token| token.is('!')) { at + 1 } else { at };
                    if tokens.get(open).is_some_and(|token| token.is('[')) {
                        let attribute = &tokens[open..behind_group(&tokens, open)];
                        exported |= attribute.iter().any(|token| token.is_word("macro_export"));
                        self.read_attribute(source, &module, attribute);
                    }
                }
                Kind::Word(word) => {
                    let name = after(1).and_then(Token::word);
                    match (word.as_str(), name) {
                        ("use", _) if !after(1).is_some_and(|token| token.is('<')) => {
                            let public = before(1).is_some_and(|token| token.is_word("pub") || token.is(')'));
                            let first = self.mentions.len();
                            at = self.read_use(&tokens, at, &[]);
                            for mention in &mut self.mentions[first..] {
                                (mention.source, mention.module) = (source, module.clone());
                                match &mut mention.leaf {
                                    Leaf::Use { public: flag, .. } | Leaf::Glob { public: flag } => {
                                        *flag = public;
                                    }
                                    Leaf::Path => {}
                                }
                            }
                            continue;
                        }
                        ("mod", Some(name)) if after(2).is_some_and(|token| token.is('{')) => {
                            module.push(name.to_owned());
                            self.modules.insert(module.clone());
                            inline.push(depth);
                        }
                        ("macro_rules", None) => {
                            if let Some(name) = after(2).and_then(Token::word) {
                                self.items.entry(module.clone()).or_default().insert(name.to_owned());
                                if std::mem::take(&mut exported) {
                                    self.macros.insert(name.to_owned(), joined(&module, name));
                                }
                            }
                        }
                        (
                            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static",
                            Some(name),
                        ) => {
                            self.items.entry(module.clone()).or_default().insert(name.to_owned());
                        }
                        _ => {}
                    }
                    let in_visibility = before(1).is_some_and(|token| token.is_word("in"))
                        && before(3).is_some_and(|token| token.is_word("pub"));
                    let (mut written, end) = read_path(&tokens, here);
                    at = end;
                    // `::name` without anything before it is a path in another crate. A word after `x.` or
                    // `<T>::` continues an expression and begins no path.
                    let separated = before(1).is_some_and(|token| token.kind == Kind::PathSep);
                    let continued = before(2).is_some_and(|token| {
                        token.word().is_some_and(|word| !KEYWORDS.contains(&word))
                            || token.is('>') && !before(3).is_some_and(|token| token.is('-'))
                    });
                    let goes_on = before(1).is_some_and(|token| {
                        token.is('.') && !before(2).is_some_and(|token| token.is('.'))
                            || token.is('$') && word != "crate"
                    });
                    if separated && word != "ormantrace" {
                        written.insert(0, String::new());
                    }
                    let skipped = goes_on || in_visibility || separated && continued;
                    if written.len() > 1 && !skipped {
                        let (module, line) = (module.clone(), token.line);
                        self.mentions.push(Mention { source, line, module, written, leaf: Leaf::Path });
                    }
                }
                _ => {}
            }
        }
        self.sources[source].tokens = tokens;
    }

    /// Collects the paths in the strings of an attribute. Strings with prose (`doc`, `reason`, `note`) are
    /// left out.
    fn read_attribute(&mut self, source: usize, module: &Place, attribute: &[Token]) {
        for (at, token) in attribute.iter().enumerate() {
            let Kind::Text(text) = &token.kind else { continue };
            let prose =
                at > 1 && ["doc", "reason", "note"].iter().any(|word| attribute[at - 2].is_word(word));
            let inner = lex(text, token.line).tokens;
            let mut from = 0;
            while from < inner.len() && !prose {
                let (written, end) = read_path(&inner, from);
                let line = inner[from].line;
                if written.len() > 1 {
                    let module = module.clone();
                    self.mentions.push(Mention { source, line, module, written, leaf: Leaf::Path });
                }
                from = end;
            }
        }
    }

    /// Reads the rest of a `use` tree, after its beginning `prefix`; returns the index after its last token.
    fn read_use(&mut self, tokens: &[Token], from: usize, prefix: &[String]) -> usize {
        let (mut at, mut written) = (from, prefix.to_vec());
        let is = |at: usize, sign| tokens.get(at).is_some_and(|token: &Token| token.is(sign));
        while let Some(token) = tokens.get(at) {
            let line = token.line;
            let mention = |written, leaf| Mention { source: 0, line, module: Vec::new(), written, leaf };
            match &token.kind {
                Kind::Word(word) if word == "as" => {
                    let name = tokens.get(at + 1).and_then(Token::word).unwrap_or("_").to_owned();
                    if let Some(Mention { leaf: Leaf::Use { name: old, .. }, .. }) = self.mentions.last_mut()
                    {
                        *old = name;
                    }
                    at += 2;
                }
                Kind::Word(word) => {
                    // `a::{self}` is `a`. A `self` at the beginning of a path is this module.
                    if word != "self" || written.is_empty() {
                        written.push(word.clone());
                    }
                    at += 1;
                    if tokens.get(at).is_none_or(|token| token.kind != Kind::PathSep) {
                        let name = written.last().cloned().unwrap_or_default();
                        self.mentions.push(mention(written.clone(), Leaf::Use { name, public: false }));
                    }
                }
                Kind::PathSep => {
                    if written.is_empty()
                        && !tokens.get(at + 1).is_some_and(|token| token.is_word("ormantrace"))
                    {
                        written.push(String::new());
                    }
                    at += 1;
                }
                Kind::Sign('*') => {
                    self.mentions.push(mention(written.clone(), Leaf::Glob { public: false }));
                    at += 1;
                }
                Kind::Sign('{') => {
                    at += 1;
                    while at < tokens.len() && !is(at, '}') {
                        let end = self.read_use(tokens, at, &written);
                        // Inside a macro, the braces may contain tokens that belong to no `use` tree. They
                        // are skipped.
                        at = end + usize::from(is(end, ',') || end == at);
                    }
                    at += 1;
                }
                Kind::Sign(',' | ')' | ']' | '}' | ';') => break,
                // A `use` tree contains no other tokens, except `$(..)` in a macro. That is skipped.
                _ => at += 1,
            }
        }
        at
    }

    /// The module or item that a written path names, before re-exports are followed.
    fn place_of(&self, module: &Place, written: &[String], depth: u32) -> Place {
        let mut rest = written.iter();
        let mut place = match written.first().map_or("", String::as_str) {
            "" => return written.to_vec(),
            "crate" | "ormantrace" => Vec::new(),
            "self" => module.clone(),
            "super" => module.iter().rev().skip(1).rev().cloned().collect(),
            first => match self.lookup(module, first, depth) {
                Some(place) => place,
                None if self.items.get(module).is_some_and(|items| items.contains(first)) => {
                    joined(module, first)
                }
                None => vec![String::new(), first.to_owned()],
            },
        };
        rest.next();
        for segment in rest {
            if segment == "super" {
                place.pop();
            } else {
                place.push(segment.clone());
            }
        }
        place
    }

    /// The module or item that a name in a module refers to, by a module declaration, an import or a glob;
    /// `None` for an item that the module itself defines. `depth` ends the search if aliases refer to each
    /// other in a circle.
    fn lookup(&self, module: &Place, name: &str, depth: u32) -> Option<Place> {
        let (mut seen, mut open) = (BTreeSet::new(), VecDeque::from([module.clone()]));
        while let Some(here) = open.pop_front() {
            let child = joined(&here, name);
            if self.modules.contains(&child) {
                return Some(child);
            }
            let mut uses = self.uses.get(&here).into_iter().flatten().map(|at| &self.mentions[*at]);
            if let Some(used) = uses.find(|used| depth < 12 && used.brings(name)) {
                return Some(self.place_of(&here, &used.written, depth + 1));
            }
            if self.items.get(&here).is_some_and(|items| items.contains(name)) {
                return (here != *module).then_some(child);
            }
            if let Some(place) = self.macros.get(name).filter(|_| here.is_empty()) {
                return Some(place.clone());
            }
            if seen.insert(here.clone()) {
                open.extend(self.globs.get(&here).into_iter().flatten().cloned());
            }
        }
        None
    }

    /// Returns the module or item at a path, followed by the target of each re-export on the way to the
    /// definition.
    fn resolve(&self, place: &[String], depth: u32) -> Vec<Place> {
        let mut here = Place::new();
        for (at, segment) in place.iter().enumerate() {
            let named = joined(&here, segment);
            if place[0].is_empty() || depth > 12 {
                break;
            }
            match self.lookup(&here, segment, 0) {
                Some(next) if next != named => {
                    let next: Place = next.iter().chain(&place[at + 1..]).cloned().collect();
                    return [vec![place.to_vec()], self.resolve(&next, depth + 1)].concat();
                }
                Some(next) => here = next,
                None => break,
            }
        }
        vec![place.to_vec()]
    }

    /// Returns what a written path refers to, with the targets of re-exports as in [`Self::resolve`]. For a
    /// glob, also everything that its module re-exports.
    pub fn places(&self, mention: &Mention) -> Vec<Place> {
        let place = self.place_of(&mention.module, &mention.written, 0);
        let mut places = self.resolve(&place, 0);
        if let Leaf::Glob { .. } = mention.leaf {
            // A glob imports what its module re-exports. In a child of the root of the crate or of a group, a
            // glob on this root also imports the root's private `use` items. They are counted in this case,
            // since the root itself has no code.
            let module = places.last().cloned().unwrap_or_default();
            for used in self.uses.get(&module).into_iter().flatten().map(|at| &self.mentions[*at]) {
                if let Leaf::Use { public, .. } | Leaf::Glob { public } = used.leaf
                    && (public || module.len() < 2)
                {
                    places.extend(self.resolve(&self.place_of(&module, &used.written, 0), 0));
                }
            }
        }
        places
    }

    /// The node to which a path belongs. In a group, this is the group's child: `timber/seal` for everything
    /// below `src/timber/seal/` or in `src/timber/seal.rs`. The group's own module is a node with the group's
    /// name. Outside of the groups, the node is the folder or file in src. The root has no node (`None`).
    pub fn node_of(&self, place: &[String]) -> Option<String> {
        let [group, rest @ ..] = place else { return None };
        let node = rest.first().filter(|_| GROUPS.contains(&group.as_str()));
        let node = node.filter(|_| self.modules.contains(&place[..2]));
        let known = self.modules.contains(&place[..1]);
        known.then(|| node.map_or_else(|| group.clone(), |node| format!("{group}/{node}")))
    }

    /// The file and line of a written path, such as `src/net/client.rs:12`.
    pub fn at(&self, mention: &Mention) -> String {
        format!("{}:{}", self.sources[mention.source].path, mention.line)
    }

    /// Every import of one node by another. `name` returns the node of a module or item.
    pub fn imports_by(&self, name: impl Fn(&[String]) -> Option<String>) -> Vec<Import> {
        let mut imports = Vec::new();
        for mention in &self.mentions {
            let source = &self.sources[mention.source];
            let from = name(&source.module).unwrap_or_else(|| source.path.clone());
            let places = self.places(mention);
            // A relative path such as `Foo::new` imports nothing more than the `use` of `Foo`, which is
            // counted separately.
            let first = &mention.written[0];
            let relative = mention.leaf == Leaf::Path
                && !["crate", "ormantrace", "self", "super"].contains(&first.as_str());
            let counted: BTreeSet<String> = if relative {
                let begin = self.place_of(&mention.module, &mention.written[..1], 0);
                self.resolve(&begin, 0).iter().filter_map(|place| name(place)).collect()
            } else {
                BTreeSet::new()
            };
            let mut seen = BTreeSet::new();
            for place in &places {
                let Some(to) = name(place).filter(|to| *to != from && !counted.contains(to)) else {
                    continue;
                };
                if !seen.insert(to.clone()) {
                    continue;
                }
                let mut what = format!("crate::{}", places[0].join("::"));
                if place != &places[0] {
                    what += &format!(" (which leads to crate::{})", place.join("::"));
                }
                imports.push(Import { from: from.clone(), to, at: self.at(mention), what });
            }
        }
        imports
    }

    pub fn imports(&self) -> Vec<Import> {
        self.imports_by(|place| self.node_of(place))
    }

    /// Imports between files, for planning moves.
    pub fn imports_between_files(&self) -> Vec<Import> {
        self.imports_by(|place| {
            let known =
                (1..=place.len()).rev().map(|n| &place[..n]).find(|place| self.modules.contains(*place))?;
            Some(known.join("::"))
        })
    }
}

/// The path at `from`: its segments, and the index after the last of them.
fn read_path(tokens: &[Token], from: usize) -> (Vec<String>, usize) {
    let (mut segments, mut at) = (Vec::new(), from);
    while let Some(word) = tokens.get(at).and_then(Token::word) {
        segments.push(word.to_owned());
        at += 1;
        let goes_on = !KEYWORDS.contains(&word)
            && tokens.get(at).is_some_and(|token| token.kind == Kind::PathSep)
            && tokens.get(at + 1).is_some_and(|token| token.word().is_some());
        if !goes_on {
            break;
        }
        at += 1;
    }
    (segments, at.max(from + 1))
}

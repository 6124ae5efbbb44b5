//! YAML as a tree with places. Only this module uses the YAML parser.
//!
//! `granit-parser` is the parser under `serde-saphyr`. Its events carry the place of each key and
//! value, so that all errors of a document can be collected. A serde deserializer ends at the first
//! error, and loses places in enums. Scalars are resolved by the core schema of YAML 1.2. The
//! module refuses, each at its place: aliases, anchors, merge keys, tags, directives, duplicate
//! keys, keys that are not scalars, and deep nesting.

use std::borrow::Cow;

use almanac_base::text::quoted;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::scalar::resolve;
use super::source::{Finding, Place};

/// Maximum depth of nested collections. The limit allows functions that walk a tree to recurse.
const DEPTH_LIMIT: usize = 64;

/// A node of the tree.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) at: Place,
    /// Text of a scalar, with its escapes resolved. Empty for any other node.
    pub(super) text: Cow<'a, str>,
    /// `true` for a plain scalar: without quotes, and not a block scalar.
    pub(super) plain: bool,
    pub(super) value: Value<'a>,
}

impl<'a> Node<'a> {
    /// Entry of a key. `None` if the node is not a map or does not have the key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Returns `true` if the value is missing or null.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Returns `true` if an error was reported at this node already.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.value, Value::Refused)
    }
}

/// Type and value of a node.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
    List(Vec<Node<'a>>),
    Map(Vec<Entry<'a>>),
    /// An error was reported here already, so that no further error is needed.
    Refused,
}

/// An entry of a map. Entries have the order of the text, and their keys differ.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) at: Place,
    pub(super) value: Node<'a>,
}

/// Parses one document whose first line is `first_line` of its file. `None` if the syntax is
/// broken. After other errors there still is a tree.
pub(super) fn parse<'a>(
    text: &'a str,
    first_line: usize,
    errors: &mut Vec<Finding>,
) -> Option<Node<'a>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_LIMIT,
        block_nesting_limit: DEPTH_LIMIT,
    };
    let mut builder = Builder {
        first_line,
        errors,
        open: Vec::new(),
        root: None,
    };
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentStart(..), span)) => {
                documents += 1;
                if documents > 1 {
                    let at = builder.place(&span.start);
                    builder.errors.push(
                        Finding::new(at, "another document begins here")
                            .hint("separate documents with the line `---`"),
                    );
                    return None;
                }
            }
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => {
                let finding = syntax_error(&error, builder.place(error.marker()), text);
                // If text was read as an alias (`cron: */5 * * * *`), its error is more helpful.
                let last = builder.errors.last();
                if last.is_none_or(|last| last.at.line != finding.at.line) {
                    builder.errors.push(finding);
                }
                return None;
            }
        }
    }
    builder.root
}

/// A collection whose end has not been read yet.
struct Open<'a> {
    at: Place,
    refused: bool,
    kind: OpenKind<'a>,
}

enum OpenKind<'a> {
    List(Vec<Node<'a>>),
    Map {
        entries: Vec<Entry<'a>>,
        /// Key whose value comes next. The text is `None` if the key was refused.
        key: Option<(Option<Cow<'a, str>>, Place)>,
    },
}

struct Builder<'a, 'e> {
    first_line: usize,
    errors: &'e mut Vec<Finding>,
    open: Vec<Open<'a>>,
    root: Option<Node<'a>>,
}

impl<'a> Builder<'a, '_> {
    fn place(&self, marker: &granit_parser::Marker) -> Place {
        Place {
            line: self.first_line + marker.line().max(1) - 1,
            column: marker.col() + 1,
        }
    }

    fn event(&mut self, event: Event<'a>, span: &Span) {
        let at = self.place(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let refused = self.properties(anchor, tag.is_some(), at, span);
                let plain = style == ScalarStyle::Plain;
                let value = if refused {
                    Value::Refused
                } else if plain {
                    resolve(&text)
                } else {
                    Value::Text
                };
                self.node(Node {
                    at,
                    text,
                    plain,
                    value,
                });
            }
            Event::SequenceStart(_, anchor, tag) => {
                let refused = self.properties(anchor, tag.is_some(), at, span);
                self.open.push(Open {
                    at,
                    refused,
                    kind: OpenKind::List(Vec::new()),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                let refused = self.properties(anchor, tag.is_some(), at, span);
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    key: None,
                };
                self.open.push(Open { at, refused, kind });
            }
            Event::Anchor(..) => self.errors.push(
                Finding::new(at, "anchors (`&name`) are not supported")
                    .hint("quote text that begins with `&`"),
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.errors.push(
                    Finding::new(at, "aliases (`*name`) are not supported").hint(
                        "repeat the value; text that begins with `*`, such as a cron, must be quoted",
                    ),
                );
                self.node(refused_node(at));
            }
            _ => {}
        }
    }

    /// Reports a tag. Returns `true` if the node is refused because of its tag or its anchor.
    fn properties(&mut self, anchor: usize, tagged: bool, at: Place, span: &Span) -> bool {
        if tagged {
            let at = span.tag_start().map_or(at, |start| self.place(&start));
            self.errors
                .push(Finding::new(at, "tags (`!name`) are not supported").hint(
                    "quote text that begins with `!`; quotes also make any other value text",
                ));
        }
        // An anchor is reported at its own event.
        tagged || anchor != 0
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { mut entries, .. } => {
                self.drop_duplicates(&mut entries);
                Value::Map(entries)
            }
        };
        self.node(Node {
            at: open.at,
            text: Cow::Borrowed(""),
            plain: false,
            value: if open.refused { Value::Refused } else { value },
        });
    }

    /// Adds a finished node to the innermost open collection, or makes it the root.
    fn node(&mut self, node: Node<'a>) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key } => match key.take() {
                Some((Some(key), at)) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                Some((None, _)) => {}
                None => {
                    let at = node.at;
                    let text = match node.value {
                        Value::List(_) | Value::Map(_) => {
                            self.errors.push(
                                Finding::new(at, "a key must be text")
                                    .hint("quote text that begins with `{` or `[`"),
                            );
                            None
                        }
                        Value::Refused => None,
                        _ if node.plain && node.text == "<<" => {
                            self.errors.push(
                                Finding::new(at, "merge keys (`<<`) are not supported")
                                    .hint("repeat the entries"),
                            );
                            None
                        }
                        _ => Some(node.text),
                    };
                    *key = Some((text, at));
                }
            },
        }
    }

    /// Reports keys that are given again and keeps the first entry of each key.
    fn drop_duplicates(&mut self, entries: &mut Vec<Entry<'a>>) {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by(|a, b| entries[*a].key.cmp(&entries[*b].key).then(a.cmp(b)));
        let mut repeated = vec![false; entries.len()];
        for pair in order.chunk_by(|a, b| entries[*a].key == entries[*b].key) {
            let first = &entries[pair[0]];
            for again in &pair[1..] {
                self.errors.push(Finding::new(
                    entries[*again].at,
                    format!(
                        "the key {} is given twice, first in line {}",
                        quoted(&first.key),
                        first.at.line
                    ),
                ));
                repeated[*again] = true;
            }
        }
        let mut index = 0;
        entries.retain(|_| {
            index += 1;
            !repeated[index - 1]
        });
    }
}

fn refused_node<'a>(at: Place) -> Node<'a> {
    Node {
        at,
        text: Cow::Borrowed(""),
        plain: false,
        value: Value::Refused,
    }
}

/// Finding for broken syntax, with a message and a hint for people.
fn syntax_error(error: &ScanError, at: Place, text: &str) -> Finding {
    let line = text
        .split('\n')
        .nth(error.marker().line().saturating_sub(1))
        .unwrap_or_default();
    let first = line.chars().nth(error.marker().col());
    let (message, hint) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => {
            return Finding::new(at, format!("nested deeper than {DEPTH_LIMIT} levels"));
        }
        ErrorKind::DirectiveDisallowed => {
            return Finding::new(at, "directives (`%…`) are not supported").hint("remove the line");
        }
        ErrorKind::UnexpectedCharacter { character } => (
            format!("text must not begin with `{character}`"),
            "quote it",
        ),
        ErrorKind::MissingAnchorOrAliasName => (
            format!("text must not begin with `{}`", first.unwrap_or('*')),
            "quote it, as in `cron: \"* * * * *\"`",
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => (
            "tabs are not allowed as indentation".to_owned(),
            "indent with spaces",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => (
            "a closing quote is missing".to_owned(),
            "check this line and the lines above it",
        ),
        ErrorKind::MappingValueNotAllowed => (
            "a key with a value is not allowed here".to_owned(),
            "quote text that contains `: `, and indent all keys of a map equally",
        ),
        // YAML reads a brace within braces as the beginning of a map.
        _ if line.contains("${") => (
            error.info().clone(),
            "quote an expression within braces: `{ a: \"${ .b }\" }`",
        ),
        _ => return Finding::new(at, format!("not valid YAML: {}", error.info())),
    };
    Finding::new(at, format!("not valid YAML: {message}")).hint(hint)
}

//! Parsing of a text to jaq's syntax tree. Limits on the text are checked before each step
//! that recurses: the lexer, the parser, and the code that walks or drops the tree.

use jaq_core::load::lex::{self, Lexer, Tok, Token};
use jaq_core::load::parse::{Parser, Term};

use super::meter::{MAX_NESTING, MAX_TEXT};
use super::prepare::{Prepared, arranged, prepared};

/// A mistake in a text, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    /// Place of the mistake in the text, in bytes from 0.
    pub(super) offset: usize,
    pub(super) message: String,
}

impl Invalid {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
}

/// Maximum nesting of operators; brackets and keywords count [`ATOM`] times.
const MAX_CHAIN: usize = 150;
/// Factor by which the parser takes more stack for a bracket or a keyword than for an operator.
const ATOM: usize = 3;

/// Parses a text and gives the syntax tree to `then`, with the text from which the tree was
/// made. Places in errors of `then` refer to that text.
pub(super) fn parse<T>(
    text: &str,
    then: impl FnOnce(&Term<&str>, &str) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    if text.len() > MAX_TEXT {
        let message = format!("the expression is longer than {} KiB", MAX_TEXT >> 10);
        return Err(Invalid::new(0, message));
    }
    if text.trim().is_empty() {
        return Err(Invalid::new(0, "the expression is empty"));
    }
    nesting(text)?;
    let prepared = prepared(text);
    read(&prepared, then).map_err(|invalid| Invalid {
        offset: prepared.original(invalid.offset).min(text.len()),
        message: invalid.message,
    })
}

fn read<T>(
    prepared: &Prepared,
    then: impl FnOnce(&Term<&str>, &str) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let text = prepared.text.as_str();
    let tokens = Lexer::new(text).lex().map_err(|e| lexical(text, &e))?;
    let tokens = arranged(tokens)?;
    if chain(&tokens) > MAX_CHAIN {
        return Err(Invalid::new(0, "operators nest too deeply"));
    }
    let term = Parser::new(&tokens).parse(Parser::term);
    let term = term.map_err(|errors| match errors.first() {
        Some((expected, found)) => {
            let at = Token::opt_as_str(*found, text);
            let found = match found {
                Some(_) => format!("`{}`", excerpt(at)),
                None => "the end".to_owned(),
            };
            let message = format!("expected {}, found {found}", expected.as_str());
            Invalid::new(place(text, at), message)
        }
        None => Invalid::new(0, "cannot be parsed"),
    })?;
    then(&term, text)
}

/// Position of a part in a text, in bytes; 0 if `part` is not a part of the text.
pub(super) fn place(text: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    if offset <= text.len() { offset } else { 0 }
}

fn lexical(text: &str, errors: &[lex::Error<&str>]) -> Invalid {
    match errors.first() {
        Some((expected, rest)) => {
            let message = if rest.is_empty() {
                format!("expected {} at the end", expected.as_str())
            } else {
                format!("expected {}, found `{}`", expected.as_str(), excerpt(rest))
            };
            Invalid::new(place(text, rest), message)
        }
        None => Invalid::new(0, "cannot be parsed"),
    }
}

fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(16).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or_default();
    text.lines().next().unwrap_or_default()
}

/// Refuses a text whose brackets and strings nest more deeply than the lexer can recurse.
fn nesting(text: &str) -> Result<(), Invalid> {
    // The closing bracket of each open bracket; `"` stands for an open string.
    let mut open = Vec::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        let in_string = open.last() == Some(&'"');
        match character {
            '\\' if in_string => {
                if let Some((_, '(')) = characters.next() {
                    open.push(')');
                }
            }
            '"' if in_string => drop(open.pop()),
            _ if in_string => {}
            '"' => open.push('"'),
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            // The lexer refuses a bracket that closes no bracket, or another kind of bracket.
            ')' | ']' | '}' => drop(open.pop()),
            '#' => drop(characters.by_ref().find(|(_, c)| *c == '\n')),
            _ => {}
        }
        if open.len() > MAX_NESTING {
            let message = format!("brackets nest more than {MAX_NESTING} levels deep");
            return Err(Invalid::new(at, message));
        }
    }
    Ok(())
}

/// Maximum depth of recursion of the parser on these tokens, and of the tree that results.
fn chain(tokens: &[Token<&str>]) -> usize {
    let (mut keywords, mut run, mut longest, mut inner, mut commas) = (0, 0, 0, 0, 0);
    let mut operand = false;
    for Token(text, kind) in tokens {
        // A `-` that follows no operand is a sign.
        let after_operand = std::mem::take(&mut operand);
        match (kind, *text) {
            (Tok::Block(tokens), _) => {
                inner = inner.max(ATOM + chain(tokens));
                operand = true;
            }
            (Tok::Str(parts), _) => {
                for part in parts {
                    if let lex::StrPart::Term(Token(_, Tok::Block(tokens))) = part {
                        inner = inner.max(ATOM + chain(tokens));
                    }
                }
                operand = true;
            }
            (_, "if" | "try" | "reduce" | "foreach" | "label" | "def") => keywords += ATOM,
            (_, "-") if !after_operand => keywords += ATOM,
            (_, "elif" | "as" | "|") => {
                keywords += 1;
                run = 0;
            }
            (_, "," | ";" | ":") => {
                commas += 1;
                run = 0;
            }
            (_, "then" | "else" | "catch" | ")" | "]" | "}") => {}
            (Tok::Sym, symbol) if symbol.starts_with('.') => operand = true,
            (Tok::Sym, _) | (_, "and" | "or") => {
                run += 1;
                longest = longest.max(run);
            }
            _ => operand = true,
        }
    }
    // Only dropping the tree recurses through commas, in small stack frames.
    keywords + longest + inner + commas / 10
}

//! From a text to jaq's syntax tree, with bounds on the text before each step
//! that recurses: the lexer, the parser, and what walks or drops the tree.

use jaq_core::load::lex::{self, Lexer, Tok, Token};
use jaq_core::load::parse::{Parser, Term};

use super::meter::{MAX_NESTING, MAX_TEXT};
use super::prepare::{Prepared, arranged, prepared};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invalid {
    /// In bytes from its beginning.
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

/// How deeply operators may stand within one another, brackets and keywords counted [`ATOM`] times.
const MAX_CHAIN: usize = 150;
/// The parser takes this much more stack for a bracket or a keyword than for an operator.
const ATOM: usize = 3;

/// Reads a text and hands on its syntax tree, with the text that it was made of.
/// Places that `then` tells are in that text.
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
        return Err(Invalid::new(
            0,
            "too many operators stand within one another",
        ));
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
        None => Invalid::new(0, "cannot be read"),
    })?;
    then(&term, text)
}

/// Where a part of a text begins in it, in bytes; 0 for what is no part of it.
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
        None => Invalid::new(0, "cannot be read"),
    }
}

fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(16).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or_default();
    text.lines().next().unwrap_or_default()
}

/// Refuses a text whose brackets and strings nest so deeply that the lexer would.
fn nesting(text: &str) -> Result<(), Invalid> {
    // What closes each open bracket; `"` stands for an open string.
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
            // A bracket that closes nothing, or another one, is the lexer's to refuse.
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

/// How deeply the parser recurses on these tokens at most, and the tree that it makes.
fn chain(tokens: &[Token<&str>]) -> usize {
    let (mut keywords, mut run, mut longest, mut inner, mut commas) = (0, 0, 0, 0, 0);
    let mut operand = false;
    for Token(text, kind) in tokens {
        // After what a `-` is a sign.
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
    // Only dropping the tree recurses through its commas, in small frames.
    keywords + longest + inner + commas / 10
}

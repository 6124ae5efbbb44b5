//! Check and conversion: jaq's syntax tree becomes a tree of [`Node`]s, or an error with its
//! place. Syntax that this module does not know is refused.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops;
use jaq_core::path::{Opt, Part};

use super::formats::Format;
use super::meter::MAX_NODES;
use super::node::{Comparison, Fold, Math, Node, Piece, Slot};
use super::number::Num;
use super::parse::{Invalid, parse, place};
use super::value::Val;

/// Maximum recursion of the conversion below.
const MAX_RECURSION: usize = 220;

/// Compiles a text. `globals` are the names of the variables that the caller sets.
pub(super) fn lower(text: &str, globals: &[&str]) -> Result<(Node, Hidden), Invalid> {
    parse(text, |term, text| {
        let mut lowering = Lowering {
            source: Some(text),
            globals,
            variables: Vec::new(),
            labels: Vec::new(),
            parameters: Vec::new(),
            slots: 0,
            nodes: 0,
            recursion: 0,
            hidden: Hidden::default(),
        };
        let node = lowering.term(term)?;
        Ok((node, lowering.hidden))
    })
}

/// Functions called by an expression that stand for values which the caller gives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hidden {
    pub(super) now: bool,
    pub(super) uuid: bool,
}

pub(super) struct Lowering<'a> {
    /// The text, for places; `None` within the text of a function.
    pub(super) source: Option<&'a str>,
    pub(super) globals: &'a [&'a str],
    pub(super) variables: Vec<(String, Slot)>,
    pub(super) labels: Vec<(String, Slot)>,
    /// Arguments of the function whose text is being converted: name, filter, number of nodes.
    pub(super) parameters: Vec<(&'static str, Node, usize)>,
    pub(super) slots: usize,
    pub(super) nodes: usize,
    pub(super) recursion: usize,
    pub(super) hidden: Hidden,
}

pub(super) type Lowered = Result<Node, Invalid>;

impl Lowering<'_> {
    pub(super) fn term(&mut self, term: &Term<&str>) -> Lowered {
        self.recursion += 1;
        if self.recursion > MAX_RECURSION {
            return Err(Invalid::new(0, "operators and functions nest too deeply"));
        }
        self.count(1)?;
        let node = self.any(term)?;
        self.recursion -= 1;
        Ok(node)
    }

    pub(super) fn count(&mut self, nodes: usize) -> Result<(), Invalid> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Invalid::new(0, "the expression is too large"));
        }
        Ok(())
    }

    fn boxed(&mut self, term: &Term<&str>) -> Result<Box<Node>, Invalid> {
        self.term(term).map(Box::new)
    }

    fn any(&mut self, term: &Term<&str>) -> Lowered {
        match term {
            Term::Id => Ok(Node::Identity),
            Term::Recurse => Ok(Node::Recurse),
            Term::Num(text) => self.number(text),
            Term::Str(format, parts) => self.text(*format, parts),
            Term::Arr(None) => Ok(Node::Array(None)),
            Term::Arr(Some(items)) => Ok(Node::Array(Some(self.boxed(items)?))),
            Term::Obj(entries) => self.object(entries),
            Term::Neg(of) => match self.term(of)? {
                // A number below the least whole number is a double.
                Node::Constant(Val::Num(Num::Int(value))) => Ok(match Num::whole(-value) {
                    Ok(less) => Node::Constant(Val::Num(less)),
                    Err(_) => Node::Negate(Box::new(Node::Constant(Val::Num(Num::Int(value))))),
                }),
                node => Ok(Node::Negate(Box::new(node))),
            },
            Term::BinOp(left, operator, right) => self.operator(left, operator, right),
            Term::Label(name, body) => self.label(name, body),
            Term::Break(name) => match self.labels.iter().rev().find(|(label, _)| label == name) {
                Some((_, slot)) => Ok(Node::Break(*slot)),
                None => Err(self.wrong(name, format!("`break {name}` has no `label {name}`"))),
            },
            Term::Fold(kind, source, pattern, filters) => self.fold(kind, source, pattern, filters),
            Term::TryCatch(body, handler) => {
                let body = self.boxed(body)?;
                let handler = handler.as_deref().map(|handler| self.boxed(handler));
                Ok(Node::Try(body, handler.transpose()?))
            }
            Term::IfThenElse(branches, otherwise) => self.branches(branches, otherwise.as_deref()),
            Term::Def(definitions, _) => {
                let name = definitions.first().map_or("", |definition| definition.name);
                Err(self.wrong(name, "function definitions are not supported"))
            }
            Term::Call(name, arguments) => self.call(name, arguments),
            Term::Var(name) => self.variable(name),
            Term::Path(of, path) => self.path(of, &path.0),
        }
    }

    pub(super) fn wrong(&self, at: &str, message: impl Into<String>) -> Invalid {
        let offset = self.source.map_or(0, |source| place(source, at));
        Invalid::new(offset, message)
    }

    fn number(&self, text: &str) -> Lowered {
        match Num::literal(text) {
            Some(number) => Ok(Node::Constant(Val::Num(number))),
            None => Err(self.wrong(text, format!("the number `{text}` is out of range"))),
        }
    }

    fn text(&mut self, format: Option<&str>, parts: &[StrPart<&str, Term<&str>>]) -> Lowered {
        let format = match format {
            None => Format::Text,
            Some(name) => Format::named(name)
                .ok_or_else(|| self.wrong(name, format!("unknown format `{name}`")))?,
        };
        let mut pieces = Vec::new();
        let mut literal = String::new();
        for part in parts {
            match part {
                StrPart::Str(text) => literal.push_str(text),
                StrPart::Char(character) => literal.push(*character),
                StrPart::Term(term) => {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    pieces.push(Piece::Value(self.term(term)?));
                }
            }
        }
        if pieces.is_empty() {
            return Ok(Node::Constant(Val::text(&literal)));
        }
        pieces.push(Piece::Literal(literal));
        Ok(Node::Text(format, pieces))
    }

    fn object(&mut self, entries: &[(Term<&str>, Option<Term<&str>>)]) -> Lowered {
        let mut lowered = Vec::new();
        for (key, value) in entries {
            lowered.push(match (key, value) {
                (Term::Var(name), None) => {
                    let key = Val::text(name.trim_start_matches('$'));
                    (Node::Constant(key), self.variable(name)?)
                }
                (key, None) => {
                    let key = self.term(key)?;
                    let value = Node::Index {
                        of: Box::new(Node::Identity),
                        key: Box::new(key.clone()),
                        optional: false,
                    };
                    (key, value)
                }
                (key, Some(value)) => (self.term(key)?, self.term(value)?),
            });
        }
        Ok(Node::Object(lowered))
    }

    fn operator(
        &mut self,
        left: &Term<&str>,
        operator: &BinaryOp<&str>,
        right: &Term<&str>,
    ) -> Lowered {
        if matches!(operator, BinaryOp::Comma) {
            return self.commas(left, right);
        }
        if let BinaryOp::Pipe(Some(pattern)) = operator {
            let source = self.boxed(left)?;
            let bound = self.variables.len();
            let mut alternatives = self.patterns(pattern)?;
            let body = self.boxed(right)?;
            self.variables.truncate(bound);
            return Ok(match alternatives.pop() {
                Some(only) if alternatives.is_empty() => Node::Bind(source, only, body),
                last => {
                    alternatives.extend(last);
                    Node::BindFirst(source, alternatives, body)
                }
            });
        }
        let (left, right) = (self.boxed(left)?, self.boxed(right)?);
        Ok(match operator {
            BinaryOp::Pipe(_) => Node::Pipe(left, right),
            BinaryOp::Comma => Node::Comma(left, right),
            BinaryOp::Alt => Node::Alternative(left, right),
            BinaryOp::Or => Node::Or(left, right),
            BinaryOp::And => Node::And(left, right),
            BinaryOp::Math(operator) => Node::Math(math(*operator), left, right),
            BinaryOp::Cmp(operator) => Node::Compare(comparison(*operator), left, right),
            BinaryOp::Assign => Node::Assign(left, right),
            BinaryOp::Update => Node::Update(left, right),
            BinaryOp::UpdateMath(operator) => Node::UpdateMath(math(*operator), left, right),
            BinaryOp::UpdateAlt => Node::UpdateAlternative(left, right),
        })
    }

    /// Converts a list with commas to a balanced tree; in jaq's tree, a long list leans to the
    /// left.
    fn commas(&mut self, left: &Term<&str>, right: &Term<&str>) -> Lowered {
        let mut items = vec![right];
        let mut rest = left;
        while let Term::BinOp(left, BinaryOp::Comma, right) = rest {
            items.push(right);
            rest = left;
        }
        items.push(rest);
        let items: Result<Vec<Node>, Invalid> =
            items.iter().rev().map(|item| self.term(item)).collect();
        let mut items = items?;
        while items.len() > 1 {
            let mut pairs = Vec::new();
            let mut halves = items.into_iter();
            while let Some(first) = halves.next() {
                pairs.push(match halves.next() {
                    Some(second) => Node::Comma(Box::new(first), Box::new(second)),
                    None => first,
                });
            }
            items = pairs;
        }
        Ok(items.pop().unwrap_or(Node::Identity))
    }

    fn label(&mut self, name: &str, body: &Term<&str>) -> Lowered {
        let slot = self.slot();
        self.labels.push((name.to_owned(), slot));
        let body = self.boxed(body)?;
        self.labels.pop();
        Ok(Node::Label(slot, body))
    }

    fn fold(
        &mut self,
        kind: &str,
        source: &Term<&str>,
        pattern: &Pattern<&str>,
        filters: &[Term<&str>],
    ) -> Lowered {
        let (start, update, extract) = match (kind, filters) {
            (_, [start, update]) => (start, update, None),
            ("foreach", [start, update, extract]) => (start, update, Some(extract)),
            _ => {
                let shape = "needs `(start; update)`";
                return Err(self.wrong(kind, format!("`{kind}` {shape}")));
            }
        };
        let source = self.term(source)?;
        let start = self.term(start)?;
        let bound = self.variables.len();
        let mut patterns = self.patterns(pattern)?;
        let (Some(pattern), true) = (patterns.pop(), patterns.is_empty()) else {
            return Err(self.wrong(kind, format!("`{kind}` does not support `?//`")));
        };
        let update = self.term(update)?;
        let extract = extract.map(|extract| self.boxed(extract)).transpose()?;
        self.variables.truncate(bound);
        let fold = Box::new(Fold {
            source,
            pattern,
            start,
            update,
        });
        Ok(match kind {
            "reduce" => Node::Reduce(fold),
            _ => Node::Foreach(fold, extract),
        })
    }

    fn branches(
        &mut self,
        branches: &[(Term<&str>, Term<&str>)],
        otherwise: Option<&Term<&str>>,
    ) -> Lowered {
        let mut node = match otherwise {
            Some(otherwise) => self.term(otherwise)?,
            None => Node::Identity,
        };
        for (condition, then) in branches.iter().rev() {
            let (condition, then) = (self.boxed(condition)?, self.boxed(then)?);
            node = Node::If(condition, then, Box::new(node));
        }
        Ok(node)
    }

    fn path(&mut self, of: &Term<&str>, parts: &[(Part<Term<&str>>, Opt)]) -> Lowered {
        let mut node = self.term(of)?;
        for (part, optional) in parts {
            self.count(1)?;
            let optional = matches!(optional, Opt::Optional);
            let of = Box::new(node);
            node = match part {
                Part::Index(key) => Node::Index {
                    of,
                    key: self.boxed(key)?,
                    optional,
                },
                Part::Range(None, None) => Node::Iterate { of, optional },
                Part::Range(from, to) => Node::Slice {
                    of,
                    from: from.as_ref().map(|from| self.boxed(from)).transpose()?,
                    to: to.as_ref().map(|to| self.boxed(to)).transpose()?,
                    optional,
                },
            };
        }
        Ok(node)
    }

    pub(super) fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots
    }
}

fn math(operator: ops::Math) -> Math {
    match operator {
        ops::Math::Add => Math::Add,
        ops::Math::Sub => Math::Subtract,
        ops::Math::Mul => Math::Multiply,
        ops::Math::Div => Math::Divide,
        ops::Math::Rem => Math::Remainder,
    }
}

fn comparison(operator: ops::Cmp) -> Comparison {
    match operator {
        ops::Cmp::Eq => Comparison::Equal,
        ops::Cmp::Ne => Comparison::Different,
        ops::Cmp::Lt => Comparison::Less,
        ops::Cmp::Le => Comparison::AtMost,
        ops::Cmp::Gt => Comparison::Greater,
        ops::Cmp::Ge => Comparison::AtLeast,
    }
}

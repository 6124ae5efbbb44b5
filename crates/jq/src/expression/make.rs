//! Nodes that make new values: texts, arrays, objects, operators, functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtin::Function;
use super::formats::Format;
use super::native::math::negate;
use super::native::shown;
use super::node::{Comparison, Node, Piece};
use super::place::Item;
use super::run::{Out, Run, Scope};
use super::stop::{Flow, Stop};
use super::value::Val;
use crate::error_type;

impl Run<'_> {
    /// Evaluates a node that makes new values, which have no path.
    pub(super) fn made(&self, node: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        input.untracked()?;
        let input = input.value;
        let out = &mut |value: Val| out(Item::of(value));
        match node {
            Node::Text(format, pieces) => {
                self.text(*format, pieces, scope, &input, String::new(), out)
            }
            Node::Array(items) => {
                let items = match items {
                    Some(items) => self.collect(items, scope, input)?,
                    None => Vec::new(),
                };
                out(Val::list(&self.meter, items)?)
            }
            Node::Object(entries) => self.object(entries, scope, &input, BTreeMap::new(), out),
            Node::Negate(of) => self.each(of, scope, input, &mut |value| out(negate(&value)?)),
            Node::Math(math, left, right) => self.pairs(left, right, scope, input, &mut |l, r| {
                out(self.math(*math, l, r)?)
            }),
            Node::Compare(comparison, left, right) => {
                self.pairs(left, right, scope, input, &mut |left, right| {
                    self.meter.steps(left.size().min(right.size()) / 32)?;
                    out(Val::Bool(comparison.holds(&left, &right)))
                })
            }
            Node::And(left, right) => self.each(left, scope, input.clone(), &mut |left| {
                if !left.is_true() {
                    return out(Val::Bool(false));
                }
                self.each(right, scope, input.clone(), &mut |right| {
                    out(Val::Bool(right.is_true()))
                })
            }),
            Node::Or(left, right) => self.each(left, scope, input.clone(), &mut |left| {
                if left.is_true() {
                    return out(Val::Bool(true));
                }
                self.each(right, scope, input.clone(), &mut |right| {
                    out(Val::Bool(right.is_true()))
                })
            }),
            Node::Apply(function, arguments) => {
                self.apply(function, arguments, scope, input, &[], out)
            }
            Node::Assign(..)
            | Node::Update(..)
            | Node::UpdateMath(..)
            | Node::UpdateAlternative(..) => self.assignment(node, scope, input, out),
            _ => Err(Stop::error("not a filter")),
        }
    }

    /// Calls `out` with each pair of outputs; as in jq, the right output changes slowest.
    fn pairs(
        &self,
        left: &Node,
        right: &Node,
        scope: Scope<'_>,
        input: Val,
        out: &mut dyn FnMut(Val, Val) -> Flow,
    ) -> Flow {
        if right.is_single() {
            // The left side may then own the input, and change it in place.
            return match self.last(right, scope, input.clone())? {
                Some(right) => self.each(left, scope, input, &mut |l| out(l, right.clone())),
                None => Ok(()),
            };
        }
        self.each(right, scope, input.clone(), &mut |right| {
            self.each(left, scope, input.clone(), &mut |left| {
                out(left, right.clone())
            })
        })
    }

    fn object(
        &self,
        entries: &[(Node, Node)],
        scope: Scope<'_>,
        input: &Val,
        made: BTreeMap<Arc<str>, Val>,
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        let Some(((key, value), rest)) = entries.split_first() else {
            return out(Val::map(&self.meter, made)?);
        };
        if rest.is_empty() || !(key.is_single() && value.is_single()) {
            return self.each(key, scope, input.clone(), &mut |key| {
                self.each(value, scope, input.clone(), &mut |value| {
                    self.meter.steps(made.len())?;
                    let mut made = made.clone();
                    made.insert(self.key(&key)?, value);
                    self.object(rest, scope, input, made, out)
                })
            });
        }
        // With a single value for the key, `made` need not be kept for another value.
        let (mut made, mut rest) = (made, entries);
        while let Some(((key, value), later)) = rest.split_first()
            && key.is_single()
            && value.is_single()
        {
            let key = self.last(key, scope, input.clone())?.unwrap_or(Val::Null);
            let value = self.last(value, scope, input.clone())?;
            made.insert(self.key(&key)?, value.unwrap_or(Val::Null));
            rest = later;
        }
        self.object(rest, scope, input, made, out)
    }

    fn text(
        &self,
        format: Format,
        pieces: &[Piece],
        scope: Scope<'_>,
        input: &Val,
        made: String,
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        if pieces.iter().all(Piece::is_single) {
            let mut text = String::new();
            for piece in pieces {
                let piece = match piece {
                    Piece::Literal(literal) => literal.clone(),
                    Piece::Value(node) => {
                        let value = self.last(node, scope, input.clone())?;
                        format.apply(&self.meter, &value.unwrap_or(Val::Null))?
                    }
                };
                self.meter.allocate(piece.len())?;
                text.push_str(&piece);
            }
            return out(Val::string(&self.meter, &(text + &made))?);
        }
        let Some((piece, rest)) = pieces.split_last() else {
            return Ok(());
        };
        match piece {
            Piece::Literal(text) => {
                self.meter.allocate(text.len() + made.len())?;
                self.text(format, rest, scope, input, format!("{text}{made}"), out)
            }
            // The last value changes slowest, as in jq.
            Piece::Value(node) => self.each(node, scope, input.clone(), &mut |value| {
                let text = format.apply(&self.meter, &value)?;
                self.meter.allocate(text.len() + made.len())?;
                self.text(format, rest, scope, input, format!("{text}{made}"), out)
            }),
        }
    }

    /// Calls a function with each combination of its arguments' outputs. The outputs of the last
    /// argument change slowest. `after` are the values of the arguments after these.
    fn apply(
        &self,
        function: &'static Function,
        arguments: &[Node],
        scope: Scope<'_>,
        input: Val,
        after: &[Val],
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        if arguments.iter().all(Node::is_single) {
            let mut values = Vec::with_capacity(arguments.len() + after.len());
            for argument in arguments {
                let value = self.last(argument, scope, input.clone())?;
                values.push(value.unwrap_or(Val::Null));
            }
            values.extend_from_slice(after);
            return out((function.call)(self, input, &values)?);
        }
        let Some((last, before)) = arguments.split_last() else {
            return Ok(());
        };
        self.each(last, scope, input.clone(), &mut |value| {
            let mut values = vec![value];
            values.extend_from_slice(after);
            self.apply(function, before, scope, input.clone(), &values, out)
        })
    }
}

impl Run<'_> {
    /// Returns a key of an object, and takes the steps that a search for the key costs.
    pub(super) fn key(&self, key: &Val) -> Result<Arc<str>, Stop> {
        let key = object_key(key)?;
        self.count_lookup(&key)?;
        Ok(key)
    }
}

fn object_key(key: &Val) -> Result<Arc<str>, Stop> {
    match key {
        Val::Str(key) => Ok(Arc::clone(key)),
        other => Err(Stop::error(format!(
            "a key of an object must be a string, not {}",
            shown(other)
        ))),
    }
}

/// Returns `true` if two values are equal, or are forms of one of the specification's error types.
fn alike(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::Str(left), Val::Str(right)) => left == right || error_type::same(left, right),
        _ => left == right,
    }
}

impl Comparison {
    fn holds(self, left: &Val, right: &Val) -> bool {
        match self {
            Self::Equal => alike(left, right),
            Self::Different => !alike(left, right),
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

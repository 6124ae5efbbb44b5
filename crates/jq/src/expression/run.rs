//! The evaluator of nodes, which gives the outputs of a node to a receiver.
//!
//! Outputs are pushed: a node calls `out` for each output, and `out` evaluates the next part.
//! So only outputs that are needed are computed (`first(f)` ends `f` at its first output), and
//! the stack holds no more than the nodes that are in evaluation, which [`Meter::enter`]
//! counts.

use std::cell::{Cell, RefCell};

use sha2::{Digest, Sha256};

use super::meter::Meter;
use super::native::patterns::Patterns;
use super::node::{Binding, Node, Slot};
use super::place::{Item, Place};
use super::stop::{Flow, Stop};
use super::value::Val;

/// Receiver of the outputs of a node.
pub(super) type Out<'o> = dyn FnMut(Item) -> Flow + 'o;

/// State of one evaluation.
pub(super) struct Run<'r> {
    pub(super) meter: Meter,
    pub(super) patterns: RefCell<Patterns>,
    /// Values of the variables that the caller gave.
    pub(super) globals: &'r [Val],
    labels: Cell<u64>,
    uuids: Cell<u64>,
}

/// The variables and labels that are bound, the last one first.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s>(Option<&'s Frame<'s>>);

struct Frame<'s> {
    slot: Slot,
    bound: Bound,
    outer: Scope<'s>,
}

enum Bound {
    Value(Val),
    Label(u64),
}

impl Scope<'_> {
    pub(super) const EMPTY: Scope<'static> = Scope(None);

    fn find(&self, slot: Slot) -> Option<&Bound> {
        let mut frame = self.0;
        while let Some(found) = frame {
            if found.slot == slot {
                return Some(&found.bound);
            }
            frame = found.outer.0;
        }
        None
    }
}

impl<'r> Run<'r> {
    pub(super) fn new(globals: &'r [Val]) -> Self {
        Self {
            meter: Meter::default(),
            patterns: RefCell::default(),
            globals,
            labels: Cell::new(0),
            uuids: Cell::new(0),
        }
    }

    /// Evaluates a node on an input.
    pub(super) fn eval(&self, node: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        self.meter.enter()?;
        let flow = self.any(node, scope, input, out);
        self.meter.leave();
        flow
    }

    fn any(&self, node: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        match node {
            Node::Identity => out(input),
            Node::Recurse => self.descend(input, out),
            Node::Constant(value) => out(input.computed(value.clone())?),
            Node::Variable(slot) => match scope.find(*slot) {
                Some(Bound::Value(value)) => out(input.computed(value.clone())?),
                _ => out(input.computed(Val::Null)?),
            },
            Node::Global(place) => {
                let value = self.globals.get(*place).cloned().unwrap_or(Val::Null);
                out(input.computed(value)?)
            }
            Node::Uuid(place) => self.give_uuid(*place, input, out),
            Node::Pipe(first, second) => self.eval(first, scope, input, &mut |item| {
                self.eval(second, scope, item, out)
            }),
            Node::Comma(first, second) => {
                self.eval(first, scope, input.clone(), out)?;
                self.eval(second, scope, input, out)
            }
            Node::If(condition, then, otherwise) => {
                self.each(condition, scope, input.value.clone(), &mut |chosen| {
                    let branch = if chosen.is_true() { then } else { otherwise };
                    self.eval(branch, scope, input.clone(), out)
                })
            }
            Node::Bind(source, bindings, body) => {
                self.each(source, scope, input.value.clone(), &mut |value| {
                    self.bind(bindings, scope, &value, &mut |scope| {
                        self.eval(body, scope, input.clone(), out)
                    })
                })
            }
            Node::BindFirst(source, alternatives, body) => {
                self.bind_first_of(source, alternatives, body, scope, input, out)
            }
            Node::Alternative(first, second) => self.alternative(first, second, scope, input, out),
            Node::Try(body, handler) => self.attempt(body, handler.as_deref(), scope, input, out),
            Node::Label(slot, body) => self.label(*slot, body, scope, input, out),
            Node::Break(slot) => match scope.find(*slot) {
                Some(Bound::Label(label)) => Err(Stop::Break(*label)),
                _ => Err(Stop::error("break outside of its label")),
            },
            Node::Index { of, key, optional } => self.index(of, key, *optional, scope, input, out),
            Node::Slice {
                of,
                from,
                to,
                optional,
            } => {
                let bounds = (from.as_deref(), to.as_deref());
                self.slice(of, bounds, *optional, scope, input, out)
            }
            Node::Iterate { of, optional } => self.iterate(of, *optional, scope, input, out),
            Node::Reduce(fold) => self.reduce(fold, scope, input, out),
            Node::Foreach(fold, extract) => {
                self.foreach(fold, extract.as_deref(), scope, input, out)
            }
            Node::Control(control, arguments) => {
                self.control(*control, arguments, scope, input, out)
            }
            _ => self.made(node, scope, input, out),
        }
    }

    /// Evaluates a node without tracking paths.
    pub(super) fn each(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Val,
        out: &mut dyn FnMut(Val) -> Flow,
    ) -> Flow {
        self.eval(node, scope, Item::of(input), &mut |item| out(item.value))
    }

    /// Returns the last output of a node, if there is any.
    pub(super) fn last(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Option<Val>, Stop> {
        let mut last = None;
        self.each(node, scope, input, &mut |value| {
            last = Some(value);
            Ok(())
        })?;
        Ok(last)
    }

    /// Returns all outputs of a node.
    pub(super) fn collect(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Val,
    ) -> Result<Vec<Val>, Stop> {
        let mut items = Vec::new();
        self.each(node, scope, input, &mut |value| {
            self.meter.allocate(super::value::FLAT)?;
            items.push(value);
            Ok(())
        })?;
        Ok(items)
    }

    /// Binds a pattern's variables, and continues with `then`.
    pub(super) fn bind(
        &self,
        bindings: &[Binding],
        scope: Scope<'_>,
        value: &Val,
        then: &mut dyn FnMut(Scope<'_>) -> Flow,
    ) -> Flow {
        let Some((first, rest)) = bindings.split_first() else {
            return then(scope);
        };
        let mut found = if first.absent {
            Val::Null
        } else {
            value.clone()
        };
        for key in &first.keys {
            let key = self.last(key, scope, value.clone())?.unwrap_or(Val::Null);
            found = self.get(found, &key)?;
        }
        let frame = Frame {
            slot: first.slot,
            bound: Bound::Value(found),
            outer: scope,
        };
        self.meter.enter()?;
        let flow = self.bind(rest, Scope(Some(&frame)), value, then);
        self.meter.leave();
        flow
    }

    fn give_uuid(&self, place: usize, input: Item, out: &mut Out) -> Flow {
        let seed = self.globals.get(place).cloned().unwrap_or(Val::Null);
        let uuid = self.uuid(&seed)?;
        out(input.computed(uuid)?)
    }

    fn bind_first_of(
        &self,
        source: &Node,
        alternatives: &[Vec<Binding>],
        body: &Node,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        self.each(source, scope, input.value.clone(), &mut |value| {
            self.bind_first(alternatives, body, scope, &value, &input, out)
        })
    }

    /// Binds the first pattern for which neither the pattern nor the body fails.
    fn bind_first(
        &self,
        alternatives: &[Vec<Binding>],
        body: &Node,
        scope: Scope<'_>,
        value: &Val,
        input: &Item,
        out: &mut Out,
    ) -> Flow {
        let last = alternatives.len().saturating_sub(1);
        for (index, bindings) in alternatives.iter().enumerate() {
            let mut outside = None;
            let flow = self.bind(bindings, scope, value, &mut |scope| {
                self.eval(body, scope, input.clone(), &mut |item| {
                    out(item).map_err(|stop| {
                        outside = Some(stop);
                        Stop::Abandoned
                    })
                })
            });
            match (outside, flow) {
                (Some(stop), _) => return Err(stop),
                (None, Err(Stop::Error(_))) if index < last => {}
                (None, flow) => return flow,
            }
        }
        Ok(())
    }

    fn label(&self, slot: Slot, body: &Node, scope: Scope<'_>, input: Item, out: &mut Out) -> Flow {
        let label = self.fresh_label();
        let frame = Frame {
            slot,
            bound: Bound::Label(label),
            outer: scope,
        };
        match self.eval(body, Scope(Some(&frame)), input, out) {
            Err(Stop::Break(to)) if to == label => Ok(()),
            flow => flow,
        }
    }

    /// Returns the next UUID of a seed: the same in each replay, and not secret.
    fn uuid(&self, seed: &Val) -> Result<Val, Stop> {
        let number = self.uuids.get();
        self.uuids.set(number + 1);
        self.meter.steps(8)?;
        let mut digest = Sha256::new();
        digest.update(b"almanac uuid\0");
        if let Val::Str(seed) = seed {
            self.meter.scan(seed.len())?;
            digest.update(seed.as_bytes());
        }
        digest.update([0]);
        digest.update(number.to_be_bytes());
        let mut bytes = [0_u8; 16];
        for (byte, digested) in bytes.iter_mut().zip(digest.finalize()) {
            *byte = digested;
        }
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let digits = hex::encode(bytes);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
        let parts = parts.map(|part| digits.get(part).unwrap_or_default());
        Val::string(&self.meter, &parts.join("-"))
    }

    pub(super) fn fresh_label(&self) -> u64 {
        self.labels.set(self.labels.get() + 1);
        self.labels.get()
    }

    /// Evaluates a node, and distinguishes its errors from those of the receiver: the inner result
    /// is the node's, the outer one the receiver's.
    fn guarded(
        &self,
        node: &Node,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Result<Flow, Stop> {
        let mut outside = None;
        let flow = self.eval(node, scope, input, &mut |item| {
            out(item).map_err(|stop| {
                outside = Some(stop);
                Stop::Abandoned
            })
        });
        match outside {
            Some(stop) => Err(stop),
            None => Ok(flow),
        }
    }

    fn alternative(
        &self,
        first: &Node,
        second: &Node,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        let mut any = false;
        // An error on the left is an error, as in jq. An expression can use `(f)? // g` to avoid
        // it.
        self.eval(first, scope, input.clone(), &mut |item| {
            if item.value.is_true() {
                any = true;
                return out(item);
            }
            Ok(())
        })?;
        if any {
            return Ok(());
        }
        self.eval(second, scope, input, out)
    }

    fn attempt(
        &self,
        body: &Node,
        handler: Option<&Node>,
        scope: Scope<'_>,
        input: Item,
        out: &mut Out,
    ) -> Flow {
        let place = input.place.clone();
        match self.guarded(body, scope, input, out)? {
            Err(Stop::Error(error)) => match handler {
                // The outputs of a handler have no path.
                Some(handler) => self.each(handler, scope, error, &mut |value| {
                    let item = Item {
                        value: Val::Null,
                        place: place.clone(),
                    };
                    out(item.computed(value)?)
                }),
                None => Ok(()),
            },
            flow => flow,
        }
    }

    fn descend(&self, item: Item, out: &mut Out) -> Flow {
        self.meter.enter()?;
        let children = match &item.value {
            Val::Arr(_) | Val::Obj(_) => Some(item.clone()),
            _ => None,
        };
        let flow = out(item).and_then(|()| match children {
            Some(item) => self.children(item, &mut |child| self.descend(child, out)),
            None => Ok(()),
        });
        self.meter.leave();
        flow
    }
}

impl Item {
    /// Makes an item of a value that is computed from this one, and so has no path of its own.
    fn computed(self, value: Val) -> Result<Self, Stop> {
        match self.place {
            Place::Untracked => Ok(Self::of(value)),
            _ => Err(Stop::error(format!(
                "a path is needed, not the value {}",
                super::native::shown(&value)
            ))),
        }
    }
}

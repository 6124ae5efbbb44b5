//! Check and conversion of names: variables, patterns and functions.

use almanac_base::nearest;
use jaq_core::load::parse::{Pattern, Term};

use super::builtin::{self, Builtin};
use super::lower::{Lowered, Lowering};
use super::meter::Meter;
use super::node::{Binding, Node, Slot};
use super::parse::{Invalid, parse, place};
use super::prepare::ALTERNATIVES;
use super::value::Val;
use super::{HIDDEN, NOW};

impl Lowering<'_> {
    pub(super) fn variable(&mut self, name: &str) -> Lowered {
        if let Some((_, slot)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(Node::Variable(*slot));
        }
        let bare = name.trim_start_matches('$');
        // The text of a function can use its own variables only.
        if self.source.is_some()
            && let Some(place) = self.globals.iter().position(|global| *global == bare)
        {
            return Ok(Node::Global(place));
        }
        if bare == "secrets" {
            return Err(self.wrong(
                name,
                "`$secrets` is not available, because results of expressions are in the run's \
                 history; a call names a secret with `use`",
            ));
        }
        if let Some(reason) = builtin::withheld(name) {
            return Err(self.wrong(name, format!("`{name}` is not available: {reason}")));
        }
        if let ("$__loc__", Some(source)) = (name, self.source) {
            let before = source.get(..place(source, name)).unwrap_or_default();
            let entries = [
                ("file".into(), Val::text("<top-level>")),
                ("line".into(), Val::int(1 + before.matches('\n').count())),
            ];
            let constant = Val::map(&Meter::default(), entries.into_iter().collect());
            return constant
                .map(Node::Constant)
                .map_err(|_| self.wrong(name, "is out of bounds"));
        }
        let known: Vec<&str> = self
            .globals
            .iter()
            .copied()
            .filter(|name| !HIDDEN.contains(name))
            .collect();
        let hint = nearest::nearest(bare, &known)
            .map_or_else(String::new, |near| format!("; did you mean `${near}`?"));
        Err(self.wrong(name, format!("unknown variable `{name}`{hint}")))
    }

    /// Binds the variables of a pattern's alternatives, of which there is usually one. Each
    /// alternative binds all variables: those of the other alternatives to null.
    pub(super) fn patterns(
        &mut self,
        pattern: &Pattern<&str>,
    ) -> Result<Vec<Vec<Binding>>, Invalid> {
        let alternatives = match pattern {
            Pattern::Arr(items) => match items.split_first() {
                Some((Pattern::Var(ALTERNATIVES), alternatives)) => alternatives,
                _ => return Ok(vec![self.pattern(pattern)?]),
            },
            _ => return Ok(vec![self.pattern(pattern)?]),
        };
        let bound = self.variables.len();
        let mut common: Vec<(String, Slot)> = Vec::new();
        let mut all = Vec::new();
        for alternative in alternatives {
            let bindings = self.pattern(alternative)?;
            let own = self.variables.split_off(bound);
            for (name, _) in &own {
                if !common.iter().any(|(known, _)| known == name) {
                    common.push((name.clone(), self.slot()));
                }
            }
            all.push((own, bindings));
        }
        let made = all.into_iter().map(|(own, mut bindings)| {
            for (name, slot) in &common {
                let own = own.iter().rev().find(|(known, _)| known == name);
                let binding = own.and_then(|(_, own)| bindings.iter().find(|b| b.slot == *own));
                bindings.push(Binding {
                    slot: *slot,
                    keys: binding.map_or_else(Vec::new, |binding| binding.keys.clone()),
                    absent: binding.is_none(),
                });
            }
            bindings
        });
        let made: Vec<Vec<Binding>> = made.collect();
        self.count(made.iter().flatten().map(|b| 1 + b.keys.len()).sum())?;
        self.variables.extend(common);
        Ok(made)
    }

    /// Binds the variables of a pattern, each with the keys from the value to the variable.
    fn pattern(&mut self, pattern: &Pattern<&str>) -> Result<Vec<Binding>, Invalid> {
        let mut bindings = Vec::new();
        self.bind(pattern, &mut Vec::new(), &mut bindings)?;
        Ok(bindings)
    }

    fn bind(
        &mut self,
        pattern: &Pattern<&str>,
        keys: &mut Vec<Node>,
        bindings: &mut Vec<Binding>,
    ) -> Result<(), Invalid> {
        self.count(1 + keys.len())?;
        match pattern {
            Pattern::Var(name) => {
                let slot = self.slot();
                self.variables.push(((*name).to_owned(), slot));
                bindings.push(Binding {
                    keys: keys.clone(),
                    ..Binding::whole(slot)
                });
            }
            Pattern::Arr(items) => {
                for (index, item) in items.iter().enumerate() {
                    keys.push(Node::Constant(Val::int(index)));
                    self.bind(item, keys, bindings)?;
                    keys.pop();
                }
            }
            Pattern::Obj(entries) => {
                for (key, value) in entries {
                    let key = self.term(key)?;
                    if !key.is_single() {
                        return Err(Invalid::new(0, "a key of a pattern must be one value"));
                    }
                    keys.push(key);
                    self.bind(value, keys, bindings)?;
                    keys.pop();
                }
            }
        }
        Ok(())
    }

    pub(super) fn call(&mut self, name: &str, arguments: &[Term<&str>]) -> Lowered {
        let text_of_function = self.source.is_none();
        if arguments.is_empty() && text_of_function {
            let parameter = self.parameters.iter().find(|(known, ..)| *known == name);
            if let Some((_, node, nodes)) = parameter.cloned() {
                self.count(nodes)?;
                return Ok(node);
            }
        }
        // The caller gives these values like variables, and expressions read them like jq's
        // functions.
        if let Some(hidden) = HIDDEN
            .iter()
            .find(|hidden| hidden.strip_suffix("()") == Some(name))
            && arguments.is_empty()
            && !text_of_function
            && let Some(place) = self.globals.iter().position(|place| place == hidden)
        {
            if *hidden == NOW {
                self.hidden.now = true;
                return Ok(Node::Global(place));
            }
            self.hidden.uuid = true;
            return Ok(Node::Uuid(place));
        }
        match (name, arguments) {
            ("null", []) => return Ok(Node::Constant(Val::Null)),
            ("true", []) => return Ok(Node::Constant(Val::Bool(true))),
            ("false", []) => return Ok(Node::Constant(Val::Bool(false))),
            _ => {}
        }
        let builtin = builtin::find(name, arguments.len())
            .filter(|_| text_of_function || !name.starts_with('_'));
        match builtin {
            Some(Builtin::Function(function)) => {
                let arguments = arguments.iter().map(|argument| self.term(argument));
                Ok(Node::Apply(function, arguments.collect::<Result<_, _>>()?))
            }
            Some(Builtin::Control(control)) => {
                let arguments = arguments.iter().map(|argument| self.term(argument));
                Ok(Node::Control(control, arguments.collect::<Result<_, _>>()?))
            }
            Some(Builtin::Text { parameters, body }) => self.inline(parameters, body, arguments),
            None => Err(self.unknown(name, arguments.len())),
        }
    }

    /// Inserts the text of a function in place of its call.
    fn inline(
        &mut self,
        parameters: &[&'static str],
        body: &'static str,
        arguments: &[Term<&str>],
    ) -> Lowered {
        let (mut filters, mut values) = (Vec::new(), Vec::new());
        for (parameter, argument) in parameters.iter().zip(arguments) {
            let before = self.nodes;
            let node = self.term(argument)?;
            if parameter.starts_with('$') {
                values.push(((*parameter).to_owned(), self.slot(), node));
            } else {
                filters.push((*parameter, node, self.nodes - before));
            }
        }
        let source = self.source.take();
        let variables = values.iter().map(|(name, slot, _)| (name.clone(), *slot));
        let variables = std::mem::replace(&mut self.variables, variables.collect());
        let parameters = std::mem::replace(&mut self.parameters, filters);
        let node = parse(body, |term, _| self.term(term));
        (self.source, self.variables, self.parameters) = (source, variables, parameters);
        let mut node = node?;
        for (_, slot, value) in values.into_iter().rev() {
            node = Node::Bind(Box::new(value), vec![Binding::whole(slot)], Box::new(node));
        }
        Ok(node)
    }

    fn unknown(&self, name: &str, arguments: usize) -> Invalid {
        if let Some(reason) = builtin::withheld(name) {
            return self.wrong(name, format!("`{name}` is not available: {reason}"));
        }
        if name.starts_with('_') {
            return self.wrong(name, format!("unknown function `{name}`"));
        }
        let arities = builtin::arities(name);
        if let [first, rest @ ..] = arities.as_slice() {
            let rest = rest.iter().map(|arity| format!(" or {arity}"));
            let message = format!(
                "`{name}` takes {first}{} arguments, not {arguments}",
                rest.collect::<String>()
            );
            return self.wrong(name, message);
        }
        let known: Vec<&str> = builtin::names().collect();
        let hint = nearest::hint(name, &known).map_or_else(String::new, |hint| format!("; {hint}"));
        self.wrong(name, format!("unknown function `{name}`{hint}"))
    }
}

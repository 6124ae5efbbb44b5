//! Reader of `emit` and `listen`.

use almanac_base::text::quoted;
use almanac_events::{TEXTS, is_attribute_name, refused_attribute};
use serde_json::Value;

use super::reader::{At, Object, Reader, Target};
use super::shapes::{CORRELATION, EMIT, EMITTED, EVENT_FILTER, EVENTS, FOREACH, LISTEN};
use super::{Correlation, EachEvent, EventFilter, Events, Listen, Stage, Template, Until};

impl Reader {
    pub(super) fn emit(&mut self, at: &At<'_>) -> Option<Template> {
        let object = self.object(at, &EMIT)?;
        let at = self.required(&object, "event")?;
        let object = self.object(&at, &EMITTED)?;
        let at = self.required(&object, "with")?;
        let attributes = self.attributes(&at, Stage::Body)?;
        let good: Vec<bool> = attributes
            .iter()
            .map(|(name, value)| self.can_be_sent(&at, name, value))
            .collect();
        if good.contains(&false) {
            return None;
        }
        if !attributes.iter().any(|(name, _)| name == "type") {
            let message = format!("{} has no `type`", at.shown());
            self.problem(&at, Target::Key, message);
            return None;
        }
        Some(Template::Map(attributes))
    }

    /// Returns `true` if a run can send an attribute as it is written, and reports a problem
    /// otherwise.
    ///
    /// Null is valid, because a run leaves it out.
    fn can_be_sent(&mut self, at: &At<'_>, name: &str, value: &Template) -> bool {
        let Template::Literal(value) = value else {
            return true;
        };
        let refused = refused_attribute(name, value).filter(|_| !value.is_null());
        if let Some(expected) = refused {
            self.mismatch(&at.key(name, value), expected);
        }
        refused.is_none()
    }

    /// Reads the attributes of an event: texts, `data`, and extensions (`CloudEvents` 1.0).
    fn attributes(&mut self, at: &At<'_>, stage: Stage) -> Option<Vec<(String, Template)>> {
        let Value::Object(map) = at.value else {
            self.mismatch(at, "a map");
            return None;
        };
        let attributes: Vec<Option<(String, Template)>> = map
            .iter()
            .map(|(name, value)| {
                let at = at.key(name, value);
                if !is_attribute_name(name) {
                    let message = format!("{} is not a valid attribute name", at.shown());
                    self.problem(&at, Target::Key, message).hint =
                        Some("names of event attributes consist of a-z and 0-9".to_owned());
                    return None;
                }
                if name == "specversion" && value != "1.0" {
                    self.mismatch(&at, "\"1.0\"");
                    return None;
                }
                if TEXTS.contains(&name.as_str()) {
                    let text = self.text(&at)?;
                    if ["source", "dataschema"].contains(&name.as_str())
                        && !text.trim_start().starts_with("${")
                        && !self.has_no_braces(&at, text)
                    {
                        return None;
                    }
                } else if name != "data" && (value.is_object() || value.is_array()) {
                    self.mismatch(&at, "text, a number or a boolean");
                    return None;
                }
                Some((name.clone(), self.template(&at, stage)?))
            })
            .collect();
        attributes.into_iter().collect()
    }

    /// Returns `true` if a URI has no braces, and reports a problem otherwise.
    pub(super) fn has_no_braces(&mut self, at: &At<'_>, text: &str) -> bool {
        let good = !text.contains(['{', '}']);
        if !good {
            self.wrong_with_hint(
                at,
                "is not a URI: it contains braces",
                r#"to build it from data, write an expression: ${ "https://shop.example/\(.id)" }"#,
            );
        }
        good
    }

    pub(super) fn listen(&mut self, at: &At<'_>, task: &Object<'_>) -> Option<Listen> {
        let object = self.object(at, &LISTEN)?;
        let to = self
            .required(&object, "to")
            .and_then(|at| self.events(&at, true));
        let read = self.optional(&object, "read", |reader, at| {
            reader.choice(at, &[("data", false), ("envelope", true), ("raw", false)])
        });
        let each = self.optional(task, "foreach", Self::foreach);
        Some(Listen {
            to: to?,
            envelope: read?.unwrap_or(false),
            each: each?,
        })
    }

    fn events(&mut self, at: &At<'_>, until: bool) -> Option<Events> {
        let object = self.object(at, &EVENTS)?;
        let present: Vec<&str> = ["all", "any", "one"]
            .into_iter()
            .filter(|key| object.has(key))
            .collect();
        let [strategy] = present.as_slice() else {
            let message = format!("{} must have one of `all`, `any` and `one`", at.shown());
            self.problem(at, Target::Key, message);
            return None;
        };
        if object.has("until") && (*strategy != "any" || !until) {
            let at = object.get("until")?;
            let message = format!(
                "{} can only be used with `any`, and not in `until`",
                at.shown()
            );
            self.problem(&at, Target::Key, message);
            return None;
        }
        let filters = object.get(strategy)?;
        match *strategy {
            "all" => {
                let filters_read = self.filters(&filters)?;
                if filters_read.is_empty() {
                    self.wrong(&filters, "has no events");
                    return None;
                }
                Some(Events::All(filters_read))
            }
            "one" => Some(Events::Any {
                filters: vec![self.filter(&filters)?],
                until: None,
            }),
            _ => {
                let filters = self.filters(&filters);
                let until = self.optional(&object, "until", |reader, at| match at.value {
                    Value::String(_) => reader.condition(at, Stage::Body).map(Until::Condition),
                    _ => reader
                        .events(at, false)
                        .map(|to| Until::Events(Box::new(to))),
                });
                Some(Events::Any {
                    filters: filters?,
                    until: until?,
                })
            }
        }
    }

    fn filters(&mut self, at: &At<'_>) -> Option<Vec<EventFilter>> {
        let items = self.list(at, "a list of events")?;
        let filters: Vec<Option<EventFilter>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.filter(&at.item(index, item)))
            .collect();
        filters.into_iter().collect()
    }

    fn filter(&mut self, at: &At<'_>) -> Option<EventFilter> {
        let object = self.object(at, &EVENT_FILTER)?;
        let with = self
            .required(&object, "with")
            .and_then(|at| self.filter_attributes(&at, Stage::Body));
        let correlate = self.optional(&object, "correlate", |reader, at| {
            let Value::Object(map) = at.value else {
                reader.mismatch(at, "a map");
                return None;
            };
            let each: Vec<Option<Correlation>> = map
                .iter()
                .map(|(name, value)| reader.correlation(&at.key(name, value), name))
                .collect();
            each.into_iter().collect::<Option<Vec<_>>>()
        });
        Some(EventFilter {
            with: with?,
            correlate: correlate?.unwrap_or_default(),
        })
    }

    /// Reads the attributes that an event must have.
    pub(super) fn filter_attributes(
        &mut self,
        at: &At<'_>,
        stage: Stage,
    ) -> Option<Vec<(String, Template)>> {
        if at.value.as_object().is_some_and(serde_json::Map::is_empty) {
            self.wrong(at, "has no attributes to match");
            return None;
        }
        self.attributes(at, stage)
    }

    fn correlation(&mut self, at: &At<'_>, name: &str) -> Option<Correlation> {
        let object = self.object(at, &CORRELATION)?;
        let from = self
            .required(&object, "from")
            .and_then(|at| self.expression(&at, Stage::Body));
        let expect = self.optional(&object, "expect", Self::text_template);
        Some(Correlation {
            name: name.to_owned(),
            from: from?,
            expect: expect?,
        })
    }

    fn foreach(&mut self, at: &At<'_>) -> Option<EachEvent> {
        let object = self.object(at, &FOREACH)?;
        let item = self.variable_or(&object, "item", "item");
        let index = self.variable_or(&object, "at", "index");
        if item.is_some() && item == index {
            let what = format!(
                "has the same name for the event and its index: {}",
                quoted(item.as_deref()?)
            );
            self.wrong(at, &what);
            return None;
        }
        let names = [
            item.as_deref().unwrap_or("item"),
            index.as_deref().unwrap_or("index"),
        ];
        let (handler, output, export) = self.within(&names, |reader| {
            (
                reader.optional(&object, "do", Self::tasks),
                reader.optional(&object, "output", |reader, at| {
                    reader.output(at, Stage::TaskOutput)
                }),
                reader.optional(&object, "export", |reader, at| {
                    reader.output(at, Stage::Export)
                }),
            )
        });
        Some(EachEvent {
            item: item?,
            at: index?,
            handles: handler?.is_some(),
            output: output?.unwrap_or_default(),
            export: export?.unwrap_or_default(),
        })
    }
}

//! Reader of `run`: a child workflow or a command.

use super::reader::{At, Reader, Target};
use super::shapes::{RUN, SHELL, SUBFLOW};
use super::template::Fits;
use super::{Process, Run, RunOutput};

const OUTPUTS: &[(&str, RunOutput)] = &[
    ("stdout", RunOutput::Stdout),
    ("stderr", RunOutput::Stderr),
    ("code", RunOutput::Code),
    ("all", RunOutput::All),
    ("none", RunOutput::None),
];

impl Reader {
    pub(super) fn run(&mut self, at: &At<'_>) -> Option<Run> {
        let object = self.object(at, &RUN)?;
        let wait = self.optional(&object, "await", Self::boolean);
        let output = self.optional(&object, "return", |reader, at| reader.choice(at, OUTPUTS));
        let process = match (object.get("workflow"), object.get("shell")) {
            (Some(at), None) => self.subflow(&at),
            (None, Some(at)) => self.shell(&at),
            (both, _) => {
                // A process that is not supported was already refused at its key.
                if both.is_some() || object.keys().all(|key| RUN.keys.contains(&key.as_str())) {
                    let message = format!("{} must have one of `workflow` and `shell`", at.shown());
                    self.problem(at, Target::Key, message);
                }
                None
            }
        };
        Some(Run {
            wait: wait?.unwrap_or(true),
            output: output?.unwrap_or_default(),
            process: process?,
        })
    }

    fn subflow(&mut self, at: &At<'_>) -> Option<Process> {
        let object = self.object(at, &SUBFLOW)?;
        let mut name = |key| {
            let at = self.required(&object, key)?;
            self.name(&at).map(str::to_owned)
        };
        let (namespace, workflow, version) = (name("namespace"), name("name"), name("version"));
        let input = self.optional(&object, "input", |reader, at| {
            reader.map_template(at, Fits::Any)
        });
        Some(Process::Workflow {
            namespace: namespace?,
            name: workflow?,
            version: version?,
            input: input?,
        })
    }

    fn shell(&mut self, at: &At<'_>) -> Option<Process> {
        let object = self.object(at, &SHELL)?;
        let command = self
            .required(&object, "command")
            .and_then(|at| self.text_template(&at));
        let arguments = self.optional(&object, "arguments", |reader, at| {
            reader.list_template(at, Fits::Texts)
        });
        let stdin = self.optional(&object, "stdin", Self::text_template);
        let environment = self.optional(&object, "environment", |reader, at| {
            reader.map_template(at, Fits::Texts)
        });
        Some(Process::Shell {
            command: command?,
            arguments: arguments?,
            stdin: stdin?,
            environment: environment?,
        })
    }
}

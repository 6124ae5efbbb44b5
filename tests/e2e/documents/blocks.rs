//! The blocks of commands in the documents.

use std::path::Path;

use almanac_tests::workspace;
use anyhow::Context;

/// Language of a block of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// `sh`: commands.
    Shell,
    /// `console`: commands after `$ `, and what they print.
    Console,
}

/// A block of commands in a document.
#[derive(Debug)]
pub(crate) struct Block {
    /// The document, relative to the workspace.
    pub(crate) document: String,
    /// Number of the block's first line, from 1.
    pub(crate) line: usize,
    /// Heading of the section, below that of the page; empty before the first section.
    pub(crate) section: String,
    pub(crate) language: Language,
    pub(crate) text: String,
}

/// A command, and what a document shows as its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) command: String,
    pub(crate) output: String,
}

impl Block {
    /// The commands, each in one string with all its lines, and the output of each. A block of
    /// `sh` shows no output.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            let command = match self.language {
                Language::Shell => Some(line),
                Language::Console => line.strip_prefix("$ "),
            };
            match (command, shown.last_mut()) {
                (_, Some(last)) if goes_on => {
                    last.command.push('\n');
                    last.command.push_str(line);
                }
                (Some(command), _) => {
                    if command.trim().is_empty() {
                        continue;
                    }
                    shown.push(Shown {
                        command: command.to_owned(),
                        output: String::new(),
                    });
                }
                (None, Some(last)) => {
                    last.output.push_str(line);
                    last.output.push('\n');
                    continue;
                }
                (None, None) => continue,
            }
            goes_on = shown.last().is_some_and(Shown::goes_on);
        }
        shown
    }

    /// The commands as one script.
    pub(crate) fn script(&self) -> String {
        match self.language {
            Language::Shell => self.text.clone(),
            Language::Console => {
                let commands = self.shown().into_iter().map(|shown| shown.command);
                commands.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Shown {
    /// Returns `true` if the command goes on in the next line.
    fn goes_on(&self) -> bool {
        let is_loop = self.command.starts_with("for ") && !self.command.ends_with("done");
        is_loop || self.command.ends_with('\\')
    }
}

/// The README and the pages of `docs/`.
pub(crate) fn documents() -> anyhow::Result<Vec<String>> {
    let mut documents = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(workspace().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|it| it == "md") {
            documents.push(format!("docs/{name}"));
        }
    }
    documents.sort();
    Ok(documents)
}

/// The blocks of commands of a document, in order.
pub(crate) fn blocks(document: &str) -> anyhow::Result<Vec<Block>> {
    let text =
        std::fs::read_to_string(workspace().join(document)).with_context(|| document.to_owned())?;
    Ok(blocks_of(document, &text))
}

fn blocks_of(document: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.starts_with("##") {
            line.trim_start_matches('#').trim().clone_into(&mut section);
        }
        let indent = line.len() - line.trim_start().len();
        let Some(language) = line[indent..].strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line);
        let inside = inside.take_while(|line| line.trim() != "```");
        let inside = inside.map(|line| line.get(indent..).unwrap_or_default());
        let text = inside.collect::<Vec<_>>().join("\n");
        let language = match language {
            "sh" | "bash" | "shell" => Language::Shell,
            "console" => Language::Console,
            _ => continue,
        };
        blocks.push(Block {
            document: document.to_owned(),
            line: number + 2,
            section: section.clone(),
            language,
            text,
        });
    }
    blocks
}

#[test]
fn blocks_have_their_commands_and_what_these_print() {
    let text = "# A\n\n```yaml\na: 1\n```\n\n1. B:\n\n   ```console\n   $ almanac list \\\n     \
                --wide\n   ID\n\n   a\n   $ almanac show a\n   ```\n\n### C `c`\n```sh\n# why\na \
                \\\n  b\n\nfor c in d; do\n  e\ndone\n```\n";
    let blocks = blocks_of("x.md", text);
    let [console, shell] = &blocks[..] else {
        panic!("{blocks:#?}");
    };
    let shown = |command: &str, output: &str| Shown {
        command: command.to_owned(),
        output: output.to_owned(),
    };
    assert_eq!((console.line, shell.line), (10, 20));
    assert_eq!([&*console.section, &*shell.section], ["", "C `c`"]);
    let expected = [
        shown("almanac list \\\n  --wide", "ID\n\na\n"),
        shown("almanac show a", ""),
    ];
    assert_eq!(console.shown(), expected);
    let expected = [
        shown("# why", ""),
        shown("a \\\n  b", ""),
        shown("for c in d; do\n  e\ndone", ""),
    ];
    assert_eq!(shell.shown(), expected);
    assert_eq!(
        console.script(),
        "almanac list \\\n  --wide\nalmanac show a"
    );
}

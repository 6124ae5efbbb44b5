//! `almanac completion` and `almanac man`: generate completion scripts and manual pages from
//! the description of the command line.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{CompletionArgs, ManArgs, command};
use crate::console;

pub(super) fn completion(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "almanac", &mut script);
    console::print_verbatim(String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command(), folder))
            .with_context(|| format!("write into `{}`", folder.display()))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        console::print_verbatim(String::from_utf8(page)?);
    }
    Ok(ExitCode::SUCCESS)
}

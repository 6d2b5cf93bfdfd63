//! `till completions`: what a shell needs to complete this command line.

use clap::{Args, CommandFactory};

use crate::Cli;
use crate::failure::Failure;
use crate::output;

/// Print a shell's completions, for instance `till completions bash > ~/.local/share/bash-completion/completions/till`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints the completions.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "till", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())
}

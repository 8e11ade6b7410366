//! What a person sees: each `$ bannou …` line of a transcript, run by the real binary in the repository's folder, is followed by exactly what
//! it prints (lines of standard error after "! ") and by its exit code where that is not 0.
//!
//! The transcripts are `cli/tests/transcripts/*.txt`, and the `console` blocks of `docs/command-line.md`.
//! `UPDATE_GOLDEN=1 cargo test -p bannou-cli --test transcripts` writes them anew: look at the difference.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// A command's lines, as they stand in a transcript.
fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("bannou"), "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bannou"));
    command.args(words).current_dir(repository()).env_clear();
    let output = command.output().expect("the binary runs");
    let mut text = String::from_utf8(output.stdout).expect("UTF-8");
    for line in String::from_utf8(output.stderr).expect("UTF-8").lines() {
        text.push_str(format!("! {line}").trim_end());
        text.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        code => text.push_str(&format!("exit {}\n", code.expect("no signal"))),
    }
    text
}

/// The transcript with every command's real output.
fn replay(transcript: &str) -> String {
    let commands = transcript.lines().filter_map(|line| line.strip_prefix("$ "));
    let ran: Vec<String> = commands.map(|line| format!("$ {line}\n{}", run(line))).collect();
    assert!(!ran.is_empty(), "a transcript without a command");
    ran.join("\n")
}

fn hold(path: &Path, before: &str, after: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, after).expect("the transcript is written");
    } else if before != after {
        let differs = before.lines().zip(after.lines()).find(|(a, b)| a != b);
        panic!("{} says something else; the first line that differs: {differs:#?}\n\n{after}", path.display());
    }
}

#[test]
fn commands_print_what_their_transcripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    for entry in fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        let before = fs::read_to_string(&path).expect("a transcript");
        hold(&path, &before, &replay(&before));
    }
}

const OPEN: &str = "```console\n";
const CLOSE: &str = "\n```";

#[test]
fn the_page_shows_what_commands_print() {
    let path = repository().join("docs/command-line.md");
    let before = fs::read_to_string(&path).expect("the page");
    let mut parts = before.split(OPEN);
    let mut after = parts.next().expect("a beginning").to_owned();
    let mut blocks = 0;
    for part in parts {
        let (transcript, rest) = part.split_once(CLOSE).expect("a block ends");
        after.push_str(&format!("{OPEN}{}{CLOSE}{rest}", replay(transcript).trim_end()));
        blocks += 1;
    }
    assert!(blocks > 3, "the page has examples");
    hold(&path, &before, &after);
}

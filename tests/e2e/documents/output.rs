//! The output that documents show, and the output that commands print.

/// The exit code that a comment after the command states; 0 without one.
pub(crate) fn expected_code(command: &str) -> anyhow::Result<i32> {
    let Some((_, rest)) = command.split_once("exit code ") else {
        return Ok(0);
    };
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    Ok(digits.unwrap_or_default().parse()?)
}

/// The last digest that a command line in the output has.
pub(crate) fn digest_in(printed: &str) -> Option<String> {
    let (_, rest) = printed.rsplit_once("--confirm ")?;
    let digest = rest.split_whitespace().next()?;
    let is_digest = digest.len() > 15 && digest.chars().all(|c| c.is_ascii_hexdigit());
    is_digest.then(|| digest.to_owned())
}

/// The first line of `shown` that `printed` does not have, in this order. `…` stands for any text,
/// and any white space for one space.
pub(crate) fn first_missing(shown: &str, printed: &str) -> Option<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut printed = printed.lines().map(words);
    let mut shown = shown.lines().map(words).filter(|line| !line.is_empty());
    shown.find(|line| !printed.any(|printed| is_like(&printed, line)))
}

/// Returns `true` if the line is the pattern, in which `…` stands for any text.
fn is_like(line: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('…') else {
        return line == pattern;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    let ends = line.char_indices().map(|(at, _)| at);
    ends.chain([line.len()])
        .any(|at| is_like(&line[at..], rest))
}

#[test]
fn shown_lines_are_found_in_order() {
    let printed = "Pass 4, revision 93a5, 28 ms\n  ~ a:   updated\n! 3 removals wait\nDone.\n";
    for shown in [
        "",
        "Pass …\n~ a: updated\nDone.",
        "…revision …, … ms\n\n! 3 removals wait",
        "Done.",
    ] {
        assert_eq!(first_missing(shown, printed), None, "{shown}");
    }
    for (shown, missing) in [
        ("Done.\nPass …", "Pass …"),
        ("Pass 5…", "Pass 5…"),
        ("Pass …\n~ b: updated", "~ b: updated"),
        ("3 removals wait", "3 removals wait"),
    ] {
        let found = first_missing(shown, printed);
        assert_eq!(found.as_deref(), Some(missing));
    }
}

#[test]
fn exit_codes_and_digests_are_read() {
    assert_eq!(expected_code("almanac status").unwrap(), 0);
    assert_eq!(
        expected_code("almanac status  # exit code 2: …").unwrap(),
        2
    );
    let digest = "5f2a93a57e19a86e";
    let printed = format!("  → almanac sync --project p --confirm {digest}\nDone.");
    assert_eq!(digest_in(&printed).as_deref(), Some(digest));
    assert_eq!(digest_in("--confirm DIGEST"), None);
}

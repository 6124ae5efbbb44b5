//! Colours for people. They are taken out again where what is printed goes to
//! no terminal, or to one that wants none (`NO_COLOR`, `TERM=dumb`).

use anstyle::{AnsiColor, Color, Style};

/// What a part of the text says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    /// It is, or becomes, as it should be.
    Good,
    /// It changes, or waits for someone.
    Caution,
    /// It is wrong, or goes away.
    Bad,
}

/// A text in the colour of its tone.
pub(super) fn toned(tone: Tone, text: &str) -> String {
    let color = match tone {
        Tone::Good => AnsiColor::Green,
        Tone::Caution => AnsiColor::Yellow,
        Tone::Bad => AnsiColor::Red,
    };
    let style = Style::new().fg_color(Some(Color::Ansi(color)));
    format!("{style}{text}{style:#}")
}

/// The lines of a plan or a report, each in the tone of what it begins with.
pub(super) fn by_sign(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let (text, end) = line
                .strip_suffix('\n')
                .map_or((line, ""), |text| (text, "\n"));
            tone(text.trim_start()).map_or_else(|| line.to_owned(), |tone| toned(tone, text) + end)
        })
        .collect()
}

fn tone(line: &str) -> Option<Tone> {
    const SIGNS: [(&str, Tone); 7] = [
        ("+ ", Tone::Good),
        ("~ ", Tone::Caution),
        ("- ", Tone::Bad),
        ("! ", Tone::Bad),
        ("held: ", Tone::Caution),
        ("error: ", Tone::Bad),
        ("warning: ", Tone::Caution),
    ];
    let found = SIGNS.iter().find(|(sign, _)| line.starts_with(sign));
    found.map(|(_, tone)| *tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_colours_its_line_and_no_other() {
        let text = "pass 1\n  + a: create\n  confirm\n- b: delete";
        assert_eq!(
            by_sign(text),
            "pass 1\n\u{1b}[32m  + a: create\u{1b}[0m\n  confirm\n\u{1b}[31m- b: delete\u{1b}[0m"
        );
    }
}

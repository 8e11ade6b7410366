//! GEP-2257 durations (`1h30m`, `250ms`): the only form that the resources take.

use std::time::Duration;

/// Parses a GEP-2257 duration: up to four groups of up to five digits with a unit of `h`, `m`, `s` or `ms`.
///
/// # Errors
/// A sentence that says what is wrong with the text and what would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write for example 500ms, 3s, 2m, 24h or 1h30m");
    let mut rest = text.as_bytes();
    let mut total = Duration::ZERO;
    let mut groups = 0;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 5 || groups == 4 {
            return Err(wrong());
        }
        let number: u64 = text_of(&rest[..digits]).parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let (unit_len, millis) = match rest {
            [b'm', b's', ..] => (2, 1),
            [b'h', ..] => (1, 3_600_000),
            [b'm', ..] => (1, 60_000),
            [b's', ..] => (1, 1_000),
            _ => return Err(wrong()),
        };
        rest = &rest[unit_len..];
        total += Duration::from_millis(number * millis);
        groups += 1;
    }
    if groups == 0 { Err(wrong()) } else { Ok(total) }
}

fn text_of(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_takes() {
        for (text, millis) in
            [("500ms", 500), ("3s", 3_000), ("2m", 120_000), ("24h", 86_400_000), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_it_refuses() {
        for text in ["", "3", "s", "-3s", "1.5s", "3 s", "3d", "123456s", "1h1h1h1h1h", "3sx"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

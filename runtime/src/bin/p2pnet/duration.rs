//! Durations on the command line.

use std::time::Duration;

/// Reads `500ms`, `30s`, `2m` or `1.5h`: a number with its unit, up to ten years.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number with its unit, such as 500ms, 30s, 2m or 1h".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(unit_at).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let value = number.parse::<f64>().map_err(|_| wrong())? * seconds;
    if value > 10.0 * 365.0 * 24.0 * 3600.0 {
        return Err("that is longer than ten years".to_owned());
    }
    Duration::try_from_secs_f64(value).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms that the help text promises.
    #[test]
    fn numbers_with_a_unit_are_durations() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    /// A number alone could mean anything.
    #[test]
    fn everything_else_is_refused() {
        for text in ["", "30", "s", "-1s", "1 s", "1d", "1e9s", "..s", "99999999h", "∞s", "1s "] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}

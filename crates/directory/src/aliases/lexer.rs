//! Lines, names and members of an aliases file, before anything is known about their meaning.

/// Joins continuation lines: a line that begins with white space belongs to the one before.
/// Blank lines and lines whose first character other than white space is `#` are left out and
/// end nothing. Gives each line with the number of its first physical line.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if content.len() < line.len() => {
                last.push(' ');
                last.push_str(content.trim_end());
            }
            _ => lines.push((number, line.trim_end().to_owned())),
        }
    }
    lines
}

/// Where `stop` first stands outside quotes; a backslash takes the meaning of the next character
/// inside them.
fn find_unquoted(text: &str, stop: char) -> Result<Option<usize>, String> {
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                chars.next();
            }
            c if c == stop && !quoted => return Ok(Some(at)),
            _ => {}
        }
    }
    if quoted {
        return Err("a quote is opened and not closed".to_owned());
    }
    Ok(None)
}

/// `name: value`
pub(super) fn split_name(line: &str) -> Result<(String, &str), String> {
    if line.starts_with(char::is_whitespace) {
        return Err("the first line cannot continue another".to_owned());
    }
    // A literal's colons are the domain's own: `@[IPv6:2001:db8::1]: alice`.
    let literal_end = line
        .find("@[")
        .and_then(|at| line[at..].find(']').map(|end| at + end));
    let from = literal_end.unwrap_or(0);
    let colon = match literal_end {
        Some(_) => line[from..].find(':'),
        None => find_unquoted(line, ':')?,
    };
    let Some(colon) = colon else {
        return Err(
            "there is no colon after the name: an alias is \"name: member, member\"".to_owned(),
        );
    };
    let (name, value) = line.split_at(from + colon);
    let name = name.trim();
    if name.is_empty() {
        return Err("there is no name before the colon".to_owned());
    }
    Ok((name.to_owned(), &value[1..]))
}

/// Parts members at commas; empty ones, as after a final comma, are left out.
pub(super) fn split_members(mut value: &str) -> Result<Vec<&str>, String> {
    let mut members = Vec::new();
    loop {
        let comma = find_unquoted(value, ',')?;
        let member = value[..comma.unwrap_or(value.len())].trim();
        if !member.is_empty() {
            members.push(member);
        }
        match comma {
            Some(comma) => value = &value[comma + 1..],
            None => return Ok(members),
        }
    }
}

/// Whether there is an `@` outside quotes.
pub(super) fn has_domain(text: &str) -> bool {
    matches!(find_unquoted(text, '@'), Ok(Some(_)))
}

//! Reading a password from a person or a program.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// Longer lines are no passwords.
const MAX_LINE: u64 = 4096;

/// The first line of standard input.
///
/// # Errors
/// It cannot be read.
pub fn from_stdin() -> Result<String, String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        eprintln!("Reading the password from the terminal, where it will be seen.");
    }
    read_line(stdin.lock()).map_err(|error| format!("cannot read the password: {error}"))
}

/// Asks at the terminal, without echo, twice.
///
/// # Errors
/// There is no terminal, or the two answers differ.
pub fn ask() -> Result<String, String> {
    let no_terminal = |error: io::Error| {
        format!("cannot ask for a password at the terminal ({error}): use --password-stdin")
    };
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let terminal = terminal.map_err(no_terminal)?;
    let first = ask_once(&terminal, "Password: ").map_err(no_terminal)?;
    let second = ask_once(&terminal, "The same again: ").map_err(no_terminal)?;
    if first != second {
        return Err("the two passwords are not the same: nothing was changed".to_owned());
    }
    Ok(first)
}

fn ask_once(terminal: &File, prompt: &str) -> io::Result<String> {
    let mut out = terminal;
    out.write_all(prompt.as_bytes())?;
    let quiet = Quiet::begin(terminal)?;
    let answer = read_line(BufReader::new(terminal));
    drop(quiet);
    out.write_all(b"\n")?;
    answer
}

/// Echo is off until this is dropped. Ctrl-C does not come through meanwhile, so that it cannot leave the
/// terminal silent; end of input does.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing else that could be done about it.
        let _ = tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}

/// One line without its end.
fn read_line(input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(MAX_LINE).read_line(&mut line)?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_without_its_end() {
        for (input, line) in [
            ("secret\nmore\n", "secret"),
            ("secret\r\n", "secret"),
            (" with spaces ", " with spaces "),
            ("", ""),
        ] {
            assert_eq!(read_line(input.as_bytes()).unwrap(), line);
        }
        assert!(read_line(&b"\xff\n"[..]).is_err());
    }
}
